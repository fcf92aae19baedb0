"""Pages: what each state shows, who may do what there, and that every verb goes through its service."""

import re
from dataclasses import replace
from html import unescape

import pytest
from django.urls import reverse

from accounts.models import Role
from inference import pages, review, review_views, runs, selectors
from inference.pipeline.findings import Notice, Outcome
from tests.conftest import person

RUO = "For Research Use Only. Not for use in diagnostic procedures."


def page(name, *args):
    return reverse(f"inference:{name}", args=args)


@pytest.fixture
def desk(client_for, pathologist):
    """A pathologist's browser on the review page, as htmx asks."""
    client = client_for(pathologist)
    client.defaults["HTTP_HX_REQUEST"] = "true"
    return client


def text_of(response):
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


# --- live -----------------------------------------------------------------------------------------
def test_a_queued_run_asks_again_every_second(client_for, clinician, queued_run):
    html = client_for(clinician).get(page("run", queued_run.pk)).content.decode()
    assert 'hx-trigger="every 1s"' in html
    assert "Queued" in html
    assert RUO in html


def test_a_running_run_shows_its_stage(client_for, clinician, queued_run):
    token = runs.QUEUE.claim(queued_run.pk)
    runs.note_stage(queued_run.pk, token, "segmentation", 0.45)
    html = client_for(clinician).get(page("run-status", queued_run.pk)).content.decode()
    assert 'value="0.450"' in html
    current = re.search(r'<li class="stage-now" aria-current="step"><span>(.*?)</span>', html)
    assert current.group(1) == "Finding cells"
    assert html.count("stage-past") == 2


def test_a_failed_run_shows_its_reason_and_can_be_repeated(client_for, clinician, queued_run):
    runs.fail(
        queued_run.pk, runs.QUEUE.claim(queued_run.pk), "unusable_smear", "No cell was found in <this> image."
    )
    client = client_for(clinician)
    html = client.get(page("run", queued_run.pk)).content.decode()
    assert "No cell was found in &lt;this&gt; image." in html
    assert "every 1s" not in html
    assert client.post(page("retry", queued_run.pk)).status_code == 302
    again = client.post(page("retry", queued_run.pk))
    assert again.status_code == 409
    assert "has not failed" in text_of(again)


def test_a_done_run_tells_the_page_to_load_the_result(client_for, clinician, done_run):
    answer = client_for(clinician).get(page("run-status", done_run.pk))
    assert answer["HX-Refresh"] == "true"
    assert "every 1s" not in answer.content.decode()


def test_the_smears_of_a_case_poll_only_while_one_is_at_work(
    client_for, clinician, case, queued_run, findings
):
    client = client_for(clinician)
    assert "every 2s" in client.get(page("case-runs", case.pk)).content.decode()
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), findings)
    quiet = client.get(page("case-runs", case.pk))
    assert "every 2s" not in quiet.content.decode()
    assert "HX-Trigger" not in quiet
    assert client.get(page("case-runs", case.pk) + "?again")["HX-Trigger"] == "case-changed"


# --- result ---------------------------------------------------------------------------------------
def test_the_result_page_shows_every_cell_and_figure(client_for, clinician, done_run, findings):
    answer = client_for(clinician).get(page("run", done_run.pk))
    html, words = answer.content.decode(), text_of(answer)
    assert len(re.findall(r'data-cell="\d+"', html)) == len(findings.cells)
    assert "8 leukocytes counted" in words
    neutrophil = findings.aggregate.differential["neutrophil"]
    assert f"{neutrophil.low:.1f}–{neutrophil.high:.1f}" in words
    assert "50–70" in words
    assert all(flag.text in words for flag in findings.aggregate.flags)
    assert "ab" * 32 in html
    assert "Red cell morphology not analysed" in words
    assert "Leukemia staging not requested" in words
    assert words.count(RUO) >= 2


def test_strict_pages_carry_no_inline_style_or_script(client_for, pathologist, done_run):
    client = client_for(pathologist)
    for name in ("run", "review-slide"):
        html = client.get(page(name, done_run.pk)).content.decode()
        assert " style=" not in html
        assert "<style" not in html
        assert not re.search(r"<script(?![^>]* src=)", html)
        assert not re.search(r"\son\w+=", html)


