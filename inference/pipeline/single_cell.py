"""An image of one cell through the product's own segment, crop and pad, so that framing does not decide."""

from dataclasses import dataclass
from pathlib import Path

from inference.pipeline import cells
from inference.pipeline.classification import classify
from inference.pipeline.config import Config
from inference.pipeline.explanation import Outline, explain, outline_in_square
from inference.pipeline.findings import Call, Explanation, Image, NetworkUsed, Notice
from inference.pipeline.networks import registry, runtime
from inference.pipeline.networks.registry import Card
from inference.pipeline.seen_colours import SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.segmentation import engine, segment
from inference.pipeline.slide import Slide

WHOLE_FRAME = Notice(
    "whole_frame", "No cell was found near the centre of the image, so the whole frame was classified."
)


@dataclass(frozen=True, slots=True)
class Square:
    """The crop of a cell, uint8 RGB, its outline in crop pixels, whether a cell was `found` at all, and the
    crop in each of the colours and through the filter in which the network is to see it, one view a list of
    one; the first view is the one that is explained."""

    crop: Image
    outline: Outline
    found: bool
    views: list[list[Image]]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about an image of a single cell."""

    call: Call
    explanation: Explanation
    crop: Image
    notices: tuple[Notice, ...]
    network: NetworkUsed


def predict(path: Path, config: Config) -> Prediction:
    """Classify the image of a single cell and explain the call.

    Raises PipelineError when the file is not an image that can be read.
    """
    network, slide = runtime.load(registry.WBC_NETWORK), Slide.open(path, config.pixel_um)
    image = slide.read((0, 0, slide.width, slide.height))
    square = cut_out(image, network.card, config)
    (call,) = classify(square.views, network, config.declared_classes)
    (explanation,) = explain(square.views[0], [call.label], [square.outline], (network.module, network.card))
    return Prediction(call, explanation, square.crop, (*slide.notices, *square.notices), network.card.used)


def cut_out(image: Image, card: Card, config: Config) -> Square:
    """Cut the cell nearest the centre out of an image.

    Takes uint8 RGB (height, width, 3); where no cell is found the whole frame stands in for it.
    """
    side = config.cells.wbc_side
    found = segment(image, config.pixel_um, engine(config.engine))
    crop, instance = cells.single_cell_crop(image, found, config.cells, side)
    colours, seen = SeenColours.of(image, "cell", card, config), SeenFilter.of(image, "cell", card)
    views = seen.views(colours.views([crop]))
    notices = (*colours.notices, *seen.notices, *((colours.beyond,) if colours.beyond else ()))
    if instance is None:
        frame = ((0, 0), (side - 1, 0), (side - 1, side - 1), (0, side - 1))
        return Square(crop, frame, False, views, (*notices, WHOLE_FRAME))
    box = cells.crop_box(instance, config.cells.padding)
    return Square(crop, outline_in_square(instance, box, side), True, views, notices)
