"""What a report says, frozen: PDF, JSON, FHIR and HL7 are all written from this and nothing else."""

import hashlib
import json
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pydantic import TypeAdapter

from inference.pipeline.findings import Aggregate, NetworkUsed, Notice, Outcome

from .red_cells import CaseRedCells
from .sign_off import CaseSignOff
from .staging import CaseStaging

SCHEMA_VERSION = 1
OUTCOMES = {outcome.value for outcome in Outcome}
RUO = "For Research Use Only. Not for use in diagnostic procedures."


@dataclass(frozen=True, slots=True)
class Laboratory:
    id: str
    name: str
    address: str


@dataclass(frozen=True, slots=True)
class Patient:
    id: str
    mrn: str
    family_name: str
    given_name: str
    birth_date: date | None
    sex: str

    @property
    def name(self) -> str:
        return f"{self.family_name}, {self.given_name}" if self.given_name else self.family_name


@dataclass(frozen=True, slots=True)
class Order:
    """The case: what was asked, and of which blood."""

    id: str
    accession: str
    indication: str
    priority: str
    collected_at: datetime
    stain: str
    scanner: str


@dataclass(frozen=True, slots=True)
class Line:
    """One leukocyte class: `count` cells, their share with its exact 95 % interval and the range, in %."""

    key: str
    name: str
    count: int
    percent: float
    low: float
    high: float
    reference: tuple[float, float] | None
    outside: bool

    @property
    def share(self) -> float:
        return rounded(self.percent)

    @property
    def interval(self) -> tuple[float, float]:
        return rounded(self.low), rounded(self.high)

    @property
    def direction(self) -> str:
        """``H`` above, ``L`` below, ``N`` within the reference range; empty where there is no range, or
        where too few cells were counted to say."""
        if self.reference is None:
            return ""
        if self.outside:
            return "H" if self.percent > self.reference[1] else "L"
        return "N" if self.reference[0] <= self.percent <= self.reference[1] else ""


@dataclass(frozen=True, slots=True)
class ShownCell:
    """A cell worth looking at: the machine's call beside the person's; `crop` is a data URI."""

    image: int
    number: int
    label: str
    label_name: str
    machine_label_name: str
    confidence: float
    reviewed_by: str | None
    comment: str
    crop: str


@dataclass(frozen=True, slots=True)
class SmearImage:
    """One image of the smear and its analysis; `annotated` is a data URI, `payload` the run's result."""

    id: str
    name: str
    sha256: str
    uploaded_at: datetime
    width: int
    height: int
    pixel_um: float | None
    pixel_um_source: str
    run_id: str
    analysed_at: datetime
    signed_off_by: str
    signed_off_at: datetime | None
    wbc_count: int
    rbc_count: int
    platelet_count: int
    cells_reviewed: int
    cells_corrected: int
    quality: dict[str, float]
    notices: tuple[Notice, ...]
    networks: tuple[NetworkUsed, ...]
    annotated: str
    payload: dict[str, Any]

    @property
    def counted(self) -> str:
        """How many cells of each kind were counted, in words."""
        kinds = {"leukocyte": self.wbc_count, "red cell": self.rbc_count, "platelet": self.platelet_count}
        return ", ".join(f"{n} {kind if n == 1 else f'{kind}s'}" for kind, n in kinds.items())

    @property
    def outcome(self) -> Notice | None:
        """What the quality of the image means for its reader, unless it is simply usable."""
        return next((notice for notice in self.notices if notice.code in OUTCOMES), None)


@dataclass(frozen=True, slots=True)
class Signature:
    signer_id: str
    name: str
    role: str
    at: datetime
    meaning: str


@dataclass(frozen=True, slots=True)
class Amendment:
    """Which signed version this one corrects, and why."""

    version: int
    signed_at: datetime
    signed_by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Superseded:
    """What became of a signed version: it was replaced. Known after freezing, so kept beside the content."""

    version: int
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class ReportContent:
    """One version of a report. `written_at` is when its figures or its comment last changed; `staging` is
    None in reports from before there was any, `red_cells` where no network named their shapes, `sign_off`
    where nobody had to be told or to answer anything."""

    schema: int
    report_id: str
    version: int
    software: str
    software_version: str
    written_at: datetime
    lab: Laboratory
    patient: Patient
    order: Order
    summary: str
    aggregate: Aggregate
    lines: tuple[Line, ...]
    images: tuple[SmearImage, ...]
    shown: tuple[ShownCell, ...]
    shown_of: int
    not_analysed: tuple[str, ...]
    comment: str
    amends: Amendment | None = None
    signature: Signature | None = None
    staging: CaseStaging | None = None
    red_cells: CaseRedCells | None = None
    sign_off: CaseSignOff | None = None

    @property
    def issued_at(self) -> datetime:
        return self.signature.at if self.signature else self.written_at

    @property
    def networks(self) -> tuple[NetworkUsed, ...]:
        """Every network that had a say in any image, once."""
        return tuple(dict.fromkeys(network for image in self.images for network in image.networks))

    @property
    def cautions(self) -> tuple[str, ...]:
        """Which images are to be read with care, and why."""
        numbered = enumerate(self.images, 1)
        return tuple(f"Image {n} ({i.name}): {i.outcome.text}" for n, i in numbered if i.outcome)

    def words(self, superseded: Superseded | None = None) -> tuple[str, ...]:
        """Everything the report says in sentences: what became of it, why it was amended, its message."""
        fate = superseded and f"Superseded by version {superseded.version}."
        amended = self.amends and f"Amends version {self.amends.version}: {self.amends.reason}"
        flags = (flag.text for flag in self.aggregate.flags)
        staged = self.staging.words if self.staging else ()
        red = self.red_cells.words if self.red_cells else ()
        settled = self.sign_off.words if self.sign_off else ()
        figures = (self.summary, *self.cautions, *flags, *red, *staged)
        words = (fate, amended, *figures, *settled, self.comment, RUO)
        return tuple(sentence for sentence in words if sentence)

    @property
    def reviewed(self) -> int:
        return sum(image.cells_reviewed for image in self.images)

    @property
    def corrected(self) -> int:
        return sum(image.cells_corrected for image in self.images)


_adapter = TypeAdapter(ReportContent)


def to_json(content: ReportContent) -> dict[str, Any]:
    """The content as it is stored and signed; what an older report did not have is not in it, so that its
    digest stays what it was."""
    stored: dict[str, Any] = _adapter.dump_python(content, mode="json")
    for part in ("staging", "red_cells", "sign_off"):
        if stored[part] is None:
            del stored[part]
    red = stored.get("red_cells")
    if red and red["disagreeing"] is None:
        del red["disagreeing"]
    return stored


def from_json(stored: dict[str, Any]) -> ReportContent:
    """Raises ValueError when what is stored is not a report of a schema this code knows."""
    if stored.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"report content of schema {stored.get('schema')!r}, expected {SCHEMA_VERSION}")
    return _adapter.validate_python(stored)


def digest(content: ReportContent) -> str:
    """The sha256 of the content's canonical JSON: sorted keys, no white space, UTF-8."""
    text = json.dumps(to_json(content), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def rounded(value: float) -> float:
    """The one rounding of every percentage and ratio in every format: one decimal."""
    return round(value, 1)
