"""Measures a segmentation against boxes or masks: precision, recall, overlap and counts per kind.

Detections are matched one to one, the most confident first, to the free truth they overlap most, from
an intersection over union (IoU) of 0.5. Boxes are compared as boxes and masks as masks.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from inference.pipeline.errors import UnreadableImage, UnsupportedImage
from inference.pipeline.findings import Box, Image, Instance, Kind

Segment = Callable[[Image], Sequence[Instance]]
Perturbation = Callable[[Image], Image]
Overlaps = NDArray[np.float64]

MATCH_IOU = 0.5
MIN_CONFIDENCE = 0.5
SPECK = 0.02
"""A region of a mask smaller than this share of the image's largest is no cell: masks that were drawn with
lines between touching cells are left with stray pixels."""

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


@dataclass(slots=True)
class _Tally:
    """What one kind has collected over the images: every detection's confidence, whether it matched,
    the overlaps of the matches that count, and the counts per image."""

    truths: int = 0
    confidences: list[float] = field(default_factory=list)
    matched: list[bool] = field(default_factory=list)
    overlaps: list[float] = field(default_factory=list)
    count_errors: list[int] = field(default_factory=list)

    def add(self, confidences: Sequence[float], overlaps: Overlaps) -> None:
        """Add one image: the detections' confidences and their (detections, truths) overlaps."""
        matched = match(confidences, overlaps)
        counted = [confidence >= MIN_CONFIDENCE for confidence in confidences]
        self.truths += overlaps.shape[1]
        self.confidences.extend(confidences)
        self.matched.extend(iou > 0 for iou in matched)
        self.overlaps.extend(iou for iou, counts in zip(matched, counted, strict=True) if iou > 0 and counts)
        self.count_errors.append(abs(sum(counted) - overlaps.shape[1]))

    def figures(self) -> dict[str, float | int]:
        counted = sum(confidence >= MIN_CONFIDENCE for confidence in self.confidences)
        hits = len(self.overlaps)
        return {
            "n": self.truths,
            "precision": hits / counted if counted else 0.0,
            "recall": hits / self.truths if self.truths else 0.0,
            "mean_iou": float(np.mean(self.overlaps)) if hits else 0.0,
            "ap50": average_precision(self.confidences, self.matched, self.truths),
            "count_error": sum(self.count_errors) / self.truths if self.truths else 0.0,
        }


def evaluate(
    folder: Path,
    segment: Segment,
    files: Iterable[str] | None = None,
    perturbation: Perturbation | None = None,
) -> dict[str, dict[str, float | int]]:
    """Measure a segmentation on a folder of labelled fields.

    Args:
        folder: holds ``images/`` and either ``labels/*.txt`` (YOLO boxes) with ``classes.txt``, or
            ``masks/*.png`` (one kind; touching cells apart). The kind of the masks is the only name in
            ``classes.txt``, and without that file the kind whose detections cover the masks best.
        segment: uint8 RGB (height, width, 3) to instances.
        files: names of the images to measure, all when None.
        perturbation: applied to each image beforehand; it must not move anything.

    Returns:
        Per kind: `n` labelled cells, `precision`, `recall` and the `mean_iou` of the matches among
        detections of confidence 0.5 and more, `ap50` over all of them, and `count_error`, the sum over
        images of the miscount divided by `n`. Kinds without labels are left out.

    Raises:
        UnsupportedImage: the folder holds no images or no labels.
        UnreadableImage: an image or a mask cannot be read.
    """
    images = _image_files(folder, files)
    masked = (folder / "masks").is_dir()
    names = _class_names(folder, masked)
    tallies = {kind: _Tally() for kind in Kind}
    for path in images:
        image = read_rgb(path)
        found = list(segment(perturbation(image) if perturbation else image))
        if masked:
            _add_masks(tallies, found, read_regions(folder / "masks" / f"{path.stem}.png"), names)
        else:
            truth = read_boxes(folder / "labels" / f"{path.stem}.txt", names, image.shape)
            _add_boxes(tallies, found, truth)
    if masked and len(names) != 1:
        best = max(Kind, key=lambda kind: sum(tallies[kind].overlaps))
        return {best.value: tallies[best].figures()}
    return {kind.value: tally.figures() for kind, tally in tallies.items() if tally.truths}


def match(confidences: Sequence[float], overlaps: Overlaps, least: float = MATCH_IOU) -> list[float]:
    """Match detections to truths one to one.

    Args:
        confidences: one per detection; the most confident choose first.
        overlaps: IoU, float64 (detections, truths), 0–1.
        least: the IoU from which two are the same cell.

    Returns:
        Per detection the IoU with its truth, 0 when it has none.
    """
    result = [0.0] * len(confidences)
    free = np.ones(overlaps.shape[1], np.bool_)
    for index in sorted(range(len(confidences)), key=lambda i: -confidences[i]):
        candidates = np.where(free, overlaps[index], 0.0)
        if candidates.size and candidates.max() >= least:
            best = int(candidates.argmax())
            free[best] = False
            result[index] = float(candidates[best])
    return result


