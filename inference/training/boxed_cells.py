"""The crop of a labelled cell: of an image of a single cell, or of a field with a box around the cell."""

from collections.abc import Sequence

from inference.pipeline.cells import crop, cut, resized, single_cell_crop
from inference.pipeline.config import CellConfig, Config
from inference.pipeline.findings import Image, Instance, Kind
from inference.pipeline.networks.registry import Card
from inference.pipeline.segmentation import engine, segment
from inference.pipeline.single_cell import Square, cut_out, square_of
from inference.training.evaluate_segmentation import box_overlaps

SAME_CELL_IOU = 0.3
"""From this overlap on, a labelled box and a white cell that was found are the same cell: a neighbour that
touches the box has less, and a cell found together with its neighbour has more."""

LabelledBox = tuple[float, float, float, float]


def cut_labelled(image: Image, box: LabelledBox | None, card: Card, config: Config) -> Square:
    """Cut a labelled cell out of an image and show it as the network is to see it.

    Takes uint8 RGB (height, width, 3) of a single cell, or of a field with the cell's `box`; the colours of a
    field are then measured on all of it, as in an analysis.
    """
    if box is None:
        return cut_out(image, card, config)
    found = segment(image, config.pixel_um, engine(config.engine))
    return square_of(image, "field", labelled_crop(image, found, box, config.cells), (card, config))


def labelled_crop(
    image: Image, instances: Sequence[Instance], box: LabelledBox | None, config: CellConfig
) -> tuple[Image, Instance | None]:
    """Cut out a labelled cell as the product crops the cells it finds.

    Args:
        image: uint8 RGB, shape (height, width, 3).
        instances: what segmentation found in it.
        box: x0, y0, x1, y1 of the labelled cell in px; None when the image shows a single cell.
        config: holds the padding and the side of the crop.

    Returns:
        The crop, uint8 RGB (side, side, 3), and the instance it shows: the white cell that overlaps the box
        best, or without a box the one nearest the middle. None instead of the instance when there is none;
        the crop is then the box, squared and padded as a cell is, or without a box the whole frame.
    """
    if box is None:
        return single_cell_crop(image, instances, config, config.wbc_side)
    instance = boxed_instance(instances, box)
    if instance is not None:
        return crop(image, instance, config, config.wbc_side), instance
    return resized(cut(image, square_around(box, config.padding)), config.wbc_side), None


def boxed_instance(instances: Sequence[Instance], box: LabelledBox) -> Instance | None:
    """Return the white cell that overlaps a box best, None when none has an IoU of 0.3 with it."""
    whites = [instance for instance in instances if instance.kind is Kind.WBC]
    overlaps = box_overlaps([instance.box for instance in whites], [_whole(box)])[:, 0]
    if not whites or overlaps.max() < SAME_CELL_IOU:
        return None
    return whites[int(overlaps.argmax())]


def _whole(box: LabelledBox) -> tuple[int, int, int, int]:
    x0, y0, x1, y1 = (round(value) for value in box)
    return x0, y0, x1, y1


def square_around(box: LabelledBox, padding: float) -> tuple[int, int, int, int]:
    """Return the square on the middle of a box, longer than its longer side by `padding`, at least 2 px."""
    x0, y0, x1, y1 = box
    side = max(2, round(max(x1 - x0, y1 - y0) * (1 + padding)))
    left, top = round((x0 + x1 - side) / 2), round((y0 + y1 - side) / 2)
    return left, top, left + side, top + side
