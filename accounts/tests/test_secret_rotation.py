from __future__ import annotations

from unittest import mock

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from django.core.management import CommandError, call_command
from django.db import connection, models

from accounts import secret_rotation
from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from hub.exceptions import NotAllowed
from hub.secrets import EncryptedTextField, unseal

pytestmark = pytest.mark.django_db


class Strongbox(models.Model):
    """A table that exists only in these tests."""

    password = EncryptedTextField(purpose="strongbox.password", blank=True, default="")

    objects = models.Manager["Strongbox"]()

    class Meta:
        app_label = "accounts"
        managed = False

    def __str__(self) -> str:
        return f"strongbox {self.pk}"


@pytest.fixture
def no_boxes():
    """Tables of this and of other test modules do not exist here."""
    with mock.patch.object(secret_rotation.apps, "get_models", return_value=[]):
        yield


@pytest.fixture
def boxes(db, settings):
    """Three values under the old key and an empty one; then a new key is put in front."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE accounts_strongbox (id bigserial PRIMARY KEY, password text)")
    for text in ("one", "two", "", "three"):
        Strongbox.objects.create(password=text)
    settings.HUB_KEY_RING = {"new": b"n" * 32, **settings.HUB_KEY_RING}
    with mock.patch.object(secret_rotation.apps, "get_models", return_value=[Strongbox]):
        yield


def raws() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM accounts_strongbox ORDER BY id")
        return [row[0] for row in cursor.fetchall()]


def test_every_value_is_sealed_under_the_newest_key_and_the_old_one_may_go(boxes, settings):
    call_command("rotate_secrets")

    settings.HUB_KEY_RING = {"new": b"n" * 32}
    assert [box.password.reveal() for box in Strongbox.objects.order_by("pk")] == ["one", "two", "", "three"]


def test_second_run_touches_nothing(boxes):
    call_command("rotate_secrets")
    before = raws()

    assert [rotated.count for rotated in secret_rotation.rotate_all(actor=SYSTEM)] == [0, 0]
    assert raws() == before


def test_stopped_run_goes_on_where_it_was(boxes, monkeypatch):
    monkeypatch.setattr(secret_rotation, "BATCH", 1)
    real, calls = secret_rotation.seal, []

    def dies_at_the_second(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(secret_rotation, "seal", dies_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        call_command("rotate_secrets")
    assert [raw.startswith("knew.") for raw in raws()] == [True, False, False, False]

    call_command("rotate_secrets")

    assert [raw.startswith("knew.") for raw in raws()] == [True, True, False, True]
    assert len(calls) == 4


def test_value_changed_meanwhile_is_left_alone(boxes):
    box = Strongbox.objects.order_by("pk")[0]
    stale = box.password.sealed
    box.password = "changed"
    box.save()
    done = secret_rotation.Rotated("x")

    field = Strongbox._meta.get_field("password")
    assert secret_rotation._reseal_row(Strongbox, field, box.pk, stale, done) == 0
    assert Strongbox.objects.get(pk=box.pk).password.reveal() == "changed"


def test_unreadable_value_is_named_and_the_others_go_on(boxes):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_strongbox SET password = 'kgone.AAAA' WHERE id = 1")

    with pytest.raises(CommandError, match=r"strongbox\.password of row 1"):
        call_command("rotate_secrets")

    assert sum(raw.startswith("knew.") for raw in raws()) == 2


def test_rotation_is_audited_without_a_secret(boxes):
    call_command("rotate_secrets")

    entry = AuditEntry.objects.get(action="secrets.rotated")
    assert entry.data == {"place": "accounts.strongbox.password", "values": 3, "key_id": "new"}


def test_second_factors_are_sealed_and_rotated(no_boxes, owner, settings):
    TOTP.activate(owner, "JBSWY3DPEHPK3PXP")
    RecoveryCodes.activate(owner)
    codes = RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes()
    assert "JBSWY3DPEHPK3PXP" not in str(list(Authenticator.objects.values("data")))
    settings.HUB_KEY_RING = {"new": b"n" * 32, **settings.HUB_KEY_RING}

    call_command("rotate_secrets")

    settings.HUB_KEY_RING = {"new": b"n" * 32}
    assert unseal(Authenticator.objects.get(type="totp").data["secret"], purpose="mfa.factor") == "JBSWY3DPEHPK3PXP"
    assert RecoveryCodes(Authenticator.objects.get(type="recovery_codes")).get_unused_codes() == codes


def test_factor_from_before_sealing_still_opens_and_is_sealed(no_boxes, owner):
    Authenticator.objects.create(user=owner, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})

    call_command("rotate_secrets")

    assert unseal(Authenticator.objects.get().data["secret"], purpose="mfa.factor") == "JBSWY3DPEHPK3PXP"


def test_only_an_admin_rotates(owner):
    with pytest.raises(NotAllowed):
        list(secret_rotation.rotate_all(actor=owner))
