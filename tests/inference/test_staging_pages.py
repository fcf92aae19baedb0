"""The pages and the API of leukemia staging, for the author, a colleague and a stranger."""

import re
from dataclasses import replace

import numpy as np
import pytest

from accounts.models import Role
from accounts.services import offer_staging
from cases.models import Case
from inference import review, review_queue, runs, selectors, stage_review
from inference.models import StageCall, StageReview
from tests.conftest import field_image, person
from tests.stagings import abstained, not_stageable, staging

pytestmark = pytest.mark.django_db
LABORATORY_SAYS_NO = "This laboratory does not offer leukemia staging."


@pytest.fixture(autouse=True)
def no_broker(monkeypatch):
    monkeypatch.setattr("celery.current_app.send_task", lambda *_, **__: None)


@pytest.fixture
def offered(administrator):
    offer_staging(administrator, True)


@pytest.fixture
def analysed(offered, clinician, case, field_file, findings):
    """Makes the analysed run of a smear of the case, whose staging is requested."""
    from inference import staging_requests

    def make(found, seed=0):
        staging_requests.request(clinician, case)
        run = runs.submit(clinician, case, field_file(seed=seed))
        result = replace(findings, staging=found)
        runs.save(run.pk, runs.QUEUE.claim(run.pk), result, np.asarray(field_image()))
        return run

    return make


def words(answer) -> str:
    text = re.sub(r"<[^>]+>", " ", answer.content.decode())
    return re.sub(r"\s+", " ", text)


# --- the request on the case page -----------------------------------------------------------------
def test_a_clinician_requests_and_withdraws_on_the_case_page(
    client_for, clinician, pathologist, case, offered
):
    client, box = client_for(clinician), f"/cases/{case.pk}/staging/"
    assert "Not requested." in words(client.get(box))
    answer = client.post(f"{box}request/", follow=True)
    assert answer.redirect_chain == [(f"/cases/{case.pk}/", 302)]
    assert "Leukemia staging is requested." in words(answer)
    for who in (clinician, pathologist):
        assert "Requested by Clara Clinic" in words(client_for(who).get(box))
    client.post(f"{box}withdraw/")
    assert "Not requested." in words(client.get(box))


def test_where_it_is_not_offered_there_is_no_button_and_a_clear_refusal(client_for, clinician, case):
    client, box = client_for(clinician), f"/cases/{case.pk}/staging/"
    shown = client.get(box)
    assert LABORATORY_SAYS_NO in words(shown) and b"<button" not in shown.content
    assert LABORATORY_SAYS_NO in words(client.post(f"{box}request/", follow=True))
    assert not Case.objects.get(pk=case.pk).staging_requested


def test_a_stranger_finds_no_staging_and_an_administrator_requests_none(
    client_for, api_for, stranger, administrator, analysed, case
):
    run = analysed(staging())
    addresses = [f"/cases/{case.pk}/staging/", f"/runs/{run.pk}/staging/"]
    posted = [f"/cases/{case.pk}/staging/{verb}/" for verb in ("request", "withdraw")]
    posted += [f"/review/{run.pk}/staging/{verb}/" for verb in ("decide", "undo")]
    outside, inside = client_for(stranger), client_for(administrator)
    assert {outside.get(address).status_code for address in addresses} == {404}
    assert {outside.post(address, {"label": "benign"}).status_code for address in posted} == {404}
    assert {inside.get(address).status_code for address in addresses} == {200}
    assert {inside.post(address).status_code for address in posted} == {403}
    assert api_for(stranger).post(f"/api/v1/cases/{case.pk}/staging/").status_code == 404
    assert api_for(stranger).get(f"/api/v1/runs/{run.pk}/staging/").status_code == 404
    assert not StageReview.objects.exists()


