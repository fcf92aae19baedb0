"""A real worker on a real broker: killed, frozen or without a broker, nothing is lost or done twice."""

import io
import signal

import numpy as np
import pytest
from PIL import Image

from inference.names import STAGE_NAMES
from tests.portal_processes import ROOT, running, wait_for

pytestmark = pytest.mark.worker


@pytest.fixture(scope="module")
def portal():
    with running("broker", "web", "scheduler") as portal:
        yield portal


@pytest.fixture
def worker(portal):
    """A portal with a worker, warm where an earlier test has left one."""
    if "worker" not in portal.processes:
        portal.start("worker")
    return portal


@pytest.fixture
def fresh_worker(portal):
    """A portal with a worker of this test's own, which it may kill or freeze."""
    if "worker" in portal.processes:
        portal.end("worker")
    portal.start("worker")
    return portal


@pytest.fixture
def image():
    """The synthetic sample in a size of its own for every test: the same file twice is refused."""

    def cropped(less: int) -> bytes:
        with Image.open(ROOT / "samples" / "synthetic_field.png") as sample:
            buffer = io.BytesIO()
            sample.convert("RGB").crop((0, 0, 640 - less, 480)).save(buffer, "PNG")
        return buffer.getvalue()

    return cropped


@pytest.fixture
def large_image():
    """The sample side by side with itself, large enough that a worker is some seconds busy with it."""

    def repeated(times: int) -> bytes:
        with Image.open(ROOT / "samples" / "synthetic_field.png") as sample:
            field = np.tile(np.asarray(sample.convert("RGB")), (3, times, 1))
        buffer = io.BytesIO()
        Image.fromarray(field).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return repeated


def finished_once(portal, run):
    assert portal.verbs(run).count("run.done") == 1
    cells = portal.session.get(portal.url(f"/api/v1/runs/{run}/result/"), timeout=30).json()[
        "cell_detections"
    ]
    assert len(cells) == len({cell["cell_id"] for cell in cells}) > 0


def test_the_run_of_a_killed_worker_is_taken_up_and_finishes_once(fresh_worker, large_image):
    run = fresh_worker.submit(large_image(3))
    fresh_worker.wait_for_status(run, "running")
    fresh_worker.end("worker", signal.SIGKILL)
    fresh_worker.start("worker")
    done = fresh_worker.finished(run)
    assert (done["attempts"], done["progress"], done["error"]) == (2, 1.0, None)
    assert fresh_worker.verbs(run).count("run.requeued") == 1
    finished_once(fresh_worker, run)


def test_a_smear_handed_in_without_a_broker_is_analysed_when_it_is_back(worker, image):
    worker.end("broker", signal.SIGTERM)
    run = worker.submit(image(2))
    assert worker.status(run)["status"] == "queued"
    worker.start("broker")
    worker.finished(run)
    finished_once(worker, run)


def test_a_run_goes_through_its_stages_and_a_cell_is_predicted(worker, image):
    seen = set()

    def done():
        now = worker.status(run)
        seen.add(now["stage"])
        assert now["status"] != "failed", now
        return now["status"] == "done"

    run = worker.submit(image(3))
    wait_for("the result", done)
    assert seen - {""}
    assert seen - {""} <= set(STAGE_NAMES)
    address = worker.url("/api/v1/predict/")
    said = worker.session.post(address, files={"file": ("cell.png", image(4))}, timeout=40)
    assert said.status_code == 200, said.text
    body = said.json()
    assert body["confidence"] == pytest.approx(max(body["all_probabilities"].values()), abs=1e-4)
    assert body["all_probabilities"][body["class"]] == pytest.approx(body["confidence"], abs=1e-4)
    assert body["gradcam_image"].startswith("data:image/png;base64,")


def test_a_frozen_worker_that_wakes_writes_nothing(fresh_worker, large_image):
    run = fresh_worker.submit(large_image(4))
    fresh_worker.wait_for_status(run, "running")
    fresh_worker.send("worker", signal.SIGSTOP)
    fresh_worker.start("worker", "second")
    try:
        before = fresh_worker.finished(run)
        fresh_worker.send("worker", signal.SIGCONT)
        wait_for("the word of the first worker", lambda: "taken over" in fresh_worker.log("worker"))
        assert fresh_worker.status(run) == before
        finished_once(fresh_worker, run)
    finally:
        fresh_worker.end("second")
