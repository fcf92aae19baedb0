"""The observations of a report: the differential, what stands alone, the staging, and what was not done."""

from collections.abc import Iterable

from . import codes
from . import fhir_shapes as shape
from .codes import Code, Figure, System
from .content import ReportContent
from .fhir_ids import fhir_id, network_id, software_id, status
from .fhir_shapes import Resource
from .red_cells import RedLine, Spread
from .staging import StagedImage


def observations(content: ReportContent) -> list[Resource]:
    """Panel first, then its members, what stands alone, and what was not analysed."""
    share_keys = [line.key for line in content.lines]
    stands = [_figure(content, figure) for figure in codes.figures(content)]
    panel = {
        **_observation(content, "panel", codes.PANEL),
        "hasMember": [shape.reference(fhir_id(content, key)) for key in ("wbc_count", *share_keys)],
    }
    comment = [_comment(content)] if content.comment else []
    absent = [_absent(content, key) for key in content.not_analysed]
    return [panel, *stands, *comment, *absent, *_red_cells(content), *_staging(content)]


def _calls(content: ReportContent, key: str) -> list[Resource]:
    """Who was told of a critical finding, on the observation of the class it is about."""
    calls = content.sign_off.about(key) if content.sign_off else ()
    return [
        {"text": call.sentence, "time": shape.instant(call.told_at), "authorString": call.told_by}
        for call in calls
    ]


def _observation(content: ReportContent, key: str, code: Code) -> Resource:
    identity = fhir_id(content, key)
    method = {} if code.names_method else {"method": {"text": "Light microscopy, digital image"}}
    return {
        **shape.head("Observation", identity, "observation-lab"),
        "identifier": [shape.uuid_identifier(identity)],
        "status": status(content),
        "category": [shape.concept("observation-category", "laboratory", "Laboratory")],
        "code": {"coding": [shape.coding(code)], "text": code.display},
        "subject": shape.reference(content.patient.id),
        "effectiveDateTime": shape.instant(content.order.collected_at),
        "issued": shape.instant(content.issued_at),
        "performer": [shape.reference(content.lab.id, content.lab.name)],
        "specimen": shape.reference(fhir_id(content, "specimen")),
        "device": shape.reference(software_id(content)),
        **method,
        **shape.present("note", _calls(content, key)),
    }


def _figure(content: ReportContent, figure: Figure) -> Resource:
    """A number with its reference range; for a share also the cells behind it and its 95 % interval."""
    resource = _observation(content, figure.key, figure.code)
    resource["valueQuantity"] = shape.quantity(figure.value, figure.unit)
    if figure.direction:
        word = {"H": "High", "L": "Low", "N": "Normal"}[figure.direction]
        resource["interpretation"] = [shape.concept("v3-ObservationInterpretation", figure.direction, word)]
    if figure.reference:
        resource["referenceRange"] = [shape.bounds(figure.reference, figure.unit)]
    if figure.interval:
        resource["component"] = [
            _component(
                "count", "Cells of this class", valueQuantity=shape.quantity(figure.count, codes.CELLS)
            ),
            _component(
                "interval-95", "Exact 95 % interval", valueRange=shape.bounds(figure.interval, figure.unit)
            ),
        ]
    return resource


def _comment(content: ReportContent) -> Resource:
    return {**_observation(content, "comment", codes.COMMENT), "valueString": content.comment}


def _absent(content: ReportContent, key: str) -> Resource:
    """What this product does not analyse yet, said outright."""
    resource = _observation(content, key, codes.NOT_ANALYSED[key])
    return {**resource, **_because("not-performed", "Not Performed", "Not analysed")}


def _because(code: str, display: str, text: str) -> Resource:
    reason = shape.concept("data-absent-reason", code, display)
    return {"dataAbsentReason": {**reason, "text": text}}


def _red_cells(content: ReportContent) -> list[Resource]:
    """One Observation per finding of the red cells: an ordinal value, or why there is none."""
    red = content.red_cells
    if red is None:
        return []
    found = [_red_finding(content, line) for line in red.findings]
    return [*found, *([_anisocytosis(content, red.spread)] if red.spread else [])]


