"""Tiles cover everything, overlap as agreed, and leave out what holds nothing to read."""

import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.pipeline.config import TileConfig
from inference.pipeline.tiling import choose, grid
from tests.inference.pipeline.images import field, flat

CONFIG = TileConfig(size=256, overlap=32)
GROUND = 235.0


@settings(deadline=None, max_examples=60)
@given(width=st.integers(1, 1500), height=st.integers(1, 1500))
def test_the_grid_covers_every_pixel_with_whole_tiles(width, height):
    covered = np.zeros((height, width), bool)
    for x0, y0, x1, y1 in grid(width, height, CONFIG):
        assert x1 - x0 == min(width, 256)
        assert y1 - y0 == min(height, 256)
        covered[y0:y1, x0:x1] = True
    assert covered.all()


def test_neighbours_overlap_by_ten_to_twenty_per_cent():
    default = TileConfig()
    columns = sorted({box[0] for box in grid(8000, 1000, default)})
    overlaps = [default.size - (b - a) for a, b in zip(columns, columns[1:], strict=False)]
    assert min(overlaps) >= 0.1 * default.size
    assert all(overlap <= 0.2 * default.size for overlap in overlaps[:-1])


def reader(image):
    return lambda box: image[box[1] : box[3], box[0] : box[2]]


def test_a_small_field_is_one_tile_whatever_it_holds():
    assert choose(reader(flat(255)), 256, 256, CONFIG, 255.0).boxes == ((0, 0, 256, 256),)


def test_background_and_blur_are_left_out_and_counted():
    sharp = field(512, 512)
    blurred = cv2.GaussianBlur(sharp, (0, 0), 12)
    image = np.hstack([sharp, flat(235, 512, 512), blurred])
    plan = choose(reader(image), 1536, 512, CONFIG, GROUND)
    assert plan.background > 0
    assert plan.blurred > 0
    assert all(x1 <= 512 + 256 for _, _, x1, _ in plan.boxes)
    assert len(plan.boxes) + plan.background + plan.blurred == len(grid(1536, 512, CONFIG))
