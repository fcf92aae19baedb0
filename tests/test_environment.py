"""How environment variables become settings."""

import gc
from importlib import import_module, reload

import pytest
from django.core.exceptions import ImproperlyConfigured

from wbcportal.environment import mail


def test_a_mail_server_with_starttls():
    server = mail("smtp+tls://lab%40example.org:p%3Ass@mail.example.org")
    assert (server.host, server.port, server.use_tls, server.use_ssl) == (
        "mail.example.org",
        587,
        True,
        False,
    )
    assert (server.user, server.password) == ("lab@example.org", "p:ss")
    assert server.backend.endswith("smtp.EmailBackend")


def test_other_ways_of_mail():
    assert (mail("smtps://mail.example.org").port, mail("smtps://mail.example.org").use_ssl) == (465, True)
    assert mail("smtp://localhost:2525").port == 2525
    assert mail("console:").backend.endswith("console.EmailBackend")
    assert mail("file:///var/mail/out").folder == "/var/mail/out"


@pytest.mark.parametrize("url", ["", "mail.example.org", "smtp://", "http://mail.example.org", "file:"])
def test_a_wrong_one_stops_the_start_without_repeating_a_password(url):
    with pytest.raises(ImproperlyConfigured, match="EMAIL_URL has to be"):
        mail(url)


def test_what_a_server_loads_is_not_looked_through_for_garbage():
    try:
        reload(import_module("wbcportal.wsgi"))
        assert gc.get_freeze_count() > 100_000
    finally:
        gc.unfreeze()
