from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from rest_framework.test import APIClient

from accounts.models import ApiToken

from .factories import UserFactory, token_header

pytestmark = pytest.mark.django_db


def test_token_command_prints_only_the_token(owner, capsys):
    call_command("token", "owner", "--name", "ci")

    captured = capsys.readouterr()
    plain = captured.out.strip()
    assert captured.out == f"{plain}\n"
    assert APIClient().get("/api/v1/users/me", headers=token_header(plain)).status_code == 200


def test_token_command_takes_limits_and_an_email_address(owner):
    options = ["--name", "ci", "--scope", "read", "--network", "10.0.0.0/8", "--days", "7"]

    call_command("token", "OWNER@example.org", *options)

    token = ApiToken.objects.get()
    assert (token.scopes, token.allowed_networks, token.expiry is None) == (["read"], ["10.0.0.0/8"], False)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nobody-here", "--name", "ci"], "There is no user nobody-here."),
        (["owner", "--name", "ci", "--scope", "servers.fly"], "servers.fly is not a scope"),
        (["owner", "--name", ""], "blank"),
    ],
)
def test_token_command_says_what_is_wrong_in_one_sentence(owner, arguments, sentence):
    with pytest.raises(CommandError, match=sentence):
        call_command("token", *arguments)


def test_createsuperuser_makes_an_admin():
    call_command("createsuperuser", "--noinput", "--username", "chief", "--email", "chief@example.org")

    assert UserFactory._meta.model.objects.get(username="chief").role == "Admin"
