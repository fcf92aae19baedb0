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


def shrunk(drawn: np.ndarray, kind: Kind, reasons: tuple[str, ...] = ()) -> np.ndarray:
    """A cell 30 px wide, drawn on a picture a tenth as large."""
    call = Call("blast", 0.6, {}) if kind is Kind.WBC else None
    return overlay(drawn, [cell(kind, 130, call, reasons)], scale=0.1)


def test_a_smaller_picture_has_its_cells_in_their_places():
    picture = np.full((50, 150, 3), 255, np.uint8)
    drawn = overlay(picture, [cell(Kind.WBC, 220, Call("blast", 0.6, {}), ("blast",))], scale=0.5)
    changed = np.argwhere((drawn != picture).any(axis=2))
    assert (drawn[20, 110:125] == VERMILLION).all()
    assert changed.max(axis=0).tolist() == [35, 125]


def test_what_is_too_small_is_left_out_but_for_dots_of_white_cells_to_be_looked_at():
    picture = np.full((10, 30, 3), 255, np.uint8)
    for kind in Kind:
        assert (shrunk(picture, kind) == picture).all()
    doubted = shrunk(picture, Kind.WBC, ("low_confidence",))
    assert (doubted[6, 14] == VERMILLION).all()
    assert 12 <= (doubted != picture).any(axis=2).sum() <= 60


def test_names_are_written_only_on_cells_large_enough():
    picture, large = np.full((200, 400, 3), 255, np.uint8), cell(Kind.WBC, 130, Call("blast", 0.6, {}))
    outside = np.s_[: 40 - 3]
    assert (overlay(picture, [large])[outside] != 255).any()
    assert (overlay(picture, [large], scale=0.7)[: 28 - 3] == 255).all()


def test_lines_and_letters_keep_to_the_size_of_the_cell():
    """A picture of 2100 px would have lines of 3 px, which would fill a cell of 40 px."""
    box = (900, 900, 940, 940)
    small = Cell(1, Instance(Kind.WBC, box, (), (920.0, 920.0), 1200, 0.9), Call("blast", 0.6, {}))
    drawn = overlay(np.full((2100, 2100, 3), 255, np.uint8), [small])
    assert (drawn[905:935, 905:935] == 255).all()
    assert (drawn[:870] == 255).all()
