"""The pages in a real browser: what a clinician, a pathologist and an administrator do in a day."""

import re
from io import BytesIO

import pytest
from playwright.sync_api import Page, expect

from accounts.context import RUO
from inference import runs
from tests.conftest import PASSWORD, field_image

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
    expected = re.compile(r"status of (404|409|422|429)")
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