def _red_finding(content: ReportContent, line: RedLine) -> Resource:
    resource = _graded(content, line.key, (line.grade, line.note))
    red = content.red_cells
    counted = red.classified if red else 0
    return {
        **resource,
        "component": [
            _component("count", "Cells of this class", valueQuantity=shape.quantity(line.count, codes.CELLS)),
            _component(
                codes.RBC_CLASSIFIED.code,
                codes.RBC_CLASSIFIED.display,
                valueQuantity=shape.quantity(counted, codes.CELLS),
            ),
            _component("share", "Share", valueQuantity=shape.quantity(line.percent, codes.PERCENT)),
            _component(
                "interval-95",
                "Exact 95 % interval",
                valueRange=shape.bounds((line.low, line.high), codes.PERCENT),
            ),
        ],
    }


def _anisocytosis(content: ReportContent, spread: Spread) -> Resource:
    resource = _graded(content, "anisocytosis", (spread.grade, spread.note))
    interval = shape.bounds((spread.cv_low, spread.cv_high), codes.PERCENT)
    diameter = "Coefficient of variation of diameters, not the analyser's RDW"
    return {
        **resource,
        "component": [
            _component("count", "Cells measured", valueQuantity=shape.quantity(spread.count, codes.CELLS)),
            _component(
                "diameter-cv", diameter, valueQuantity=shape.quantity(spread.cv_percent, codes.PERCENT)
            ),
            _component("interval-95", "95 % interval", valueRange=interval),
        ],
    }


def _graded(content: ReportContent, key: str, said: tuple[str, str]) -> Resource:
    """A finding with its grade, and the note beside it; without a grade the note says why."""
    grade, note = said
    resource = _observation(content, key, codes.RED_CELLS[key])
    if not grade:
        return {**resource, **_because("unknown", "Unknown", note)}
    resource["valueCodeableConcept"] = {"coding": [shape.coding(codes.grade(grade))], "text": grade}
    notes = [*resource.get("note", ()), *([{"text": note}] if note else [])]
    return {**resource, **shape.present("note", notes)}


def red_cells(content: ReportContent) -> list[str]:
    """What the observations of the red cells are known by."""
    red = content.red_cells
    if red is None:
        return []
    return [*(line.key for line in red.findings), *(["anisocytosis"] if red.spread else [])]


def _staging(content: ReportContent) -> list[Resource]:
    """One Observation per image, by the network that staged it; or that nobody asked for any."""
    if content.staging is None:
        return []
    if not content.staging.requested:
        resource = _observation(content, "staging", codes.STAGING)
        return [{**resource, **_because("not-asked", "Not Asked", "Not requested")}]
    return [_staged(content, image) for image in content.staging.images]


def _staged(content: ReportContent, image: StagedImage) -> Resource:
    resource = _observation(content, image.key, codes.STAGING)
    if image.is_staged:
        value = shape.coding(codes.stage(image.label, image.label_name))
        resource["valueCodeableConcept"] = {"coding": [value], "text": image.label_name}
    else:
        resource |= _because("unknown", "Unknown", image.label_name)
    if network := image.named_by:
        resource["device"] = shape.reference(network_id(network.name, network.version, network.sha256))
    words = (image.sentence, *image.reasons, image.comment, *(notice.text for notice in image.notices))
    resource["note"] = [{"text": sentence} for sentence in words if sentence]
    return {**resource, "component": [*_shares(image), *_fields(image)]}


def _shares(image: StagedImage) -> Iterable[Resource]:
    """The probability of each stage and its interval over the fields."""
    for share in image.shares:
        key = codes.stage(share.key, share.name).code
        percent = shape.quantity(share.percent, codes.PERCENT)
        span = shape.bounds((share.low, share.high), codes.PERCENT)
        yield _component(f"{key}-probability", f"Probability of {share.name}", valueQuantity=percent)
        yield _component(f"{key}-interval-95", f"95 % interval over fields, {share.name}", valueRange=span)


def _fields(image: StagedImage) -> Iterable[Resource]:
    """How many fields the staging rests on."""
    for key, display, count in (
        ("fields-staged", "Fields staged", image.used),
        ("fields-left-out", "Fields left out", image.total - image.used),
    ):
        yield _component(key, display, valueQuantity=shape.quantity(count, codes.FIELDS))


def _component(code: str, display: str, **value: Resource) -> Resource:
    return {"code": {"coding": [shape.coding(Code(code, display, System.LOCAL))], "text": display}, **value}


def members(content: ReportContent) -> set[str]:
    return {"wbc_count", *(line.key for line in content.lines)}


def stagings(content: ReportContent) -> list[str]:
    """What the observations of the staging are known by."""
    staging = content.staging
    if staging is None:
        return []
    return [image.key for image in staging.images] if staging.requested else ["staging"]
