from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from knox.crypto import hash_token

from accounts import tokens
from accounts.actors import SYSTEM
from accounts.jobs import forget_expired_tokens
from accounts.models import ApiToken, AuditEntry
from accounts.scopes import scopes_within
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound

from .factories import UserFactory, token_for

pytestmark = pytest.mark.django_db


def test_token_is_stored_as_a_digest_only(owner):
    token, plain = tokens.create_token(owner, name="ci", actor=owner)

    assert plain.startswith("hub_")
    assert token.digest == hash_token(plain)
    stored = str(ApiToken.objects.filter(pk=token.pk).values().get())
    assert plain not in stored
    assert token.token_key == plain[:15]


def test_token_creation_is_audited_without_the_secret(owner):
    _, plain = tokens.create_token(owner, name="ci", actor=owner, scopes=["servers.control"])

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target_name, entry.data["scopes"]) == ("token.created", "ci", ["servers.control"])
    assert plain[:15] not in str(AuditEntry.objects.values().get())


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"scopes": ["servers.fly"]}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"allowed_networks": ["10.0.0.1/8"]}, "allowed_networks"),
        ({"allowed_networks": ["home"]}, "allowed_networks"),
        ({"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}, "expires_at"),
    ],
)
def test_token_input_is_refused_with_the_field(owner, values, field):
    with pytest.raises(Invalid) as refusal:
        tokens.create_token(owner, **{"name": "new", "actor": owner, **values})

    assert refusal.value.field == field
    assert not ApiToken.objects.exists()


def test_a_name_may_be_used_again(owner):
    token_for(owner, name="ci")
    token_for(owner, name="ci")

    assert ApiToken.objects.filter(name="ci").count() == 2


def test_role_without_tokens_cannot_make_one():
    viewer = UserFactory(role="Viewer")

    with pytest.raises(NotAllowed):
        tokens.create_token(viewer, name="ci", actor=viewer)


def test_token_for_another_is_made_by_admins_alone(admin, owner, stranger):
    with pytest.raises(NotAllowed):
        tokens.create_token(owner, name="ci", actor=stranger)

    token, _ = tokens.create_token(owner, name="ci", actor=admin)

    assert token.user == owner


