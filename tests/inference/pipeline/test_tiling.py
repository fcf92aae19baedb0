"""Tiles cover everything, overlap as agreed, come in order and never too many, without glass and blur."""

import threading
import time
import weakref

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pipeline import tiling
from inference.pipeline.config import TileConfig
from inference.pipeline.findings import Box, TileState
from inference.pipeline.tiling import Gate, Plan, gate, grid, plan, walk, windows
from tests.inference.pipeline.images import field, flat

CONFIG = TileConfig(size=256, overlap=32, readers=2, prefetch=4)
ANY_TILE = Gate(ground=235.0, step=4, focus=0.0)


def reader(image):
    return lambda box: image[box[1] : box[3], box[0] : box[2]]


def overview_of(image: np.ndarray, step: int = 8) -> np.ndarray:
    return cv2.resize(image, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)


def planned(image: np.ndarray, config: TileConfig = CONFIG) -> Plan:
    height, width = image.shape[:2]
    overview = overview_of(image)
    samples = [reader(image)(box) for box in windows(overview, width, height, side=256)]
    return plan(overview, (width, height), gate(samples, config), config)


def walked(image: np.ndarray) -> list[tiling.Tile]:
    return list(walk(reader(image), planned(image), CONFIG))


def full(number: int) -> Plan:
    """A plan of some tiles of which nothing is known to be empty."""
    boxes = tuple((256 * n, 0, 256 * n + 256, 256) for n in range(number))
    return Plan(boxes, frozenset(), ANY_TILE)


def cells(box: Box) -> np.ndarray:
    return field(box[2] - box[0], box[3] - box[1])


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 1500), height=st.integers(1, 1500))
def test_the_grid_covers_every_pixel_with_whole_tiles(width, height):
    covered = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in grid(width, height, CONFIG):
        assert x1 - x0 == min(width, 256)
        assert y1 - y0 == min(height, 256)
        covered[y0:y1, x0:x1] = True
    assert covered.all()


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 60_000), height=st.integers(1, 60_000))
def test_tiles_lie_inside_and_neighbours_overlap(width, height):
    boxes = grid(width, height, TileConfig())
    assert len(set(boxes)) == len(boxes)
    for axis, length in ((0, width), (1, height)):
        spans = sorted({(box[axis], box[axis + 2]) for box in boxes})
        assert spans[0][0] == 0
        assert spans[-1][1] == length
        assert all(
            end - start >= TileConfig().overlap
            for (_, end), (start, _) in zip(spans, spans[1:], strict=False)
        )


def test_neighbours_overlap_by_ten_to_twenty_per_cent():
    default = TileConfig()
    columns = sorted({box[0] for box in grid(8000, 1000, default)})
    overlaps = [default.size - (b - a) for a, b in zip(columns, columns[1:], strict=False)]
    assert min(overlaps) >= 0.1 * default.size
    assert all(overlap <= 0.2 * default.size for overlap in overlaps[:-1])


@pytest.mark.parametrize("image", [flat(255), flat(0), cv2.GaussianBlur(field(256, 256), (0, 0), 12)])
def test_a_small_field_is_one_analysed_tile_whatever_it_holds(image):
    (tile,) = walked(image)
    assert tile.box == (0, 0, 256, 256)
    assert tile.state is TileState.ANALYSED
    assert np.array_equal(tile.pixels, image)


def test_background_and_blur_are_named_and_hold_no_pixels():
    sharp = field(1024, 1024)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 9)
    image = np.hstack([sharp, flat(235, 1024, 1024), blurred])
    tiles = walked(image)
    assert [tile.box for tile in tiles] == grid(3072, 1024, CONFIG)
    for tile in tiles:
        if tile.box[2] <= 1024:
            assert tile.state is TileState.ANALYSED
            assert np.array_equal(tile.pixels, reader(image)(tile.box))
        elif tile.box[0] >= 1024 + 40 and tile.box[2] <= 2048 - 40:
            assert tile.state is TileState.BACKGROUND
        elif tile.box[0] >= 2048:
            assert tile.state is TileState.BLURRED
        assert (tile.pixels is None) == (tile.state is not TileState.ANALYSED)


@settings(deadline=None, max_examples=15)
@given(
    left=st.integers(0, 1400),
    top=st.integers(0, 900),
    width=st.integers(200, 900),
    height=st.integers(200, 800),
)
def test_every_pixel_of_tissue_lies_in_an_analysed_tile(left, top, width, height):
    image = flat(235, 2000, 1500)
    right, bottom = min(2000, left + width), min(1500, top + height)
    image[top:bottom, left:right] = field(right - left, bottom - top)
    analysed = np.zeros(image.shape[:2], bool)
    any_tissue = TileConfig(size=256, overlap=32, min_tissue=1e-6)
    layout = plan(overview_of(image), (2000, 1500), ANY_TILE, any_tissue)
    for tile in walk(reader(image), layout, any_tissue):
        if tile.state is TileState.ANALYSED:
            x0, y0, x1, y1 = tile.box
            analysed[y0:y1, x0:x1] = True
    assert analysed[image.max(axis=2) < 0.8 * 235].all()


