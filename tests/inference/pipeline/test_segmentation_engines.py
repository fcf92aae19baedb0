"""What holds for every engine: tiles that fail, memory that runs short, clumps that defeat a network."""

import cv2
import numpy as np
import pytest
import torch

from inference.pipeline import segmentation
from inference.pipeline.config import SegmentationEngine
from inference.pipeline.errors import NetworkUnavailable
from inference.pipeline.findings import Kind
from inference.pipeline.segmentation import CLUMPED, segment, segment_tiles
from inference.pipeline.segmentation_engine import Answer, UndecodableTile, Unexplained, instances_of

GLASS, RED = (240, 232, 226), (188, 140, 150)


def tile(*places, radius=36, side=400):
    """A drawn field at 0.1 µm per pixel with red cells at these places."""
    image = np.full((side, side, 3), GLASS, np.uint8)
    for place in places:
        cv2.circle(image, place, radius, RED, -1, cv2.LINE_AA)
    return image


class Drawn:
    """An engine that answers with one red cell per image; `most` images fit its memory, it cannot read a
    black one, and it takes the right half of each for cells, of which it leaves a share unexplained."""

    used = ()

    def __init__(self, most=1, unexplained=0.0, error=MemoryError):
        self.most, self.unexplained, self.error = most, unexplained, error
        self.asked = []

    def estimate_pixel_um(self, image):
        return 0.1

    def find(self, images, pixel_um):
        self.asked.append(len(images))
        if len(images) > self.most:
            raise self.error("out of memory: failed to allocate 1 GB")
        if any(image.max() == 0 for image in images):
            raise UndecodableTile("unreadable answer")
        corners = np.array([[(80, 80), (120, 80), (120, 120), (80, 120)]], np.float32)
        found = [
            instances_of([Kind.RBC], corners, np.ones(1, np.float32), image.shape, np.full(1, 4, np.float32))
            for image in images
        ]
        right_half = np.zeros((100, 100), bool)
        right_half[:, 40:] = True
        return [Answer(instances, Unexplained(self.unexplained, right_half)) for instances in found]

    def warm_up(self):
        pass


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, torch.OutOfMemoryError])
def test_short_of_memory_the_tiles_are_taken_in_halves(error):
    engine = Drawn(most=2, error=error)
    results = segment_tiles([tile()] * 7, 0.1, engine)
    assert [len(result.instances) for result in results] == [1] * 7
    assert engine.asked[0] == 7 and max(engine.asked[1:]) <= 4
    assert all(result.failure is None for result in results)


def test_a_tile_too_large_for_the_memory_is_reported_not_fatal():
    (result,) = segment_tiles([tile()], 0.1, Drawn(most=0))
    assert result.instances == [] and "memory" in result.failure


def test_a_tile_whose_answer_cannot_be_read_costs_no_other_tile():
    black = np.zeros((400, 400, 3), np.uint8)
    results = segment_tiles([tile(), black, tile()], 0.1, Drawn(most=8))
    assert [result.failure is None for result in results] == [True, False, True]
    assert [len(result.instances) for result in results] == [1, 0, 1]


def test_other_faults_are_not_hidden():
    class Broken(Drawn):
        def find(self, images, pixel_um):
            raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="fault"):
        segment_tiles([tile()], 0.1, Broken())


def test_clumps_that_defeat_the_network_are_counted_without_it():
    places = [(100, 300), (230, 100), (290, 130), (230, 300)]
    engine = Drawn(unexplained=CLUMPED + 0.01)
    (result,) = segment_tiles([tile(*places)], 0.1, engine)
    added = [cell for cell in result.instances if cell.confidence < 1]
    assert result.from_clumps == len(added) >= 2
    for cell in added:
        assert min(np.hypot(*np.subtract(cell.centroid, place)) for place in places[1:]) < 25
    (left,) = segment_tiles([tile(*places)], 0.1, Drawn(unexplained=CLUMPED - 0.01))
    assert left.from_clumps == 0 and len(left.instances) == 1
    assert len(segment(tile(*places), 0.1, engine)) == len(result.instances)


def test_the_watershed_needs_no_network():
    engine = segmentation.engine(SegmentationEngine.WATERSHED)
    found = segment(tile((100, 100), (280, 280)), 0.1, engine)
    assert engine.used == () and [cell.kind for cell in found] == [Kind.RBC, Kind.RBC]
    assert segmentation.estimate_pixel_um(tile((100, 100), (280, 280)), engine) == pytest.approx(0.1, rel=0.1)


@pytest.mark.parametrize("name", ["maskrcnn_swin", "htc", "yolo11_seg"])
def test_an_engine_without_weights_says_how_to_get_them(name):
    with pytest.raises(
        NetworkUnavailable, match=f"python -m inference.training segmentation --engine {name}"
    ):
        segmentation.engine(SegmentationEngine(name))


def test_every_engine_has_its_module():
    assert set(segmentation._ENGINES) == set(SegmentationEngine)


def test_boxes_stand_off_their_outlines_but_not_out_of_the_image():
    corners = np.array([[(2, 50), (42, 50), (42, 90), (2, 90)]], np.float32)
    (cell,) = instances_of([Kind.RBC], corners, np.ones(1, np.float32), (100, 45), np.full(1, 4, np.float32))
    assert cell.box == (0, 46, 45, 94)
    assert cell.area_px == 1600 and cell.centroid == pytest.approx((22, 70)) and cell.solidity == 1
    assert cell.polygon == ((2, 50), (42, 50), (42, 90), (2, 90))


def test_outlines_without_an_area_are_no_cells():
    line = np.array([[(2, 50), (42, 50), (42, 50), (2, 50)]], np.float32)
    assert instances_of([Kind.RBC], line, np.ones(1, np.float32), (100, 100)) == []
    assert instances_of([], np.zeros((0, 4, 2), np.float32), np.zeros(0, np.float32), (100, 100)) == []
