"""The viewer: its tiles against the image, its cells, and how little it asks the database."""

import gzip
import io
import json
import os
from contextlib import ExitStack
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from django.core.cache import cache
from django.core.files.storage import default_storage
from django.urls import reverse
from PIL import Image

from inference import deep_zoom, marks, review, tasks, tile_cache, tiles, viewer
from inference.models import Cell
from inference.pipeline.config import RBC_CLASSES, WBC_CLASSES
from inference.shelf import Opened, Shelf
from inference.tiles import Tile
from tests.conftest import field_image


@pytest.fixture(autouse=True)
def empty_shelf(monkeypatch):
    monkeypatch.setattr(deep_zoom, "SHELF", Shelf())


@pytest.fixture
def seen(done_run, pathologist, client_for):
    """What a pathologist gets from an address of the viewer."""
    client = client_for(pathologist)

    def get(name, *args, **headers):
        return client.get(reverse(f"inference:viewer{name}", args=(done_run.pk, *args)), headers=headers)

    return get


def pixels(answer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)


def apart(one, other) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


# --- tiles ----------------------------------------------------------------------------------------
def test_the_finest_tiles_are_the_image(seen):
    whole = np.asarray(field_image())
    last = tiles.last_level(640, 480)
    left, right = pixels(seen("-tile", last, 0, 0)), pixels(seen("-tile", last, 1, 0))
    assert left.shape == (480, 513, 3)
    assert right.shape == (480, 129, 3)
    assert apart(left, whole[:, :513]) < 1
    assert apart(right, whole[:, 511:]) < 1


def test_coarser_tiles_are_averages(seen):
    last = tiles.last_level(640, 480)
    half = pixels(seen("-tile", last - 1, 0, 0))
    assert half.shape == (240, 320, 3)
    averaged = np.asarray(field_image()).reshape(240, 2, 320, 2, 3).mean((1, 3))
    assert apart(half, averaged) < 1.5
    assert pixels(seen("-tile", 0, 0, 0)).shape == (1, 1, 3)


@pytest.mark.parametrize("place", [(10, 2, 0), (10, 0, 1), (11, 0, 0), (99, 0, 0)])
def test_beside_the_picture_there_is_no_tile(seen, place):
    assert seen("-tile", *place).status_code == 404


