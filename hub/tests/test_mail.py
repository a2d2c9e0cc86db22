from __future__ import annotations

import pytest

from hub.mail import mail_settings


@pytest.mark.parametrize(
    ("url", "port", "starttls", "tls"),
    [
        ("smtp://mail.example.org", 587, True, False),
        ("smtps://mail.example.org", 465, False, True),
        ("smtp+plain://mail.example.org:2525", 2525, False, False),
    ],
)
def test_url_says_how_mail_is_sent(url, port, starttls, tls):
    found = mail_settings(url)

    assert (found["EMAIL_PORT"], found["EMAIL_USE_TLS"], found["EMAIL_USE_SSL"]) == (port, starttls, tls)


def test_name_and_password_may_hold_any_character():
    found = mail_settings("smtp://hub%40example.org:p%3Ass@mail.example.org")

    assert (found["EMAIL_HOST_USER"], found["EMAIL_HOST_PASSWORD"]) == ("hub@example.org", "p:ss")


@pytest.mark.parametrize("url", ["mail.example.org", "http://mail.example.org", "smtp://"])
def test_what_is_no_mail_server_is_refused(url):
    with pytest.raises(ValueError, match="must begin with"):
        mail_settings(url)


def test_without_a_server_mail_goes_to_the_log():
    assert mail_settings("") == {"EMAIL_BACKEND": "django.core.mail.backends.console.EmailBackend"}
