"""Seconds from sending a smear to holding its result, on a running portal with a warm worker.

python benchmarks/upload_to_result.py http://127.0.0.1:8000 EMAIL PASSWORD IMAGE [RUNS]
"""

import statistics
import sys
import time
from pathlib import Path

import requests

POLL_SECONDS = 0.05


def sign_in(portal: str, email: str, password: str) -> requests.Session:
    session = requests.Session()
    answer = session.post(f"{portal}/api/v1/auth/token/", json={"email": email, "password": password})
    answer.raise_for_status()
    session.headers["Authorization"] = f"Token {answer.json()['token']}"
    return session


def new_case(session: requests.Session, portal: str, patient: str) -> str:
    fields = {"patient": patient, "accession": f"B-{time.time_ns()}", "collected_at": "2026-01-01T08:00:00Z"}
    answer = session.post(f"{portal}/api/v1/cases/", json=fields)
    answer.raise_for_status()
    return str(answer.json()["id"])


def one_way(session: requests.Session, portal: str, case: str, image: Path) -> float:
    began = time.perf_counter()
    with image.open("rb") as file:
        sent = session.post(f"{portal}/api/v1/cases/{case}/smears/", files={"file": (image.name, file)})
    sent.raise_for_status()
    run = sent.json()["run"]["id"]
    while (status := session.get(f"{portal}/api/v1/runs/{run}/").json())["status"] != "done":
        if status["status"] == "failed":
            sys.exit(f"the analysis failed: {status['error']}")
        time.sleep(POLL_SECONDS)
    session.get(f"{portal}/api/v1/runs/{run}/result/").raise_for_status()
    return time.perf_counter() - began


def main(portal: str, email: str, password: str, image: str, runs: str = "7") -> None:
    session = sign_in(portal, email, password)
    person = {"mrn": f"B-{time.time_ns()}", "family_name": "Benchmark"}
    patient = session.post(f"{portal}/api/v1/patients/", json=person).json()["id"]
    warm_up, *seconds = [
        one_way(session, portal, new_case(session, portal, patient), Path(image))
        for _ in range(int(runs) + 1)
    ]
    print(f"first run {warm_up:.2f} s, not counted")
    print(f"n = {len(seconds)}: min {min(seconds):.2f}, median {statistics.median(seconds):.2f}, ", end="")
    print(f"max {max(seconds):.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
