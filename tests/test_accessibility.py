"""Every main page, as each role and in both themes, by axe-core; the themes; the sheet of keys."""

import json
import re
from datetime import timedelta

import numpy as np
import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from accounts.models import Role, User
from accounts.services import create_token, offer_staging
from cases.questions import ask
from cases.services import create_case
from inference import runs, stage_calls, staging_requests
from tests import readings
from tests.browser import sign_in
from tests.conftest import field_image
from tests.stagings import staging

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AXE = settings.BASE_DIR / "node_modules" / "axe-core" / "axe.min.js"
DESKTOP = {"width": 1366, "height": 768}
SMALLER = {"tablet": {"width": 1024, "height": 768}, "phone": {"width": 390, "height": 844}}
SERIOUS = ("serious", "critical")
NOT_OURS = ["#swagger-ui"]
"""Parts of pages that a library draws."""
UNFOLD = "document.querySelectorAll('main details').forEach((folded) => { folded.open = true; })"
AUDIT = """async (left_out) => {
  const parts = { exclude: left_out.map((one) => [one]) };
  const { violations } = await axe.run(parts, { resultTypes: ["violations"] });
  const told = ({ target, any }) => [...target, ...any.map(({ message }) => message)].join(" ");
  return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map(told) }));
}"""


@pytest.fixture
def at_work(
    signed_report,
    red_findings,
    field_file,
    findings,
    clinician,
    pathologist,
    administrator,
    lab,
    monkeypatch,
):
    """A laboratory with a bit of everything: the addresses of its pages by name."""
    monkeypatch.setattr("celery.current_app.send_task", lambda *_, **__: None)
    offer_staging(administrator, True)
    first = signed_report.case
    second = create_case(
        clinician,
        patient=first.patient,
        accession="H26-0002",
        indication="Control",
        priority="stat",
        collected_at=first.collected_at + timedelta(days=3),
        pixel_um=0.1,
    )
    red, queued, failed = (runs.submit(clinician, second, field_file(f"{n}.png", seed=n)) for n in (5, 6, 7))
    runs.save(red.pk, runs.QUEUE.claim(red.pk), red_findings, np.asarray(field_image(5)))
    runs.fail(failed.pk, runs.QUEUE.claim(failed.pk), "out_of_focus", "The image is out of focus.")
    staging_requests.request(clinician, second)
    call = runs.AnalysisRun.objects.get(pk=red.pk).stage_call
    stage_calls.save(call.pk, stage_calls.QUEUE.claim(call.pk), staging("pre_b", "leukemia"))
    ask(clinician, second, "Are these blasts?")
    User.objects.create_user("new@northside.example", full_name="Nora New", lab=lab, role=Role.CLINICIAN)
    for who in (clinician, pathologist, administrator):
        create_token(who)
    white = signed_report.case.smears.get().runs.get()
    return {
        "worklist": reverse("cases:worklist"),
        "new case": reverse("cases:new-case"),
        "case": reverse("cases:case", args=[second.pk]),
        "reported case": reverse("cases:case", args=[first.pk]),
        "change case": reverse("cases:edit-case", args=[second.pk]),
        "patients": reverse("cases:patients"),
        "new patient": reverse("cases:new-patient"),
        "patient": reverse("cases:patient", args=[first.patient_id]),
        "trends": reverse("reports:patient-trends", args=[first.patient_id]),
        "result": reverse("inference:run", args=[red.pk]) + "?cell=7",
        "signed result": reverse("inference:run", args=[white.pk]),
        "queued": reverse("inference:run", args=[queued.pk]),
        "failed": reverse("inference:run", args=[failed.pk]),
        "gallery": reverse("inference:gallery", args=[red.pk]),
        "red cells": reverse("inference:gallery", args=[red.pk]) + "?stream=RBC",
        "viewer": reverse("inference:viewer", args=[red.pk]) + "?cell=7",
        "queue": reverse("inference:review-queue"),
        "desk": reverse("inference:review-slide", args=[red.pk]),
        "tally": reverse("inference:tally", args=[red.smear_id]),
        "report": reverse("reports:report", args=[first.pk]),
        "no report": reverse("reports:report", args=[second.pk]),
        "notifications": reverse("accounts:notifications"),
        "mail": reverse("accounts:notification-settings"),
        "tokens": reverse("accounts:tokens"),
        "password": reverse("account_change_password"),
        "second factor": reverse("mfa_index"),
        "API": reverse("api-docs"),
        "people": reverse("accounts:people"),
        "settings": reverse("accounts:ranges"),
        "red cell limits": reverse("accounts:red_cells"),
        "trail": reverse("accounts:audit"),
        "nothing": "/nowhere/",
    }


