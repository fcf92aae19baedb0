"""The readings of an analysis: asked for cells in doubt only, kept beside them, never instead of a call."""

from dataclasses import replace

import numpy as np
import pytest

from inference import runs
from inference.pipeline.haematology import criteria_of
from inference.second_readings import REASON, reading_of, with_readings
from tests.conftest import field_image
from tests.inference.second_reader.model_server import GOOD, says

DOUBTFUL = {**GOOD, "plausible": "no", "comment": "The nucleus is round."}


@pytest.fixture
def model(settings, serving):
    for name in ("KEY", "GEMINI_KEY", "GEMINI_MODEL"):
        setattr(settings, f"SECOND_READER_{name}", "")

    def start(*acts):
        server = serving.start(*acts)
        settings.SECOND_READER_URL, settings.SECOND_READER_MODEL = f"{server.url}/v1", "llava"
        return server

    return start


def test_without_a_second_reader_nothing_changes(settings, findings):
    settings.SECOND_READER_URL = settings.SECOND_READER_MODEL = settings.SECOND_READER_GEMINI_KEY = ""
    assert with_readings(findings.cells) == list(findings.cells)
    call, explanation = findings.cells[7].call, findings.cells[7].explanation
    assert reading_of(call, explanation, findings.cells[7].crop) is None


def test_cells_in_doubt_are_read_the_least_sure_first_within_the_budget(settings, model, findings):
    settings.SECOND_READER_CELLS = 1
    server = model(says(GOOD))
    read = [cell for cell in with_readings(findings.cells) if cell.reading]
    assert [cell.cell_id for cell in read] == [8]
    assert len(server.received) == 1
    settings.SECOND_READER_CELLS = 20
    assert [cell.cell_id for cell in with_readings(findings.cells) if cell.reading] == [7, 8]


def test_the_criteria_of_the_called_class_are_told(model, findings):
    server = model(says(GOOD))
    with_readings(findings.cells[7:8])
    (asked,) = server.received
    for criterion in criteria_of("eosinophil"):
        assert criterion in str(asked)
    assert criteria_of("blast")[0] not in str(asked)


def test_a_single_cell_is_read_while_somebody_waits(model, findings):
    model(says(DOUBTFUL))
    cell = findings.cells[7]
    reading = reading_of(cell.call, cell.explanation, cell.crop)
    assert (reading.comment, reading.doubts) == ("The nucleus is round.", True)


def test_a_doubt_is_one_more_reason_and_never_another_call(model, findings):
    model(says(DOUBTFUL))
    for before, after in zip(findings.cells, with_readings(findings.cells), strict=True):
        assert after.call == before.call
        asked = bool(before.review_reasons)
        assert after.review_reasons == (*before.review_reasons, *[REASON] * asked)


def test_agreement_takes_no_cell_out_of_review(model, findings):
    model(says(GOOD))
    before = [cell.review_reasons for cell in findings.cells]
    assert [cell.review_reasons for cell in with_readings(findings.cells)] == before


@pytest.mark.django_db
def test_a_reading_is_kept_and_shown_as_machine_text(model, findings, queued_run, client_for, pathologist):
    model(says(DOUBTFUL))
    read = replace(findings, cells=tuple(with_readings(findings.cells)))
    runs.save(queued_run.pk, runs.QUEUE.claim(queued_run.pk), read, np.asarray(field_image()))
    page = client_for(pathologist).get(f"/runs/{queued_run.pk}/cells/8/")
    text = page.content.decode()
    assert "machine text" in text and "The nucleus is round." in text and "llava" in text
    assert "does not find the call plausible" in text
    assert "the second reader doubts the call" in text
