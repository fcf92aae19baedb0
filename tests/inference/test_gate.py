"""The completeness gate with the limits a laboratory starts with: every check named, settled and kept."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEvent, Lab
from accounts.services import save_sign_off_limits
from accounts.sign_off import CRITICAL_FINDINGS, SignOffLimits
from inference import critical, gate, review, selectors, sign_off
from inference.gate import State
from inference.models import CriticalCall, GateAnswer
from inference.seen import NotAView, View, note_view, seen, unseen_ground
from inference.sign_off import Told, Word
from tests.counted import HEALTHY, analysed, case_after

BLAST = 7


@pytest.fixture
def asking(lab):
    """The laboratory asks for what it starts with."""
    strict = SignOffLimits()
    Lab.objects.filter(pk=lab.pk).update(
        unseen_percent=strict.unseen_percent,
        least_wbc=strict.least_wbc,
        least_rbc=strict.least_rbc,
        least_rbc_for_platelets=strict.least_rbc_for_platelets,
        not_critical=[],
    )


@pytest.fixture
def run(asking, done_run, pathologist):
    return selectors.run_for(pathologist, done_run.pk)


def keys(checks):
    return {check.key for check in checks if check.is_open}


def state(case_id, key):
    return {check.key: check.state for check in gate.gate(case_id).checks}[key]


def decide_all(actor, run):
    for cell in selectors.open_cells(run):
        review.decide(actor, cell, cell.label)


def call(finding="first_blasts", **changes):
    facts = {
        "finding": finding,
        "told": "Dr Wade, ward 4",
        "told_by": "Paul Path",
        "told_at": timezone.now() - timedelta(minutes=2),
        "how": "phone",
        "read_back": True,
    }
    return Told(**(facts | changes))


def settle(actor, run):
    """Everything that the small field of the fixtures leaves open."""
    case = run.smear.case
    decide_all(actor, run)
    note_view(actor, run, View(0, 0, 640, 480, 900))
    for key in ("white_cells", "red_cells", "platelets"):
        sign_off.answer(actor, case, Word(key, "not_assessable", "One small field."))
    sign_off.tell(actor, case, call())


# --- the gate -------------------------------------------------------------------------------------
def test_every_check_is_named_with_what_settles_it(run):
    found = gate.gate(run.smear.case_id)
    assert keys(found.checks) == {
        "open_cells",
        "seen",
        "white_cells",
        "red_cells",
        "platelets",
        "critical.first_blasts",
        "signed_off",
    }
    assert all(check.settle and check.url for check in found.open)
    assert {check.key for check in found.checks if not check.is_open} == {"analysed", "identity"}


def test_the_sign_off_names_everything_that_is_open(run, pathologist):
    with pytest.raises(review.NotComplete) as refused:
        review.sign_off(pathologist, run)
    for words in (
        "2 cells still need review",
        "8 leukocytes counted, fewer than 100",
        "Nobody has been told",
    ):
        assert words in refused.value.text
    assert "not signed off" not in refused.value.text


def test_what_is_settled_lets_the_slide_and_the_report_pass(run, pathologist):
    settle(pathologist, run)
    assert keys(gate.gate(run.smear.case_id).checks) == {"signed_off"}
    review.sign_off(pathologist, run)
    assert gate.gate(run.smear.case_id).is_complete


def test_only_the_last_slide_waits_for_the_counts(run, pathologist, case, field_file, findings):
    second = analysed(case, field_file(seed=5), findings, HEALTHY)
    decide_all(pathologist, run)
    for one in (run, second):
        note_view(pathologist, one, View(0, 0, 640, 480, 900))
    review.sign_off(pathologist, second)
    with pytest.raises(review.NotComplete, match="fewer than"):
        review.sign_off(pathologist, run)


def test_a_case_without_a_smear_waits_for_one(asking, case):
    (check,) = gate.gate(case.pk).open
    assert (check.key, check.says) == ("analysed", "No smear of this case has been analysed.")


def test_the_questions_do_not_grow_with_smears(
    run, case, field_file, findings, django_assert_max_num_queries
):
    with django_assert_max_num_queries(14):
        gate.gate(case.pk)
    for seed in (5, 6):
        analysed(case, field_file(f"{seed}.png", seed=seed), findings, HEALTHY)
    with django_assert_max_num_queries(14):
        gate.gate(case.pk)


# --- answers --------------------------------------------------------------------------------------
def test_an_answer_holds_for_the_smears_it_knew(run, pathologist, case, field_file, findings):
    word = Word("white_cells", "enough", "Leukopenia; the whole film was searched.")
    sign_off.answer(pathologist, case, word)
    assert state(case.pk, "white_cells") is State.ANSWERED
    analysed(case, field_file(seed=5), findings, {"neutrophil": 3})
    assert state(case.pk, "white_cells") is State.OPEN


def test_a_second_answer_keeps_the_first_as_a_row(run, pathologist, case, lab):
    sign_off.answer(pathologist, case, Word("red_cells", "enough", "Few, all alike."))
    with pytest.raises(review.ReviewConflict, match="nothing to answer"):
        sign_off.answer(pathologist, case, Word("red_cells", "enough", "Again."))
    GateAnswer.objects.update(runs=[])
    sign_off.answer(pathologist, case, Word("red_cells", "not_assessable", "Drying artefact."))
    rows = [(row.answer, row.withdrawn_at is None) for row in GateAnswer.objects.all()]
    assert rows == [("enough", False), ("not_assessable", True)]
    assert AuditEvent.objects.filter(verb="sign_off.answer").count() == 2


@pytest.mark.parametrize(
    ("word", "says"),
    [
        (Word("white_cells", "enough", "  "), "Give the reason"),
        (Word("identity", "enough", "Sure."), "these checks"),
        (Word("white_cells", "maybe", "Sure."), "these checks"),
        (Word("white_cells", "enough", "x" * 501), "at most 500"),
        (Word("seen", "enough", "No slide named."), "nothing to answer"),
    ],
)
def test_what_is_no_answer_is_refused(run, pathologist, case, word, says):
    with pytest.raises(review.ReviewConflict, match=says):
        sign_off.answer(pathologist, case, word)
    assert not GateAnswer.objects.exists()


def test_a_clinician_neither_answers_nor_tells(run, clinician, case):
    with pytest.raises(PermissionDenied):
        sign_off.answer(clinician, case, Word("white_cells", "enough", "Sure."))
    with pytest.raises(PermissionDenied):
        sign_off.tell(clinician, case, call())
    with pytest.raises(PermissionDenied):
        note_view(clinician, run, View(0, 0, 640, 480, 900))


# --- what was looked at ---------------------------------------------------------------------------
def test_views_add_up_and_a_far_one_counts_for_nothing(run, pathologist):
    note_view(pathologist, run, View(0, 0, 640, 480, 100))
    assert seen([run])[run.pk].unseen_percent == 100
    note_view(pathologist, run, View(0, 0, 320, 480, 900))
    note_view(pathologist, run, View(0, 0, 320, 200, 900))
    assert seen([run])[run.pk].unseen_percent == pytest.approx(200 / 3)
    ground = unseen_ground(run)
    assert ground["path"] == "M256 0H640V256H256ZM256 256H640V480H256Z"
    note_view(pathologist, run, View(256, 0, 640, 480, 900))
    assert seen([run])[run.pk].unseen_percent == 0
    assert unseen_ground(run)["path"] == ""


def test_empty_glass_is_not_asked_for(run, pathologist):
    run.coverage = {"boxes": [[0, 0, 320, 480], [320, 0, 640, 480]], "states": ["analysed", "background"]}
    assert seen([run])[run.pk].asked == 2


def test_what_is_no_view_is_refused(run, pathologist):
    for view in (View(10, 0, 10, 5, 9), View(0, 0, float("nan"), 5, 9), View(0, 0, 5, 5, 0)):
        with pytest.raises(NotAView):
            note_view(pathologist, run, view)


def test_an_unviewed_part_may_stay_so_with_a_reason(run, pathologist, case):
    assert state(case.pk, "seen") is State.OPEN
    sign_off.answer(pathologist, case, Word("seen", "enough", "Monolayer read.", run.pk))
    assert state(case.pk, "seen") is State.ANSWERED


def test_the_viewer_reports_what_is_before_a_pathologist(run, pathologist, clinician, client_for):
    address = reverse("inference:viewer-seen", args=[run.pk])
    view = {"x0": 0, "y0": 0, "x1": 640, "y1": 480, "width": 900}
    assert client_for(clinician).post(address, view).status_code == 403
    desk = client_for(pathologist)
    assert desk.get(address).json()["share"] == 1
    assert desk.post(address, view).json()["share"] == 0
    for wrong in ({**view, "x1": -5}, {**view, "width": "wide"}, {}, {**view, "x0": "nan"}):
        assert desk.post(address, wrong).status_code == 422


# --- critical findings ----------------------------------------------------------------------------
def test_blasts_relabelled_need_no_call(run, pathologist, case):
    review.decide(pathologist, run.cells.get(number=BLAST), "lymphocyte")
    check = next(check for check in gate.gate(case.pk).checks if check.key == "critical")
    assert check.state is State.PASSED
    assert check.says.startswith("None of: ")
    nobody = "No network looks for malaria parasites in red cells, and nobody has called any."
    assert check.says.endswith(nobody)
    with pytest.raises(review.ReviewConflict, match="no such critical finding"):
        sign_off.tell(pathologist, case, call())


def test_each_finding_needs_a_call_of_its_own(asking, red_run, pathologist, case):
    run = selectors.run_for(pathologist, red_run.pk)
    sign_off.tell(pathologist, case, call())
    assert state(case.pk, "critical.first_blasts") is State.ANSWERED
    red = run.cells.filter(kind="RBC").exclude(label="").first()
    review.decide(pathologist, red, "malaria_infected")
    found = {one.key: one for one in gate.gate(case.pk).findings}
    assert found["parasites"].says == (
        "Malaria parasites in red cells: 1 of 205 classified red cells, 0.5 %."
    )
    assert keys(gate.gate(case.pk).checks) >= {"critical.parasites"}
    sign_off.tell(pathologist, case, call("parasites", how="in_person", read_back=False))
    assert state(case.pk, "critical.parasites") is State.ANSWERED


def test_schistocytes_count_from_the_laboratorys_limit_on(asking, red_run, pathologist, case):
    cells = list(red_run.cells.select_related("run__smear").filter(kind="RBC", label="normal")[:9])
    for cell in cells[:5]:
        review.decide(pathologist, cell, "schistocyte")
    assert "schistocytes" not in {one.key for one in gate.gate(case.pk).findings}
    for cell in cells[5:]:
        review.decide(pathologist, cell, "schistocyte")
    found = {one.key: one.says for one in gate.gate(case.pk).findings}
    assert "9 of 205 classified red cells, 4.4 % (limit 1 %)" in found["schistocytes"]


def test_blasts_known_from_an_earlier_report_are_not_first(run, case, monkeypatch):
    monkeypatch.setattr(critical, "KNOWN_BEFORE", {"reports": lambda case: frozenset({"blast"})})
    assert gate.gate(case.pk).findings == ()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"told": " "}, "who was told"),
        ({"how": "fax"}, "Say how"),
        ({"told_at": timezone.now() + timedelta(hours=1)}, "future"),
        ({"told_at": timezone.now() - timedelta(days=3650)}, "before the blood was collected"),
        ({"note": "x" * 501}, "at most 500"),
        ({"finding": "gout"}, "no such critical finding"),
    ],
)
def test_what_is_no_call_is_refused(run, pathologist, case, changes, says):
    with pytest.raises(review.ReviewConflict, match=says):
        sign_off.tell(pathologist, case, call(**changes))
    assert not CriticalCall.objects.exists()


def test_a_mistaken_entry_is_withdrawn_and_stays(run, pathologist, case):
    row = sign_off.tell(pathologist, case, call())
    sign_off.withdraw_call(pathologist, row)
    assert state(case.pk, "critical.first_blasts") is State.OPEN
    assert CriticalCall.objects.get().withdrawn_at
    with pytest.raises(review.ReviewConflict, match="your own entry"):
        sign_off.withdraw_call(pathologist, row)
    verbs = AuditEvent.objects.filter(verb__startswith="critical.").values_list("verb", flat=True)
    assert set(verbs) == {"critical.told", "critical.withdrawn"}


def test_a_laboratory_chooses_its_critical_findings(run, administrator, clinician, case):
    with pytest.raises(PermissionDenied):
        save_sign_off_limits(clinician, SignOffLimits())
    limits = SignOffLimits(50.0, 8, 10, 10, tuple(CRITICAL_FINDINGS))
    save_sign_off_limits(administrator, limits)
    assert keys(gate.gate(case.pk).checks) == {"open_cells", "seen", "signed_off"}


def test_known_blasts_are_read_from_signed_reports_alone(case, lab, pathologist):
    from reports.models import Report
    from reports.selectors import known_before

    later = case_after(case, 30)
    table = {"blast": {"count": 3}, "basophil": {"count": 0}}
    report = Report.objects.create(
        lab=lab,
        case=case,
        version=1,
        created_by=pathologist,
        content={"aggregate": {"differential": table}},
    )
    assert known_before(later) == frozenset()
    Report.objects.filter(pk=report.pk).update(status=Report.Status.FINAL)
    assert known_before(later) == {"blast"}
    assert known_before(case) == frozenset()


# --- pages and API --------------------------------------------------------------------------------
def test_the_page_settles_what_is_open(run, pathologist, case, client_for):
    desk = client_for(pathologist)
    page = reverse("inference:sign-off-page", args=[case.pk])
    shown = desk.get(page).content.decode()
    for words in ("First blasts", "8 leukocytes counted, fewer than 100", "100 % of the field"):
        assert words in shown
    empty = desk.post(reverse("inference:gate-answer", args=[case.pk]), {"check_key": "white_cells"})
    assert empty.status_code == 422
    sent = {"check_key": "white_cells", "answer": "enough", "reason": "Leukopenia."}
    assert desk.post(reverse("inference:gate-answer", args=[case.pk]), sent).status_code == 302
    wrong = {"finding": "first_blasts", "told": "Dr Wade", "told_by": "Paul", "how": "phone", "told_at": "?"}
    refused = desk.post(reverse("inference:critical-call", args=[case.pk]), wrong)
    assert (refused.status_code, 'value="Dr Wade"' in refused.content.decode()) == (422, True)
    right = wrong | {"told_at": timezone.localtime().strftime("%Y-%m-%dT%H:%M"), "read_back": "yes"}
    assert desk.post(reverse("inference:critical-call", args=[case.pk]), right).status_code == 302
    after = desk.get(page).content.decode()
    assert "Enough for this case: Leukopenia. (Paul Path)" in after
    assert "Told: Dr Wade, by phone, by Paul." in after


def test_the_desk_and_the_case_show_the_checklist(run, pathologist, clinician, case, client_for):
    shown = client_for(pathologist).get(reverse("inference:review-slide", args=[run.pk])).content.decode()
    assert "What is open has to be settled first." in shown
    assert "8 leukocytes counted, fewer than 100." in shown
    box = client_for(clinician).get(reverse("inference:sign-off-box", args=[case.pk])).content.decode()
    assert "7 of 9 checks are open." in box
    assert "Go there" in shown
    assert "Go there" not in box
    page = client_for(clinician).get(reverse("inference:sign-off-page", args=[case.pk])).content.decode()
    assert "Keep this answer" not in page


def test_the_api_shows_answers_and_refuses_with_names(run, pathologist, case, api_for):
    api = api_for(pathologist)
    found = api.get(f"/api/v1/cases/{case.pk}/sign-off/").json()
    assert found["complete"] is False
    assert {check["key"] for check in found["checks"] if check["state"] == "open"} >= {"seen", "platelets"}
    refused = api.post(f"/api/v1/runs/{run.pk}/sign-off/")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "not_complete")
    assert "2 cells still need review" in refused.json()["error"]["message"]
    decide_all(pathologist, run)
    answers = f"/api/v1/cases/{case.pk}/sign-off/answers/"
    for key in ("white_cells", "red_cells", "platelets"):
        sent = {"check_key": key, "answer": "not_assessable", "reason": "One field."}
        assert api.post(answers, sent, format="json").status_code == 201
    sent = {"check_key": "seen", "answer": "enough", "reason": "Monolayer.", "run": str(run.pk)}
    assert api.post(answers, sent, format="json").status_code == 201
    told = {
        "finding": "first_blasts",
        "told": "Dr Wade",
        "told_by": "Paul Path",
        "told_at": timezone.now().isoformat(),
        "how": "phone",
        "read_back": True,
    }
    assert api.post(f"/api/v1/cases/{case.pk}/critical-calls/", told, format="json").status_code == 201
    signed = api.post(f"/api/v1/runs/{run.pk}/sign-off/")
    assert (signed.status_code, bool(signed.json()["signed_off_at"])) == (200, True)
    assert api.get(f"/api/v1/cases/{case.pk}/sign-off/").json()["complete"] is True


def test_the_settings_page_keeps_the_limits(asking, administrator, client_for, lab):
    page = reverse("accounts:sign_off")
    sent = {"unseen_percent": 30, "least_wbc": 50, "least_rbc": 10, "least_rbc_for_platelets": 20}
    client = client_for(administrator)
    assert client.post(page, sent | {"unseen_percent": 130}).status_code == 422
    assert client.post(page, sent | {"critical": ["parasites"]}).status_code == 302
    lab.refresh_from_db()
    assert (lab.unseen_percent, lab.least_wbc, lab.not_critical) == (30, 50, ["first_blasts", "schistocytes"])