def test_a_cell_is_shown_with_its_probabilities_and_heat_map(client_for, clinician, done_run):
    client = client_for(clinician)
    unsure = text_of(client.get(page("cell", done_run.pk, 8)))
    assert "Eosinophil 55 %" in unsure
    assert "confidence below 0.7" in unsure
    assert "Evidence on the cell 80 %" in unsure
    sure = client.get(page("cell", done_run.pk, 1)).content.decode()
    assert "heatmap.png" not in sure
    red = text_of(client.get(page("cell", done_run.pk, 9)))
    assert "not analysed" in red
    assert client.get(page("cell", done_run.pk, 999)).status_code == 404
    asked = client.get(page("run", done_run.pk) + "?cell=8")
    assert "Eosinophil 55 %" in text_of(asked)


def test_pictures_are_png_and_private(client_for, clinician, done_run):
    client = client_for(clinician)
    for address in (
        page("crop", done_run.pk, 7),
        page("heatmap", done_run.pk, 7),
        page("overlay", done_run.pk),
    ):
        answer = client.get(address)
        assert answer["Content-Type"] == "image/png"
        assert "private" in answer["Cache-Control"]
        assert b"".join(answer.streaming_content).startswith(b"\x89PNG")
    assert client.get(page("heatmap", done_run.pk, 1)).status_code == 404
    assert client.get(page("crop", done_run.pk, 9)).status_code == 404


# --- quality --------------------------------------------------------------------------------------
LOW_FOCUS = "The image is out of focus. Focus again and re-scan."


@pytest.fixture
def judged(queued_run, findings):
    """Makes the run done with an image of this outcome."""

    def save(outcome):
        notice = Notice("low_focus", LOW_FOCUS)
        quality = replace(findings.quality, clumping=0.35, outcome=outcome, notices=(notice,))
        runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), replace(findings, quality=quality))
        return queued_run

    return save


OUTCOME_WORDS = {
    Outcome.RESCAN: "Low quality: re-scan",
    Outcome.STAIN_REVIEW: "Stain beyond normalisation: flagged for review",
}


@pytest.mark.parametrize("outcome", OUTCOME_WORDS)
def test_an_image_that_is_not_usable_is_shown_and_says_so_everywhere(
    client_for, pathologist, case, judged, outcome
):
    run, client, said = judged(outcome), client_for(pathologist), OUTCOME_WORDS[outcome]
    result = client.get(page("run", run.pk)).content.decode()
    banner = re.search(r'<p class="notice notice-warn outcome"><strong>(.*?)</strong>(.*?)</p>', result)
    assert (banner[1], banner[2].strip()) == (f"{said}.", LOW_FOCUS)
    assert re.search(rf'<span class="tag tag-warn">{said}</span>', result)
    assert len(re.findall(r'data-cell="', result)) == 19
    desk = text_of(client.get(page("review-slide", run.pk)))
    assert f"{said}. {LOW_FOCUS}" in desk
    assert f"{said}. The report will say so." in desk
    assert said in text_of(client.get(page("case-runs", case.pk)))
    assert said in text_of(client.get(page("review-queue")))


def test_a_usable_image_is_called_so_and_keeps_its_notices(client_for, pathologist, case, judged):
    run, client = judged(Outcome.USABLE), client_for(pathologist)
    result = client.get(page("run", run.pk)).content.decode()
    assert '<span class="tag tag-good">Usable</span>' in result
    assert "notice notice-warn outcome" not in result
    assert f'<p class="notice notice-warn">{LOW_FOCUS}</p>' in result
    for name, key in (("review-slide", run.pk), ("case-runs", case.pk)):
        words = text_of(client.get(page(name, key)))
        assert not any(said in words for said in OUTCOME_WORDS.values())


def test_quality_is_shown_part_by_part(client_for, clinician, judged):
    run = judged(Outcome.USABLE)
    client = client_for(clinician)
    words = text_of(client.get(page("run", run.pk)))
    assert "Focus 90 %" in words
    assert "Cells lie apart 35 %" in words
    run.refresh_from_db()
    del run.quality["clumping"], run.quality["outcome"]
    run.save(update_fields=["quality"])
    words = text_of(client.get(page("run", run.pk)))
    assert "Usable" in words
    assert "Cells lie apart" not in words


