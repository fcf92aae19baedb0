"""Laboratories made from the command line."""

import re

import pytest
from django.core.management import CommandError, call_command

from accounts.models import AuditEvent, Lab, User

WHO = {"admin_email": "Chief@Example.org", "admin_name": "Carla Chief"}


def test_a_laboratory_comes_with_an_administrator_who_can_sign_in(client, db, capsys):
    call_command("create_laboratory", "Eastside Laboratory", **WHO)
    printed = capsys.readouterr().out
    password = re.search(r"chief@example\.org signs in with (\S+)", printed, re.IGNORECASE)
    assert password
    person = User.objects.get(email="chief@example.org")
    assert (person.role, person.status, person.lab.name) == ("administrator", "active", "Eastside Laboratory")
    answer = client.post("/accounts/login/", {"login": person.email, "password": password[1]})
    assert (answer.status_code, answer.url) == (302, "/")
    assert password[1] not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize("wrong", [{"admin_email": "no address"}, {"admin_name": ""}])
def test_nothing_is_left_of_a_laboratory_without_an_administrator(db, wrong):
    with pytest.raises(CommandError):
        call_command("create_laboratory", "Eastside Laboratory", **(WHO | wrong))
    assert not Lab.objects.exists()


def test_a_name_is_taken_once(lab):
    with pytest.raises(CommandError):
        call_command("create_laboratory", lab.name, **WHO)
    assert not User.objects.exists()
