"""An image of one cell through the product's own segment, crop and pad, so that framing does not decide."""

from dataclasses import dataclass
from pathlib import Path

from inference.pipeline import cells
from inference.pipeline.calls import second_call, white_cell_networks
from inference.pipeline.cell_words import Description
from inference.pipeline.classification import classify, turns_noticed
from inference.pipeline.config import Config
from inference.pipeline.explanation import explain, outline_in_square
from inference.pipeline.findings import (
    Call,
    Explanation,
    Image,
    Instance,
    NetworkUsed,
    Notice,
    Outline,
    SecondCall,
    Shown,
)
from inference.pipeline.networks.registry import Card
from inference.pipeline.networks.runtime import Network
from inference.pipeline.seen_colours import AS_IS, SeenColours
from inference.pipeline.seen_filter import SeenFilter
from inference.pipeline.segmentation import engine, segment
from inference.pipeline.slide import Slide
from inference.pipeline.words import Cut, in_words

WHOLE_FRAME = Notice(
    "whole_frame", "No cell was found near the centre of the image, so the whole frame was classified."
)
UNLIKE = Notice(
    "out_of_distribution",
    "This cell is unlike the cells the network was trained on. It may be of none of the classes that the"
    " network knows.",
)


@dataclass(frozen=True, slots=True)
class Square:
    """The crop of a cell, uint8 RGB, its outline in crop pixels, whether a cell was `found` at all, and the
    crop in each of the colours and through the filter in which the network is to see it, one view a list of
    one; the view as_is is the one that is explained."""

    crop: Image
    outline: Outline
    found: bool
    views: dict[str, list[Image]]
    notices: tuple[Notice, ...] = ()


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the network says about an image of a single cell: its call, with heat map, receipt and words, and
    whether the evidence lies beside the cell; `second` is None without a second network."""

    call: Call
    explanation: Explanation
    words: Description
    off_cell: bool
    crop: Image
    notices: tuple[Notice, ...]
    network: NetworkUsed
    second: SecondCall | None = None


def predict(path: Path, config: Config) -> Prediction:
    """Classify the image of a single cell and explain the call.

    Raises PipelineError when the file is not an image that can be read.
    """
    slide = Slide.open(path, config.pixel_um)
    network, *others = white_cell_networks(first=config.wbc_folder)
    image = slide.read((0, 0, slide.width, slide.height))
    square = cut_out(image, network.card, config)
    call = _call(square.views, network, config)
    unasked: tuple[SecondCall | None, tuple[Notice, ...]] = (None, ())
    second, noticed = next((_second(image, square, other, config) for other in others), unasked)
    explanation, words = _explained(square, call, network)
    off_cell = explanation.focus_ratio < network.card.focus_below
    notices = dict.fromkeys((*slide.notices, *square.notices, *noticed, *_doubts(call, second)))
    used = network.card.used
    return Prediction(call, explanation, words, off_cell, square.crop, tuple(notices), used, second)


def _explained(square: Square, call: Call, network: Network) -> tuple[Explanation, Description]:
    card = network.card
    (explanation,) = explain(
        square.views[AS_IS], [call.label], [square.outline], (network.module, card), tried_on=network
    )
    return in_words(Cut(square.crop, square.outline), call, card, explanation)


def _call(views: dict[str, list[Image]], network: Network, config: Config) -> Call:
    (call,) = classify(views, network, config.declared_classes, augmentation=config.augmentation)
    return call


def _second(
    image: Image, square: Square, network: Network, config: Config
) -> tuple[SecondCall, tuple[Notice, ...]]:
    views, notices = _seen(image, "cell", (square.crop, square.outline), (network.card, config))
    return second_call(_call(views, network, config), network), notices


def _doubts(call: Call, second: SecondCall | None) -> list[Notice]:
    doubts = [UNLIKE] if call.out_of_distribution else []
    if second is None or second.label == call.label:
        return doubts
    other = second.label.replace("_", " ")
    text = f"A second network disagrees: it calls this cell {other} ({100 * second.confidence:.0f} %)."
    return [*doubts, Notice("networks_disagree", text)]


def cut_out(image: Image, card: Card, config: Config) -> Square:
    """Cut the cell nearest the centre out of an image.

    Takes uint8 RGB (height, width, 3); where no cell is found the whole frame stands in for it.
    """
    found = segment(image, config.pixel_um, engine(config.engine))
    cut = cells.single_cell_crop(image, found, config.cells, config.cells.wbc_side)
    return square_of(image, "cell", cut, (card, config))


def square_of(
    image: Image, shown: Shown, cut: tuple[Image, Instance | None], seen_by: tuple[Card, Config]
) -> Square:
    """Show a crop of an image as a network is to see it, and say what is to be noted about that.

    The image shows a field or a single cell; `cut` is the crop, uint8 RGB (side, side, 3), and the instance
    it was cut around, None where no cell was found; `seen_by` the network's card and the choices.
    """
    (crop, instance), config = cut, seen_by[1]
    side = len(crop)
    if instance is None:
        last = side - 1
        outline: Outline = ((0, 0), (last, 0), (last, last), (0, last))
    else:
        outline = outline_in_square(instance, cells.crop_box(instance, config.cells.padding), side)
    views, notices = _seen(image, shown, (crop, outline), seen_by)
    missing = () if instance else (WHOLE_FRAME,)
    return Square(crop, outline, instance is not None, views, (*notices, *missing))


def _seen(
    image: Image, shown: Shown, cell: tuple[Image, Outline], seen_by: tuple[Card, Config]
) -> tuple[dict[str, list[Image]], tuple[Notice, ...]]:
    card, config = seen_by
    colours, through = SeenColours.of(image, shown, card, config), SeenFilter.of(image, shown, card)
    beyond = (colours.beyond,) if colours.beyond else ()
    views = through.views(colours.views([cell[0]], [cell[1]]))
    turns = turns_noticed(card, config.augmentation)
    return views, (*colours.notices, *through.notices, *turns, *beyond)
