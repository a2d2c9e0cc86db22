"""Pages of the profile, tokens, users and the audit trail."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from accounts.models import ApiToken, AuditEntry
from hub.testing import assert_constant_queries

from .factories import AuditEntryFactory, UserFactory, token_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def web(client, owner):
    client.force_login(owner)
    return client


@pytest.mark.parametrize("name", ["profile", "token_list", "user_list", "audit_list"])
def test_pages_ask_for_a_login(client, name):
    assert client.get(reverse(f"accounts:{name}")).status_code == 302


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("profile", {"Player", "Viewer", "Operator", "Admin"}),
        ("token_list", {"Player", "Operator", "Admin"}),
        ("audit_list", {"Viewer", "Operator", "Admin"}),
        ("user_list", {"Admin"}),
    ],
)
@pytest.mark.parametrize("role", ["Player", "Viewer", "Operator", "Admin"])
def test_pages_open_for_those_who_may(client, name, allowed, role):
    client.force_login(UserFactory(role=role))

    assert client.get(reverse(f"accounts:{name}")).status_code == (200 if role in allowed else 403)


def test_profile_is_saved(web, owner):
    web.post(
        reverse("accounts:profile"),
        {"first_name": "Tendai", "timezone": "Africa/Harare", "theme": "dark"},
    )

    owner.refresh_from_db()
    assert (owner.first_name, owner.timezone, owner.theme) == ("Tendai", "Africa/Harare", "dark")


def test_unknown_zone_is_refused_at_its_field(web):
    answer = web.post(reverse("accounts:profile"), {"timezone": "Mars/Olympus", "theme": "auto"})

    assert answer.status_code == 422
    assert "timezone" in answer.context["form"].errors


def test_times_are_shown_in_the_zone_of_the_profile(client, owner):
    owner.timezone = "Africa/Harare"
    owner.save()
    token_for(owner)
    client.force_login(owner)

    assert re.search(r'title="[^"]* CAT"', client.get(reverse("accounts:token_list")).content.decode())


def test_theme_is_on_every_page(web, owner):
    web.post(reverse("accounts:set_theme"), {"theme": "dark", "next": "/servers/"})

    assert b'data-bs-theme="dark"' in web.get(reverse("accounts:profile")).content


def test_unknown_theme_changes_nothing(web, owner):
    web.post(reverse("accounts:set_theme"), {"theme": "pink"})

    owner.refresh_from_db()
    assert owner.theme == "auto"


# Tokens ----------------------------------------------------------------------------------------------------------


def make(web, **values):
    return web.post(reverse("accounts:token_list"), {"name": "backup", "lasts": "30", **values})


def test_token_is_shown_once(web):
    answer = make(web)

    plain = re.findall(r"hub_[0-9a-f]+", answer.content.decode())[0]
    assert answer["Cache-Control"] == "no-store"
    assert plain not in web.get(reverse("accounts:token_list")).content.decode()
    assert plain not in str([str(context) for context in answer.context])


def test_token_takes_scopes_and_networks(web):
    make(web, scopes="servers.view, servers.control", allowed_networks="10.0.0.0/8 192.168.1.1")

    token = ApiToken.objects.get()
    assert token.scopes == ["servers.control", "servers.view"]
    assert len(token.allowed_networks) == 2


@pytest.mark.parametrize(
    ("field", "value"), [("scopes", "servers.explode"), ("allowed_networks", "everywhere"), ("name", "")]
)
def test_wrong_token_is_refused_at_its_field(web, field, value):
    answer = make(web, **{field: value})

    assert answer.status_code == 422
    assert field in answer.context["form"].errors
    assert not ApiToken.objects.exists()


def test_token_is_switched_off(web, owner):
    token, _ = token_for(owner)

    web.post(reverse("accounts:token_switch", args=[token.pk]), {"is_enabled": "no"})

    token.refresh_from_db()
    assert not token.is_enabled


def test_token_is_revoked_after_asking(web, owner):
    token, _ = token_for(owner)
    url = reverse("accounts:token_revoke", args=[token.pk])

    web.get(url)
    assert ApiToken.objects.exists()

    web.post(url)
    assert not ApiToken.objects.exists()


def test_new_text_of_a_token_is_shown_once(web, owner):
    token, plain = token_for(owner)

    text = web.post(reverse("accounts:token_rotate", args=[token.pk])).content.decode()

    assert "hub_" in text
    assert plain not in text


@pytest.mark.parametrize("name", ["token_switch", "token_rotate", "token_revoke"])
def test_tokens_of_others_are_not_found(web, stranger, name):
    token, _ = token_for(stranger)

    assert web.post(reverse(f"accounts:{name}", args=[token.pk])).status_code == 404


# Audit and users -------------------------------------------------------------------------------------------------


def test_audit_list_costs_the_same_queries_with_more_rows(client):
    client.force_login(UserFactory(role="Viewer"))
    AuditEntryFactory()

    assert_constant_queries(
        lambda: client.get(reverse("accounts:audit_list")), lambda: AuditEntryFactory.create_batch(10)
    )


def test_user_list_costs_the_same_queries_with_more_rows(client):
    client.force_login(UserFactory(role="Admin"))

    assert_constant_queries(lambda: client.get(reverse("accounts:user_list")), lambda: UserFactory.create_batch(10))


def test_audit_is_narrowed_by_noun_and_person(client):
    client.force_login(UserFactory(role="Viewer"))
    AuditEntryFactory(action="server.started", target_name="smp", actor_name="rudo")
    AuditEntryFactory(action="token.created", target_name="backup", actor_name="rudo")

    text = client.get(reverse("accounts:audit_list"), {"noun": "server", "q": "rudo"}).content.decode()

    assert "server.started" in text
    assert "token.created" not in text


def test_users_are_narrowed_by_role(client):
    client.force_login(UserFactory(role="Admin", username="boss"))
    UserFactory(username="chipo", role="Viewer")

    text = client.get(reverse("accounts:user_list"), {"role": "Viewer"}).content.decode()

    assert "chipo" in text
    assert ">boss</a>" not in text


def test_audit_page_writes_nothing(client):
    client.force_login(UserFactory(role="Viewer"))
    before = AuditEntry.objects.count()

    client.get(reverse("accounts:audit_list"))

    assert AuditEntry.objects.count() == before
