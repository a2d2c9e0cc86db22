"""Secrets at rest."""

from __future__ import annotations

import base64
import string
from collections import Counter
from typing import Any

import pytest
from django.db import connection, models
from django.forms import modelform_factory

from hub.secrets import EncryptedTextField, Sealed, SecretError, new_password, parse_keys, seal, unseal

OLD, NEW = b"o" * 32, b"n" * 32


def encoded(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode()


class Vault(models.Model):
    """A table that exists only in these tests."""

    password = EncryptedTextField(purpose="vault.password", blank=True, default="")
    note = EncryptedTextField(purpose="vault.note", null=True)

    objects = models.Manager["Vault"]()

    class Meta:
        app_label = "hub"
        managed = False

    def __str__(self) -> str:
        return f"vault {self.pk}"


@pytest.fixture
def vault(db: None) -> type[Vault]:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE hub_vault (id bigserial PRIMARY KEY, password text, note text)")
    return Vault


def raw(column: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM hub_vault")  # noqa: S608 - the tests' own words
        return cursor.fetchone()[0]


def test_sealed_text_opens_again() -> None:
    sealed = seal("pässwort", purpose="a")

    assert "pässwort" not in sealed
    assert unseal(sealed, purpose="a") == "pässwort"


def test_same_text_seals_differently_each_time() -> None:
    assert seal("x", purpose="a") != seal("x", purpose="a")


def test_value_copied_to_another_purpose_does_not_open() -> None:
    sealed = seal("x", purpose="server.rcon")

    with pytest.raises(SecretError):
        unseal(sealed, purpose="node.credentials")


@pytest.mark.parametrize("change", [lambda s: s[:-6] + "AAAAA=", lambda s: s[:10], lambda s: "", lambda s: "kx.abc"])
def test_damaged_value_does_not_open(change: Any) -> None:
    sealed = seal("some text of some length", purpose="a")

    with pytest.raises(SecretError):
        unseal(change(sealed), purpose="a")


def test_old_values_open_after_rotation_and_new_ones_use_the_new_key(settings: Any) -> None:
    settings.HUB_KEY_RING = {"1": OLD}
    sealed = seal("x", purpose="a")

    settings.HUB_KEY_RING = {"2": NEW, "1": OLD}

    assert unseal(sealed, purpose="a") == "x"
    assert seal("x", purpose="a").startswith("k2.")


def test_value_of_a_withdrawn_key_names_it(settings: Any) -> None:
    settings.HUB_KEY_RING = {"1": OLD}
    sealed = seal("x", purpose="a")
    settings.HUB_KEY_RING = {"2": NEW}

    with pytest.raises(SecretError, match="k1"):
        unseal(sealed, purpose="a")


def test_key_ring_is_read_newest_first() -> None:
    assert list(parse_keys(f"2:{encoded(NEW)}, 1:{encoded(OLD)}").items()) == [("2", NEW), ("1", OLD)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "at least one"),
        (encoded(OLD), "must read id:base64"),
        (f"a-b:{encoded(OLD)}", "must read id:base64"),
        ("1:abc", "not base64"),
        (f"1:{encoded(OLD)[:9]}*{encoded(OLD)[9:]}", "not base64"),
        (f"1:{encoded(OLD)} {encoded(NEW)}", "not base64"),
        (f"1:{encoded(b'short')}", "32 bytes"),
        (f"1:{encoded(OLD)},1:{encoded(NEW)}", "given twice"),
    ],
)
def test_wrong_key_ring_says_what_is_wrong_and_no_key(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        parse_keys(text)

    assert encoded(OLD) not in str(refused.value)


def test_passwords_are_long_and_of_letters_and_digits() -> None:
    password = new_password()

    assert len(password) == 12
    assert set(password) <= set(string.ascii_letters + string.digits)
    assert new_password() != password


def test_characters_of_passwords_are_equally_likely() -> None:
    counts = Counter(new_password(62_000))

    assert len(counts) == 62
    assert all(800 < count < 1200 for count in counts.values())  # six standard deviations of 31 around 1,000


def test_column_holds_no_plain_text(vault: type[Vault]) -> None:
    vault.objects.create(password="hunter2")

    assert "hunter2" not in raw("password")
    assert vault.objects.get().password.reveal() == "hunter2"


def test_attribute_shows_dots_even_before_it_is_saved(vault: type[Vault]) -> None:
    row = vault(password="hunter2")

    assert str(row.password) == repr(row.password) == "••••••••"
    assert f"{row.password!r} {row.__dict__}".count("hunter2") == 0


def test_saving_what_was_read_keeps_it(vault: type[Vault]) -> None:
    vault.objects.create(password="hunter2")
    before = raw("password")

    vault.objects.get().save()

    assert raw("password") == before


def test_empty_stays_empty_and_null_stays_null(vault: type[Vault]) -> None:
    vault.objects.create()

    row = vault.objects.get()

    assert raw("password") == ""
    assert raw("note") is None
    assert (row.password.reveal(), bool(row.password), row.note) == ("", False, None)


def test_update_seals(vault: type[Vault]) -> None:
    vault.objects.create(password="old")

    vault.objects.update(password="new")

    assert raw("password").startswith("k")
    assert vault.objects.get().password.reveal() == "new"


def test_deferred_attribute_is_fetched(vault: type[Vault]) -> None:
    vault.objects.create(password="hunter2")

    row = vault.objects.defer("password").get()

    assert isinstance(row.password, Sealed)
    assert row.password.reveal() == "hunter2"


def test_form_of_the_model_leaves_the_secret_out() -> None:
    form = modelform_factory(Vault, fields="__all__")

    assert list(form.base_fields) == []
