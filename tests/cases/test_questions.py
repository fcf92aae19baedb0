"""A clinician asks, a pathologist answers, each hears of it; nobody else, and no report."""

import pytest
from django.core.exceptions import ValidationError
from django.urls import reverse

from accounts.models import AuditEvent, Notification
from accounts.permissions import Refused
from accounts.selectors import unread_count
from cases import questions, selectors
from cases.models import Answer, Question
from cases.questions import MAX_TEXT


@pytest.fixture
def question(clinician, case):
    return questions.ask(clinician, case, "Are these blasts?")


def box(case):
    return reverse("cases:questions", args=[case.pk])


# --- the verbs ------------------------------------------------------------------------------------
def test_both_sides_hear_of_it(clinician, pathologist, administrator, stranger, question):
    told = Notification.objects.get()
    assert (told.recipient, told.kind) == (pathologist, "question.asked")
    questions.answer(pathologist, question, "Reactive lymphocytes.")
    told = Notification.objects.get(recipient=clinician)
    assert told.kind == "question.answered"
    assert unread_count(pathologist) == 0
    assert Notification.objects.count() == 2


def test_a_colleague_s_question_is_answered_to_them_and_to_the_author(lab, clinician, pathologist, case):
    from accounts.models import Role
    from tests.conftest import person

    colleague = person(lab, Role.CLINICIAN, "Carl Colleague")
    asked = questions.ask(colleague, case, "Parasites?")
    questions.answer(pathologist, asked, "None seen.")
    told = Notification.objects.filter(kind="question.answered").values_list(
        "recipient__full_name", flat=True
    )
    assert sorted(told) == ["Carl Colleague", "Clara Clinic"]


def test_the_trail_says_who_asked_and_answered_and_not_what(clinician, pathologist, question):
    questions.answer(pathologist, question, "No.")
    lines = AuditEvent.objects.filter(object_id=str(question.pk)).order_by("id")
    assert [(line.verb, line.actor, line.object_name) for line in lines] == [
        ("question.ask", clinician, "H26-0001"),
        ("question.answer", pathologist, "H26-0001"),
    ]
    assert "blasts" not in str([line.detail for line in lines])


def test_a_question_is_open_until_it_is_answered(clinician, pathologist, stranger, case, question):
    assert list(selectors.open_questions(pathologist)) == [question]
    assert not selectors.open_questions(stranger).exists()
    questions.answer(pathologist, question, "No.")
    questions.answer(pathologist, question, "On second sight, still no.")
    assert not selectors.open_questions(pathologist).exists()
    assert question.answers.count() == 2


def test_stat_questions_come_first(clinician, pathologist, case, make_case, question):
    urgent = questions.ask(clinician, make_case("urgent", priority="stat"), "Now?")
    assert list(selectors.open_questions(pathologist)) == [urgent, question]


@pytest.mark.parametrize("text", ["", "  \n ", "\x00", "x" * (MAX_TEXT + 1)])
def test_nothing_and_too_much_are_not_accepted(clinician, pathologist, case, question, text):
    with pytest.raises(ValidationError):
        questions.ask(clinician, case, text)
    with pytest.raises(ValidationError):
        questions.answer(pathologist, question, text)
    assert (Question.objects.count(), Answer.objects.count()) == (1, 0)


def test_who_may_ask_and_who_may_answer(clinician, pathologist, administrator, case, question):
    with pytest.raises(Refused):
        questions.ask(administrator, case, "?")
    for person in (administrator, clinician):
        with pytest.raises(Refused):
            questions.answer(person, question, "!")
    assert AuditEvent.objects.filter(outcome="refused").count() == 3
    assert questions.ask(pathologist, case, "What do you see?")


# --- the pages ------------------------------------------------------------------------------------
def test_the_box_in_everybody_s_hands(client_for, clinician, pathologist, administrator, case, question):
    page = client_for(clinician).get(box(case)).content.decode()
    assert "Are these blasts?" in page and "Open" in page
    assert "Send the question" in page and "Send the answer" not in page
    assert "Send the answer" in client_for(pathologist).get(box(case)).content.decode()
    read_only = client_for(administrator).get(box(case)).content.decode()
    assert "Are these blasts?" in read_only and "<form" not in read_only


