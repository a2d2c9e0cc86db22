from __future__ import annotations

import re

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from django.core import mail
from django.db.models import ProtectedError
from rest_framework.test import APIClient

from accounts import jwt, own_data
from accounts.models import ApiToken, AuditEntry, TokenFamily, User
from hub.exceptions import Conflict, HubError

from .factories import PASSWORD, AuditEntryFactory, token_for, token_header

pytestmark = pytest.mark.django_db


def test_export_holds_what_is_mine_and_no_secret(api, owner, stranger):
    token, plain = token_for(owner, name="ci")
    TOTP.activate(owner, "JBSWY3DPEHPK3PXP")
    jwt.log_in(owner)
    AuditEntryFactory(actor_kind="user", actor_id=str(stranger.pk), action="thing.strange")

    answer = api(owner).get("/api/v1/auth/export")

    body, text = answer.json(), answer.content.decode()
    assert (body["profile"]["username"], body["tokens"][0]["name"], len(body["logins"])) == ("owner", "ci", 1)
    assert body["second_factors"][0]["type"] == "totp"
    assert answer["Cache-Control"] == "no-store"
    for secret in (plain, token.digest, owner.password, "JBSWY3DPEHPK3PXP", "thing.strange"):
        assert secret not in text


def test_deleted_account_is_gone_and_its_history_stays(api, owner):
    token_for(owner)
    jwt.log_in(owner)

    answer = api(owner).post("/api/v1/auth/delete", {"password": PASSWORD})

    assert answer.status_code == 204
    assert not User.objects.exists()
    assert not ApiToken.objects.exists()
    assert not TokenFamily.objects.exists()
    assert AuditEntry.objects.get(action="user.deleted").target_name == "owner"


def test_deletion_wants_the_password_and_no_api_token(api, owner):
    _, plain = token_for(owner)
    body = {"password": PASSWORD}

    assert api(owner).post("/api/v1/auth/delete", {"password": "wrong"}).status_code == 401
    assert APIClient().post("/api/v1/auth/delete", body, headers=token_header(plain)).status_code == 403
    assert User.objects.count() == 1


def test_who_owns_something_or_is_admin_stays(admin, owner, monkeypatch):
    def refuse(user):
        raise ProtectedError("owned", {token})

    token, _ = token_for(owner)
    monkeypatch.setattr(User, "delete", refuse)

    with pytest.raises(Conflict, match="still owns"):
        own_data.delete_account(owner, actor=owner)
    with pytest.raises(Conflict, match="Admin"):
        own_data.delete_account(admin, actor=admin)
    with pytest.raises(HubError):
        own_data.delete_account(owner, actor=admin)
    assert not AuditEntry.objects.filter(action="user.deleted").exists()


def test_password_is_reset_by_mail_with_one_answer_for_all(client, owner):
    EmailAddress.objects.create(user=owner, email=owner.email, primary=True, verified=True)
    answers = [client.post("/accounts/password/reset/", {"email": address}) for address in (owner.email, "no@x.org")]
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body).group()
    form = client.get(link, follow=True).request["PATH_INFO"]

    client.post(form, {"password1": "a new long phrase", "password2": "a new long phrase"})

    assert {(answer.status_code, answer["Location"]) for answer in answers} == {(302, answers[0]["Location"])}
    assert User.objects.get().check_password("a new long phrase")
    assert client.get(link, follow=True).request["PATH_INFO"] != form


def test_new_address_counts_once_confirmed(client, owner):
    EmailAddress.objects.create(user=owner, email=owner.email, primary=True, verified=True)
    client.force_login(owner)

    client.post("/accounts/email/", {"email": "new@example.org", "action_add": ""})

    assert User.objects.get().email == "owner@example.org"
    assert EmailAddress.objects.get(email="new@example.org").verified is False
    assert mail.outbox[-1].to == ["new@example.org"]
