"""The whole way of one smear: handed in, analysed by a real worker, reviewed, signed, exported."""

import re
from datetime import UTC, datetime

import pytest
import requests

from tests.portal_processes import PASSWORD, ROOT, Portal, running

pytestmark = pytest.mark.worker

PATHOLOGIST = "paul@northside.example"


@pytest.fixture(scope="module")
def portal():
    with running("broker", "web", "worker") as portal:
        yield portal


class Person:
    """Somebody with a browser: opens pages and sends their forms."""

    def __init__(self, portal: Portal, email: str) -> None:
        self.portal, self.session = portal, requests.Session()
        self.send("/accounts/login/", {"login": email, "password": PASSWORD})

    def open(self, path: str) -> str:
        answer = self.session.get(self.portal.url(path), timeout=60)
        assert answer.status_code == 200, f"{path}: {answer.status_code}"
        return answer.text

    def send(self, path: str, fields: dict[str, str], page: str = "") -> str:
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', self.open(page or path))
        data = {**fields, "csrfmiddlewaretoken": token.group(1)}
        answer = self.session.post(self.portal.url(path), data=data, timeout=60)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:500]}"
        return answer.text


@pytest.fixture(params=["sample", "real"])
def image(request) -> bytes:
    if request.param == "sample":
        return (ROOT / "samples" / "synthetic_field.png").read_bytes()
    folder = request.getfixturevalue("wbc_data") / "fields_txl"
    lines = [line.split(",") for line in (folder / "index.csv").read_text().splitlines()]
    bccd = next(line[0] for line in lines if line[2] == "bccd" and line[-1] == "val")
    return (folder / bccd).read_bytes()


def test_from_upload_to_signed_report(portal, image):
    case, accession = portal.new_case()
    run = portal.submit(image, case)
    portal.finished(run)
    result = portal.session.get(portal.url(f"/api/v1/runs/{run}/result/"), timeout=30).json()
    assert result["summary"]["rbc_count"] > 5
    assert result["ruo"] is True
    assert len(result["networks"][0]["sha256"]) == 64

    paul = Person(portal, PATHOLOGIST)
    desk = f"/review/{run}/"
    open_cells = [cell["cell_id"] for cell in result["uncertain_cases"]]
    paul.send(f"{desk}claim/", {}, page="/review/")
    for number in open_cells:
        paul.send(f"{desk}cells/{number}/decide/", {"label": "lymphocyte", "comment": "seen"}, page=desk)
    settle(paul, case, run)
    paul.send(f"{desk}sign-off/", {}, page=desk)

    report = f"/cases/{case}/report/"
    paul.send(f"{report}draft/", {}, page=report)
    assert portal.report(case, "report.fhir.json").json()["entry"]
    assert statuses(portal, case) == {"preliminary"}
    page = paul.open(report)
    meaning = re.search(r'name="meaning"[^>]*value="([^"]+)"', page)
    seen = re.search(r'name="seen"[^>]*value="([^"]+)"', page)
    signing = {"password": PASSWORD, "meaning": meaning.group(1), "seen": seen.group(1)}
    assert "Final" in paul.send(f"{report}sign/", signing, page=report)

    assert portal.report(case, "report.pdf").content.startswith(b"%PDF")
    assert statuses(portal, case) == {"final"}
    assert accession in portal.report(case, "report.hl7").text
    payload = portal.report(case, "report.json")
    assert accession in payload.text
    assert payload.json()["rbc_analysis"]["status"] == "analysed"


def settle(paul, case, run) -> None:
    """What one small field leaves open: a look at it, and counts that answer for themselves."""
    page = f"/cases/{case}/sign-off/"
    view = {"x0": "0", "y0": "0", "x1": "100000", "y1": "100000", "width": "1000000"}
    paul.send(f"/runs/{run}/viewer/seen.json", view, page=page)
    for key in ("white_cells", "red_cells", "platelets"):
        if f'value="{key}"' in paul.open(page):
            answer = {"check_key": key, "answer": "not_assessable", "reason": "One small field."}
            paul.send(f"{page}answer/", answer, page=page)
    if 'value="schistocytes"' in paul.open(page):
        told = {"finding": "schistocytes", "told": "Dr Wade", "told_by": "Paul Path", "how": "phone"}
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M")
        paul.send(f"{page}told/", {**told, "told_at": now, "read_back": "yes"}, page=page)


def statuses(portal, case) -> set[str]:
    """What the bundle says of its report and of every observation in it."""
    resources = [entry["resource"] for entry in portal.report(case, "report.fhir.json").json()["entry"]]
    return {r["status"] for r in resources if r["resourceType"] in ("DiagnosticReport", "Observation")}
