"""The picture of a smear: which cells are drawn, and how far it was analysed."""

import re
from dataclasses import replace

import pytest

from inference import field as fields
from inference import runs, selectors
from inference.pipeline.findings import Coverage, TileState


def drawn(run, number=None):
    cell = selectors.numbered_cell(run, number) if number else None
    return fields.field(run, selectors.cells_of([run]), cell)


def numbers(field):
    return {
        layer.key: [*(cell.row.number for cell in layer.cells), *(place.number for place in layer.uncalled)]
        for layer in field.layers
    }


def grid(side, step, count):
    """Overlapping tiles, row by row."""
    starts = [step * n for n in range(count)]
    return tuple((x, y, x + side, y + side) for y in starts for x in starts)


def test_all_cells_are_drawn_where_there_is_room(done_run):
    shown = drawn(done_run)
    assert numbers(shown) == {
        "WBC": list(range(1, 9)),
        "platelet": [19],
        "RBC": list(range(9, 19)),
    }
    assert [layer.left_out for layer in shown.layers] == [0, 0, 0]


@pytest.mark.parametrize(
    ("room", "white", "platelets", "red"), [(18, 8, 1, 0), (8, 8, 0, 0), (3, 3, 0, 0), (19, 8, 1, 10)]
)
def test_red_cells_are_the_first_to_be_left_out(done_run, monkeypatch, room, white, platelets, red):
    monkeypatch.setattr(fields, "DRAWN_AT_MOST", room)
    layers = drawn(done_run).layers
    assert [layer.drawn for layer in layers] == [white, platelets, red]
    assert [layer.count for layer in layers] == [8, 1, 10]


def test_cells_that_need_review_are_the_last_to_be_left_out(done_run, monkeypatch):
    monkeypatch.setattr(fields, "DRAWN_AT_MOST", 3)
    assert numbers(drawn(done_run))["WBC"] == [1, 7, 8]


def test_the_cell_that_is_asked_for_is_drawn_in_any_case(done_run, monkeypatch):
    monkeypatch.setattr(fields, "DRAWN_AT_MOST", 0)
    shown = drawn(done_run, number=12)
    assert numbers(shown) == {"WBC": [], "platelet": [], "RBC": [12]}
    assert shown.layers[-1].left_out == 9
    monkeypatch.undo()
    assert numbers(drawn(done_run, number=12))["RBC"] == list(range(9, 19))


def test_tiles_share_the_ground_where_they_overlap():
    states = [TileState.ANALYSED] * 9
    states[0], states[4], states[5] = TileState.BACKGROUND, TileState.BLURRED, TileState.BLURRED
    states[8] = TileState.FAILED
    analysed, empty, blurred, failed = fields.tiles(Coverage(grid(100, 80, 3), tuple(states)))
    assert (analysed.count, empty.count, blurred.count, failed.count) == (5, 1, 2, 1)
    assert failed.path == "M170 170H260V260H170Z"
    assert empty.path == "M0 0H90V90H0Z"
    assert blurred.path == "M90 90H170V170H90ZM170 90H260V170H170Z"
    assert empty.share == pytest.approx(90 * 90 / 260**2)
    assert sum(part.share for part in (analysed, empty, blurred, failed)) == pytest.approx(1.0)


def test_one_tile_or_none_is_nothing_to_tell():
    assert fields.tiles(Coverage()) == []
    assert fields.tiles(Coverage(((0, 0, 640, 480),), (TileState.ANALYSED,))) == []


# --- on the page ----------------------------------------------------------------------------------
@pytest.fixture
def tiled_run(queued_run, findings):
    states = (TileState.ANALYSED,) * 2 + (TileState.BACKGROUND, TileState.BLURRED)
    found = replace(findings, coverage=Coverage(grid(300, 200, 2), states))
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), found)
    queued_run.refresh_from_db()
    return queued_run