# --- the result -----------------------------------------------------------------------------------
def test_the_result_shows_probabilities_with_n_and_interval(client_for, clinician, analysed):
    run = analysed(staging("pre_b", "leukemia", "networks_disagree"))
    page = client_for(clinician).get(f"/runs/{run.pk}/")
    text = words(page)
    assert "Leukemia staging Pre-B ALL" in text
    assert "Mean probability over 6 staged fields of 9, with the 95 % interval over fields" in text
    assert "91 % 85–97 %" in text
    assert "2 fields: too few nucleated cells" in text
    assert "1 field: colours outside the training range" in text
    assert "the share of blasts that the white-cell network called does not fit the stage" in text
    assert "No test by patients exists for the stage." in text
    assert "1 of 8 leukocytes, 12.5 % (95 % interval" in text
    assert page.content.decode().count('class="stage-field stage-') == 9 + 4
    assert b"Agree:" not in page.content


def test_fields_whose_blasts_do_not_fit_their_stage_are_marked(client_for, clinician, analysed):
    found = staging("pre_b", "leukemia", "networks_disagree_by_field")
    fields = [replace(field, disagrees=number < 3) for number, field in enumerate(found.fields)]
    run = analysed(replace(found, fields=tuple(fields)))
    text = words(client_for(clinician).get(f"/runs/{run.pk}/"))
    assert text.count("does not fit the stage of the field") == 1
    assert "Blasts do not fit the stage in 3 of 6 staged fields" in text
    assert text.count("50 % does not fit the stage") == 3


def test_fields_kept_before_they_were_compared_are_not_marked(client_for, api_for, clinician, analysed):
    run = analysed(staging())
    (call,) = StageCall.objects.all()
    call.field_calls = [{k: v for k, v in kept.items() if k != "disagrees"} for kept in call.field_calls]
    call.save()
    assert "not fit the stage" not in words(client_for(clinician).get(f"/runs/{run.pk}/"))
    part = api_for(clinician).get(f"/api/v1/runs/{run.pk}/staging/").json()
    assert {field["disagrees"] for field in part["field_calls"]} == {None}


def test_a_smear_that_cannot_be_staged_says_why(client_for, clinician, analysed):
    run = analysed(not_stageable())
    text = words(client_for(clinician).get(f"/runs/{run.pk}/"))
    assert "Not stageable" in text and "4 fields: too few nucleated cells" in text
    assert "Mean probability" not in text


def test_without_a_request_a_result_says_so_in_two_words(client_for, clinician, done_run):
    page = client_for(clinician).get(f"/runs/{done_run.pk}/")
    assert "Leukemia staging not requested" in words(page)
    assert b'id="staging"' not in page.content


def test_a_waiting_staging_is_asked_for_again_until_it_has_ended(
    client_for, clinician, pathologist, analysed
):
    run = analysed(None)
    client = client_for(clinician)
    assert "The staging is queued" in words(client.get(f"/runs/{run.pk}/"))
    for number in (7, 8):
        cell = selectors.run_for(pathologist, run.pk).cells.get(number=number)
        review.decide(pathologist, cell, cell.label)
    shown = words(client.get(f"/runs/{run.pk}/"))
    assert "The staging of this slide is not finished." in shown and "waits for sign-off" not in shown
    assert "HX-Refresh" not in client.get(f"/runs/{run.pk}/staging/").headers
    StageCall.objects.update(status="failed", error_message="The network is missing.")
    assert client.get(f"/runs/{run.pk}/staging/").headers["HX-Refresh"] == "true"
    assert "The network is missing." in words(client.get(f"/runs/{run.pk}/"))
    assert client.post(f"/runs/{run.pk}/staging/retry/").status_code == 302
    assert StageCall.objects.get().status == "queued"
    assert "has not failed" in words(client.post(f"/runs/{run.pk}/staging/retry/", follow=True))


def test_the_stages_of_a_run_name_staging_where_it_was_requested(client_for, clinician, queued_run, offered):
    page = f"/runs/{queued_run.pk}/"
    assert "Staging" not in words(client_for(clinician).get(page))
    client_for(clinician).post(f"/cases/{queued_run.smear.case_id}/staging/request/")
    assert "Staging" in words(client_for(clinician).get(page))