def test_glass_that_the_overview_shows_is_never_read():
    image = flat(235, 2048, 1024)
    image[:, :512] = field(512, 1024)
    read: list[Box] = []
    layout = planned(image)

    def watched(box: Box) -> np.ndarray:
        read.append(box)
        return reader(image)(box)

    states = [tile.state for tile in walk(watched, layout, CONFIG)]
    assert layout.empty
    assert not {layout.boxes[number] for number in layout.empty} & set(read)
    assert all(states[number] is TileState.BACKGROUND for number in layout.empty)
    assert all(layout.boxes[number][0] >= 480 for number in layout.empty)


def test_nothing_is_empty_where_the_overview_is_too_coarse():
    overview = flat(235, 40, 40)
    assert plan(overview, (40_000, 40_000), ANY_TILE, TileConfig()).empty == frozenset()
    assert len(plan(overview, (2000, 2000), ANY_TILE, TileConfig()).empty) == len(
        grid(2000, 2000, TileConfig())
    )


def test_a_small_field_is_its_own_window():
    assert windows(flat(235, 100, 60), 2000, 1200) == [(0, 0, 2000, 1200)]


def test_windows_lie_on_tissue_and_spread_over_it():
    overview = flat(235, 1000, 1000)
    overview[100:900, 500:900] = field(400, 800)
    boxes = windows(overview, 40_000, 40_000)
    assert len(boxes) == len(set(boxes)) == 16
    for x0, y0, x1, y1 in boxes:
        assert (x1 - x0, y1 - y0) == (512, 512)
        assert 19_000 <= x0 < 36_000
        assert 3_000 <= y0 < 36_000
    assert np.ptp([box[1] for box in boxes]) > 25_000
    assert np.ptp([box[0] for box in boxes]) > 8_000
    assert boxes == windows(overview, 40_000, 40_000)


@settings(deadline=None, max_examples=40)
@given(width=st.integers(1, 30_000), height=st.integers(1, 30_000), blank=st.booleans())
def test_windows_lie_inside_the_slide(width, height, blank):
    step = max(1, max(width, height) // 200)
    size = max(1, width // step), max(1, height // step)
    overview = flat(235, *size) if blank else cv2.resize(field(), size)
    boxes = windows(overview, width, height)
    assert 1 <= len(boxes) <= 16
    assert all(0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height for x0, y0, x1, y1 in boxes)


def test_tiles_come_in_order_however_long_each_takes():
    def uneven(box: Box) -> np.ndarray:
        time.sleep(0.02 if box[0] % 512 == 0 else 0)
        return cells(box)

    tiles = list(walk(uneven, full(12), CONFIG))
    assert [tile.number for tile in tiles] == list(range(12))
    assert [tile.box for tile in tiles] == list(full(12).boxes)


@pytest.mark.parametrize("prefetch", [2, 3, 6])
def test_no_more_tiles_than_agreed_are_in_memory_when_the_consumer_is_slow(prefetch):
    alive: dict[Box, weakref.ref[np.ndarray]] = {}
    most = []

    def counted(box: Box) -> np.ndarray:
        pixels = cells(box)
        alive[box] = weakref.ref(pixels)
        most.append(sum(held() is not None for held in list(alive.values())))
        return pixels

    config = TileConfig(size=256, overlap=32, readers=2, prefetch=prefetch)
    for tile in walk(counted, full(24), config):
        assert tile.pixels is not None
        time.sleep(0.01)
    assert len(most) == 24
    assert 2 <= max(most) <= prefetch


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("tiles")]


def test_closing_early_stops_the_threads():
    read = []

    def counted(box: Box) -> np.ndarray:
        read.append(box)
        return cells(box)

    tiles = walk(counted, full(200), CONFIG)
    next(tiles)
    assert threads()
    tiles.close()
    assert threads() == []
    assert len(read) <= CONFIG.prefetch


def test_an_error_of_the_reader_reaches_the_consumer_in_its_turn():
    def broken(box: Box) -> np.ndarray:
        if box[0] == 3 * 256:
            raise OSError("the file ends here")
        return cells(box)

    seen = []
    with pytest.raises(OSError, match="ends here"):
        seen.extend(tile.number for tile in walk(broken, full(8), CONFIG))
    assert threads() == []


def test_a_slide_is_judged_by_its_own_sharpest_windows():
    soft = cv2.GaussianBlur(field(512, 512), (0, 0), 3)
    alone = gate([soft], CONFIG)
    beside = gate([soft, *(field(512, 512, seed=n) for n in range(6))], CONFIG)
    assert beside.focus >= alone.focus >= tiling.LEAST_FOCUS
    assert beside.step == 4


def test_a_gate_of_blank_windows_lets_tissue_through():
    assert tiling.judge(field(256, 256), gate([flat(235)], CONFIG), CONFIG) is TileState.ANALYSED
