"""Maps written by hand, and the cells that are read off them."""

import numpy as np
import pytest

from inference.pipeline import star
from inference.pipeline.networks.segmentation import KINDS, OFFSET_PX, RADIUS_PX, RAYS, STRIDE
from inference.pipeline.segmentation_engine import UndecodableTile
from inference.pipeline.segmentation_star import boxes, decode

RED, WHITE, PLATELET = 0, 1, 2
OFFSETS = 2 * KINDS + 1


def maps(cells, grid=(40, 40)):
    """The answer of a network that sees circles: (kind, x, y, radius, logit) in px."""
    answer = np.full((OFFSETS + 2 + RAYS, *grid), -6.0, np.float32)
    for kind, x, y, radius, logit in cells:
        row, column = int(y // STRIDE), int(x // STRIDE)
        answer[kind, row, column] = logit
        answer[OFFSETS, row, column] = (x - (column + 0.5) * STRIDE) / OFFSET_PX
        answer[OFFSETS + 1, row, column] = (y - (row + 0.5) * STRIDE) / OFFSET_PX
        answer[OFFSETS + 2 :, row, column] = np.log(radius / RADIUS_PX)
    return answer


def test_a_cell_is_read_to_a_fraction_of_a_pixel():
    found = decode(maps([(RED, 50.3, 71.9, 18.0, 2.0)]), (160, 160))
    assert len(found) == 1 and found.kinds[0] == RED and found.logits[0] == 2.0
    assert found.centres[0] == pytest.approx((50.3, 71.9), abs=1e-3)
    assert boxes(found, (160, 160))[0] == pytest.approx((32.3, 53.9, 68.3, 89.9), abs=0.1)


def test_overlapping_cells_stay_two_and_a_second_call_of_one_cell_goes():
    overlapping = [(RED, 50, 50, 18, 2.0), (RED, 66, 50, 18, 1.5)]
    again = [(WHITE, 52, 58, 18, 0.5)]
    found = decode(maps(overlapping + again), (160, 160))
    assert found.kinds.tolist() == [RED, RED]
    assert found.logits.tolist() == [2.0, 1.5]


def test_a_platelet_on_a_red_cell_is_kept():
    found = decode(maps([(RED, 50, 50, 18, 2.0), (PLATELET, 58, 50, 5, 1.0)]), (160, 160))
    assert sorted(found.kinds.tolist()) == [RED, PLATELET]


def test_who_is_outdone_by_a_cell_that_is_outdone_itself_stays():
    row = [(RED, 40, 50, 18, 3.0), (RED, 47, 50, 18, 2.0), (RED, 56, 50, 18, 1.0)]
    found = decode(maps(row), (160, 160))
    assert found.logits.tolist() == [3.0, 1.0]


def test_a_lobe_of_a_white_cell_is_no_cell_of_its_own():
    found = decode(maps([(WHITE, 60, 60, 30, 2.0), (WHITE, 70, 55, 12, 1.0)]), (160, 160))
    assert found.logits.tolist() == [2.0]
    beside = decode(maps([(WHITE, 60, 60, 30, 2.0), (WHITE, 110, 60, 25, 1.0)]), (160, 160))
    assert len(beside) == 2


def test_an_answer_without_numbers_is_refused():
    answer = maps([(RED, 50, 50, 18, 2.0)])
    answer[10, 3, 3] = np.nan
    with pytest.raises(UndecodableTile):
        decode(answer, (160, 160))


def test_boxes_end_at_the_border_and_filling_is_not_looked_at():
    cells = [(RED, 2, 50, 18, 2.0), (RED, 150, 100, 18, 2.0)]
    found = decode(maps(cells), (160, 120))
    assert len(found) == 1
    assert boxes(found, (160, 120))[0, 0] == 0


def test_nothing_is_read_off_an_empty_answer():
    found = decode(maps([]), (160, 160))
    assert len(found) == 0 and boxes(found, (160, 160)).shape == (0, 4)


def test_a_thousand_cells_keep_their_order_and_number():
    places = [(x, y) for y in range(22, 1600, 44) for x in range(22, 1200, 44)]
    rng = np.random.default_rng(0)
    cells = [
        (RED, x, y, 18, logit) for (x, y), logit in zip(places, rng.uniform(0, 4, len(places)), strict=True)
    ]
    found = decode(maps(cells, (400, 300)), (1600, 1200))
    assert len(found) == len(places)
    assert (np.diff(found.logits) <= 0).all()
    assert star.areas(found.radii) == pytest.approx(np.pi * 18**2, rel=0.01)
