"""The differential over the first 100 or 200 leukocytes: which they are, what is said of the others, and that
nothing but the page changes."""

import re
from html import unescape
from itertools import pairwise

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.sign_off import CRITICAL_FINDINGS
from inference import blind, pages, review, short_count
from inference.pipeline.aggregation import FEW_CELLS, aggregate
from inference.pipeline.config import RBC_CLASSES
from inference.results import ABNORMAL
from inference.short_count import FIELD_UM, End, WhiteCell, along_track, asked_for, up_to
from tests.counted import HEALTHY, analysed, cells

pytestmark = pytest.mark.django_db

SLIDE = (9000, 5000)
"""Of 0.1 µm per pixel it is four fields of view long."""


def placed(*places, label="neutrophil"):
    return [WhiteCell(number, x, y, label) for number, (x, y) in enumerate(places, 1)]


def numbers(track):
    return [cell.number for cell in track]


# --- the order ------------------------------------------------------------------------------------
def test_the_track_leads_across_and_back_one_field_on():
    corners = placed((100, 4900), (2300, 100), (100, 100), (2300, 4900), (4600, 4900), (4600, 100))
    assert numbers(along_track(corners, SLIDE, 0.1)) == [3, 1, 4, 2, 6, 5]


def test_it_leads_across_the_shorter_side_of_an_upright_image_too():
    corners = placed((4900, 100), (100, 2300), (100, 100), (4900, 2300))
    assert numbers(along_track(corners, (5000, 9000), 0.1)) == [3, 1, 4, 2]


def test_a_photograph_of_one_field_is_one_lane():
    field = placed((1900, 100), (100, 800), (1000, 50), (100, 1400))
    assert numbers(along_track(field, (2000, 1500), 0.1)) == [3, 1, 2, 4]
    assert numbers(along_track(field, (2000, 1500), 0.1 * FIELD_UM)) != [3, 1, 2, 4]


