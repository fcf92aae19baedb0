"""Finds and counts the nucleated cells of fields of the training set, and what the product calls them."""

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from inference.pipeline.analyse import analyse
from inference.pipeline.config import Config
from inference.pipeline.errors import PipelineError
from inference.pipeline.explanation import covered
from inference.pipeline.findings import Image, Kind
from inference.pipeline.segmentation import segment
from inference.pipeline.staging_windows import windows
from inference.training.staging_fields import FIELD_PX, IMAGE_PX


def white_cell_mask(image: Image) -> NDArray[np.bool_]:
    """Return where the white cells of a field lie that segmentation finds in an image of the training set,
    uint8 RGB: bool (FIELD_PX, FIELD_PX)."""
    whites = [one.polygon for one in segment(image, None) if one.kind is Kind.WBC]
    return covered(whites, FIELD_PX)


@dataclass(frozen=True, slots=True)
class Counted:
    """How many nucleated cells a field holds, how many of them are leukocytes, and called blasts."""

    nucleated: int
    leukocytes: int
    blasts: int


def counted(files: Sequence[Path], cache: Path) -> list[Counted]:
    """Count the cells of images of the training set; what is in `cache` (JSON) is not counted again."""
    known = json.loads(cache.read_text()) if cache.is_file() else {}
    for file in files:
        if file.name not in known:
            known[file.name] = astuple(_counted(file))
            cache.write_text(json.dumps(known))
    return [Counted(*known[file.name]) for file in files]


def _counted(file: Path) -> Counted:
    try:
        cells = analyse(file, Config(), lambda stage, share: None).cells
    except PipelineError:
        # No cell was found in it.
        return Counted(0, 0, 0)
    whites = [cell for cell in cells if cell.call and cell.instance.kind is Kind.WBC]
    (field,) = windows((IMAGE_PX, IMAGE_PX), (FIELD_PX, FIELD_PX), whites)
    return Counted(field.nucleated, field.leukocytes, field.blasts)
