"""A patient's red cell morphology over time: shares with interval and grade, of signed and unsigned cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from accounts.selectors import red_cell_grades
from accounts.types import User
from inference import history, names
from inference.history import RedCounts
from inference.pipeline.config import RBC_CLASSES, RBC_SIZES
from inference.pipeline.red_cell_findings import Grade, RedClass, SizeBasis
from inference.pipeline.red_cell_grading import (
    ANISOCYTOSIS_PERCENT,
    POIKILOCYTOSIS_PERCENT,
    Limits,
    Sample,
    graded_variation,
)

from .models import Report
from .trend_chart import Axis, Point, chart
from .trends import Sample as Taken
from .trends import Trend, latest_cases

POIKILOCYTOSIS, ANISOCYTOSIS = "poikilocytosis", "anisocytosis"
FINDINGS = (*(label for label in RBC_CLASSES if label != "normal"), POIKILOCYTOSIS)
SHAPELESS = ("normal", "hypochromic", *RBC_SIZES)
"""The classes that are no abnormal shape."""

Points = dict[str, Point]


@dataclass(frozen=True, slots=True)
class RedTrends:
    """The findings that were ever seen, drawn, and the names of the others."""

    trends: tuple[Trend, ...] = ()
    not_seen: tuple[str, ...] = ()


def red_trends(user: User, patient: Any) -> RedTrends:
    """Every red cell finding of a patient of one's laboratory, and the variation of the diameters, in four
    questions at all times."""
    limits = {**red_cell_grades(user.lab_id), POIKILOCYTOSIS: POIKILOCYTOSIS_PERCENT}
    taken = _taken(user, latest_cases(user, patient), limits)
    if not taken:
        return RedTrends()
    seen = [key for key in FINDINGS if any(points[key].count for _sample, points in taken if key in points)]
    drawn = [_trend(key, _("% of classified red cells"), taken, limits[key]) for key in seen]
    if any(ANISOCYTOSIS in points for _sample, points in taken):
        unit = _("% (coefficient of variation of diameters)")
        drawn.append(_trend(ANISOCYTOSIS, unit, taken, ANISOCYTOSIS_PERCENT))
    return RedTrends(
        tuple(drawn),
        tuple(names.red_finding_name(key) for key in FINDINGS if key not in seen),
    )


def _taken(user: User, cases: Sequence[Any], limits: Mapping[str, Limits]) -> list[tuple[Taken, Points]]:
    """The cases whose red cells were named, the oldest first; a signed report hides what was found since."""
    ids = [case.pk for case in cases]
    signed = {row["case"]: row for row in _signed(user, ids)}
    unsigned = history.case_red_counts(user, [case_id for case_id in ids if case_id not in signed])
    taken = []
    for case in reversed(cases):
        report = signed.get(case.pk)
        if report is None:
            points = _points_now(case, unsigned, limits)
        else:
            points = _points_signed(case, report["content__red_cells"])
        if points:
            taken.append((_sample(case, report), points))
    return taken


def _signed(user: User, case_ids: Sequence[UUID]) -> Any:
    """The red cells of the signed reports that count: of a content, whose pictures are long, these alone."""
    reports = Report.objects.filter(lab=user.lab_id, case__in=case_ids, status=Report.Status.FINAL)
    return reports.values("case", "version", "signed_by__full_name", "content__red_cells")


def _sample(case: Any, report: Mapping[str, Any] | None) -> Taken:
    version, name = (report["version"], report["signed_by__full_name"]) if report else (None, "")
    return Taken(case.pk, case.accession, case.collected_at, {}, version, name)


def _points_signed(case: Any, red: Mapping[str, Any] | None) -> Points:
    """Nothing for a report that names no red cells."""
    if red is None:
        return {}
    lines = [line for line in (*red["lines"], red[POIKILOCYTOSIS]) if line["key"] in FINDINGS]
    points = {
        line["key"]: Point(
            case.collected_at,
            line["percent"],
            line["low"],
            line["high"],
            True,
            line["count"],
            red["classified"],
            line["grade"] or line["note"],
        )
        for line in lines
    }
    if spread := red.get("spread"):
        cv = (spread["cv_percent"], spread["cv_low"], spread["cv_high"])
        count, grade = spread["count"], spread["grade"] or spread["note"]
        points[ANISOCYTOSIS] = Point(case.collected_at, *cv, True, count, count, grade)
    return points


def _points_now(case: Any, unsigned: Mapping[UUID, RedCounts], limits: Mapping[str, Limits]) -> Points:
    red = unsigned.get(case.pk)
    if red is None or not red.counts.total():
        return {}
    basis = SizeBasis.MEASURED if red.is_measured else SizeBasis.RELATIVE
    sample = Sample(red.counts.total(), basis)
    shapes = sum(count for label, count in red.counts.items() if label not in SHAPELESS)
    counts = {**red.counts, POIKILOCYTOSIS: shapes}
    points = {
        key: _point(case, sample.graded(key, counts.get(key, 0), limits[key]), sample.count)
        for key in FINDINGS
    }
    if sizes := red.diameters:
        cv = (sizes.cv_percent, sizes.cv_low, sizes.cv_high)
        points[ANISOCYTOSIS] = Point(
            case.collected_at, *cv, False, sizes.count, sizes.count, _says(graded_variation(sizes))
        )
    return points


def _point(case: Any, found: RedClass, n: int) -> Point:
    share = found.share
    cut = (share.percent, share.low, share.high)
    return Point(case.collected_at, *cut, False, share.count, n, _says(found.grade))


def _says(grade: Grade) -> str:
    return grade.text or names.grade_note(grade)


def _trend(key: str, unit: str, taken: Sequence[tuple[Taken, Points]], limits: Limits) -> Trend:
    pairs = [(sample, points[key]) for sample, points in taken if key in points]
    drawn_limits = tuple(zip(limits, ("1+", "2+"), strict=False))
    drawn = chart([point for _sample, point in pairs], Axis(limits=drawn_limits, ends_at=100.0))
    kept = tuple((sample, placed) for (sample, _point), placed in zip(pairs, drawn.points, strict=True))
    return Trend(f"rbc-{key}", names.red_finding_name(key), unit, drawn, kept)