# --- review ---------------------------------------------------------------------------------------
def test_of_many_open_cells_the_queue_shows_the_first(client_for, pathologist, done_run, monkeypatch):
    monkeypatch.setattr(review_views, "GALLERY", 1)
    answer = client_for(pathologist).get(page("review-queue"))
    assert page("crop", done_run.pk, 7) in answer.content.decode()
    assert page("crop", done_run.pk, 8) not in answer.content.decode()
    assert "2 cells wait for your call" in text_of(answer)
    assert "and 1 more" in text_of(answer)


def test_of_many_white_cells_the_desk_shows_the_neighbours(desk, done_run, monkeypatch):
    monkeypatch.setattr(pages, "STRIP", 3)

    def strip(number):
        answer = desk.get(page("review-slide", done_run.pk) + f"?cell={number}")
        shown = re.search(r'<ul class="strip">.*?</ul>', answer.content.decode(), re.DOTALL)[0]
        return re.findall(r'href="\?cell=(\d+)"', shown), text_of(answer)

    assert strip(7)[0] == ["7", "8", "1"]
    assert strip(3)[0] == ["2", "3", "4"]
    assert strip(6)[0] == ["4", "5", "6"]
    assert "4–6 of 8" in strip(3)[1]


def test_the_queue_shows_open_cells_and_who_holds_the_slide(client_for, pathologist, lab, done_run):
    colleague = person(lab, Role.PATHOLOGIST, "Petra Peer")
    review.claim_slide(colleague, done_run)
    words = text_of(client_for(pathologist).get(page("review-queue")))
    assert "2 cells wait for your call" in words
    assert "H26-0001" in words
    assert "held by Petra Peer until" in words


def test_an_empty_queue_says_so(client_for, pathologist):
    assert "Nothing waits for review" in text_of(client_for(pathologist).get(page("review-queue")))


def test_a_slide_is_reviewed_from_claim_to_sign_off(desk, client_for, pathologist, done_run):
    assert desk.post(page("claim", done_run.pk)).status_code == 302
    first = text_of(desk.get(page("review-slide", done_run.pk)))
    assert "Cell 7 in the field" in first
    assert "held by you until" in first
    assert "2 cells still need review" in first
    second = text_of(
        desk.post(page("decide", done_run.pk, 7), {"label": "lymphocyte", "comment": "reactive"})
    )
    assert "Cell 7: Lymphocyte." in second
    assert "Cell 8 in the field" in second
    assert "1 cell still needs review" in second
    last = desk.post(page("decide", done_run.pk, 8), {"label": "eosinophil"})
    assert "No cell is open" in text_of(last)
    assert desk.post(page("sign-off", done_run.pk)).status_code == 302
    done_run.refresh_from_db()
    assert done_run.signed_off_by == pathologist
    assert "Signed off by Paul Path" in text_of(client_for(pathologist).get(page("run", done_run.pk)))


def test_enter_on_a_corrected_cell_keeps_the_correction(desk, done_run):
    desk.post(page("decide", done_run.pk, 7), {"label": "blast"})
    shown = desk.get(page("review-slide", done_run.pk), {"cell": 7}).content.decode()
    assert re.search(r'value="blast" data-key="Enter"', shown)


def test_a_colleague_s_comment_is_not_taken_for_one_s_own(desk, client_for, lab, done_run):
    desk.post(page("decide", done_run.pk, 7), {"label": "lymphocyte", "comment": "reactive"})
    shown = f"{page('review-slide', done_run.pk)}?cell=7"
    field = re.compile(r'id="comment"[^>]*>([^<]*)</textarea>')
    assert field.search(desk.get(shown).content.decode())[1] == "reactive"
    colleague = client_for(person(lab, Role.PATHOLOGIST, "Cora Colleague")).get(shown)
    assert field.search(colleague.content.decode())[1] == ""


def test_the_counts_follow_every_decision(desk, done_run):
    def lymphocytes(response):
        line = r'Lymphocyte(?:<span[^<]*</span>)*</th><td class="num">(\d+)</td><td class="num">'
        return re.search(line, response.content.decode()).group(1)

    assert lymphocytes(desk.get(page("review-slide", done_run.pk))) == "1"
    assert lymphocytes(desk.post(page("decide", done_run.pk, 7), {"label": "lymphocyte"})) == "2"
    undone = desk.post(page("undo", done_run.pk, 7))
    assert lymphocytes(undone) == "1"
    assert "Cell 7 is open again" in text_of(undone)


