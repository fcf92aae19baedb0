"""Let torchvision, and so timm, be imported beside a CPU-only torch.

The torchvision wheel of the package index links its extension against the CUDA build of torch. Beside the
CPU build that extension does not load, and the import fails because the operator ``torchvision::nms`` is
unknown. Where the extension loads, nothing is done here. Where it does not, the missing schemas are declared
and non-maximum suppression gets a kernel in plain torch. Other compiled operators keep their honest error.
"""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def _overlaps(box: Tensor, others: Tensor) -> Tensor:
    """Return the IoU of one box (4,) with others (n, 4), float32, ``x0, y0, x1, y1``."""
    low = torch.maximum(box[:2], others[:, :2])
    high = torch.minimum(box[2:], others[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = (others[:, 2:] - others[:, :2]).prod(dim=1)
    return shared / ((box[2:] - box[:2]).prod() + areas - shared)


def _suppress(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices of the boxes kept by greedy non-maximum suppression, best score first."""
    order = scores.argsort(descending=True, stable=True)
    ranked = boxes[order].float()
    alive = torch.ones(len(order), dtype=torch.bool)
    kept: list[int] = []
    for rank in range(len(order)):
        if alive[rank]:
            kept.append(rank)
            alive[rank + 1 :] &= _overlaps(ranked[rank], ranked[rank + 1 :]) <= iou_threshold
    return order[torch.tensor(kept, dtype=torch.int64)]


def _extension_loads() -> bool:
    spec = importlib.util.find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("torchvision is not installed")
    try:
        torch.ops.load_library(  # type: ignore[no-untyped-call]
            str(Path(spec.submodule_search_locations[0]) / "_C.so")
        )
    except OSError:
        return False
    return True


@cache
def ensure() -> Literal["native", "plain torch"]:
    """Make ``import torchvision`` and ``import timm`` work; say which kernels serve them.

    Must run before the first import of either. Calling it again costs nothing.
    """
    if _extension_loads():
        return "native"
    library: Any = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("nms", _suppress, "CPU")
    _patch_checks()
    _LIBRARIES.append(library)
    return "plain torch"


_LIBRARIES: list[torch.library.Library] = []
"""A library's operators vanish when it is collected, so it is held for the life of the process."""


def _patch_checks() -> None:
    """Drop torchvision's check for its extension, and run roi_align eagerly so that it needs no compiler."""
    import torchvision.ops.boxes as boxes

    boxes._assert_has_ops = lambda: None
    roi_align = sys.modules["torchvision.ops.roi_align"]
    vars(roi_align)["_roi_align"] = vars(roi_align)["_roi_align"].__wrapped__
