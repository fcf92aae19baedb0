"""In which order work stands, what is new in it, and what a worklist costs."""

from datetime import UTC, date, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from cases import questions, services, worklists
from cases.models import Case, CaseLook
from cases.standings import SOURCES, Fact


def listed(work) -> list[str]:
    return [case.accession for case in work.cases]


def test_stat_first_then_the_oldest(pathologist, make_case):
    make_case("new", hours=1)
    make_case("old", hours=50)
    make_case("stat-new", hours=2, priority="stat")
    make_case("stat-old", hours=20, priority="stat")
    work = worklists.worklist(pathologist, {})
    assert work.tab.key == "review"
    assert listed(work) == ["stat-old", "stat-new", "old", "new"]


def test_what_is_reported_stands_newest_first(pathologist, make_case):
    make_case("older", status="reported", hours=9)
    make_case("newer", status="reported", hours=2)
    assert listed(worklists.worklist(pathologist, {"tab": "reported"})) == ["newer", "older"]


def test_tabs_and_counts_follow_the_role(clinician, pathologist, administrator, make_case):
    make_case("mine", status="new")
    make_case("theirs", status="attention", actor=pathologist)
    make_case("done", status="reported")

    def counts(user):
        return {tab.key: count for tab, count in worklists.worklist(user, {}).tabs}

    own = {"mine": 2, "new": 1, "signed": 1}
    assert counts(clinician) == {**own, "open": 2, "waiting": 1, "failed": 1, "reported": 1}
    others = {"review": 0, "ready": 0, "asked": 0}
    assert counts(pathologist) == {**others, "open": 2, "failed": 1, "reported": 1}
    assert counts(administrator) == {"open": 2, "failed": 1, "reported": 1}


def test_without_a_tab_the_first_that_holds_a_case(pathologist, make_case):
    assert worklists.worklist(pathologist, {}).tab.key == "review"
    make_case("ready", status="ready")
    assert worklists.worklist(pathologist, {}).tab.key == "ready"
    assert worklists.worklist(pathologist, {"tab": "failed"}).tab.key == "failed"


@pytest.mark.parametrize("words", ["H26-0001", "h26-00", "MRN-001", "ames", "Ames, Ruth", "ruth 0001"])
def test_search_finds_accession_mrn_and_name(clinician, case, words):
    assert listed(worklists.worklist(clinician, {"q": words})) == ["H26-0001"]


def test_search_wants_every_word(clinician, case):
    assert listed(worklists.worklist(clinician, {"q": "ames bob"})) == []


def test_filters_by_priority_and_collection(clinician, make_case):
    make_case("early", collected_at=datetime(2026, 11, 1, 8, tzinfo=UTC))
    make_case("late", collected_at=datetime(2026, 11, 9, 23, 59, tzinfo=UTC), priority="stat")
    assert listed(worklists.worklist(clinician, {"priority": "stat"})) == ["late"]
    assert listed(worklists.worklist(clinician, {"collected_to": date(2026, 11, 1)})) == ["early"]
    assert listed(worklists.worklist(clinician, {"collected_from": date(2026, 11, 9)})) == ["late"]


# --- what is new ----------------------------------------------------------------------------------
def row_of(user, case):
    (row,) = worklists.rows(user, [case])
    return row


def test_what_one_has_done_oneself_is_no_news(clinician, case):
    assert row_of(clinician, case).news == []
    services.set_case_status(case.pk, Case.Status.ANALYSING)
    assert row_of(clinician, case).news == []


def test_a_case_that_moved_on_is_new_until_it_is_looked_at(clinician, pathologist, case):
    services.set_case_status(case.pk, Case.Status.REVIEW)
    assert row_of(clinician, case).news == ["was: No smear yet"]
    assert row_of(pathologist, case).news == []
    assert [tab.key for tab, count in worklists.worklist(clinician, {}).tabs if count] == [
        "mine",
        "new",
        "open",
    ]
    case.refresh_from_db()
    services.note_look(clinician, case)
    assert row_of(clinician, case).news == []
    assert not worklists.worklist(clinician, {"tab": "new"}).cases.exists()