def test_a_tile_is_kept_by_the_browser_and_not_sent_again(seen):
    first = seen("-tile", 10, 0, 0)
    assert "private" in first["Cache-Control"]
    assert "immutable" in first["Cache-Control"]
    again = seen("-tile", 10, 0, 0, **{"If-None-Match": first["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_tile_is_made_once(seen, monkeypatch):
    first = seen("-tile", 10, 0, 0).content
    monkeypatch.setattr(tiles, "jpeg", lambda *_: pytest.fail("made again"))
    assert seen("-tile", 10, 0, 0).content == first


class Grey:
    """A source whose pixels say where they lie: x in red, y in green, each over 16."""

    def __init__(self, *downsamples):
        self.levels = [
            deep_zoom.Part(int(4000 / d), int(3000 / d), d, self, n) for n, d in enumerate(downsamples)
        ]
        self.asked = []

    def read(self, level, box):
        self.asked.append((level, box))
        x0, y0, x1, y1 = box
        step = self.levels[level].downsample
        yy, xx = np.mgrid[y0:y1, x0:x1]
        return np.dstack([xx * step // 16, yy * step // 16, 0 * xx]).astype(np.uint8)


@pytest.mark.parametrize("downsamples", [(1,), (1, 4), (1, 4.003, 16.1), (1, 3, 9)])
@pytest.mark.parametrize("place", [(12, 3, 2), (11, 1, 1), (10, 0, 1), (8, 0, 0)])
def test_every_level_shows_the_same_place(downsamples, place):
    source = Grey(*downsamples)
    scale, box = tiles.place(Tile(*place), 4000, 3000)
    made = tiles.pixels(source, scale, box).astype(float) * 16
    assert made.shape[:2] == (box[3] - box[1], box[2] - box[0])
    across = (np.arange(box[0], box[2]) + 0.5) * scale
    down = (np.arange(box[1], box[3]) + 0.5) * scale
    assert np.abs(made[:, :, 0] - across)[:, :-1].max() <= 24 + scale
    assert np.abs(made[:, :, 1] - down[:, None])[:-1].max() <= 24 + scale


def test_a_coarse_tile_reads_a_coarse_level_in_bands(monkeypatch):
    monkeypatch.setattr(tiles, "BAND_PIXELS", 100_000)
    source = Grey(1, 4)
    tiles.pixels(source, *tiles.place(Tile(8, 0, 0), 4000, 3000))
    assert {level for level, _ in source.asked} == {1}
    assert max((x1 - x0) * (y1 - y0) for _, (x0, y0, x1, y1) in source.asked) <= 110_000


def test_the_tiles_not_looked_at_for_longest_go_first(settings):
    settings.TILES_MAX_BYTES = 10_000
    for number in range(12):
        tile_cache.keep(f"abc/{number}", bytes(1000))
        path = settings.TILES_DIR / f"abc/{number}.jpg"
        os.utime(path, (1_000_000 + number, 1_000_000 + number))
    tile_cache.sweep()
    assert [tile_cache.fetch(f"abc/{number}") is None for number in range(12)] == [True] * 4 + [False] * 8


def test_the_shelf_keeps_the_last_few_and_lets_the_others_go():
    closed, shelf = [], Shelf(at_most=2)

    def opened(name):
        holds = ExitStack()
        holds.callback(closed.append, name)
        return lambda: Opened(Grey(1), holds)

    held = shelf.take("a", opened("a"))
    assert shelf.take("a", lambda: pytest.fail("opened twice")) is held
    shelf.take("b", opened("b"))
    shelf.take("c", opened("c"))
    assert closed == []
    del held
    shelf.take("d", opened("d"))
    assert closed == ["a", "b"]


def test_a_large_photograph_is_seen_by_its_preview_until_a_worker_has_copied_it(seen, done_run, monkeypatch):
    asked = []
    monkeypatch.setattr(deep_zoom.current_app, "send_task", lambda name, args: asked.append((name, args)))
    monkeypatch.setattr(deep_zoom, "DECODED_MAX_PIXELS", 1000)
    before = [seen("-tile", 10, 0, 0), seen("-tile", 9, 0, 0)]
    assert [answer["Cache-Control"] for answer in before] == ["no-store"] * 2
    assert asked == [(deep_zoom.COPY_TASK, [str(done_run.pk)])]
    assert not seen("-manifest").json()["ready"]
    tasks.copy_for_viewer(str(done_run.pk))
    tasks.copy_for_viewer(str(done_run.pk))
    assert seen("-manifest").json()["ready"]
    after = seen("-tile", 10, 0, 0)
    assert "immutable" in after["Cache-Control"]
    assert apart(pixels(after), np.asarray(field_image())[:, :513]) < 1.5


def test_a_reading_copy_has_tiles_and_levels(done_run, tmp_path):
    tasks.copy_for_viewer(str(done_run.pk))
    with default_storage.open(deep_zoom.copy_name(done_run.smear)) as file, tifffile.TiffFile(file) as copy:
        assert copy.pages[0].is_tiled
        assert copy.pages[0].shape == (480, 640, 3)
        assert len(copy.pages) == 2


def test_what_is_read_in_parts_needs_no_copy(done_run, tmp_path, monkeypatch):
    monkeypatch.setattr(deep_zoom, "DECODED_MAX_PIXELS", 1000)
    smear, path = done_run.smear, tmp_path / "slide.tif"
    for tile, needed in (((64, 64), False), (None, True)):
        cache.clear()
        tifffile.imwrite(path, np.asarray(field_image()), tile=tile, photometric="rgb")
        smear.format, smear.original = "TIFF", default_storage.save("slide.tif", path.open("rb"))
        assert deep_zoom.needs_copy(smear) is needed


def test_the_page_opens_the_image_ahead_of_its_tiles(seen, monkeypatch):
    opened = []
    monkeypatch.setattr(deep_zoom, "_taken", lambda smear, which: opened.append(which))
    monkeypatch.setattr(deep_zoom, "threading", SimpleNamespace(Thread=Now))
    seen("")
    assert opened == ["original"]


class Now:
    """A thread that does its work at once."""

    def __init__(self, target, args, daemon):
        self.work = lambda: target(*args)

    def start(self):
        self.work()


# --- cells ----------------------------------------------------------------------------------------
def test_the_cells_come_in_columns(seen, done_run):
    came = seen("-cells").json()
    assert came["number"] == list(range(1, 20))
    eighth = {key: values[7] for key, values in came.items()}
    assert eighth["confidence"] == 55
    assert eighth["flags"] == viewer.NEEDS_REVIEW
    assert (eighth["x"], eighth["y"], eighth["w"], eighth["h"]) == (495, 195, 90, 90)
    legend = viewer.legend()
    assert legend["classes"][eighth["class"]]["key"] == "eosinophil"
    assert legend["kinds"][eighth["kind"]]["key"] == "WBC"
    assert [place for place, one in enumerate(legend["reasons"]) if eighth["reasons"] >> place & 1] == [0]
    assert (came["class"][10], came["confidence"][10]) == (-1, -1)


def test_a_correction_shows_and_changes_the_tag(seen, done_run, pathologist):
    before = seen("-cells")
    assert seen("-cells", **{"If-None-Match": before["ETag"]}).status_code == 304
    review.claim_slide(pathologist, done_run)
    review.decide(pathologist, done_run.cells.get(number=8), "neutrophil", "")
    after = seen("-cells", **{"If-None-Match": before["ETag"]})
    assert after.status_code == 200
    came = after.json()
    assert came["flags"][7] == viewer.NEEDS_REVIEW | viewer.REVIEWED | viewer.CORRECTED
    assert viewer.legend()["classes"][came["class"][7]]["key"] == "neutrophil"


def test_outlines_come_by_block_as_steps(seen):
    block = seen("-outlines", 0, 0).json()
    assert block["number"] == list(range(1, 20))
    assert block["steps"][7] == [495, 195, 90, 0, 0, 90, -90, 0]
    assert seen("-outlines", 1, 0).json() == {"number": [], "steps": []}


def test_json_is_compressed_where_the_browser_takes_it(seen):
    packed = seen("-cells", **{"Accept-Encoding": "gzip, br"})
    assert packed["Content-Encoding"] == "gzip"
    assert json.loads(gzip.decompress(packed.content)) == seen("-cells").json()


@pytest.mark.parametrize("name", ["", "-cells", "-coverage", "-manifest"])
def test_a_thousand_more_cells_ask_the_database_no_more(name, seen, done_run):
    few = count_queries(lambda: seen(name))
    copies = list(done_run.cells.filter(kind="RBC"))
    for row in range(100):
        Cell.objects.bulk_create(
            [Cell(**{**fields(cell), "number": 1000 + 10 * row + place}) for place, cell in enumerate(copies)]
        )
    cache.clear()
    assert count_queries(lambda: seen(name)) == few <= 14


def fields(cell) -> dict:
    return {field.attname: getattr(cell, field.attname) for field in Cell._meta.fields if field.name != "id"}


def count_queries(act) -> int:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as queries:
        assert act().status_code == 200
    return len(queries)


def test_a_tile_asks_the_database_three_times_at_most(seen):
    seen("-tile", 10, 0, 0)
    assert count_queries(lambda: seen("-tile", 10, 0, 0)) <= 4


# --- marks ----------------------------------------------------------------------------------------
def test_no_two_classes_look_alike():
    found = marks.class_marks()
    assert [mark.key for mark in found] == [*WBC_CLASSES, *RBC_CLASSES]
    assert len({mark.code for mark in found}) == len(found)
    for classes in (WBC_CLASSES, RBC_CLASSES):
        looks = [(mark.colour, mark.line) for mark in found if mark.key in classes]
        assert len(set(looks)) == len(looks)


# --- the page -------------------------------------------------------------------------------------
def test_the_page_offers_the_patients_other_smears(seen, done_run, clinician, case, field_file, findings):
    from inference import runs

    assert 'id="beside"' not in seen("").content.decode()
    other = runs.submit(clinician, case, field_file("other.png", seed=4))
    runs.save(other.pk, runs.QUEUE.claim(other.pk), findings, np.asarray(field_image(4)))
    text = seen("").content.decode()
    assert 'id="beside"' in text
    assert "other.png" in text


def test_pages_lead_to_the_cell_in_the_viewer(done_run, pathologist, client_for):
    client, address = client_for(pathologist), reverse("inference:viewer", args=[done_run.pk])
    for page in ("inference:run", "inference:review-slide"):
        text = client.get(f"{reverse(page, args=[done_run.pk])}?cell=8").content.decode()
        assert f'href="{address}?cell=8"' in text


def test_an_unfinished_run_has_no_viewer(queued_run, pathologist, client_for):
    assert client_for(pathologist).get(reverse("inference:viewer", args=[queued_run.pk])).status_code == 404
