"""What counts as a cell, which tile answers for it, and the square that is cut out."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pipeline import cells
from inference.pipeline.config import CellConfig, TileConfig
from inference.pipeline.findings import Instance, Kind
from inference.training.evaluate_segmentation import box_overlaps

CONFIG = CellConfig()


def instance(x: int, y: int, side: int = 40, confidence: float = 0.9, kind: Kind = Kind.WBC) -> Instance:
    box = (x, y, x + side, y + side)
    corners = ((x, y), (x + side, y), (x + side, y + side), (x, y + side))
    return Instance(kind, box, corners, (x + side / 2, y + side / 2), side * side, confidence, 1.0)


CELL = instance(100, 100)


@pytest.mark.parametrize(
    ("candidate", "kept"),
    [
        (CELL, True),
        (replace(CELL, confidence=0.49), False),
        (replace(CELL, area_px=49), False),
        (replace(CELL, area_px=50_001), False),
        (replace(CELL, box=(0, 0, 51, 10)), False),
        (replace(CELL, box=(0, 0, 50, 10)), True),
        (replace(CELL, solidity=0.69), False),
    ],
)
def test_the_limits_of_a_cell(candidate, kept):
    assert bool(cells.select([candidate], CONFIG, 0.1)) is kept


def test_areas_scale_with_the_pixel_size():
    small = replace(CELL, area_px=20)
    assert not cells.select([small], CONFIG, 0.1)
    assert cells.select([small], CONFIG, 0.25) == [small]


def test_of_two_detections_of_a_cell_the_surer_stays():
    sure, unsure, other = instance(0, 0, confidence=0.9), instance(5, 0, confidence=0.6), instance(35, 0)
    assert cells.drop_duplicates([unsure, sure, other], CONFIG) == [sure, other]


def test_a_part_seen_by_the_next_tile_goes_to_the_whole():
    whole, part = instance(100, 100, 120, 0.6), replace(instance(160, 100, 60, 0.9), tile=1)
    assert cells.drop_duplicates([whole, part], CONFIG) == [whole]
    assert len(cells.drop_duplicates([whole, replace(part, tile=0)], CONFIG)) == 2
    assert len(cells.drop_duplicates([whole, replace(part, kind=Kind.PLATELET)], CONFIG)) == 2


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 200), st.integers(5, 60)), max_size=25))
def test_no_two_survivors_overlap_by_half(places):
    survivors = cells.drop_duplicates([instance(x, y, side) for x, y, side in places], CONFIG)
    boxes = [survivor.box for survivor in survivors]
    overlaps = box_overlaps(boxes, boxes)
    assert (overlaps[~np.eye(len(boxes), dtype=bool)] < 0.5).all()
    assert bool(survivors) is bool(places)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 90), st.integers(0, 90), st.integers(4, 70), st.integers(0, 3)), max_size=30
    )
)
def test_the_same_stay_as_when_every_pair_is_compared(drawn):
    found = [
        replace(instance(x, y, side, confidence=0.5 + number / 100), tile=tile)
        for number, (x, y, side, tile) in enumerate(drawn)
    ]
    surest = sorted(found, key=lambda cell: -cell.confidence)
    overlaps = box_overlaps([c.box for c in surest], [c.box for c in surest])
    distinct: list[int] = []
    for place in range(len(surest)):
        if all(overlaps[place, other] < CONFIG.duplicate_iou for other in distinct):
            distinct.append(place)
    expected = [
        surest[place]
        for place in distinct
        if not any(part_of(surest[place], surest[other]) for other in distinct if other != place)
    ]
    assert cells.drop_duplicates(found, CONFIG) == expected


def part_of(part, whole):
    """Whether most of a box lies in a larger one that another tile saw."""
    low, high = np.maximum(part.box[:2], whole.box[:2]), np.minimum(part.box[2:], whole.box[2:])
    inside = np.prod(np.clip(high - low, 0, None))
    return part.tile != whole.tile and whole.area_px > part.area_px and inside >= 0.75 * part.area_px


def test_cells_at_an_inner_edge_belong_to_the_neighbour():
    tile = (896, 0, 1920, 1024)
    inner, clear, border = instance(900, 100), instance(910, 100), instance(1000, 0)
    kept = cells.drop_edge_cells([inner, clear, border], tile, (4000, 4000), TileConfig())
    assert kept == [clear, border]


@settings(deadline=None)
@given(x=st.integers(0, 1960), y=st.integers(0, 1960), side=st.integers(4, 100))
def test_no_cell_is_lost_between_tiles(x, y, side):
    config, size = TileConfig(), (2048, 2048)
    starts = (0, 896, 1024)
    found = instance(x, y, min(side, 2048 - max(x, y)))
    answers = []
    for top in starts:
        for left in starts:
            tile = (left, top, left + 1024, top + 1024)
            x0, y0, x1, y1 = found.box
            if x0 >= left and y0 >= top and x1 <= left + 1024 and y1 <= top + 1024:
                answers += cells.drop_edge_cells([found], tile, size, config)
    assert answers


def test_a_tile_moves_to_level_0_and_nothing_else_changes():
    moved = cells.to_level0(CELL, (1000, 2000, 2024, 3024), 7)
    assert moved.box == (1100, 2100, 1140, 2140)
    assert moved.centroid == (1120.0, 2120.0)
    assert moved.polygon[0] == (1100, 2100)
    assert (moved.tile, moved.area_px) == (7, CELL.area_px)


def test_the_crop_is_centred_with_a_quarter_of_padding():
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:140, 100:140] = 200
    crop = cells.crop(image, CELL, CONFIG, 100)
    assert crop.shape == (100, 100, 3)
    assert (crop[14:86, 14:86] == 200).all()
    assert crop[:6].max() == 0


def test_a_crop_over_the_border_is_mirrored():
    image = np.arange(100, dtype=np.uint8).reshape(10, 10, 1).repeat(3, axis=2)
    cut = cells.cut(image, (-2, -1, 3, 2))
    assert cut[..., 0].tolist() == [[12, 11, 10, 11, 12], [2, 1, 0, 1, 2], [12, 11, 10, 11, 12]]


@settings(deadline=None)
@given(x=st.integers(-300, 300), side=st.integers(1, 700))
def test_any_box_can_be_cut(x, side):
    image = np.zeros((7, 1, 3), np.uint8)
    assert cells.cut(image, (x, x, x + side, x + side)).shape == (side, side, 3)


def test_the_centre_cell_is_the_white_one_even_beside_a_nearer_platelet():
    middle = instance(100, 100, kind=Kind.PLATELET)
    white, red = instance(130, 110), instance(110, 110, kind=Kind.RBC)
    assert cells.centre_instance([middle, red, white], (240, 240, 3)) == white
    assert cells.centre_instance([middle, red], (240, 240, 3)) == middle
    assert cells.centre_instance([red, instance(0, 0, 10)], (240, 240, 3)) is None


def test_without_a_cell_the_whole_frame_is_squared():
    image = np.full((100, 60, 3), 9, np.uint8)
    crop, found = cells.single_cell_crop(image, [], CONFIG, 224)
    assert found is None
    assert crop.shape == (224, 224, 3)
    assert (crop == 9).all()
