"""The pages in a real browser: what a clinician, a pathologist and an administrator do in a day."""

import base64
import hashlib
import re
import threading
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from django.urls import reverse
from PIL import Image
from playwright.sync_api import Page, expect

from accounts.context import RUO
from accounts.models import DoubleReading, Lab, Role
from accounts.selectors import red_cell_grades
from accounts.services import offer_staging, save_review_settings
from accounts.sign_off import CRITICAL_FINDINGS
from cases.models import Smear, Upload
from cases.questions import answer, ask
from inference import review, runs, selectors, stage_calls, staging_requests
from inference.models import ManualCount
from inference.pipeline.aggregation import share
from tests.browser import PATIENCE_MS, settled, sign_in, sign_out
from tests.conftest import PASSWORD, field_image, person
from tests.counted import CLL, HEALTHY, analysed, case_after
from tests.stagings import staging

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def png(seed: int = 3) -> bytes:
    buffer = BytesIO()
    field_image(seed).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_clinician_opens_a_case_and_hands_files_in(quiet_page, live_server, clinician):
    page = quiet_page
    sign_in(page, live_server, clinician)
    page.get_by_role("link", name="New case").first.click()
    page.get_by_label("Medical record number").fill("MRN-777")
    page.get_by_label("Family name").fill("Okafor")
    page.get_by_label("Accession number").fill("H26-0777")
    page.get_by_label("Collected at").fill("2026-11-20T08:15")
    page.get_by_role("button", name="Open case").click()
    page.wait_for_url(re.compile(r"/cases/[0-9a-f-]{36}/"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("H26-0777")
    page.locator("#upload-files").set_input_files(
        [
            {"name": "field.png", "mimeType": "image/png", "buffer": png()},
            {"name": "letter.jpg", "mimeType": "image/jpeg", "buffer": b"Dear colleague"},
            {"name": "field again.png", "mimeType": "image/png", "buffer": png()},
        ]
    )
    rows = page.locator("#upload-list li")
    expect(rows.nth(0)).to_contain_text("Accepted")
    expect(rows.nth(1)).to_contain_text("Refused")
    expect(rows.nth(2)).to_contain_text("Refused")
    rows.nth(0).get_by_role("link", name="Open the analysis").click()
    expect(page.locator("main")).to_contain_text("Queued")
    assert runs.AnalysisRun.objects.get().smear.original_name == "field.png"


@pytest.fixture
def slide(tmp_path):
    """A file of several parts as long as a part has 32 KiB."""
    path = tmp_path / "Slide 1.png"
    Image.fromarray(np.random.default_rng(5).integers(0, 255, (300, 400, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def case_page(quiet_page, live_server, clinician, case, settings):
    """The page of a case, from which files go in parts of 32 KiB."""
    settings.UPLOAD_CHUNK_BYTES = 32 * 1024
    sign_in(quiet_page, live_server, clinician)
    quiet_page.goto(f"{live_server.url}/cases/{case.pk}/")
    return quiet_page


class Line:
    """The line between the browser and the server, for the parts of files; it can be cut.

    `parts` went over it; a part that meets the cut does not, however often it is tried.
    """

    def __init__(self, page: Page) -> None:
        self.parts, self.cut_after = 0, 10**6
        page.route("**/api/v1/uploads/*/", self._pass)

    def _pass(self, route) -> None:
        if route.request.method != "PATCH":
            route.fallback()
        elif self.parts < self.cut_after:
            self.parts += 1
            route.fallback()
        else:
            route.abort("connectionreset")


def test_a_file_goes_in_parts_over_a_line_that_is_cut(case_page, slide):
    line, row = Line(case_page), case_page.locator("#upload-list li")
    line.cut_after = 3
    case_page.locator("#upload-files").set_input_files(slide)
    expect(row).to_contain_text("The connection was lost; going on in a moment.")
    arrived = Upload.objects.get().received_bytes
    assert arrived == 3 * 32 * 1024
    line.cut_after = 10**6
    expect(row).to_contain_text("Accepted")
    (smear,) = Smear.objects.all()
    with smear.original.open() as original:
        assert original.read() == slide.read_bytes()
    assert Upload.objects.count() == 1
    assert line.parts == -(-slide.stat().st_size // (32 * 1024))


def test_a_file_is_paused_and_goes_on_by_key(case_page, slide):
    line, row = Line(case_page), case_page.locator("#upload-list li")
    line.cut_after = 2
    case_page.locator("#upload-files").set_input_files(slide)
    expect(row).to_contain_text("The connection was lost")
    row.get_by_role("button", name="Pause: Slide 1.png").press("Enter")
    expect(row.locator(".tag")).to_have_text("Paused")
    expect(row.get_by_role("button", name="Go on: Slide 1.png")).to_be_focused()
    line.cut_after = 10**6
    case_page.keyboard.press("Enter")
    expect(row).to_contain_text("Accepted")
    assert Upload.objects.get().smear.sha256 == hashlib.sha256(slide.read_bytes()).hexdigest()


def test_after_a_restart_of_the_browser_the_same_file_goes_on(case_page, slide):
    line = Line(case_page)
    line.cut_after = 4
    case_page.locator("#upload-files").set_input_files(slide)
    expect(case_page.locator("#upload-list li")).to_contain_text("The connection was lost")
    case_page.evaluate("localStorage.clear()")
    case_page.reload()
    unfinished = case_page.locator("#unfinished")
    expect(unfinished).to_contain_text("Slide 1.png")
    expect(unfinished).to_contain_text("begun by Clara Clinic")
    line.cut_after = 10**6
    case_page.locator("#upload-files").set_input_files(slide)
    expect(case_page.locator("#upload-list li")).to_contain_text("Accepted")
    expect(unfinished).to_be_empty()
    assert Upload.objects.count() == 1
    assert line.parts == -(-slide.stat().st_size // (32 * 1024))


def test_an_unfinished_file_is_discarded(case_page, slide):
    line = Line(case_page)
    line.cut_after = 1
    case_page.locator("#upload-files").set_input_files(slide)
    row = case_page.locator("#upload-list li")
    expect(row).to_contain_text("The connection was lost")
    with case_page.expect_response(lambda answer: answer.request.method == "DELETE"):
        row.get_by_role("button", name="Discard: Slide 1.png").click()
    expect(row).to_have_count(0)
    assert not Upload.objects.exists()
    case_page.locator("#upload-files").set_input_files(slide)
    expect(row).to_contain_text("The connection was lost")
    case_page.reload()
    case_page.on("dialog", lambda asked: asked.accept())
    case_page.get_by_role("button", name="Discard Slide 1.png").click()
    expect(case_page.locator("#unfinished li")).to_have_count(0)
    assert not Upload.objects.exists()


def test_a_file_that_can_never_be_accepted_is_not_sent(case_page, tmp_path):
    letter = tmp_path / "letter.docx"
    letter.write_text("Dear colleague")
    line = Line(case_page)
    case_page.locator("#upload-files").set_input_files(letter)
    row = case_page.locator("#upload-list li")
    expect(row).to_contain_text("Refused")
    expect(row).to_contain_text("Files named “.docx” are not accepted.")
    assert line.parts == 0


def test_the_result_shows_a_chosen_cell(quiet_page, live_server, pathologist, done_run):
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/")
    page.locator('[data-cell="8"] .box').click()
    panel = page.locator("#cell-panel")
    expect(panel).to_contain_text("Eosinophil")
    expect(panel).to_contain_text("55")
    page.get_by_role("checkbox", name=re.compile("Red")).uncheck()
    expect(page.locator('[data-cell="9"] .box')).to_be_hidden()
    expect(page.locator("main")).to_contain_text("not analysed")


def test_the_differential_is_shown_over_a_hundred_cells_by_key(
    quiet_page, live_server, pathologist, case, field_file, findings
):
    page, run = quiet_page, analysed(case, field_file(), findings, {"neutrophil": 110, "blast": 2})
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{run.pk}/?cell=1")
    short = page.get_by_role("link", name="100 cells", exact=True)
    short.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#differential-panel")).to_contain_text(
        "Blast: 2 among all 112 leukocytes, none among these 100."
    )
    expect(short).to_have_attribute("aria-current", "true")
    expect(short).to_be_focused()
    page.wait_for_url("**/?cell=1&count=100")
    page.reload()
    expect(short).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="All 112 cells").click()
    expect(page.locator("#differential-panel")).to_contain_text("112 leukocytes counted")
    page.wait_for_url("**/?cell=1")


def test_a_smear_is_read_in_the_viewer(quiet_page, live_server, pathologist, done_run):
    """Opened from the result at the chosen cell; filtered, measured, gone through by key, beside no other."""
    page = quiet_page
    page.emulate_media(reduced_motion="reduce")
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/?cell=8")
    page.get_by_role("link", name="Open viewer").click()
    expect(page.locator("#viewer[data-ready]")).to_be_visible()
    panel, count = page.locator("#cell-panel"), page.locator("#shown-count")
    expect(panel).to_contain_text("Eosinophil")
    expect(count).to_have_text("19 of 19 cells")
    expect(page.locator(".scale-bar")).to_contain_text("µm")
    page.get_by_label("State").select_option("open")
    expect(count).to_have_text("2 of 19 cells")
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    expect(panel).to_contain_text("Blast")
    expect(page).to_have_url(re.compile(r"cell=7"))
    page.get_by_role("button", name="Show all").click()
    expect(count).to_have_text("19 of 19 cells")
    page.keyboard.press("0")
    x, y = place_of(page, 60 + 60 * 5, 240)
    page.mouse.click(x, y)
    expect(panel).to_contain_text("Cell 5")
    page.keyboard.press("m")
    page.mouse.click(*place_of(page, 100, 100))
    page.mouse.click(*place_of(page, 300, 100))
    expect(page.locator("#viewer-said")).to_have_text(re.compile(r"Distance: (19\.[89]|20\.[01])\d µm"))
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys of this page")).to_be_hidden()


def test_cells_are_filtered_in_the_viewer_and_coloured_by_kind(
    quiet_page, live_server, pathologist, doubted_run
):
    page, count, again = (
        quiet_page,
        quiet_page.locator("#shown-count"),
        quiet_page.get_by_role("button", name="Show all"),
    )
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{doubted_run.pk}/viewer/")
    expect(page.locator("#viewer[data-ready]")).to_be_visible()
    expect(count).to_have_text("19 of 19 cells")
    page.get_by_role("checkbox", name="Neutrophil").uncheck()
    expect(count).to_have_text("15 of 19 cells")
    again.click()
    page.get_by_label("from", exact=True).fill("92")
    expect(count).to_have_text("6 of 19 cells")
    again.click()
    for flag in ("out of distribution", "two networks disagree"):
        page.get_by_label("Flag").select_option(flag)
        expect(count).to_have_text("1 of 19 cells")
    again.click()
    expect(count).to_have_text("19 of 19 cells")
    neutrophils = [0x00, 0x72, 0xB2]
    page.wait_for_function(DRAWN, arg=[neutrophils, True])
    page.get_by_role("radio", name="kind").check()
    page.wait_for_function(DRAWN, arg=[neutrophils, False])
    page.get_by_role("radio", name="class").check()
    page.wait_for_function(DRAWN, arg=[neutrophils, True])


DRAWN = """([colour, wanted]) => {
  const canvas = document.querySelector(".pane canvas.overlay");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const is = (at) => [...colour, 255].every((value, channel) => data[at + channel] === value);
  return wanted === Array.from({ length: data.length / 4 }, (_, place) => 4 * place).some(is);
}"""
"""Whether anything is drawn over the picture in a colour, or nothing is."""


def test_an_earlier_smear_of_the_patient_moves_along(
    quiet_page, live_server, pathologist, clinician, case, done_run, field_file, findings
):
    earlier = runs.submit(clinician, case, field_file("earlier.png", seed=4))
    coarser = replace(findings, pixel_um=0.2)
    runs.save(earlier.pk, runs.QUEUE.claim(earlier.pk), coarser, np.asarray(field_image(4)))
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/viewer/")
    expect(page.locator("#viewer[data-ready]")).to_be_visible()
    page.get_by_label("Beside").select_option(index=1)
    panes = page.locator(".pane")
    expect(panes).to_have_count(2)
    expect(page).to_have_url(re.compile(str(earlier.pk)))
    scale = scale_of_both(page)
    page.get_by_label("Move together").check()
    for key in ("+", "+", "ArrowRight"):
        page.keyboard.press(key)
    scale_of_both(page, over=1.5 * scale)


SCALE_OF_BOTH = """(over) => {
  const bars = [...document.querySelectorAll(".scale-bar i")];
  const [one, other] = bars.map((bar) => bar.offsetWidth / parseFloat(bar.parentNode.textContent));
  return one > over && Math.abs(one / other - 1) < 0.05 && one;
}"""


def scale_of_both(page: Page, over: float = 0) -> float:
    """The px per µm at which both smears are shown, once it is the same one and greater than `over`."""
    return page.wait_for_function(SCALE_OF_BOTH, arg=over).json_value()


def place_of(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place of the image of 640×480 px lies on the page while the whole of it is seen."""
    box = page.locator(".picture").bounding_box()
    scale = min(box["width"] / 640, box["height"] / 480)
    left = box["x"] + (box["width"] - 640 * scale) / 2
    return left + x * scale, box["y"] + (box["height"] - 480 * scale) / 2 + y * scale


def test_a_pathologist_reviews_by_key_signs_off_and_signs(quiet_page, live_server, pathologist, done_run):
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/")
    page.get_by_role("button", name="Review").click()
    page.wait_for_url(re.compile(r"/review/[0-9a-f-]{36}/"))
    desk = settled(page, "#desk")
    expect(desk).to_contain_text("2 cells need review")
    expect(page.get_by_role("button", name="Sign off this slide")).to_be_disabled()
    page.keyboard.press("Enter")
    expect(desk).to_contain_text("1 cell needs review")
    page.keyboard.press("n")
    expect(desk).to_contain_text("No cell is open")
    page.keyboard.press("u")
    expect(desk).to_contain_text("1 cell needs review")
    page.keyboard.press("n")
    expect(desk).to_contain_text("No cell is open")
    page.get_by_role("button", name="Sign off this slide").click()
    expect(page).to_have_url(re.compile(rf"/runs/{done_run.pk}/"))
    page.goto(f"{live_server.url}/cases/{done_run.smear.case_id}/report/")
    page.get_by_role("button", name="Draft the report").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign the report").click()
    expect(page.locator("main")).to_contain_text("Final")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF", exact=True).first.click()
    assert download.value.path().read_bytes().startswith(b"%PDF")


def test_a_red_cell_in_review_shows_where_the_network_looked(quiet_page, live_server, pathologist, red_run):
    page = quiet_page
    number = selectors.open_cells(red_run).filter(kind="RBC").first().number
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/{red_run.pk}/?cell={number}")
    desk, heat = page.locator("#desk"), page.locator(".crop .heat")
    expect(desk).to_contain_text("Evidence on the cell")
    expect(desk).to_contain_text("Seen: a target.")
    expect(heat).to_have_css("opacity", "0")
    page.keyboard.press("h")
    expect(heat).not_to_have_css("opacity", "0")
    page.get_by_label("Heat map").fill("40")
    expect(heat).to_have_css("opacity", "0.4")
    expect(page.get_by_role("button", name="Make anew")).to_be_visible()


def section(page: Page, key: str):
    return page.locator(f'[data-section="{key}"]')


def cell_in(page: Page, key: str, number: int):
    return section(page, key).locator(f'.tile[data-cell="{number}"]')


@pytest.fixture
def gallery_page(quiet_page, live_server, pathologist, doubted_run):
    sign_in(quiet_page, live_server, pathologist)
    quiet_page.goto(f"{live_server.url}/runs/{doubted_run.pk}/")
    quiet_page.get_by_role("link", name="Gallery", exact=True).click()
    expect(quiet_page.locator("#gallery[data-ready]")).to_be_visible()
    return quiet_page


def test_cells_are_called_in_the_gallery_by_key_and_undone(gallery_page, doubted_run):
    page, said = gallery_page, gallery_page.locator("#said")
    neutrophils = section(page, "neutrophil").locator(".tile")
    expect(neutrophils).to_have_count(4)
    neutrophils.first.click()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("#hand")).to_have_text("2 cells chosen")
    page.keyboard.press("b")
    expect(said).to_have_text("2 cells: Basophil.")
    expect(section(page, "basophil").locator(".tile")).to_have_count(2)
    expect(neutrophils).to_have_count(2)
    cell_in(page, "blast", 7).click()
    expect(page.locator("#cell-panel")).to_contain_text("Cell 7")
    page.keyboard.press("l")
    expect(cell_in(page, "lymphocyte", 7)).to_be_visible()
    page.reload()
    expect(page.locator("#gallery[data-ready]")).to_be_visible()
    page.keyboard.press("Control+z")
    expect(cell_in(page, "blast", 7)).to_be_visible()
    page.keyboard.press("u")
    expect(neutrophils).to_have_count(4)
    page.keyboard.press("Control+Shift+z")
    expect(section(page, "basophil").locator(".tile")).to_have_count(2)
    assert selectors.cells_of([doubted_run]).figures().differential["basophil"].count == 2
    assert doubted_run.cells.get(number=7).reviews.filter(undone_at=None).count() == 0


def test_undoing_waits_for_the_call_under_way(gallery_page):
    page, held = gallery_page, []
    cell_in(page, "blast", 7).click()
    page.keyboard.press("l")
    earlier = cell_in(page, "lymphocyte", 7)
    expect(earlier).to_be_visible()
    page.route("**/cells/decide/", lambda route: held.append(route))
    cell_in(page, "neutrophil", 1).click()
    with page.expect_request("**/cells/decide/"):
        page.keyboard.press("b")
    page.keyboard.press("u")
    expect(cell_in(page, "neutrophil", 1)).to_have_class(re.compile("saving"))
    expect(earlier).not_to_have_class(re.compile("saving"))
    held[0].continue_()
    expect(page.locator("#said")).to_have_text("Cell 1: taken back.")
    expect(cell_in(page, "neutrophil", 1)).to_be_visible()
    expect(earlier).to_be_visible()


def test_the_gallery_shows_the_cells_of_a_reason_alone(quiet_page, live_server, pathologist, red_run):
    normal = red_run.cells.filter(kind="RBC", label="normal").first()
    red_run.cells.filter(pk=normal.pk).update(review_reasons=["measures_disagree"])
    sign_in(quiet_page, live_server, pathologist)
    quiet_page.goto(f"{live_server.url}/runs/{red_run.pk}/gallery/?stream=RBC&reason=measures_disagree")
    expect(quiet_page.locator("#gallery[data-ready]")).to_be_visible()
    expect(quiet_page.locator("#cells .tile")).to_have_count(1)
    expect(quiet_page.locator("#hand")).to_contain_text(f"Cell {normal.number} in hand")
    quiet_page.locator("#reason").select_option("")
    expect(quiet_page.locator("#cells [data-section=sickle]")).to_be_visible()
    assert "reason=" not in quiet_page.url


def test_a_red_cell_is_called_in_the_gallery_by_key_and_undone(quiet_page, live_server, pathologist, red_run):
    page, targets = quiet_page, section(quiet_page, "target").locator(".tile")
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{red_run.pk}/gallery/?stream=RBC")
    expect(targets).to_have_count(20)
    number = int(targets.last.get_attribute("data-cell"))
    targets.last.click()
    expect(page.locator("#cell-panel")).to_contain_text(f"Cell {number}")
    page.keyboard.press("f")
    expect(page.locator("#said")).to_have_text(f"Cell {number}: Schistocyte.")
    expect(cell_in(page, "schistocyte", number)).to_be_visible()
    expect(targets).to_have_count(19)
    cell = red_run.cells.get(number=number)
    assert selectors.current_label(cell) == "schistocyte"
    page.keyboard.press("u")
    expect(cell_in(page, "target", number)).to_be_visible()
    expect(section(page, "schistocyte").locator(".tile")).to_have_count(0)
    assert not cell.reviews.filter(undone_at=None).exists()


def test_cells_called_blind_stand_unidentified_in_the_gallery(
    quiet_page, live_server, administrator, pathologist, done_run
):
    """No class, no share and no heat map is there until the reader has called the cell, by its key."""
    save_review_settings(administrator, DoubleReading.OFF, 100)
    page, tile = quiet_page, cell_in(quiet_page, "unidentified", 7)
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/gallery/")
    expect(page.locator("#gallery[data-ready]")).to_be_visible()
    expect(section(page, "unidentified").locator(".tile")).to_have_count(2)
    expect(section(page, "blast")).to_have_count(0)
    expect(tile).to_have_accessible_name(re.compile("needs review"))
    expect(tile).not_to_contain_text("Blast")
    page.keyboard.press("h")
    expect(page.locator(".cell-thumb .heat")).to_have_count(0)
    tile.click()
    page.keyboard.press("k")
    expect(cell_in(page, "blast", 7)).to_contain_text("Blast")
    expect(section(page, "unidentified").locator(".tile")).to_have_count(1)
    page.keyboard.press("u")
    expect(page.locator("#said")).to_have_text("Cell 7: taken back.")
    assert done_run.cells.get(number=7).reviews.get().blind


def test_a_second_readers_call_in_the_gallery_is_taken_back(
    quiet_page, live_server, lab, administrator, pathologist, done_run
):
    save_review_settings(administrator, DoubleReading.ALL, 0)
    peer, cell = person(lab, Role.PATHOLOGIST, "Petra Peer"), done_run.cells.get(number=8)
    review.decide(peer, cell, "monocyte")
    review.release_slide(peer, done_run)
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/gallery/?cell=8")
    expect(cell_in(page, "eosinophil", 8)).to_be_visible()
    page.keyboard.press("l")
    expect(cell_in(page, "monocyte", 8)).to_be_visible()
    cell.refresh_from_db()
    assert cell.double_reading == cell.DoubleReading.DIFFERS
    page.keyboard.press("u")
    expect(page.locator("#said")).to_have_text("Cell 8: taken back.")
    expect(page.locator("#tool-redo")).to_be_disabled()
    cell.refresh_from_db()
    assert cell.double_reading == cell.DoubleReading.WAITING


def test_cells_are_dragged_onto_a_class_and_compared(gallery_page, doubted_run):
    page = gallery_page
    cell_in(page, "neutrophil", 1).click()
    cell_in(page, "neutrophil", 2).click(modifiers=["Control"])
    expect(page.locator("#cell-panel")).to_contain_text("Cell 2")
    page.locator("#left, #right").first.wait_for(state="hidden")
    page.keyboard.press("c")
    page.get_by_label("Class on the left").select_option("neutrophil")
    page.get_by_label("Class on the right").select_option("blast")
    expect(page.locator(".cell-section")).to_have_count(2)
    boxes = [section(page, key).bounding_box() for key in ("neutrophil", "blast")]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"] + 1
    from_, to = cell_in(page, "neutrophil", 1).bounding_box(), boxes[1]
    page.mouse.move(from_["x"] + 20, from_["y"] + 20)
    page.mouse.down()
    page.mouse.move(to["x"] + 60, to["y"] + 60, steps=4)
    expect(page.locator(".drag-ghost")).to_have_text("2 cells")
    page.mouse.up()
    expect(section(page, "blast").locator(".tile")).to_have_count(3)
    expect(page.locator("#place-whole .in-hand")).to_have_count(1)
    assert doubted_run.cells.filter(reviews__label="blast", reviews__undone_at=None).count() == 2


def test_a_finger_drags_a_cell_that_it_rested_on(browser, live_server, pathologist, doubted_run):
    context = browser.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    page = context.new_page()
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/runs/{doubted_run.pk}/gallery/")
    expect(page.locator("#gallery[data-ready]")).to_be_visible()
    finger = context.new_cdp_session(page)

    def touch(kind: str, *boxes: dict[str, float]) -> None:
        points = [{"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2} for box in boxes]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    from_ = cell_in(page, "neutrophil", 1).bounding_box()
    to = page.locator('#classes [data-drop="monocyte"]').bounding_box()
    assert from_ and to
    touch("touchStart", from_)
    expect(page.locator(".drag-ghost")).to_have_text("Cell 1")
    touch("touchMove", to)
    expect(page.locator('#classes [data-drop="monocyte"]')).to_have_class(re.compile("drop-here"))
    touch("touchEnd")
    expect(cell_in(page, "monocyte", 1)).to_be_visible()
    expect(page.locator("#said")).to_have_text("Cell 1: Monocyte.")
    context.close()


def test_what_a_colleague_changed_meanwhile_is_said_and_stays(gallery_page, doubted_run, lab):
    page, colleague = gallery_page, person(lab, Role.PATHOLOGIST, "Petra Peer")
    review.decide(colleague, doubted_run.cells.get(number=7), "monocyte")
    review.release_slide(colleague, selectors.run_for(colleague, doubted_run.pk))
    cell_in(page, "blast", 7).click()
    cell_in(page, "eosinophil", 8).click(modifiers=["Control"])
    page.keyboard.press("l")
    refused = page.locator("#refused")
    expect(refused).to_contain_text("Not changed: Cell 7: Petra Peer called it Monocyte meanwhile.")
    expect(cell_in(page, "monocyte", 7)).to_have_attribute("aria-selected", "true")
    expect(cell_in(page, "lymphocyte", 8)).to_be_visible()
    page.keyboard.press("Escape")
    expect(refused).to_be_hidden()


def test_nothing_chosen_is_lost_when_the_server_is_gone(gallery_page):
    page = gallery_page
    page.route("**/cells/decide/", lambda route: route.abort("connectionreset"))
    cell_in(page, "blast", 7).click()
    page.keyboard.press("l")
    expect(page.locator("#refused")).to_contain_text("The server did not answer")
    expect(cell_in(page, "blast", 7)).to_have_attribute("aria-selected", "true")
    page.unroute("**/cells/decide/")
    page.keyboard.press("l")
    expect(cell_in(page, "lymphocyte", 7)).to_be_visible()


@pytest.fixture
def one_reliable(doubted_run):
    """Of two heat maps stored, that of cell 8 is reliable."""
    doubted_run.cells.filter(number=8).update(explanation={"receipt": {"reliable": True}})


def test_a_doubtful_heat_map_is_marked_in_the_gallery_and_a_missing_one_is_said(one_reliable, gallery_page):
    page, said = gallery_page, gallery_page.locator("#said")
    cell_in(page, "neutrophil", 1).click()
    page.keyboard.press("h")
    expect(said).to_have_text("No heat map is stored of cell 1. The card beside makes one.")
    doubtful, reliable = cell_in(page, "blast", 7), cell_in(page, "eosinophil", 8)
    expect(doubtful).to_have_attribute("title", re.compile("not reliable for this cell"))
    expect(doubtful).to_have_accessible_name(re.compile("not reliable for this cell"))
    expect(doubtful.locator(".heat")).to_have_css("opacity", "0.3")
    expect(reliable).not_to_have_attribute("title", re.compile("not reliable"))
    expect(reliable.locator(".heat")).to_have_css("opacity", "0.65")
    page.keyboard.press("h")
    expect(said).to_have_text("")
    expect(doubtful).not_to_have_attribute("title", re.compile("not reliable"))
    doubtful.click()
    page.keyboard.press("h")
    expect(said).to_have_text("")


def test_the_gallery_looks_as_its_reader_left_it(gallery_page):
    page = gallery_page
    page.keyboard.press("+")
    page.get_by_label("Order").select_option("sure")
    page.keyboard.press("w")
    expect(page.locator(".tile")).to_have_count(2)
    page.keyboard.press("h")
    expect(page.locator(".tile .heat")).to_have_count(2)
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys of this page")
    expect(sheet).to_be_visible()
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.reload()
    expect(page.locator("#gallery[data-ready]")).to_be_visible()
    expect(page.locator("#size")).to_have_value("112")
    expect(page.get_by_label("Order")).to_have_value("sure")


def test_a_second_pathologist_reads_blind_after_a_skip(
    quiet_page, live_server, lab, administrator, pathologist, done_run
):
    """One skips a cell by key and calls both; another, who sees neither call, differs on one of them."""
    peer = person(lab, Role.PATHOLOGIST, "Petra Peer")
    save_review_settings(administrator, DoubleReading.ALL, 100)
    page, desk = quiet_page, settled(quiet_page, "#desk")
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/{done_run.pk}/")
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(desk).to_contain_text("Cell 7 in the field")
    expect(desk).to_contain_text("Called blind.")
    expect(page.get_by_role("button", name="Confirm")).to_have_count(0)
    page.keyboard.press("x")
    page.get_by_label("better for a colleague").check()
    page.get_by_label("Comment, shown to the next reader").fill("Auer rod?")
    page.keyboard.press("Enter")
    expect(desk).to_contain_text("Cell 8 in the field")
    page.keyboard.press("e")
    expect(page.locator("#desk-said")).to_contain_text("The machine agrees.")
    expect(desk).to_contain_text("Skipped by Paul Path")
    page.keyboard.press("k")
    expect(desk).to_contain_text("2 cells wait for a second pathologist")
    page.get_by_role("button", name="Give the slide back").click()
    expect(page).to_have_url(f"{live_server.url}/review/")
    sign_out(page)
    sign_in(page, live_server, peer)
    page.goto(f"{live_server.url}/review/")
    expect(page.locator("main")).to_contain_text("second reading")
    page.get_by_role("button", name="Review").click()
    page.wait_for_url(re.compile(r"/review/[0-9a-f-]{36}/"))
    expect(desk).to_contain_text("Second reading.")
    expect(desk).not_to_contain_text("Paul Path called")
    page.keyboard.press("k")
    expect(page.locator("#desk-said")).to_contain_text("Paul Path agrees.")
    expect(desk).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator("#desk-said")).to_contain_text("Paul Path called it Eosinophil: you differ.")
    expect(desk).to_contain_text("two pathologists differ on 1 cell")
    expect(page.get_by_role("button", name="Sign off this slide")).to_be_disabled()
    sign_out(page)
    sign_in(page, live_server, administrator)
    page.goto(f"{live_server.url}/laboratory/agreement/")
    expect(page.get_by_role("row", name="Petra Peer")).to_contain_text("50.0 %")


def test_a_slide_held_by_a_colleague_is_looked_at_and_taken_over(
    quiet_page, browser, live_server, lab, pathologist, done_run
):
    peer = person(lab, Role.PATHOLOGIST, "Petra Peer")
    review.claim_slide(peer, selectors.run_for(peer, done_run.pk))
    page, desk, address = quiet_page, quiet_page.locator("#desk"), f"{live_server.url}/review/"
    sign_in(page, live_server, pathologist)
    page.goto(address)
    expect(page.locator("main")).to_contain_text("held by Petra Peer until")
    page.get_by_role("link", name="Look", exact=True).click()
    expect(desk).to_contain_text("This slide is held by Petra Peer until")
    expect(page.get_by_role("button", name="Confirm: Blast")).to_be_disabled()
    page.keyboard.press("l")
    expect(desk).to_contain_text("2 cells need review")

    hers = browser.new_context().new_page()
    sign_in(hers, live_server, peer)
    hers.goto(f"{address}{done_run.pk}/")
    hers.get_by_role("button", name="Give the slide back").click()
    expect(hers.get_by_role("heading", level=1)).to_have_text("Review")

    page.goto(address)
    expect(page.locator("main")).not_to_contain_text("held by")
    page.get_by_role("button", name="Review", exact=True).click()
    expect(desk).to_contain_text("held by you until")
    page.keyboard.press("l")
    expect(desk).to_contain_text("1 cell needs review")
    hers.reload()
    expect(hers.locator("main")).to_contain_text("held by Paul Path until")
    hers.context.close()


def test_a_patient_is_followed_from_the_case_to_the_trends(
    quiet_page, live_server, pathologist, case, field_file, findings
):
    """Two days after a lymphocytic leukemia the differential is a healthy one."""
    review.sign_off(pathologist, analysed(case, field_file(seed=1), findings, CLL))
    later = case_after(case, 2)
    analysed(later, field_file("later.png", seed=2), findings, HEALTHY)
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/cases/{later.pk}/")
    page.get_by_role("link", name="later.png", exact=True).click()
    delta = page.get_by_role("region", name="Since the last smear")
    expect(delta).to_contain_text("2.0 days before")
    expect(delta.get_by_role("alert")).to_contain_text("The samples may be mixed up.")
    expect(delta.get_by_role("row", name="Lymphocyte")).to_contain_text("88.0")
    delta.get_by_role("link", name="over time").click()
    trends = page.get_by_role("region", name="The differential over time")
    expect(page.get_by_role("heading", level=1)).to_contain_text("over time")
    expect(trends.get_by_role("img")).to_have_count(9)
    lymphocytes = trends.locator(".trend", has=page.get_by_role("heading", name="Lymphocyte"))
    lymphocytes.locator("summary").click()
    rows = lymphocytes.get_by_role("row")
    expect(rows.filter(has_text="88.0")).to_be_visible()
    expect(rows.filter(has_text=later.accession)).to_contain_text("30.0")


def test_staging_is_requested_late_and_answered(
    quiet_page, live_server, lab, administrator, clinician, pathologist, done_run
):
    """The page of the case shows by itself when the staging has ended."""
    offer_staging(administrator, True)
    page, case_id = quiet_page, done_run.smear.case_id
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/cases/{case_id}/")
    page.get_by_role("button", name="Request leukemia staging").click()
    box = page.locator("#case-staging")
    expect(box).to_contain_text("Requested by Clara Clinic")
    expect(box).to_contain_text("not finished")
    call = done_run.stage_call
    stage_calls.save(call.pk, stage_calls.QUEUE.claim(call.pk), staging("pre_b", "leukemia"))
    expect(box).to_contain_text("Pre-B ALL needs a person's answer")
    sign_out(page)
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/{done_run.pk}/")
    page.get_by_role("button", name="Pro-B ALL").click()
    expect(page.locator("#staging")).to_contain_text("answered otherwise")
    page.get_by_role("button", name="Undo my answer").click()
    expect(page.locator("#staging")).to_contain_text("needs a person's answer")


def test_a_staged_field_shows_where_the_network_looked(
    quiet_page, live_server, administrator, clinician, done_run, monkeypatch
):
    """By keyboard; while the map is made the page says so, and then stands at the map."""
    offer_staging(administrator, True)
    staging_requests.request(clinician, done_run.smear.case)
    call = done_run.stage_call
    stage_calls.save(call.pk, stage_calls.QUEUE.claim(call.pk), staging("pre_b", "leukemia"))
    made, begun = threading.Event(), threading.Event()

    def worker(_task, _call, number, method):
        begun.set()
        assert made.wait(PATIENCE_MS / 1000)
        tried = dict.fromkeys(("deletion", "insertion", "random_deletion", "random_insertion"), 0.5)
        shown = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
        figures = {"strength": 0.02, "focus_ratio": 0.15, "covered_ratio": 0.13}
        return {"field": shown, "picture": shown, **figures, "receipt": {**tried, "reliable": False}}

    monkeypatch.setattr("inference.answers.ask", worker)
    page = quiet_page
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/runs/{done_run.pk}/")
    page.get_by_role("button", name="Show where the network looked in field 2").press("Enter")
    busy, fields = page.get_by_text("The heat map is being made."), page.locator("#field-heat-map")
    expect(busy).to_be_visible()
    assert begun.wait(PATIENCE_MS / 1000)
    made.set()
    heading = fields.get_by_role("heading", name="Field 2: where the network looked")
    expect(heading).to_be_focused()
    expect(busy).to_be_hidden()
    expect(fields).to_contain_text("not reliable for this field")
    heat = fields.locator(".heat")
    expect(heat).to_have_css("opacity", "0.65")
    fields.get_by_role("slider", name="Heat map").fill("20")
    expect(heat).to_have_css("opacity", "0.2")
    fields.get_by_label("Method").select_option("grad_cam")
    fields.get_by_role("button", name="Make anew").press("Enter")
    expect(fields.locator("option[value=grad_cam]")).to_have_attribute("selected", "")


def test_a_question_is_asked_and_answered(quiet_page, browser, live_server, clinician, pathologist, done_run):
    """By keyboard, and each side hears of it without loading a page anew."""
    page, address = quiet_page, f"{live_server.url}/cases/{done_run.smear.case_id}/"
    sign_in(page, live_server, clinician)
    page.goto(address)
    thread = settled(page, ".thread")
    thread.get_by_label("Your question to the pathologist").fill("Are these <blasts>?")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(thread).to_contain_text("Are these <blasts>?")
    expect(thread).to_contain_text("Open")

    desk = browser.new_context().new_page()
    sign_in(desk, live_server, pathologist)
    expect(desk.locator("#bell")).to_contain_text("1 unread")
    desk.goto(f"{live_server.url}/review/")
    desk.locator("section", has_text="Open questions").get_by_role("link", name="H26-0001").click()
    desk.get_by_label("Answer to Clara Clinic").fill("Reactive lymphocytes.")
    desk.get_by_role("button", name="Send the answer").click()
    expect(desk.locator(".answer")).to_contain_text("Reactive lymphocytes.")
    expect(desk.locator("#bell")).not_to_contain_text("unread")
    desk.context.close()

    expect(thread).to_contain_text("Reactive lymphocytes.")
    page.goto(f"{live_server.url}/")
    expect(page.locator("#worklist")).to_contain_text("a question was answered")
    page.locator("#bell").click()
    page.get_by_role("link", name="Question answered").click()
    expect(thread).to_contain_text("Reactive lymphocytes.")
    expect(page.locator("#questions")).to_be_focused()


def test_what_somebody_is_typing_is_not_replaced(quiet_page, live_server, clinician, pathologist, case):
    page = quiet_page
    asked = ask(clinician, case, "First?")
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/cases/{case.pk}/")
    thread = settled(page, ".thread")
    thread.get_by_text("Ask the pathologist", exact=True).click()
    typing = page.get_by_label("Your question to the pathologist")
    typing.fill("Second, half wr")
    answer(pathologist, asked, "Answered meanwhile.")
    with page.expect_response(f"{live_server.url}{reverse('inference:case-runs', args=[case.pk])}"):
        page.evaluate("htmx.trigger(document.body, 'case-changed')")
    expect(typing).to_have_value("Second, half wr")
    page.get_by_role("button", name="Send the question").click()
    expect(thread).to_contain_text("Answered meanwhile.")
    expect(thread).to_contain_text("Second, half wr")


def test_what_somebody_types_while_a_thread_is_asked_for_stays(quiet_page, live_server, clinician, case):
    page, held = quiet_page, []
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/cases/{case.pk}/")
    typing = settled(page, ".thread").get_by_label("Your question to the pathologist")
    thread = f"{live_server.url}{reverse('cases:questions', args=[case.pk])}*"
    page.route(thread, lambda route: held.append(route))
    with page.expect_request(thread):
        page.evaluate("htmx.trigger(document.body, 'case-changed')")
    typing.fill("Typed meanwh")
    with page.expect_response(thread):
        held[0].continue_()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    expect(typing).to_have_value("Typed meanwh")


def test_the_worklist_follows_the_work_and_keeps_the_focus(quiet_page, live_server, clinician, queued_run):
    page = quiet_page
    sign_in(page, live_server, clinician)
    row = page.locator("tr", has_text="H26-0001")
    expect(row).to_contain_text("queued")
    row.get_by_role("link", name="H26-0001").focus()
    runs.note_stage(queued_run.pk, runs.QUEUE.claim(queued_run.pk), "segmentation", 0.5)
    expect(row).to_contain_text("50 %")
    expect(row.get_by_role("link", name="H26-0001")).to_be_focused()


def test_a_signed_report_is_printed_as_a_sheet(quiet_page, live_server, clinician, signed_report):
    page = quiet_page
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/cases/{signed_report.case_id}/report/")
    page.evaluate("window.print = () => document.body.setAttribute('data-printed', '')")
    page.get_by_role("button", name="Print").press("Enter")
    expect(page.locator("body[data-printed]")).to_have_count(1)
    page.emulate_media(media="print")
    expect(page.locator(".report")).to_be_visible()
    expect(page.locator(".ruo-line")).to_be_visible()
    for hidden in (".topbar", ".page-head", "#versions-head", "#questions"):
        expect(page.locator(hidden)).to_be_hidden()


def test_an_administrator_reads_the_trail(quiet_page, live_server, administrator, done_run):
    page = quiet_page
    sign_in(page, live_server, administrator)
    page.goto(f"{live_server.url}/laboratory/audit/")
    expect(page.locator("main")).to_contain_text("run.done")
    expect(page.locator("main")).to_contain_text("H26-0001")


def test_an_administrator_changes_what_the_laboratory_asks_for(quiet_page, live_server, administrator):
    """Limits of red cells, the sign-off and the review: refused with the reason, kept, and shown again."""
    page, said = quiet_page, quiet_page.locator(".messages")
    save = page.get_by_role("button", name="Save")
    sign_in(page, live_server, administrator)
    page.get_by_role("link", name="Laboratory").first.click()
    tabs = page.get_by_role("navigation", name="Laboratory")

    tabs.get_by_role("link", name="Red cells").click()
    page.get_by_label("Lower limit, µm").fill("9")
    save.click()
    expect(page.locator("main")).to_contain_text("The lower limit has to be below the upper one.")
    page.get_by_label("Lower limit, µm").fill("6.6")
    page.get_by_label("Target cell, 2+ from, %").fill("7.5")
    save.click()
    expect(said).to_contain_text("The limits for red cells are saved.")
    expect(page.get_by_label("Target cell, 2+ from, %")).to_have_value("7.5")

    tabs.get_by_role("link", name="Sign-off").click()
    page.get_by_label("Least leukocytes").fill("200")
    page.get_by_label(str(CRITICAL_FINDINGS["first_blasts"].name)).check()
    save.click()
    expect(said).to_contain_text("The limits for the sign-off are saved.")
    expect(page.get_by_label("Least leukocytes")).to_have_value("200")

    tabs.get_by_role("link", name="Review").click()
    page.get_by_label("Cells near a decision limit on which the two networks disagree").check()
    page.get_by_label("Share of cells called blind, %").fill("20")
    save.click()
    expect(said).to_contain_text("The settings of the review are saved.")
    expect(page.get_by_label("Share of cells called blind, %")).to_have_value("20")

    lab = Lab.objects.get()
    assert (lab.rbc_low_um, red_cell_grades(lab.pk)["target"][1]) == (6.6, 7.5)
    assert (lab.least_wbc, "first_blasts" in lab.not_critical) == (200, False)
    assert (lab.double_reading, lab.blind_percent) == (DoubleReading.NEAR, 20)


def test_the_api_describes_itself(quiet_page, live_server, clinician):
    page = quiet_page
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}/api/docs/")
    expect(page.locator("#swagger-ui")).to_contain_text("/api/v1/cases/{case_id}/smears/")


@pytest.mark.parametrize("path", ["/", "/patients/", "/review/", "/accounts/login/", "/nowhere/"])
def test_every_page_says_research_use_only(quiet_page, live_server, pathologist, path):
    page = quiet_page
    if path != "/accounts/login/":
        sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}{path}")
    expect(page.locator("body")).to_contain_text(str(RUO))


def test_a_count_by_hand_goes_by_keys(quiet_page, live_server, pathologist, queued_run):
    """No worker has run: a hundred cells by key, one of them undone, and the count stands on the smear."""
    page, keys = quiet_page, "n" * 60 + "l" * 25 + "r" + "m" * 8 + "k"
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/smears/{queued_run.smear_id}/count/")
    expect(page.locator("#tally-sound")).not_to_be_checked()
    for key in keys + "u" + "e" * 8:
        page.keyboard.press(key)
    expected = share(60, 100)
    expect(page.locator("#tally-n")).to_have_text("100")
    neutrophils = page.locator('[data-class="neutrophil"]')
    expect(neutrophils.locator(".tally-share")).to_have_text("60.0")
    expect(neutrophils.locator(".tally-interval")).to_have_text(f"{expected.low:.1f}–{expected.high:.1f}")
    expect(page.locator("#tally-said")).to_contain_text("cell was not counted")
    expect(page.locator("#tally-save")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Counted by hand")).to_be_visible()
    assert ManualCount.objects.get().counts == {
        "neutrophil": 60,
        "lymphocyte": 25,
        "monocyte": 8,
        "eosinophil": 7,
        "erythroblast": 1,
    }


@pytest.fixture
def asking(lab):
    """The laboratory asks for what it starts with before a slide is signed off."""
    columns = ("unseen_percent", "least_wbc", "least_rbc", "least_rbc_for_platelets")
    first = {column: Lab._meta.get_field(column).default for column in columns}
    Lab.objects.filter(pk=lab.pk).update(**first, not_critical=[])


def test_a_slide_is_looked_at_answered_told_signed_and_amended(
    quiet_page, live_server, pathologist, done_run, asking
):
    """The whole gate: each open check is followed to where it is settled; then what an amendment changed."""
    page, case_id = quiet_page, done_run.smear.case_id
    for cell in selectors.open_cells(done_run):
        review.decide(pathologist, cell, cell.label)
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/cases/{case_id}/")
    box = page.locator("#gate-box")
    expect(box).to_contain_text("6 of 9 checks are open.")
    with page.expect_response(lambda sent: sent.url.endswith("seen.json")):
        box.locator("li", has_text="Field looked at").get_by_role("link").click()
    expect(page.locator("#unseen-share")).to_have_text("0 % not looked at")
    page.goto(f"{live_server.url}/cases/{case_id}/sign-off/")
    for kind in ("White cells", "Red cells", "Platelets"):
        panel = page.locator("section", has=page.get_by_role("heading", name=kind, exact=True))
        panel.get_by_label("not assessable").check()
        panel.get_by_label("Reason").fill("One small field.")
        panel.get_by_role("button", name="Keep this answer").click()
        expect(page.locator(".checklist")).to_contain_text(re.compile(rf"Answered\s+{kind}"))
    page.get_by_label("Told").fill("Dr Wade, ward 4")
    page.get_by_label("Read back").select_option("yes")
    page.get_by_role("button", name="Keep this call").click()
    expect(page.locator(".checklist")).to_contain_text("Told: Dr Wade, ward 4, by phone, by Paul Path.")
    page.goto(f"{live_server.url}/review/{done_run.pk}/")
    page.get_by_role("button", name="Sign off this slide").click()
    expect(page.get_by_role("link", name="Report", exact=True)).to_be_visible()
    page.goto(f"{live_server.url}/cases/{case_id}/report/")
    page.get_by_role("button", name="Draft the report").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign the report").click()
    expect(page.locator(".report-critical")).to_contain_text("Dr Wade, ward 4")
    page.get_by_label("Reason for the amendment").fill("A monocyte was missed")
    page.get_by_role("button", name="Begin the amendment").click()
    changes = page.get_by_role("link", name="Changes since version 1")
    expect(changes).to_be_visible()
    run = selectors.run_for(pathologist, done_run.pk)
    review.decide(pathologist, run.cells.get(number=1), "monocyte", "folded nucleus")
    review.sign_off(pathologist, run)
    page.reload()
    changes.click()
    row = page.locator("tr", has_text="cell 1")
    for words in ("Neutrophil", "Monocyte", "Paul Path", "folded nucleus"):
        expect(row).to_contain_text(words)


def test_an_administrator_rehearses_activates_and_goes_back(
    quiet_page, live_server, administrator, pathologist, queued_run, findings, tmp_path
):
    """The worker's part is played by the task itself, while the page waits for it."""
    from inference import tasks
    from inference.models import NetworkChoice, Rehearsal
    from tests.inference.learning import analysed, registered, signed

    signed(pathologist, analysed(queued_run, findings), n1="monocyte")
    candidate = registered(administrator.lab, tmp_path / "candidate")
    page = quiet_page
    sign_in(page, live_server, administrator)
    page.get_by_role("link", name="Laboratory").first.click()
    page.get_by_role("link", name="Networks").click()
    expect(page.locator("main")).to_contain_text(candidate.version)
    page.get_by_role("button", name="Rehearse").click()
    expect(page.locator("main")).to_contain_text("Queued")
    tasks.rehearse_network(str(Rehearsal.objects.get().pk))
    expect(page.get_by_role("heading", name="What would change")).to_be_visible()
    expect(page.locator(".rehearsed")).to_contain_text("H26-0001")
    expect(page.locator(".rehearsed img").first).to_be_visible()
    page.get_by_label("Reason").fill("Better on our stain")
    page.get_by_role("button", name="Activate this network").press("Enter")
    expect(page.locator(".messages")).to_contain_text("calls the white cells from now on")
    expect(page.locator("main")).to_contain_text("Better on our stain")
    page.get_by_label("Why go back to").fill("Too many blasts")
    page.get_by_role("button", name="Go back to this network").click()
    expect(page.locator(".messages")).to_contain_text("The shipped network calls the white cells")
    kinds = NetworkChoice.objects.order_by("number").values_list("kind", "candidate")
    assert list(kinds) == [("activated", candidate.pk), ("rolled_back", None)]
