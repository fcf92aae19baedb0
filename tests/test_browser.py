"""The pages in a real browser: what a clinician, a pathologist and an administrator do in a day."""

import hashlib
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from accounts.context import RUO
from accounts.services import offer_staging
from cases.models import Smear, Upload
from inference import runs, stage_calls
from tests.conftest import PASSWORD, field_image
from tests.stagings import staging

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

CHROMIUM = "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser_type_launch_args():
    return {"executable_path": CHROMIUM, "args": list(QUIET)}


@pytest.fixture
def quiet_page(page: Page):
    """A page on which nothing may be reported to the console: no script error, no refused content."""
    complaints = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.set_default_timeout(30_000)
    expect.set_options(timeout=30_000)
    yield page
    expected = re.compile(r"status of (404|409|413|422|423|429)|ERR_CONNECTION_RESET")
    assert [text for text in complaints if not expected.search(text)] == []


def sign_in(page: Page, server, user) -> None:
    page.goto(f"{server.url}/accounts/login/")
    page.locator("input[name=login]").fill(user.email)
    page.locator("input[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Worklist")


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
    """The line between the browser and the server, for the parts of files; it can be cut."""

    def __init__(self, page: Page) -> None:
        self.parts, self.cut_after = 0, 10**6
        page.route("**/api/v1/uploads/*/", self._pass)

    def _pass(self, route) -> None:
        if route.request.method != "PATCH":
            route.fallback()
            return
        self.parts += 1
        if self.parts > self.cut_after:
            route.abort("connectionreset")
        else:
            route.fallback()


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
    assert line.parts == -(-slide.stat().st_size // (32 * 1024)) + 1


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
    assert line.parts == -(-slide.stat().st_size // (32 * 1024)) + 1


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
    page.get_by_label(re.compile("Red")).uncheck()
    expect(page.locator('[data-cell="9"] .box')).to_be_hidden()
    expect(page.locator("main")).to_contain_text("not analysed")


def test_a_pathologist_reviews_by_key_signs_off_and_signs(quiet_page, live_server, pathologist, done_run):
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/")
    page.get_by_role("button", name="Review").click()
    page.wait_for_url(re.compile(r"/review/[0-9a-f-]{36}/"))
    page.wait_for_load_state("load")
    desk = page.locator("#desk")
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
    page.goto(f"{live_server.url}/cases/{done_run.smear.case_id}/report/")
    page.get_by_role("button", name="Draft the report").click()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign the report").click()
    expect(page.locator("main")).to_contain_text("Final")
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF", exact=True).first.click()
    assert download.value.path().read_bytes().startswith(b"%PDF")


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
    page.context.clear_cookies()
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}/review/{done_run.pk}/")
    page.get_by_role("button", name="Pro-B ALL").click()
    expect(page.locator("#staging")).to_contain_text("answered otherwise")
    page.get_by_role("button", name="Undo my answer").click()
    expect(page.locator("#staging")).to_contain_text("needs a person's answer")


def test_an_administrator_reads_the_trail(quiet_page, live_server, administrator, done_run):
    page = quiet_page
    sign_in(page, live_server, administrator)
    page.goto(f"{live_server.url}/laboratory/audit/")
    expect(page.locator("main")).to_contain_text("run.done")
    expect(page.locator("main")).to_contain_text("H26-0001")


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
