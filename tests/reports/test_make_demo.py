"""The demo laboratory."""

import stat
from pathlib import Path

import pytest
from django.core.management import call_command

from cases.selectors import cases_for, smears_for
from inference.selectors import runs_for


@pytest.fixture
def state(settings, tmp_path) -> Path:
    settings.STATE_DIR = tmp_path
    return tmp_path


def test_the_demo_has_three_people_who_can_sign_in_and_one_queued_smear(client, db, state, capsys):
    from accounts.selectors import find_person

    call_command("make_demo", address="http://127.0.0.1:8000")
    printed = capsys.readouterr().out
    lines = (state / "demo_accounts.txt").read_text().splitlines()
    assert stat.S_IMODE((state / "demo_accounts.txt").stat().st_mode) == 0o600
    assert len(lines) == 3
    for line in lines:
        email, password = line.split()[-2:]
        assert line in printed
        answer = client.post("/accounts/login/", {"login": email, "password": password})
        assert (answer.status_code, answer.url) == (302, "/")
        client.logout()
    clinician = find_person("clinician@demo.example")
    assert [smear.original_name for smear in smears_for(clinician)] == ["synthetic_field.png"]
    assert [run.status for run in runs_for(clinician)] == ["queued"]


def test_a_second_call_changes_nothing(db, state):
    from accounts.selectors import find_person

    call_command("make_demo")
    first = (state / "demo_accounts.txt").read_text()
    call_command("make_demo")
    assert (state / "demo_accounts.txt").read_text() == first
    clinician = find_person("clinician@demo.example")
    assert cases_for(clinician).count() == smears_for(clinician).count() == 1
