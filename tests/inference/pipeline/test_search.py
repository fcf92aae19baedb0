"""All tiles of a slide: what fails is said and left out, and where the grid lies does not matter."""

from collections import Counter

import cv2
import numpy as np
import pytest
from PIL import Image

from inference.pipeline import segmentation, tiling
from inference.pipeline.config import Config, TileConfig
from inference.pipeline.errors import UnreadableImage, UnusableSmear
from inference.pipeline.findings import Kind, Severity, TileState
from inference.pipeline.search import search
from inference.pipeline.segmentation_engine import UndecodableTile
from inference.pipeline.slide import Slide
from inference.training.evaluate_segmentation import read_rgb

TILES = TileConfig(size=512, overlap=64)


class Scripted:
    """The product's engine, which cannot read the tiles whose first pixel is black."""

    def __init__(self):
        self.engine = segmentation.engine()
        self.used = self.engine.used
        self.estimate_pixel_um = self.engine.estimate_pixel_um

    def find(self, images, pixel_um):
        if any(image[0, 0].max() == 0 for image in images):
            raise UndecodableTile("unreadable answer")
        return self.engine.find(images, pixel_um)


def searched(slide, engine=None, config=TILES):
    overview = slide.overview(2048)
    samples = [slide.read(box) for box in tiling.windows(overview, slide.width, slide.height)]
    plan = tiling.plan(overview, (slide.width, slide.height), tiling.gate(samples, config), config)
    chosen = engine or segmentation.engine()
    return search(slide, samples, plan, Config(tiles=config), chosen, lambda share: None)


def side_by_side(paths, across):
    """Images of one size in rows of so many."""
    images = [read_rgb(path) for path in paths]
    rows = [np.concatenate(images[i : i + across], axis=1) for i in range(0, len(images), across)]
    return np.concatenate(rows)


@pytest.fixture(scope="module")
def mosaic(wbc_data):
    """Real fields of one laboratory side by side, 3,200 × 2,400 px."""
    files = sorted((wbc_data / "fields_bbbc041_eval" / "images").iterdir())
    return side_by_side(files[1:5], 2)


def opened(tmp_path, image, name="slide.png", pixel_um=0.083):
    path = tmp_path / name
    Image.fromarray(image).save(path, compress_level=0)
    return Slide.open(path, pixel_um)


def framed(image, left, top):
    """The image with glass on its left and above, so that every tile lies elsewhere on it."""
    ground = np.percentile(image.reshape(-1, 3)[::50], 90, axis=0)
    return cv2.copyMakeBorder(image, top, 40, left, 40, cv2.BORDER_CONSTANT, value=[float(v) for v in ground])


def test_the_count_does_not_depend_on_where_the_tiles_lie(tmp_path, wbc_data):
    image = side_by_side(sorted((wbc_data / "fields_bcisc" / "images").iterdir()), 6)
    reds, everything = [], []
    for number, (left, top) in enumerate([(40, 40), (177, 40), (40, 291), (333, 123)]):
        with opened(tmp_path, framed(image, left, top), f"{number}.png", 0.125) as slide:
            found = searched(slide, config=TileConfig())
        reds.append(sum(cell.kind is Kind.RBC for cell in found.others))
        everything.append(len(found.whites) + len(found.others))
    assert min(reds) > 4000
    assert max(reds) - min(reds) <= 0.005 * np.mean(reds)
    # Specks that only just count as platelets, or do not, sway a little from processor to processor.
    assert max(everything) - min(everything) <= 0.0075 * np.mean(everything)


def test_tiles_that_fail_are_said_and_left_out(tmp_path, mosaic):
    image = mosaic[:1200, :1600].copy()
    with opened(tmp_path, image) as slide:
        whole = searched(slide)
    image[:2, :2] = 0
    with opened(tmp_path, image, "spoilt.png") as slide:
        found = searched(slide, Scripted())
    states = Counter(found.coverage.states)
    assert states[TileState.FAILED] == 1 and states[TileState.ANALYSED] == len(found.coverage.states) - 1
    assert 0 < len(found.others) < len(whole.others)
    (notice,) = (notice for notice in found.notices if notice.code == "tiles_failed")
    assert notice.text.startswith(f"Of {len(found.coverage.states)} tiles 1 was left out")
    assert notice.severity is Severity.WARN


def test_a_part_of_the_file_that_cannot_be_read_is_one_failed_tile(tmp_path, mosaic):
    with opened(tmp_path, mosaic[:1200, :1600]) as slide:
        overview = slide.overview(2048)
        plan = tiling.plan(overview, (1600, 1200), tiling.gate([slide.read((0, 0, 512, 512))], TILES), TILES)

        def read(box):
            if box == plan.boxes[3]:
                raise UnreadableImage("damaged")
            return slide.read(box)

        states = [tile.state for tile in tiling.walk(read, plan, TILES)]
        assert states[3] is TileState.FAILED and states.count(TileState.FAILED) == 1
        alone = tiling.Plan(plan.boxes[3:4], frozenset(), plan.gate)
        with pytest.raises(UnreadableImage):
            list(tiling.walk(read, alone, TILES))


def test_a_slide_of_which_nothing_can_be_analysed_is_refused(tmp_path, mosaic):
    class Broken(Scripted):
        def find(self, images, pixel_um):
            raise UndecodableTile("unreadable answer")

    with (
        opened(tmp_path, mosaic[:600, :800]) as slide,
        pytest.raises(UnusableSmear, match="Hand it in again"),
    ):
        searched(slide, Broken())


def test_batches_of_tiles_find_what_single_tiles_find(tmp_path, mosaic):
    with opened(tmp_path, mosaic[:1200, :1600]) as slide:
        alone = searched(slide, config=TileConfig(size=512, overlap=64, batch=1))
        together = searched(slide, config=TileConfig(size=512, overlap=64, batch=4))
    assert [cell.box for cell in alone.others] == [cell.box for cell in together.others]