def test_without_javascript_a_decision_leads_to_the_next_page(client_for, pathologist, done_run):
    answer = client_for(pathologist).post(page("decide", done_run.pk, 7), {"label": "blast"})
    assert answer.status_code == 302
    assert answer["Location"] == page("review-slide", done_run.pk)


def test_conflicts_and_wrong_calls_are_told_in_the_page(desk, lab, done_run):
    early = desk.post(page("sign-off", done_run.pk))
    assert (early.status_code, "2 cells still need review" in text_of(early)) == (409, True)
    wrong = desk.post(page("decide", done_run.pk, 7), {"label": "unicorn"})
    assert (wrong.status_code, "unicorn" in text_of(wrong)) == (422, True)
    assert desk.post(page("undo", done_run.pk, 7)).status_code == 409
    done_run.refresh_from_db()
    colleague = person(lab, Role.PATHOLOGIST, "Petra Peer")
    review.release_slide(done_run.review_claimed_by, done_run) if done_run.review_claimed_by else None
    review.claim_slide(colleague, done_run)
    held = desk.post(page("decide", done_run.pk, 7), {"label": "blast"})
    assert (held.status_code, "held by Petra Peer" in text_of(held)) == (409, True)
    assert "<fieldset disabled>" in held.content.decode()
    assert desk.post(page("claim", done_run.pk)).status_code == 409
    assert desk.post(page("release", done_run.pk)).status_code == 409
    assert selectors.open_cells(done_run).count() == 2


@pytest.mark.parametrize("who", ["clinician", "administrator"])
def test_others_neither_see_the_review_nor_its_buttons(who, request, client_for, done_run):
    client = client_for(request.getfixturevalue(who))
    assert client.get(page("review-queue")).status_code == 403
    assert client.post(page("decide", done_run.pk, 7), {"label": "blast"}).status_code == 403
    html = client.get(page("run", done_run.pk)).content.decode()
    assert page("review-slide", done_run.pk) not in html


DOUBTS = (
    "Neutrophil meant to be right in 95 of 100 cells",
    "Blast meant to be right in 99 of 100 cells",
    "Second network Neutrophil 81 % disagrees wbc_second 1.0.0",
    "This cell is unlike the cells the network was trained on",
    "two networks disagree",
)


def test_what_speaks_against_a_call_stands_beside_it(client_for, pathologist, doubted_run):
    client = client_for(pathologist)
    for address in (
        f"{page('review-slide', doubted_run.pk)}?cell=8",
        f"{page('run', doubted_run.pk)}?cell=8",
        page("cell", doubted_run.pk, 8),
    ):
        shown = text_of(client.get(address))
        for words in DOUBTS:
            assert words in shown, address
    queue = text_of(client.get(page("review-queue")))
    assert "unlike the cells the network was trained on; two networks disagree" in queue


def test_of_an_analysis_without_them_nothing_is_said(client_for, pathologist, doubted_run):
    shown = text_of(client_for(pathologist).get(page("cell", doubted_run.pk, 1)))
    for words in ("Also possible", "Second network", "unlike the cells"):
        assert words not in shown


def test_a_call_that_nothing_speaks_against_says_so(client_for, pathologist, doubted_run):
    cells = doubted_run.cells.filter(number=1)
    cells.update(prediction_sets={"95": ["neutrophil"], "99": ["neutrophil"]})
    cells.update(second_call={"label": "neutrophil", "confidence": 0.9, "network": "b", "version": "1"})
    shown = text_of(client_for(pathologist).get(page("cell", doubted_run.pk, 1)))
    assert "no other class meant to be right in 95 of 100 cells" in shown
    assert "99 of 100" not in shown
    assert "Neutrophil 90 % agrees" in shown


def test_a_signed_slide_leads_to_its_report(done_run, pathologist, client_for):
    page = reverse("inference:run", args=[done_run.pk])
    assert "Review this slide" in client_for(pathologist).get(page).content.decode()
    done_run.signed_off_by, done_run.signed_off_at = pathologist, done_run.finished_at
    done_run.save(update_fields=["signed_off_by", "signed_off_at"])
    shown = client_for(pathologist).get(page).content.decode()
    assert "Review this slide" not in shown
    assert reverse("reports:report", args=[done_run.smear.case_id]) in shown