def test_asking_and_answering_by_htmx(client_for, clinician, pathologist, case):
    live = {"HX-Request": "true"}
    asked = client_for(clinician).post(
        reverse("cases:ask", args=[case.pk]), {"text": "<script>x</script>\nHello"}, headers=live
    )
    assert asked.status_code == 200
    assert "<p>&lt;script&gt;x&lt;/script&gt;<br>Hello</p>" in asked.content.decode()
    address = reverse("cases:answer", args=[Question.objects.get().pk])
    client = client_for(pathologist)
    wrong = client.post(address, {"text": " "}, headers=live)
    assert wrong.status_code == 422 and b"Write something first." in wrong.content
    long = client.post(address, {"text": "y" * 2001}, headers=live)
    assert long.status_code == 422 and b"y" * 2001 in long.content
    assert b"Hello to you." in client.post(address, {"text": "Hello to you."}, headers=live).content


def test_without_scripts_the_page_of_the_case_answers(client_for, clinician, case):
    answer = client_for(clinician).post(reverse("cases:ask", args=[case.pk]), {"text": "When?"})
    assert answer.url == reverse("cases:case", args=[case.pk]) + "#questions"


def test_the_box_is_sent_again_only_when_something_was_said(
    client_for, clinician, pathologist, case, question
):
    client = client_for(clinician)
    assert client.get(box(case), {"seen": "1.0"}).status_code == 204
    questions.answer(pathologist, question, "No.")
    assert client.get(box(case), {"seen": "1.0"}).status_code == 200


def test_open_questions_stand_in_the_review_queue(client_for, pathologist, case, question):
    page = client_for(pathologist).get(reverse("inference:review-queue")).content.decode()
    assert "1 waits for an answer" in page and "Are these blasts?" in page
    questions.answer(pathologist, question, "No.")
    page = client_for(pathologist).get(reverse("inference:review-queue")).content.decode()
    assert "Open questions" not in page


def test_a_long_thread_costs_no_more_queries(
    client_for, clinician, pathologist, case, question, django_assert_max_num_queries
):
    for number in range(20):
        questions.answer(pathologist, questions.ask(clinician, case, f"Q{number}"), f"A{number}")
    client = client_for(clinician)
    with django_assert_max_num_queries(7):
        client.get(box(case))


# --- the API --------------------------------------------------------------------------------------
def test_the_api_asks_and_answers(api_for, clinician, pathologist, case):
    address = f"/api/v1/cases/{case.pk}/questions/"
    asked = api_for(clinician).post(address, {"text": "Blasts?"})
    assert asked.status_code == 201
    assert asked.json()["asked_by"] == "Clara Clinic" and asked.json()["answers"] == []
    answers = f"/api/v1/questions/{asked.json()['id']}/answers/"
    assert api_for(clinician).post(answers, {"text": "Me."}).status_code == 403
    assert api_for(pathologist).post(answers, {"text": "None."}).status_code == 201
    (row,) = api_for(clinician).get(address).json()["results"]
    assert [said["text"] for said in row["answers"]] == ["None."]


@pytest.mark.parametrize("sent", [{}, {"text": ""}, {"text": " "}, {"text": "x" * 2001}, {"text": "\x07"}])
def test_the_api_names_the_field_that_is_wrong(api_for, clinician, case, sent):
    answer = api_for(clinician).post(f"/api/v1/cases/{case.pk}/questions/", sent)
    assert answer.status_code == 400 and "text" in answer.json()["error"]["fields"]


def test_the_api_in_other_hands(api_for, administrator, stranger, case, question):
    address = f"/api/v1/cases/{case.pk}/questions/"
    assert api_for(None).get(address).status_code == 401
    assert api_for(stranger).get(address).status_code == 404
    assert api_for(stranger).post(address, {"text": "?"}).status_code == 404
    assert (
        api_for(stranger).post(f"/api/v1/questions/{question.pk}/answers/", {"text": "!"}).status_code == 404
    )
    assert api_for(administrator).get(address).status_code == 200
    assert api_for(administrator).post(address, {"text": "?"}).status_code == 403