# --- the answer -----------------------------------------------------------------------------------
def test_a_pathologist_answers_on_the_desk(client_for, pathologist, analysed):
    run = analysed(staging("pre_b", "leukemia"))
    client, desk = client_for(pathologist), f"/review/{run.pk}/"
    assert "Staging needs an answer" in words(client.get("/review/"))
    assert "Agree: Pre-B ALL" in words(client.get(desk))
    answer = client.post(f"{desk}staging/decide/", {"label": "pro_b", "comment": "large cells"}, follow=True)
    assert "Leukemia staging: Pro-B ALL." in words(answer)
    assert "answered otherwise" in words(answer) and "large cells" in words(answer)
    assert "Staging needs an answer" not in words(client.get("/review/"))
    assert "is taken back" in words(client.post(f"{desk}staging/undo/", follow=True))
    assert "no answer of yours" in words(client.post(f"{desk}staging/undo/", follow=True))
    assert StageReview.objects.filter(undone_at=None).count() == 0


def test_a_colleague_s_comment_is_shown_and_not_taken_for_one_s_own(client_for, pathologist, lab, analysed):
    run = analysed(staging("pre_b", "leukemia"))
    stage_review.decide(pathologist, selectors.run_for(pathologist, run.pk), "pre_b", "nucleoli seen")
    review.release_slide(pathologist, run)
    colleague = person(lab, Role.PATHOLOGIST, "Cora Colleague")
    field = re.compile(r'id="staging-comment"[^>]*>([^<]*)</textarea>')
    for who, offered in ((pathologist, "nucleoli seen"), (colleague, "")):
        shown = client_for(who).get(f"/review/{run.pk}/").content.decode()
        assert "nucleoli seen" in shown
        assert field.search(shown)[1] == offered
        assert ("Undo my answer" in shown) is (who == pathologist)


def test_with_a_network_that_abstained_there_is_nothing_to_agree(client_for, pathologist, analysed):
    run = analysed(abstained())
    shown = words(client_for(pathologist).get(f"/review/{run.pk}/"))
    assert "No stage: the network abstained" in shown and "no stage is probable enough" in shown
    assert "Agree:" not in shown and "Not stageable" in shown


def test_an_unknown_stage_is_refused_on_the_desk(client_for, pathologist, analysed):
    run = analysed(staging())
    answer = client_for(pathologist).post(
        f"/review/{run.pk}/staging/decide/", {"label": "stage_4"}, follow=True
    )
    assert "not one of the available choices" in words(answer)
    assert not StageReview.objects.exists()


# --- the API --------------------------------------------------------------------------------------
def test_the_api_requests_and_withdraws(api_for, clinician, case, offered):
    client, address = api_for(clinician), f"/api/v1/cases/{case.pk}/staging/"
    assert client.get(address).json() == {"requested": False, "requested_by": None, "requested_at": None}
    asked = client.post(address)
    assert asked.status_code == 202
    assert (asked.json()["requested"], asked.json()["requested_by"]) == (True, "Clara Clinic")
    assert client.get(f"/api/v1/cases/{case.pk}/").json()["staging_requested"] is True
    assert client.delete(address).json()["requested"] is False


def test_the_api_refuses_where_it_is_not_offered(api_for, clinician, case):
    answer = api_for(clinician).post(f"/api/v1/cases/{case.pk}/staging/")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "staging_not_offered"
    assert answer.json()["error"]["message"].startswith(LABORATORY_SAYS_NO)