def average_precision(confidences: Sequence[float], matched: Sequence[bool], truths: int) -> float:
    """Area under the precision-recall curve, all points, precision made monotone (Pascal VOC 2010)."""
    if not truths or not confidences:
        return 0.0
    order = np.argsort(-np.asarray(confidences), kind="stable")
    hits = np.cumsum(np.asarray(matched, np.float64)[order])
    precision = hits / np.arange(1, len(order) + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(np.concatenate([[0.0], hits / truths]))
    return float((steps * envelope).sum())


def box_overlaps(first: Sequence[Box], second: Sequence[Box]) -> Overlaps:
    """IoU of every box (x0, y0, x1, y1) of `first` with every box of `second`."""
    a = np.asarray(first, np.float64).reshape(-1, 1, 4)
    b = np.asarray(second, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = np.clip(sides, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    return np.asarray(shared / np.maximum(areas - shared, 1e-9), np.float64)


def mask_overlaps(instances: Sequence[Instance], truth: NDArray[np.int32]) -> Overlaps:
    """IoU of every instance's outline with every labelled region of `truth`, int32 (height, width)."""
    areas = np.bincount(truth.ravel())
    result = np.zeros((len(instances), len(areas) - 1))
    for row, instance in enumerate(instances):
        canvas = np.zeros(truth.shape, np.uint8)
        cv2.fillPoly(canvas, [np.asarray(instance.polygon, np.int32)], 1)
        inside = np.bincount(truth[canvas > 0], minlength=len(areas))
        union = int(canvas.sum()) + areas - inside
        result[row] = (inside / np.maximum(union, 1))[1:]
    return result


def read_rgb(path: Path) -> Image:
    """Read an image file as uint8 RGB, (height, width, 3)."""
    try:
        with PillowImage.open(path) as opened:
            return np.asarray(opened.convert("RGB"), np.uint8)
    except OSError as error:
        raise UnreadableImage(f"{path.name} cannot be read as an image.") from error


def _image_files(folder: Path, files: Iterable[str] | None) -> list[Path]:
    available = sorted(p for p in (folder / "images").glob("*") if p.suffix.lower() in SUFFIXES)
    if files is not None:
        wanted = {Path(name).name for name in files}
        available = [path for path in available if path.name in wanted]
    if not available:
        raise UnsupportedImage(f"{folder.name} holds no images to measure; they belong in images/.")
    return available


def _class_names(folder: Path, masked: bool) -> list[Kind]:
    listing = folder / "classes.txt"
    if not listing.exists():
        if masked:
            return []
        raise UnsupportedImage(f"{folder.name} holds neither masks/ nor labels/ with a classes.txt.")
    known = {kind.value.lower(): kind for kind in Kind}
    names = listing.read_text(encoding="utf-8").split()
    unknown = [name for name in names if name.lower() not in known]
    if unknown:
        raise UnsupportedImage(f"classes.txt names {unknown[0]}; known are {', '.join(Kind)}.")
    return [known[name.lower()] for name in names]


def read_boxes(path: Path, names: Sequence[Kind], shape: tuple[int, ...]) -> dict[Kind, list[Box]]:
    """Labelled boxes of one image in pixels; an absent file means that nothing is in it."""
    found: dict[Kind, list[Box]] = {kind: [] for kind in names}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    height, width = shape[:2]
    for line in lines:
        number, x, y, w, h = line.split()[:5]
        across, down = float(w) * width / 2, float(h) * height / 2
        cx, cy = float(x) * width, float(y) * height
        box = (round(cx - across), round(cy - down), round(cx + across), round(cy + down))
        found[names[int(number)]].append(box)
    return found


def read_regions(path: Path) -> NDArray[np.int32]:
    """Regions of a mask file, int32 (height, width) numbered from 1; specks left by the drawing are none."""
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None:
        raise UnreadableImage(f"masks/{path.name} is missing or cannot be read.")
    _, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0).astype(np.uint8), connectivity=4)
    areas = stats[:, cv2.CC_STAT_AREA]
    cells = areas >= SPECK * areas[1:].max(initial=0)
    cells[0] = False
    return np.asarray(np.where(cells, np.cumsum(cells), 0)[labels], np.int32)


def _add_boxes(tallies: dict[Kind, _Tally], found: Sequence[Instance], truth: dict[Kind, list[Box]]) -> None:
    for kind, boxes in truth.items():
        chosen = [instance for instance in found if instance.kind is kind]
        overlaps = box_overlaps([instance.box for instance in chosen], boxes)
        tallies[kind].add([instance.confidence for instance in chosen], overlaps)


def _add_masks(
    tallies: dict[Kind, _Tally], found: Sequence[Instance], truth: Any, names: Sequence[Kind]
) -> None:
    for kind in names or tuple(Kind):
        chosen = [instance for instance in found if instance.kind is kind]
        tallies[kind].add([instance.confidence for instance in chosen], mask_overlaps(chosen, truth))
