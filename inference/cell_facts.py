"""What is read of the many classified cells of a smear; their whole rows would take several times as long."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast

from inference.models import Cell


class CellFacts(NamedTuple):
    """What figures, lists and the payload say of a classified cell, named as the columns of its row."""

    pk: int
    run_id: UUID
    number: int
    kind: str
    x0: int
    y0: int
    x1: int
    y1: int
    centroid_x: float
    centroid_y: float
    area_px: int
    segmentation_confidence: float
    label: str
    confidence: float | None
    abstained: bool
    ood_score: float | None
    out_of_distribution: bool
    needs_review: bool
    matters: bool
    double_reading: str
    crop: str
    prediction_sets: dict[str, list[str]]
    second_call: dict[str, Any]
    review_reasons: list[str]
    measures: dict[str, Any]
    is_veiled: bool = False
    """Whether the machine's call was taken out for its reader (inference.blind)."""


_JSON = ("prediction_sets", "second_call", "review_reasons", "measures")
_PLAIN = tuple(name for name in CellFacts._fields if name not in (*_JSON, "is_veiled"))
_TEXTS = {f"{column}_text": Cast(column, TextField()) for column in _JSON}


def facts(cells: QuerySet[Cell]) -> list[CellFacts]:
    """The facts of some classified cells, in their order; one question.

    JSON is parsed by whole columns: value by value it would take longer than all the rest.
    """
    rows = list(cells.annotate(**_TEXTS).values_list(*_PLAIN, *_TEXTS))
    plain = len(_PLAIN)
    columns = [_parsed(row[plain + place] for row in rows) for place in range(len(_JSON))]
    parsed = zip(*columns, strict=True)
    return [CellFacts(*row[:plain], *values) for row, values in zip(rows, parsed, strict=True)]


def _parsed(column: Iterable[str]) -> list[Any]:
    values: list[Any] = json.loads(f"[{','.join(column)}]")
    return values
