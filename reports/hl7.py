"""The report as an HL7 v2.5.1 ORU^R01 with the PDF embedded.

Segments are written here and checked with hl7apy in the tests. Neither library writes them itself: hl7apy
leaves an escape sequence that a person typed unescaped, python-hl7 turns every non-ASCII letter into hex.
"""

import base64
import textwrap
from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID, uuid5

from django.utils.text import slugify

from inference.pipeline.findings import NetworkUsed

from . import codes
from .codes import Code, Figure, System
from .content import ReportContent, Superseded, digest
from .staging import StagedImage

ESCAPES = str.maketrans({sign: f"\\{letter}\\" for sign, letter in zip("\\|^&~", "EFSTR", strict=True)})
LINE_WIDTH = 64
"""Letters per repetition of a text: receivers of 2.5.1 may cut strings at 199, and an escape takes three."""
Fields = Mapping[int, str]


def message(content: ReportContent, pdf: bytes, superseded: Superseded | None = None) -> str:
    """The whole message; segments end with a carriage return, as MLLP and files want them."""
    segments = [
        _msh(content, superseded),
        *_software(content),
        _pid(content),
        _segment("PV1", {1: "1", 2: "U"}),
        _segment("ORC", {1: "RE", 3: _filler(content)}),
        _obr(content),
        *_notes(content, superseded),
        *_results(content, pdf),
        _spm(content),
    ]
    return "".join(f"{segment}\r" for segment in segments)


def status(content: ReportContent) -> str:
    """Table 0085 and 0123: P until signed, then F; C for a version that amends another."""
    if content.signature is None:
        return "P"
    return "C" if content.amends else "F"


def control_id(content: ReportContent, superseded: Superseded | None = None) -> str:
    """The same bytes sent again carry the same id, so that a receiver can tell; 20 letters at most."""
    name = f"{digest(content)}/{superseded.version if superseded else ''}"
    return uuid5(UUID(content.report_id), name).hex[:20]


def escape(text: str) -> str:
    """Text for one field; anything that would end the segment becomes a space."""
    return "".join(sign if sign.isprintable() else " " for sign in text).translate(ESCAPES)


# --- the segments ---------------------------------------------------------------------------------
def _msh(content: ReportContent, superseded: Superseded | None) -> str:
    fields = {
        2: _parts(content.software),
        3: _lab(content),
        6: _time(content.issued_at),
        8: "ORU^R01^ORU_R01",
        9: control_id(content, superseded),
        10: "P",
        11: "2.5.1",
        14: "AL",
        15: "NE",
        17: "UNICODE UTF-8",
    }
    return _segment("MSH", {1: "^~\\&", **fields})


def _software(content: ReportContent) -> Iterator[str]:
    """The program, then every network with its version and the sha256 of its weights."""
    version = escape(content.software_version)
    yield _segment("SFT", {1: _parts("WBC Portal"), 2: version, 3: escape(content.software), 4: version})
    for network in content.networks:
        fields = {2: escape(network.version), 3: escape(network.name), 4: escape(network.sha256)}
        yield _segment("SFT", {1: _parts("WBC Portal"), **fields})


def _pid(content: ReportContent) -> str:
    patient = content.patient
    born = patient.birth_date.strftime("%Y%m%d") if patient.birth_date else ""
    sex = {"female": "F", "male": "M", "other": "O"}.get(patient.sex, "U")
    return _segment(
        "PID",
        {
            1: "1",
            3: f"{escape(patient.mrn)}^^^{_lab(content, '&')}^MR",
            5: _parts(patient.family_name, patient.given_name),
            7: born,
            8: sex,
        },
    )


def _obr(content: ReportContent) -> str:
    signature = content.signature
    return _segment(
        "OBR",
        {
            1: "1",
            3: _filler(content),
            4: _code(codes.PANEL),
            5: "S" if content.order.priority == "stat" else "R",
            7: _time(content.order.collected_at),
            13: escape(content.order.indication),
            22: _time(content.issued_at),
            24: "HM",
            25: status(content),
            32: _parts(signature.signer_id, *_family_given(signature.name), by="&") if signature else "",
        },
    )


def _notes(content: ReportContent, superseded: Superseded | None) -> Iterator[str]:
    """The words of the report, but for the comment, which is a result of its own."""
    words = [sentence for sentence in content.words(superseded) if sentence != content.comment]
    for number, sentence in enumerate(words, 1):
        yield _segment("NTE", {1: str(number), 2: "L", 3: _text(sentence)})


def _results(content: ReportContent, pdf: bytes) -> Iterator[str]:
    results = [_number(figure) for figure in codes.figures(content)]
    results += [_interval(figure) for figure in codes.shares(content)]
    if content.comment:
        results.append({2: "TX", 3: _code(codes.COMMENT), 5: _text(content.comment)})
    results += [
        {2: "TX", 3: _code(codes.NOT_ANALYSED[key]), 5: "Not analysed", 11: "X"}
        for key in content.not_analysed
    ]
    results += _red_cells(content)
    results += _staging(content)
    results.append({2: "ED", 3: _code(codes.DOCUMENT), 5: _document(content, pdf)})
    for number, fields in enumerate(results, 1):
        yield _segment("OBX", {**_obx_base(content), **fields, 1: str(number)})


def _obx_base(content: ReportContent) -> dict[int, str]:
    signature = content.signature
    return {
        11: status(content),
        14: _time(content.order.collected_at),
        16: _parts(signature.signer_id, *_family_given(signature.name)) if signature else "",
        17: _parts("", "Light microscopy, digital image"),
        18: _parts(f"{content.software} {content.software_version}"),
        19: _time(max(image.analysed_at for image in content.images)),
        23: _parts(content.lab.name),
    }