ANYBODY = {"worklist", "notifications", "mail", "tokens", "password", "second factor", "API", "nothing"}
READING = {"case", "reported case", "patients", "patient", "trends", "result", "signed result", "queued"}
READING |= {"failed", "gallery", "red cells", "viewer", "report", "no report"}
PAGES = {
    "clinician": ANYBODY | READING | {"new case", "change case", "new patient"},
    "pathologist": ANYBODY | READING | {"new case", "change case", "new patient", "queue", "desk", "tally"},
    "administrator": ANYBODY | READING | {"people", "settings", "red cell limits", "trail"},
}


READ_BY_TWO = {
    "clinician": {"sign-off", "open checks", "changes"},
    "pathologist": {
        *("sign-off", "open checks", "changes", "mixed queue", "blind desk", "second reading", "two differ"),
        "blind gallery",
    },
    "administrator": {
        *("sign-off settings", "networks", "rehearsal", "review settings", "agreement", "reader's agreement"),
    },
}


@pytest.fixture
def read_by_two(signed_report, doubted, field_file, clinician, pathologist, administrator, monkeypatch):
    """A laboratory whose cells have second readers and are called blind, and that trains networks: the
    addresses of its pages by name."""
    monkeypatch.setattr("celery.current_app.send_task", lambda *_, **__: None)
    people = readings.People.of(clinician, pathologist, administrator)
    rehearsal = readings.chosen_network(administrator, signed_report.case_id)
    readings.amended(pathologist, signed_report)
    run = readings.read_by_two(people, doubted, field_file)
    return readings.addresses(people, run, signed_report, rehearsal)


def test_every_page_is_audited(at_work):
    assert set().union(*PAGES.values()) == set(at_work)


@pytest.mark.parametrize("role", PAGES)
def test_no_page_has_a_serious_flaw(page: Page, live_server, at_work, role, request):
    sign_in(page, live_server, request.getfixturevalue(role))
    assert flaws(page, live_server, {name: at_work[name] for name in sorted(PAGES[role])}) == []


@pytest.mark.parametrize("role", READ_BY_TWO)
def test_no_page_read_by_two_has_a_serious_flaw(page: Page, live_server, read_by_two, role, request):
    assert set().union(*READ_BY_TWO.values()) == set(read_by_two)
    sign_in(page, live_server, request.getfixturevalue(role))
    wanted = {name: read_by_two[name] for name in sorted(READ_BY_TWO[role])}
    assert flaws(page, live_server, wanted) == []


def test_no_page_of_signing_in_has_a_serious_flaw(page: Page, live_server, lab):
    names = ("account_login", "account_signup", "account_reset_password")
    assert flaws(page, live_server, {name: reverse(name) for name in names}) == []


def flaws(page: Page, server, addresses) -> list[str]:
    """What axe-core finds wrong on pages, in both themes, and which do not fit on a tablet or a phone."""
    found = []
    for name, address in addresses.items():
        page.set_viewport_size(DESKTOP)
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        page.goto(f"{server.url}{address}")
        page.wait_for_load_state("networkidle")
        page.evaluate(AXE.read_text())
        page.evaluate(UNFOLD)
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            expect(page.locator("html")).to_have_attribute("data-bs-theme", theme)
            found += [f"{name}, {theme}: {flaw}" for flaw in serious(page)]
        for screen, size in SMALLER.items():
            page.set_viewport_size(size)
            if not fits(page):
                found.append(f"{name}: wider than a {screen}")
    return found


def fits(page: Page) -> bool:
    """Whether the page is as narrow as the window, once what a script measures has followed the window."""
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= innerWidth", timeout=5_000)
    except PlaywrightTimeout:
        return False
    return True


