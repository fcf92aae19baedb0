"""Asking: both protocols, fallback, repetitions, budget, and the breaker."""

import json
import time
from dataclasses import asdict, fields

import pytest

from inference.pipeline.cell_words import FocusVerdict, Plausibility, Reading
from inference.second_reader.choices import Endpoint, Speaks
from inference.second_reader.prompt import PROMPT_VERSION, ClassContext
from tests.inference.second_reader.conftest import (
    CONTEXT,
    CROP,
    GEMINI_KEY,
    OPENAI_KEY,
    OVERLAY,
    gemini,
    openai,
    reader,
)
from tests.inference.second_reader.model_server import GOOD, says, slow, status

BUSY = status(429, Retry_After="0")


def test_a_reading_by_an_openai_compatible_endpoint(serving):
    model = serving.start()
    reading = reader(openai(model)).read(CROP, OVERLAY, CONTEXT)
    assert reading == Reading(
        provider="openai_compatible",
        model="cell-reader-7b",
        prompt_version=PROMPT_VERSION,
        focus=FocusVerdict.ON_CELL,
        structures=("lobed nucleus", "fine granules"),
        plausible=Plausibility.YES,
        comment=GOOD["comment"],
        seconds=reading.seconds,
    )
    (request,) = model.received
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {OPENAI_KEY}"
    assert request.body["model"] == "cell-reader-7b"
    assert request.body["response_format"]["json_schema"]["schema"]["additionalProperties"] is False
    assert len(request.pictures) == 2


def test_a_reading_by_gemini(serving):
    model = serving.start()
    reading = reader(gemini(model)).read(CROP, OVERLAY, CONTEXT)
    assert (reading.provider, reading.model) == ("gemini", "gemini-x")
    (request,) = model.received
    assert request.path == "/v1beta/models/gemini-x:generateContent"
    assert {name.lower(): value for name, value in request.headers.items()}["x-goog-api-key"] == GEMINI_KEY
    assert GEMINI_KEY not in request.path
    assert request.body["generationConfig"]["responseSchema"]["required"] == [*GOOD]
    assert len(request.pictures) == 2


def test_a_reading_is_json_marked_as_machine_text_and_without_a_class(serving):
    reading = reader(openai(serving.start())).read(CROP, OVERLAY, CONTEXT)
    stored = json.loads(json.dumps(asdict(reading)))
    assert stored["machine_text"] is True and stored["prompt_version"] == PROMPT_VERSION
    assert not {"label", "class", "predicted", "classification"} & {field.name for field in fields(Reading)}


@pytest.mark.parametrize(
    ("focus", "plausible", "doubts"),
    [
        ("on_cell", "yes", False),
        ("unclear", "unsure", False),
        ("off_cell", "yes", True),
        ("on_cell", "no", True),
    ],
)
def test_doubts_ask_for_a_second_look(serving, focus, plausible, doubts):
    model = serving.start(says({**GOOD, "focus": focus, "plausible": plausible}))
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT).doubts is doubts


def test_an_endpoint_without_a_key_is_sent_none(serving):
    model = serving.start()
    local = Endpoint(Speaks.OPENAI, f"{model.url}/v1/", "llava")
    assert reader(local).read(CROP, OVERLAY, CONTEXT)
    assert "Authorization" not in model.received[0].headers
    assert model.received[0].path == "/v1/chat/completions"


def test_options_that_a_server_does_not_know_are_left_out_and_not_sent_again(serving):
    model = serving.start(status(400), status(422), status(400), says(GOOD))
    asked = reader(openai(model))
    assert asked.read(CROP, OVERLAY, CONTEXT) and asked.read(CROP, OVERLAY, CONTEXT)
    assert ["response_format" in request.body for request in model.received] == [
        True,
        True,
        True,
        False,
        False,
    ]


def test_the_openai_endpoint_is_asked_first_and_gemini_only_after_it(serving):
    first, second = serving.start(says(GOOD), status(500)), serving.start()
    both = reader(openai(first), gemini(second), retries=0)
    assert both.read(CROP, OVERLAY, CONTEXT).provider == "openai_compatible"
    assert second.received == []
    assert both.read(CROP, OVERLAY, CONTEXT).provider == "gemini"


def test_without_any_answer_the_deterministic_text_stands(serving):
    first, second = serving.start(status(500)), serving.start(status(403))
    assert reader(openai(first), gemini(second)).read(CROP, OVERLAY, CONTEXT) is None
    assert (len(first.received), len(second.received)) == (2, 1)