def test_no_step_within_a_lane_goes_back():
    grid = placed(*((x, y) for x in range(50, 9000, 300) for y in range(50, 5000, 300)))
    track = along_track(grid, SLIDE, 0.1)
    assert sorted(numbers(track)) == numbers(grid)
    lanes = [int(cell.x // 2250) for cell in track]
    assert lanes == sorted(lanes)
    steps = [
        (lane, after.y - before.y) for lane, (before, after) in zip(lanes, pairwise(track), strict=False)
    ]
    assert sum(step < 0 for lane, step in steps if lane % 2 == 0) == 0
    assert {lane for lane, _ in steps} == {0, 1, 2, 3}


def test_the_order_does_not_depend_on_how_cells_are_read():
    same_place = placed(*[(10, 10)] * 5)
    assert numbers(along_track(same_place[::-1], SLIDE, 0.1)) == [1, 2, 3, 4, 5]


# --- the counting ---------------------------------------------------------------------------------
def test_only_leukocytes_end_a_count_and_the_others_are_met_on_the_way():
    labels = ["erythroblast", "neutrophil", "artifact", "blast", "platelet", "monocyte"]
    met = [WhiteCell(number, 0, 0, label) for number, label in enumerate(labels, 1)]
    assert numbers(up_to(met, 2)) == [1, 2, 3, 4]
    assert numbers(up_to(met, 3)) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("text", "end"),
    [("100", End.HUNDRED), ("200", End.TWO_HUNDRED), *[(text, None) for text in ("", "50", "all", "١٠٠")]],
)
def test_a_count_ends_at_100_or_200(text, end):
    assert asked_for(text) is end
    assert End.HUNDRED == FEW_CELLS


def test_every_flagged_or_critical_class_is_named_where_it_is_missed():
    critical = {one.cell_class for one in CRITICAL_FINDINGS.values()} - set(RBC_CLASSES)
    flagged = {"blast_detected": "blast", "left_shift": "immature_granulocyte"}
    flagged |= {"erythroblasts_present": "erythroblast"}
    known = aggregate(cells({"blast": 30, "immature_granulocyte": 30, "erythroblast": 30})).flags
    assert {flag.code for flag in known} - {"possible_leukemia", "few_cells"} == set(flagged)
    assert critical | set(flagged.values()) <= set(ABNORMAL)


LATE_BLASTS = {"neutrophil": 110, "erythroblast": 2, "lymphocyte": 90, "blast": 3}


@pytest.fixture
def run(case, field_file, findings):
    """205 cells at one place, so that they are met in the order of their numbers."""
    return analysed(case, field_file(), findings, LATE_BLASTS)


def counts(shown):
    return {line.key: line.count for line in shown.lines if line.count}


def test_the_first_hundred_are_counted_with_intervals_of_their_own(run):
    shown = short_count.differential(run, blind.Veil(), End.HUNDRED)
    assert (shown.leukocytes, shown.found, counts(shown)) == (100, 203, {"neutrophil": 100})
    line = shown.lines[0]
    assert (line.percent, round(line.low, 1), line.reference, line.outside) == (100, 96.4, (50, 70), True)
    assert shown.missed == (
        "Blast: 3 among all 203 leukocytes, none among these 100.",
        "Erythroblast: 2 beside all 203 leukocytes, none beside these 100.",
    )


def test_erythroblasts_on_the_way_are_given_per_hundred(run):
    shown = short_count.differential(run, blind.Veil(), End.TWO_HUNDRED)
    assert counts(shown) == {"neutrophil": 110, "lymphocyte": 90}
    assert shown.erythroblasts.value == 1
    assert len(shown.missed) == 1


def test_over_all_leukocytes_it_is_the_differential_of_the_page(run):
    whole = pages.result(run)
    shown = short_count.differential(run, blind.Veil(), None)
    assert (shown.lines, shown.leukocytes) == (whole.lines, whole.aggregate.wbc_count)
    assert (shown.end, shown.missed) == (None, ())


def test_peoples_calls_count_and_what_is_no_leukocyte_makes_room(run, pathologist):
    first, second = run.cells.order_by("number")[:2]
    review.decide(pathologist, first, "blast")
    review.decide(pathologist, second, "artifact")
    shown = short_count.differential(run, blind.Veil(), End.HUNDRED)
    assert counts(shown) == {"neutrophil": 99, "blast": 1}
    assert len(shown.missed) == 1


def test_what_is_hidden_from_a_reader_is_not_counted(run, pathologist):
    first = run.cells.order_by("number").first()
    review.decide(pathologist, first, "blast")
    hidden = blind.Veil(machine=frozenset({first.pk}), persons=frozenset({first.pk}))
    both = short_count.differential(run, hidden, End.HUNDRED)
    machines = short_count.differential(run, blind.Veil(persons=frozenset({first.pk})), End.HUNDRED)
    assert (both.found, counts(both)) == (202, {"neutrophil": 100})
    assert (machines.found, counts(machines)) == (203, {"neutrophil": 100})


def test_too_few_leukocytes_are_shown_as_they_are(case, field_file, findings):
    few = analysed(case, field_file(), findings, {"neutrophil": 99, "artifact": 5})
    shown = short_count.differential(few, blind.Veil(), End.HUNDRED)
    assert (shown.leukocytes, shown.end, shown.asked, shown.too_many) == (99, None, End.HUNDRED, End.HUNDRED)
    assert [(mode.is_shown, mode.can_be_shown) for mode in shown.modes] == [
        (True, True),
        (False, False),
        (False, False),
    ]


# --- the page -------------------------------------------------------------------------------------
def get(client, name, run, **query):
    answer = client.get(reverse(f"inference:{name}", args=[run.pk]), query)
    return answer.status_code, answer.content.decode()


def words(html):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


@pytest.mark.parametrize("name", ["run", "differential"])
def test_the_page_says_what_a_short_count_leaves_out(run, clinician, client_for, name):
    status, html = get(client_for(clinician), name, run, count=100)
    assert status == 200
    said = words(html)
    assert "The first 100 of 203 leukocytes" in said
    assert "Flags, report and exports rest on all leukocytes found, not on these 100." in said
    assert "100 of 203 leukocytes counted" in said
    assert "Blast: 3 among all 203 leukocytes, none among these 100." in said
    assert "above 70 %" in said
    current = re.findall(r'<a id="count-(\w+)"[^>]* aria-current="true"', html)
    assert current == ["100"]


def test_flags_and_figures_stay_those_of_all_leukocytes(run, clinician, client_for):
    said = words(get(client_for(clinician), "run", run, count=100)[1])
    assert "3 of 203 leukocytes are called blasts." in said
    assert "Erythroblasts: 2 beside 203 leukocytes." in said


@pytest.mark.parametrize("count", ["", "150", "all", "-100", "x" * 500])
def test_any_other_count_shows_all(run, clinician, client_for, count):
    for name in ("run", "differential"):
        status, html = get(client_for(clinician), name, run, count=count)
        assert status == 200
        assert "203 leukocytes counted" in html
        assert re.findall(r'<a id="count-(\w+)"[^>]* aria-current="true"', html) == ["all"]


def test_a_count_that_cannot_be_reached_says_why(case, field_file, findings, clinician, client_for):
    few = analysed(case, field_file(), findings, HEALTHY | {"neutrophil": 40})
    said = words(get(client_for(clinician), "run", few, count=200)[1])
    assert "A count of 200 was asked for, and 120 leukocytes were found: all of them are shown." in said
    assert "fewer than 200 were found" in said


def test_an_unfinished_analysis_has_none(queued_run, clinician, client_for):
    assert get(client_for(clinician), "differential", queued_run)[0] == 404


def test_the_desk_has_no_short_count(run, pathologist, client_for):
    status, html = get(client_for(pathologist), "review-slide", run, count=100)
    assert status == 200
    assert "203 leukocytes counted" in html
    assert "count-modes" not in html


def test_a_short_count_asks_the_database_no_more_for_more_cells(
    case, field_file, findings, clinician, client_for
):
    client = client_for(clinician)

    def asked(run):
        with CaptureQueriesContext(connection) as seen:
            assert get(client, "differential", run, count=100)[0] == 200
        return len(seen)

    small = analysed(case, field_file(), findings, HEALTHY)
    great = analysed(case, field_file("b.png", seed=2), findings, {key: 5 * n for key, n in HEALTHY.items()})
    get(client, "differential", small)
    assert asked(great) == asked(small) < 12