def serious(page: Page) -> list[str]:
    return [json.dumps(flaw) for flaw in page.evaluate(AUDIT, NOT_OURS) if flaw["impact"] in SERIOUS]


WATCH_FIRST_PAINT = """new PerformanceObserver((list) => {
  const { dataset } = document.documentElement;
  if (list.getEntriesByName("first-paint").length) window.themeAtFirstPaint = dataset.bsTheme;
}).observe({ type: "paint" });"""


# --- themes -------------------------------------------------------------------------------------------
def test_a_page_follows_the_system_before_anything_is_drawn(page: Page, live_server, lab):
    page.add_init_script(WATCH_FIRST_PAINT)
    page.emulate_media(color_scheme="dark")
    page.goto(f"{live_server.url}/accounts/login/")
    page.wait_for_function("window.themeAtFirstPaint")
    assert page.evaluate("window.themeAtFirstPaint") == "dark"
    expect(page.locator("body")).to_have_css("background-color", DARK)
    page.emulate_media(color_scheme="light")
    expect(page.locator("body")).to_have_css("background-color", LIGHT)


def test_a_person_chooses_a_theme_that_stays_with_the_account(quiet_page, browser, live_server, pathologist):
    page = quiet_page
    page.emulate_media(color_scheme="light")
    sign_in(page, live_server, pathologist)
    page.locator("details.menu summary").press("Enter")
    with page.expect_response(lambda answer: answer.url.endswith(reverse("accounts:theme"))):
        page.get_by_role("button", name="Dark").press("Enter")
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("body")).to_have_css("background-color", DARK)
    other = browser.new_context(color_scheme="light", java_script_enabled=False).new_page()
    sign_in(other, live_server, pathologist)
    expect(other.locator("body")).to_have_css("background-color", DARK)
    other.locator("details.menu summary").click()
    other.get_by_role("button", name="Light").click()
    expect(other.locator("body")).to_have_css("background-color", LIGHT)
    other.context.close()
    pathologist.refresh_from_db()
    assert pathologist.theme == User.Theme.LIGHT


def test_paper_is_light_in_the_dark_theme(page: Page, live_server, clinician, signed_report):
    User.objects.filter(pk=clinician.pk).update(theme="dark")
    sign_in(page, live_server, clinician)
    page.goto(f"{live_server.url}{reverse('reports:report', args=[signed_report.case_id])}")
    expect(page.locator("body")).to_have_css("background-color", DARK)
    expect(page.locator(".report-sheet")).to_have_css("background-color", "rgb(255, 255, 255)")
    page.emulate_media(media="print")
    expect(page.locator("body")).to_have_css("background-color", "rgb(255, 255, 255)")
    expect(page.locator("html")).to_have_css("color-scheme", "light")
    page.goto(f"{live_server.url}/patients/")
    expect(page.locator("body")).to_have_css("background-color", LIGHT)


DARK, LIGHT = "rgb(18, 25, 31)", "rgb(236, 239, 241)"


# --- keys ---------------------------------------------------------------------------------------------
def test_the_sheet_of_keys_opens_and_gives_the_focus_back(quiet_page, live_server, pathologist, done_run):
    page = quiet_page
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}{reverse('inference:review-slide', args=[done_run.pk])}")
    sheet = page.get_by_role("dialog", name="Keys of this page")
    link = page.get_by_role("link", name="Result of the slide")
    link.focus()
    page.keyboard.press("?")
    expect(sheet).to_be_visible()
    expect(sheet).to_contain_text("confirm the call")
    page.keyboard.press("n")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    expect(link).to_be_focused()
    expect(page.locator("#desk")).to_contain_text("2 cells need review")
    page.locator("#comment").focus()
    page.keyboard.type("Why?")
    expect(sheet).to_be_hidden()
    expect(page.locator("#comment")).to_have_value("Why?")
    page.get_by_role("button", name="Keys").click()
    expect(sheet).to_be_visible()