def _number(figure: Figure) -> dict[int, str]:
    return {
        2: "NM",
        3: _code(figure.code),
        5: _decimal(figure.value),
        6: _parts(figure.unit.ucum, figure.unit.text, "UCUM"),
        7: _span(figure.reference) if figure.reference else "",
        8: figure.direction,
    }


def _interval(figure: Figure) -> dict[int, str]:
    """The cells behind a share and its 95 % interval, under the share's own code and a sub-id."""
    span = _span(figure.interval) if figure.interval else ""
    return {
        2: "TX",
        3: _code(figure.code),
        4: "2",
        5: f"{figure.count} cells, 95 % interval {span} %",
    }


def _red_cells(content: ReportContent) -> list[dict[int, str]]:
    """The grade of each finding of the red cells and, under a sub-id of the same code, what it rests on."""
    red = content.red_cells
    if red is None:
        return []
    results: list[dict[int, str]] = []
    for line in red.findings:
        share = f"{_decimal(line.percent)} %, 95 % interval {_span((line.low, line.high))} %"
        rests_on = f"{line.count} of {red.classified} classified red cells, {share}"
        results += _graded(line.key, (line.grade, line.note), rests_on)
    if spread := red.spread:
        interval = f"95 % interval {_span((spread.cv_low, spread.cv_high))} %"
        of = f"Coefficient of variation of {spread.count} diameters {_decimal(spread.cv_percent)} %"
        results += _graded("anisocytosis", (spread.grade, spread.note), f"{of}, {interval}; not an RDW")
    return results


def _graded(key: str, said: tuple[str, str], rests_on: str) -> Iterator[dict[int, str]]:
    grade, note = said
    code = _code(codes.RED_CELLS[key])
    if grade:
        yield {2: "ST", 3: code, 4: "1", 5: escape(grade)}
    else:
        yield {2: "TX", 3: code, 4: "1", 5: _text(note.capitalize()), 11: "X"}
    yield {2: "TX", 3: code, 4: "2", 5: _text(f"{rests_on}. {note}" if grade and note else rests_on)}


def _staging(content: ReportContent) -> list[dict[int, str]]:
    """The stage of each image and, under sub-ids of the same code, what it rests on; or that nobody asked."""
    staging = content.staging
    if staging is None:
        return []
    if not staging.requested:
        return [{2: "TX", 3: _code(codes.STAGING), 5: "Not requested", 11: "X"}]
    return [fields for image in staging.images for fields in _staged(image)]


def _staged(image: StagedImage) -> Iterator[dict[int, str]]:
    code, sub_id = _code(codes.STAGING), str(image.image)
    by, measured_by = (_equipment(network) for network in (image.named_by, image.network))
    if image.is_staged:
        yield {2: "CE", 3: code, 4: sub_id, 5: _code(codes.stage(image.label, image.label_name)), **by}
    else:
        yield {2: "TX", 3: code, 4: sub_id, 5: _text(image.label_name), 11: "X", **by}
    shares = [
        f"{share.name} {_decimal(share.percent)} %, 95 % interval {_span((share.low, share.high))} %"
        for share in image.shares
    ]
    rests_on = f"{image.used} of {image.total} fields staged"
    yield {2: "TX", 3: code, 4: f"{sub_id}.2", 5: _text("\n".join([rests_on, *shares])), **measured_by}


def _equipment(network: NetworkUsed | None) -> dict[int, str]:
    return {18: _parts(f"{network.name} {network.version}")} if network else {}


def _document(content: ReportContent, pdf: bytes) -> str:
    return "^".join([escape(content.software), "AP", "PDF", "Base64", base64.b64encode(pdf).decode()])


def _spm(content: ReportContent) -> str:
    return _segment(
        "SPM",
        {
            1: "1",
            2: f"^{escape(content.order.accession)}&{_lab(content, '&')}",
            4: _parts("BLD", "Whole blood", "HL70487"),
            17: _time(content.order.collected_at),
        },
    )


# --- small parts ----------------------------------------------------------------------------------
def _segment(name: str, fields: Fields) -> str:
    """The fields by number, up to the last one that says something."""
    last = max(number for number, value in fields.items() if value)
    return "|".join([name, *(fields.get(number, "") for number in range(1, last + 1))])


def _parts(*values: str, by: str = "^") -> str:
    return by.join(escape(value) for value in values).rstrip(by)


def _text(text: str) -> str:
    """A longer text as repetitions, one per line."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, LINE_WIDTH)]
    return "~".join(escape(line) for line in lines)


def _filler(content: ReportContent) -> str:
    return f"{escape(content.order.accession)}^{_lab(content)}"


def _lab(content: ReportContent, by: str = "^") -> str:
    """The laboratory as an assigning authority: a short name of at most 20 letters, and its UUID."""
    return _parts(slugify(content.lab.name)[:20], content.lab.id, "UUID", by=by)


def _code(code: Code) -> str:
    return _parts(code.code, code.display, "LN" if code.system is System.LOINC else "99WBC")


def _family_given(name: str) -> tuple[str, str]:
    given, _, family = name.strip().rpartition(" ")
    return family, given


def _decimal(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _span(bounds: tuple[float, float]) -> str:
    return "-".join(_decimal(bound) for bound in bounds)


def _time(moment: datetime) -> str:
    return moment.strftime("%Y%m%d%H%M%S%z")