def test_the_api_answers_with_the_staging_of_a_run(api_for, clinician, pathologist, analysed):
    run = analysed(staging("pre_b", "leukemia"))
    part = api_for(clinician).get(f"/api/v1/runs/{run.pk}/staging/").json()
    assert part == api_for(clinician).get(f"/api/v1/runs/{run.pk}/result/").json()["staging"]
    assert part["requires_manual_review"] is True
    decide = f"/api/v1/runs/{run.pk}/staging/decide/"
    assert api_for(clinician).post(decide, {"label": "benign"}).status_code == 403
    assert api_for(pathologist).post(decide, {"label": "blast"}).status_code == 400
    said = api_for(pathologist).post(decide, {"label": "benign"})
    assert said.status_code == 201
    assert (said.json()["label"], said.json()["machine_label"]) == ("benign", "pre_b")
    part = api_for(clinician).get(f"/api/v1/runs/{run.pk}/staging/").json()
    assert (part["label"], part["reviewed_label"]) == ("pre_b", "benign")


def test_the_api_knows_what_was_not_requested(api_for, clinician, pathologist, done_run):
    assert api_for(clinician).get(f"/api/v1/runs/{done_run.pk}/staging/").json()["status"] == "not_requested"
    answer = api_for(pathologist).post(f"/api/v1/runs/{done_run.pk}/staging/decide/", {"label": "benign"})
    assert answer.status_code == 422
    retried = api_for(clinician).post(f"/api/v1/runs/{done_run.pk}/staging/retry/")
    assert retried.json()["error"]["code"] == "staging_conflict"


def test_one_query_more_for_many_slides(analysed, pathologist, django_assert_max_num_queries):
    for seed in range(3):
        stage_review.decide(pathologist, analysed(staging(), seed), "pre_b")
    with django_assert_max_num_queries(8):
        assert [slide.staging.label for slide in review_queue.waiting_slides(pathologist, 4)] == ["pre_b"] * 3


def test_the_api_lists_what_people_said_with_what_was_taken_back(
    api_for, clinician, stranger, pathologist, analysed
):
    run = selectors.run_for(pathologist, analysed(staging("pre_b", "leukemia")).pk)
    stage_review.decide(pathologist, run, "benign", "no blasts")
    stage_review.undo(pathologist, run)
    stage_review.decide(pathologist, run, "pre_b")
    address = f"/api/v1/runs/{run.pk}/staging/answers/"
    latest, first = api_for(clinician).get(address).json()["results"]
    assert (latest["label"], latest["machine_label"], latest["undone_at"]) == ("pre_b", "pre_b", None)
    assert (first["label"], first["comment"]) == ("benign", "no blasts") and first["undone_at"]
    assert first["reviewer"] == pathologist.full_name
    assert api_for(stranger).get(address).status_code == 404


def test_the_api_lists_the_stagings_that_wait_for_an_answer(
    api_for, clinician, stranger, pathologist, analysed
):
    run = selectors.run_for(pathologist, analysed(staging("pre_b", "leukemia")).pk)
    analysed(staging("benign"), seed=1)
    address = "/api/v1/review/stagings/"
    (waiting,) = api_for(pathologist).get(address).json()["results"]
    assert (waiting["run"], waiting["machine_label"]) == (str(run.pk), "pre_b")
    assert waiting["reasons"] == ["leukemia"]
    assert api_for(clinician).get(address).status_code == 403
    assert api_for(stranger).get(address).json().get("results", []) == []
    stage_review.decide(pathologist, run, "pre_b")
    assert api_for(pathologist).get(address).json()["results"] == []


def test_the_case_page_and_the_queue_say_that_a_staging_waits(client_for, pathologist, analysed):
    run = selectors.run_for(pathologist, analysed(staging("pre_b", "leukemia")).pk)
    for cell in selectors.open_cells(run):
        review.decide(pathologist, cell, cell.label)
    smears = f"/cases/{run.smear.case_id}/runs/"
    assert "Staging needs an answer" in words(client_for(pathologist).get(smears))
    assert "The staging needs an answer before" in words(client_for(pathologist).get("/review/"))
    stage_review.decide(pathologist, run, "pre_b")
    assert "Waits for sign-off" in words(client_for(pathologist).get(smears))
