import numpy as np

from inference.pipeline.findings import Call, Cell, Instance, Kind
from inference.pipeline.overlay import BLUISH_GREEN, ORANGE, SKY_GREY, VERMILLION, overlay


def cell(kind: Kind, left: int, call: Call | None = None, reasons: tuple[str, ...] = ()) -> Cell:
    box = (left, 40, left + 30, 70)
    corners = ((left, 40), (left + 29, 40), (left + 29, 69), (left, 69))
    return Cell(1, Instance(kind, box, corners, (left + 15.0, 55.0), 900, 0.9), call, reasons)


def holds(image: np.ndarray, colour: tuple[int, int, int], left: int) -> bool:
    near = np.abs(image[35:75, left - 3 : left + 33].astype(int) - colour).max(axis=2) < 12
    return bool(near.any())


def test_each_kind_has_its_colour_and_doubt_its_own():
    image = np.full((100, 300, 3), 255, np.uint8)
    sure, unsure = Call("neutrophil", 0.9, {}), Call("blast", 0.6, {})
    cells = [
        cell(Kind.RBC, 10),
        cell(Kind.PLATELET, 70),
        cell(Kind.WBC, 130, sure),
        cell(Kind.WBC, 220, unsure, ("low_confidence",)),
    ]
    drawn = overlay(image, cells)
    for colour, left in ((SKY_GREY, 10), (BLUISH_GREEN, 70), (ORANGE, 130), (VERMILLION, 220)):
        assert holds(drawn, colour, left)
    assert not holds(drawn, ORANGE, 220)
    assert (image == 255).all()


def test_no_cells_no_change():
    image = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    assert (overlay(image, []) == image).all()