@pytest.mark.parametrize("failure", [status(500), status(503), BUSY], ids=["500", "503", "429"])
def test_a_passing_failure_is_repeated(serving, failure):
    model = serving.start(failure, says(GOOD))
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT)
    assert len(model.received) == 2


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_lasting_failure_is_not_repeated(serving, code):
    model = serving.start(status(code), says(GOOD))
    assert reader(openai(model), retries=3).read(CROP, OVERLAY, CONTEXT) is None
    assert len(model.received) == 1


def test_the_wait_that_a_busy_endpoint_asks_for_is_kept(serving):
    model = serving.start(status(429, Retry_After="1"), says(GOOD))
    begun = time.monotonic()
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT)
    assert time.monotonic() - begun >= 1


@pytest.mark.parametrize("asked", ["3600", "99999999999999999999", "Wed, 21 Oct 2099 07:28:00 GMT", "²"])
def test_nobody_waits_longer_than_a_request_may_take(serving, asked):
    model = serving.start(
        lambda handler: handler.send(429, b"", Retry_After=asked.encode().decode("latin-1"))
    )
    begun = time.monotonic()
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT) is None
    assert time.monotonic() - begun < 2


def test_a_slow_answer_is_late_and_the_next_attempt_counts(serving):
    model = serving.start(slow(1.5, says(GOOD)), says(GOOD))
    assert reader(openai(model), timeout=0.5).read(CROP, OVERLAY, CONTEXT)
    assert len(model.received) == 2


def test_the_seconds_of_a_run_end_it(serving):
    model = serving.start(slow(0.4, says(GOOD)))
    asked = reader(openai(model), seconds=1.5)
    begun = time.monotonic()
    readings = asked.read_all([(CROP, OVERLAY, CONTEXT)] * 8)
    assert time.monotonic() - begun < 2.5
    read = sum(reading is not None for reading in readings)
    assert 1 <= read <= 3 and readings[read:] == [None] * (8 - read)


def test_the_cells_of_a_run_end_it(serving):
    model = serving.start()
    readings = reader(openai(model), cells=2).read_all([(CROP, OVERLAY, CONTEXT)] * 4)
    assert [reading is not None for reading in readings] == [True, True, False, False]
    assert len(model.received) == 2


def test_cells_are_read_at_once_in_their_order(serving):
    def echo(handler):
        """The call as it was told, the first ones last."""
        told = handler.received.body["messages"][1]["content"][0]["text"].splitlines()[0]
        order = [context.predicted.replace("_", " ") in told for *_, context in sights].index(True)
        time.sleep(0.6 - 0.1 * order)
        says({**GOOD, "comment": told})(handler)

    sights = [(CROP, OVERLAY, ClassContext(label, 0.5, CONTEXT.classes)) for label in CONTEXT.classes[:4]]
    begun = time.monotonic()
    readings = reader(openai(serving.start(echo)), at_once=4).read_all(sights)
    assert time.monotonic() - begun < 1.5
    for reading, (*_, context) in zip(readings, sights, strict=True):
        assert f": {context.predicted} (" in reading.comment


def test_an_endpoint_that_keeps_failing_is_left_alone_by_the_next_run_too(serving):
    broken, good = serving.start(status(401)), serving.start()
    for _ in range(3):
        assert reader(openai(broken)).read(CROP, OVERLAY, CONTEXT) is None
    assert reader(openai(broken), gemini(good)).read(CROP, OVERLAY, CONTEXT).provider == "gemini"
    assert len(broken.received) == 3


def test_a_run_whose_budget_ends_does_not_blame_the_endpoint(serving):
    model = serving.start(slow(0.5, says(GOOD)))
    for _ in range(4):
        assert reader(openai(model), seconds=0.2, retries=0).read(CROP, OVERLAY, CONTEXT) is None
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT)


def test_nothing_listens(serving):
    model = serving.start()
    serving.stop()
    begun = time.monotonic()
    assert reader(openai(model)).read(CROP, OVERLAY, CONTEXT) is None
    assert time.monotonic() - begun < 2


def test_a_class_that_cannot_occur_is_a_fault_of_the_program():
    with pytest.raises(ValueError, match="none of the classes"):
        ClassContext("sickle", 0.9, ("blast",))