def test_a_case_that_moved_while_the_page_was_on_its_way_stays_new(clinician, case):
    """The page showed the state before; the look was noted after the change."""
    services.set_case_status(case.pk, Case.Status.READY)
    services.note_look(clinician, case)
    assert row_of(clinician, case).news == ["was: No smear yet"]


def test_an_amended_report_is_new_although_the_state_is_the_same(clinician, case):
    services.set_case_status(case.pk, Case.Status.REPORTED)
    case.refresh_from_db()
    services.note_look(clinician, case)
    services.set_case_status(case.pk, Case.Status.READY)
    services.set_case_status(case.pk, Case.Status.REPORTED)
    assert row_of(clinician, case).news == ["the report was amended"]
    assert listed(worklists.worklist(clinician, {"tab": "mine"})) == [case.accession]


def test_an_answer_is_new_for_who_did_not_write_it(clinician, pathologist, case):
    question = questions.ask(clinician, case, "Is this urgent?")
    services.note_look(pathologist, case)
    questions.answer(pathologist, question, "Yes.")
    assert row_of(clinician, case).news == ["a question was answered"]
    assert row_of(pathologist, case).news == []


def test_a_colleague_s_look_changes_nothing_for_the_author(clinician, pathologist, case):
    services.set_case_status(case.pk, Case.Status.REVIEW)
    case.refresh_from_db()
    services.note_look(pathologist, case)
    assert row_of(clinician, case).news


def test_open_questions_have_a_list_of_their_own(clinician, pathologist, case, make_case):
    make_case("silent")
    question = questions.ask(clinician, case, "Blasts?")
    assert listed(worklists.worklist(pathologist, {"tab": "asked"})) == [case.accession]
    assert row_of(pathologist, case).case.question_count == 1
    questions.answer(pathologist, question, "None.")
    assert not worklists.worklist(pathologist, {"tab": "asked"}).cases.exists()


# --- the page -------------------------------------------------------------------------------------
def test_the_page_says_what_others_know_of_a_case(client_for, clinician, case, monkeypatch):
    facts = {case.pk: [Fact("40 %, 1 of 2 images", 0.4), Fact("<b>.png: out of focus", is_bad=True)]}
    monkeypatch.setitem(SOURCES, "test", lambda user, cases: facts)
    page = client_for(clinician).get("/").content.decode()
    assert "40 %, 1 of 2 images" in page and 'value="0.400"' in page
    assert "&lt;b&gt;.png: out of focus" in page
    assert 'hx-trigger="every 4s"' in page


def test_the_list_is_sent_again_only_when_it_changed(client_for, clinician, case):
    client = client_for(clinician)
    live = client.get("/", headers={"HX-Request": "true"})
    assert b"<html" not in live.content and b"H26-0001" in live.content
    seen = {"HX-Request": "true", "X-Seen": live.context["seen"]}
    assert client.get("/", headers=seen).status_code == 204
    services.set_case_status(case.pk, Case.Status.ATTENTION)
    again = client.get("/", headers=seen)
    assert again.status_code == 200 and b"Analysis failed" in again.content
    assert b"was: No smear yet" in again.content


def test_opening_a_case_is_a_look(client_for, clinician, case):
    CaseLook.objects.all().delete()
    client_for(clinician).get(f"/cases/{case.pk}/")
    assert CaseLook.objects.get().person == clinician
    services.set_case_status(case.pk, Case.Status.REVIEW)
    client = client_for(clinician)
    assert b"tag-news" in client.get("/").content
    client.get(f"/cases/{case.pk}/")
    assert b"tag-news" not in client.get("/").content


def queries(client, address="/") -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


@pytest.mark.parametrize("tab", ["mine", "open", "reported"])
def test_fifty_cases_cost_no_more_queries_than_one(tab, client_for, clinician, pathologist, make_case):
    states = ["new", "analysing", "attention", "review", "ready", "reported"]
    for state in states:
        make_case(f"first-{state}", status=state)
    client = client_for(clinician)
    few = queries(client, f"/?tab={tab}")
    for number in range(50):
        made = make_case(f"H{number:03}", status=states[number % 6])
        questions.answer(pathologist, questions.ask(clinician, made, "Why?"), "So.")
    assert queries(client, f"/?tab={tab}") <= few
    assert few <= 12