MOST_STOPS = 200
WATCH_FOCUS = """() => {
  window.visited = [];
  document.addEventListener("focusin", ({ target }) => window.visited.push(target));
}"""
OUT_OF_ORDER = """() => {
  const follows = (before, one) => before.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING;
  const { visited } = window;
  return visited.filter((one, n) => n && !follows(visited[n - 1], one)).map((one) => one.outerHTML);
}"""
PASSED_OVER = """() => {
  const takers = "a[href], button, input, select, textarea, summary, [tabindex]";
  const isSeen = (one) => !one.matches(":disabled") && one.checkVisibility({ visibilityProperty: true });
  const stops = [...document.querySelectorAll(takers)].filter((one) => one.tabIndex >= 0 && isSeen(one));
  const alike = (one) => stops.filter(({ name, form }) => name === one.name && form === one.form);
  const ofGroup = (one) => alike(one).find(({ checked }) => checked) ?? alike(one)[0];
  const missed = stops.filter((one) => !window.visited.includes(one));
  return missed.filter((one) => one.type !== "radio" || one === ofGroup(one)).map((one) => one.outerHTML);
}"""
"""What can be seen and takes the focus, and did not get it; of radio buttons of a group one does."""


@pytest.fixture
def red_slide(red_run, lab):
    """A slide of which everything is asked before it is signed off."""
    readings.asks_for_all(lab)
    case, run = [red_run.smear.case_id], [red_run.pk]
    return {
        "desk": reverse("inference:review-slide", args=run),
        "gallery": reverse("inference:gallery", args=run),
        "viewer": reverse("inference:viewer", args=run) + "?cell=7",
        "sign-off": reverse("inference:sign-off-page", args=case),
    }


@pytest.mark.parametrize("name", ["desk", "gallery", "viewer", "sign-off"])
def test_tab_goes_through_a_page_as_it_is_read(page: Page, live_server, pathologist, red_slide, name):
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}{red_slide[name]}")
    page.wait_for_load_state("networkidle")
    page.evaluate(WATCH_FOCUS)
    page.keyboard.press("Tab")
    focused = page.locator(":focus, input:focus-within")
    expect(focused).to_have_text("Skip to the content")
    for _ in range(MOST_STOPS):
        if page.evaluate("document.activeElement === document.body"):
            break
        expect(focused).to_be_visible()
        expect(focused).to_be_in_viewport()
        page.keyboard.press("Tab")
    else:
        pytest.fail("Tab does not lead out of the page.")
    assert page.evaluate(OUT_OF_ORDER) == []
    assert page.evaluate(PASSED_OVER) == []


def test_single_keys_can_be_switched_off(quiet_page, live_server, pathologist, done_run):
    page, desk = quiet_page, quiet_page.locator("#desk")
    sign_in(page, live_server, pathologist)
    page.goto(f"{live_server.url}{reverse('inference:review-slide', args=[done_run.pk])}")
    page.keyboard.press("?")
    page.get_by_label("Single keys act").uncheck()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.reload()
    page.keyboard.press("n")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(desk).to_contain_text("2 cells need review")
    page.get_by_role("button", name="Keys").press("Enter")
    page.get_by_label("Single keys act").check()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("n")
    expect(desk).to_contain_text("1 cell needs review")


def test_the_worklist_goes_by_keys(quiet_page, live_server, clinician, case, patient):
    other = create_case(clinician, patient, accession="H26-0002", collected_at=case.collected_at)
    page = quiet_page
    sign_in(page, live_server, clinician)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator("[data-row]").first
    expect(first).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_label("Accession number, MRN or name")).to_be_focused()
    page.keyboard.type("0002")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=0002**")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text(other.accession)
    question = page.get_by_label("Your question to the pathologist")
    expect(question).to_be_visible()
    page.keyboard.press("q")
    expect(question).to_be_focused()


def test_every_page_with_keys_of_its_own_lists_them(client_for, pathologist, at_work):
    """Each key that a link, button or field of the page is marked with stands in its sheet."""
    client, checked = client_for(pathologist), 0
    for name in sorted(PAGES["pathologist"] - {"API", "nothing"}):
        text = client.get(at_work[name]).content.decode()
        page, _, sheet = text.partition('<dialog id="keys"')
        for key in set(re.findall(r'data-(?:hotkey|key)="(.)"', page)):
            checked += 1
            assert f"<kbd>{key}</kbd>" in sheet or key.isdecimal() or name in ("desk", "tally"), (name, key)
    assert checked > 20