def test_number_of_tokens_is_limited(owner, monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_PER_USER", 2)
    token_for(owner, name="one")
    token_for(owner, name="two")

    with pytest.raises(LimitReached):
        tokens.create_token(owner, name="three", actor=owner)
    with pytest.raises(LimitReached):
        tokens.rotate_token(ApiToken.objects.get(name="one"), actor=owner, overlap=timedelta(days=1))
    tokens.rotate_token(ApiToken.objects.get(name="one"), actor=owner)

    ApiToken.objects.filter(name="one").update(expiry=timezone.now())
    tokens.create_token(owner, name="three", actor=owner)


def test_scoped_token_cannot_make_a_wider_one(owner):
    owner.api_token, _ = token_for(owner, scopes=["tokens.*", "servers.control"])

    tokens.create_token(owner, name="narrow", actor=owner, scopes=["servers.control"])
    for scopes in ([], ["servers.*"], ["read"]):
        with pytest.raises(NotAllowed):
            tokens.create_token(owner, name="wide", actor=owner, scopes=scopes)


def test_token_bound_in_time_or_place_cannot_make_a_free_one(owner):
    soon = timezone.now() + timedelta(hours=1)
    owner.api_token, _ = token_for(owner, expires_at=soon, allowed_networks=["10.0.0.0/8", "2001:db8::/32"])
    wider, _ = token_for(owner)

    tokens.create_token(owner, name="as bound", actor=owner, expires_at=soon, allowed_networks=["10.1.0.0/16"])
    for limits in (
        {},
        {"expires_at": soon},
        {"allowed_networks": ["10.0.0.0/8"]},
        {"expires_at": soon + timedelta(seconds=1), "allowed_networks": ["10.0.0.0/8"]},
        {"expires_at": soon, "allowed_networks": ["10.0.0.0/8", "192.0.2.0/24"]},
        {"expires_at": soon, "allowed_networks": ["::/0"]},
    ):
        with pytest.raises(NotAllowed):
            tokens.create_token(owner, name="free", actor=owner, **limits)
    with pytest.raises(NotAllowed):
        tokens.rotate_token(wider, actor=owner)


@pytest.mark.parametrize(
    ("inner", "outer", "within"),
    [
        ([], [], True),
        (["servers.*"], [], True),
        ([], ["servers.*"], False),
        (["servers.view"], ["read"], True),
        (["read"], ["servers.view"], False),
        (["servers.view", "servers.control"], ["servers.*"], True),
        (["servers.*"], ["servers.view", "servers.control"], False),
    ],
)
def test_scopes_are_compared_by_what_they_allow(inner, outer, within):
    assert scopes_within(inner, outer) is within


def test_revoked_token_is_gone_and_the_trail_remembers(owner):
    token, _ = token_for(owner, name="ci")

    tokens.revoke_token(token, actor=owner)

    assert not ApiToken.objects.exists()
    assert AuditEntry.objects.latest("id").target_name == "ci"


def test_token_of_another_does_not_exist_for_a_stranger(owner, stranger):
    token, _ = token_for(owner)

    for act in (
        lambda: tokens.revoke_token(token, actor=stranger),
        lambda: tokens.rotate_token(token, actor=stranger),
        lambda: tokens.set_token_enabled(token, False, actor=stranger),
    ):
        with pytest.raises(NotFound):
            act()


def test_admin_revokes_anybodys_token(admin, owner):
    token, _ = token_for(owner)

    tokens.revoke_token(token, actor=admin)

    assert not ApiToken.objects.exists()


def test_switching_a_token_off_twice_leaves_one_entry(owner):
    token, _ = token_for(owner)

    tokens.set_token_enabled(token, False, actor=owner)
    tokens.set_token_enabled(token, False, actor=owner)

    assert AuditEntry.objects.filter(action="token.disabled").count() == 1


def test_rotation_keeps_name_and_limits_and_ends_the_old_one(owner):
    expiry = timezone.now() + timedelta(days=9)
    old, old_plain = token_for(owner, name="ci", scopes=["read"], allowed_networks=["10.0.0.0/8"], expires_at=expiry)

    new, plain = tokens.rotate_token(old, actor=owner)

    assert plain != old_plain
    assert (new.name, new.scopes, new.allowed_networks, new.expiry) == ("ci", ["read"], ["10.0.0.0/8"], expiry)
    assert list(ApiToken.objects.all()) == [new]


def test_rotation_with_overlap_lets_the_old_one_live_so_long_and_no_longer(owner):
    old, _ = token_for(owner, name="ci")

    new, _ = tokens.rotate_token(old, actor=owner, overlap=timedelta(hours=1))

    old.refresh_from_db()
    assert timedelta(minutes=59) < old.expiry - timezone.now() <= timedelta(hours=1)
    assert (new.name, new.expiry) == ("ci", None)


def test_overlap_never_extends_the_old_one(owner):
    expiry = timezone.now() + timedelta(minutes=5)
    old, _ = token_for(owner, expires_at=expiry)

    tokens.rotate_token(old, actor=owner, overlap=timedelta(days=1))

    old.refresh_from_db()
    assert old.expiry == expiry


def test_revoked_or_expired_token_cannot_be_rotated(owner):
    gone, _ = token_for(owner, name="gone")
    stale, _ = token_for(owner, name="stale")
    ApiToken.objects.filter(pk=gone.pk).delete()
    ApiToken.objects.filter(pk=stale.pk).update(expiry=timezone.now() - timedelta(seconds=1))

    for token in (gone, stale):
        with pytest.raises(Conflict):
            tokens.rotate_token(token, actor=SYSTEM)


def test_tokens_that_expired_long_ago_are_forgotten(owner):
    kept = [token_for(owner)[0], token_for(owner)[0]]
    gone, _ = token_for(owner)
    ApiToken.objects.filter(pk=kept[1].pk).update(expiry=timezone.now() - timedelta(days=29))
    ApiToken.objects.filter(pk=gone.pk).update(expiry=timezone.now() - timedelta(days=31))

    assert forget_expired_tokens() == 1
    assert set(ApiToken.objects.all()) == set(kept)


def test_tokens_die_with_their_owner(owner):
    token_for(owner)

    owner.delete()

    assert not ApiToken.objects.exists()
