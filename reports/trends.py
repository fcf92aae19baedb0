"""A patient's differential over time: what signed reports say and, marked apart, what is not signed yet."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.types import User
from cases.selectors import case_history
from inference import history, names
from inference.pipeline.aggregation import LEFT_SHIFT_INDEX, LEUKEMIA_SHARE, share
from inference.pipeline.config import DIFFERENTIAL_CLASSES
from inference.pipeline.decision import per_100
from inference.selectors import reference_ranges

from .models import Report
from .trend_chart import Axis, Chart, Point, chart

MOST_CASES = 60
"""So many of a patient's latest cases are drawn; more would not be told apart."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was counted of one case: by the signed report that counts, or by analyses nobody has signed."""

    case_id: UUID
    accession: str
    collected_at: datetime
    counts: Mapping[str, int]
    version: int | None
    signed_by: str

    @property
    def total(self) -> int:
        return sum(self.counts.get(key, 0) for key in DIFFERENTIAL_CLASSES)

    @property
    def state(self) -> str:
        if self.version is None:
            return _("not signed")
        return _("signed, version %(n)d, %(name)s") % {"n": self.version, "name": self.signed_by}


@dataclass(frozen=True, slots=True)
class Trend:
    """One figure over time: its chart and the samples in it, the oldest first."""

    key: str
    name: str
    unit: str
    chart: Chart
    samples: tuple[tuple[Sample, Point], ...]

    @property
    def last(self) -> Point:
        return self.chart.points[-1]


def trends(user: User, patient: Any) -> tuple[Trend, ...]:
    """Every figure of a patient of one's laboratory, in four questions whatever there is to show."""
    samples = [sample for sample in _samples(user, patient) if sample.total]
    if not samples:
        return ()
    ranges = reference_ranges(user.lab)
    shares = [_share_trend(key, samples, ranges.get(key)) for key in DIFFERENTIAL_CLASSES]
    name, unit = _("Erythroblasts"), _("per 100 leukocytes")
    red = _ratio_trend(("erythroblast", name, unit), samples, [s.total for s in samples])
    name, unit = _("Left-shift index"), _("per 100 neutrophils")
    neutrophils = [sample.counts.get("neutrophil", 0) for sample in samples]
    left = _ratio_trend(("immature_granulocyte", name, unit), samples, neutrophils, LEFT_SHIFT_INDEX)
    return tuple(trend for trend in (*shares, red, left) if trend)


def latest_cases(user: User, patient: Any) -> list[Any]:
    """The cases that are drawn, the latest first."""
    return list(case_history(user, patient)[:MOST_CASES])


def _samples(user: User, patient: Any) -> list[Sample]:
    """The cases that have figures, the oldest first; a signed report hides what was analysed since."""
    cases = latest_cases(user, patient)
    ids = [case.pk for case in cases]
    signed = {row["case"]: row for row in _signed(user, ids)}
    unsigned = history.case_counts(user, [case_id for case_id in ids if case_id not in signed])
    return [_sample(case, signed.get(case.pk), unsigned.get(case.pk, {})) for case in reversed(cases)]


def _signed(user: User, case_ids: Sequence[UUID]) -> Any:
    """The figures of the signed reports that count: of a content, whose pictures are long, these alone."""
    reports = Report.objects.filter(lab=user.lab_id, case__in=case_ids, status=Report.Status.FINAL)
    return reports.values(
        "case",
        "version",
        "signed_by__full_name",
        "content__aggregate__differential",
        "content__aggregate__erythroblast_count",
    )


def _sample(case: Any, report: dict[str, Any] | None, counts: Mapping[str, int]) -> Sample:
    about = (case.pk, case.accession, case.collected_at)
    if report is None:
        return Sample(*about, counts, None, "")
    shares = report["content__aggregate__differential"]
    counted = Counter({key: part["count"] for key, part in shares.items()})
    counted["erythroblast"] = report["content__aggregate__erythroblast_count"]
    return Sample(*about, counted, report["version"], report["signed_by__full_name"])


def _share_trend(key: str, samples: list[Sample], reference: tuple[float, float] | None) -> Trend:
    points = [_share_point(sample, key) for sample in samples]
    limits = ((LEUKEMIA_SHARE, ""),) if key == "blast" else ()
    drawn = chart(points, Axis(reference, limits, ends_at=100.0))
    pairs = tuple(zip(samples, drawn.points, strict=True))
    return Trend(key, names.class_name(key), _("% of leukocytes"), drawn, pairs)


def _share_point(sample: Sample, key: str) -> Point:
    found = share(sample.counts.get(key, 0), sample.total)
    when, n = sample.collected_at, sample.total
    return Point(when, found.percent, found.low, found.high, sample.version is not None, found.count, n)


def _ratio_trend(
    about: tuple[str, str, str], samples: list[Sample], others: list[int], limit: float | None = None
) -> Trend | None:
    """Cells of a class per 100 of others; samples without any others are left out."""
    key, name, unit = about
    pairs = [
        (sample, Point(sample.collected_at, *found, sample.version is not None, part, n))
        for sample, n in zip(samples, others, strict=True)
        if (found := _ratio(part := sample.counts.get(key, 0), n))
    ]
    if not pairs:
        return None
    drawn = chart(
        [point for _sample, point in pairs], Axis(limits=((limit, ""),) if limit is not None else ())
    )
    kept = tuple((sample, placed) for (sample, _point), placed in zip(pairs, drawn.points, strict=True))
    return Trend(f"{key}_ratio", name, unit, drawn, kept)


def _ratio(part: int, others: int) -> tuple[float, float, float] | None:
    found = per_100(part, others)
    return (found.value, found.low, found.high) if found else None