def page(client_for, user, run, query=""):
    html = client_for(user).get(f"/runs/{run.pk}/{query}").content.decode()
    return html, re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def test_what_was_left_out_is_hatched_and_told(client_for, clinician, tiled_run):
    html, words = page(client_for, clinician, tiled_run)
    assert re.search(r'data-kind="coverage" checked', html)
    assert '<path class="tiles tiles-background" fill="url(#hatch-background)" d="M0 250' in html
    assert '<path class="tiles tiles-blurred" fill="url(#hatch-blurred)" d="M250 250' in html
    assert "tiles-analysed" not in re.findall(r'<g class="coverage">.*</g>', html)[0]
    assert "2 tiles analysed, 50 % of the area" in words
    assert "1 tile empty glass, 25 % of the area" in words
    assert "1 tile out of focus, 25 % of the area" in words


def test_what_failed_is_hatched_and_told(client_for, clinician, queued_run, findings):
    states = (TileState.ANALYSED,) * 3 + (TileState.FAILED,)
    runs.save(
        queued_run.pk,
        runs.QUEUE.claim(queued_run.pk),
        replace(findings, coverage=Coverage(grid(300, 200, 2), states)),
    )
    queued_run.refresh_from_db()
    html, words = page(client_for, clinician, queued_run)
    assert (
        '<path class="tiles tiles-failed" fill="url(#hatch-failed)"' in html and 'id="hatch-failed"' in html
    )
    assert "1 tile could not be analysed" in words


def test_a_single_field_has_no_map_of_tiles(client_for, clinician, done_run):
    html, _ = page(client_for, clinician, done_run)
    assert "coverage" not in html
    assert "hatch" not in html


def test_the_page_of_a_large_slide_draws_so_many_cells_and_says_so(
    client_for, clinician, done_run, monkeypatch
):
    monkeypatch.setattr(fields, "DRAWN_AT_MOST", 9)
    html, words = page(client_for, clinician, done_run)
    assert len(re.findall(r'data-cell="', html)) == 9
    assert "10 red cells are counted, not drawn." in words
    assert 'data-kind="RBC" checked' not in html
    html, words = page(client_for, clinician, done_run, "?cell=12")
    assert 'data-cell="12"' in html
    assert "9 red cells are counted, not drawn." in words
    assert "Cell 12" in words


def marks(html):
    """The cells of the picture by number, each as it is drawn."""
    found = re.finditer(r'<(a|g)[^>]*data-cell="(\d+)"[^>]*>.*?</\1>', html)
    return {int(mark[2]): mark[0] for mark in found}


def box(run, number):
    cell = run.cells.get(number=number)
    return f'x="{cell.x0}" y="{cell.y0}" width="{cell.x1 - cell.x0}" height="{cell.y1 - cell.y0}"/>'


def test_white_cells_are_links_that_say_their_call_and_red_ones_are_boxes(client_for, clinician, done_run):
    drawn = marks(page(client_for, clinician, done_run)[0])
    assert sorted(drawn) == list(range(1, 20))
    assert all(f'<rect class="box" {box(done_run, number)}' in mark for number, mark in drawn.items())
    assert drawn[1].startswith('<a href="?cell=1" data-cell="1" class="cell" aria-label="Neutrophil, 95 %">')
    assert ">Neutrophil</text>" in drawn[1]
    assert 'class="cell open" aria-label="Eosinophil, 55 %, needs review"' in drawn[8]
    assert ">Eosinophil ?</text>" in drawn[8]
    for number in (9, 19):
        assert drawn[number].startswith(f'<g class="cell" data-cell="{number}"><rect ')
        assert "text" not in drawn[number]


@pytest.mark.parametrize("number", [1, 8, 9, 19])
def test_the_cell_that_is_asked_for_is_marked(client_for, clinician, done_run, number):
    drawn = marks(page(client_for, clinician, done_run, f"?cell={number}")[0])
    assert [at for at, mark in drawn.items() if re.search(r'class="cell[a-z ]* selected"', mark)] == [number]


def test_names_of_classes_are_escaped(client_for, clinician, done_run, monkeypatch):
    monkeypatch.setattr("inference.names.class_name", lambda label: f"<{label}>")
    drawn = marks(page(client_for, clinician, done_run)[0])
    assert 'aria-label="&lt;neutrophil&gt;, 95 %"' in drawn[1]
    assert ">&lt;neutrophil&gt;</text>" in drawn[1]


def test_a_cell_that_is_not_there_is_no_error(client_for, clinician, done_run):
    for number in ("999", "x", "", "9" * 30, "²"):
        assert "No cell selected" in page(client_for, clinician, done_run, f"?cell={number}")[1]
