"""Vault as keeper of secrets, against a small server that answers as its HTTP API is documented."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.core.management import call_command

from accounts.models import AuditEntry
from hub import health, vault
from hub.env import Env, EnvError
from hub.secrets import SecretError, seal, unseal
from hub.testing import api_client
from monitoring.alerts.models import Channel
from servers.models import GameServer
from servers.tests.factories import make_server

TOKEN = "hvs.of-the-hub"


class VaultStub(BaseHTTPRequestHandler):
    """Transit with versions of one key, one secret in KV version 2, and health."""

    keys: list[bytes]
    is_sealed = False
    asked: list[str]
    ring = "1:" + base64.urlsafe_b64encode(b"r" * 32).decode()

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        self.asked.append(self.path)
        status, data = self._reply(body)
        text = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_PUT = _answer

    def _reply(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if self.path == "/v1/sys/health":
            return (503 if self.is_sealed else 200), {"initialized": True, "sealed": self.is_sealed, "standby": False}
        if self.is_sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if self.headers.get("X-Vault-Token") != TOKEN:
            return 403, {"errors": ["permission denied"]}
        about = base64.b64decode(body.get("associated_data", ""))
        match self.path:
            case "/v1/transit/encrypt/hub":
                nonce = os.urandom(12)
                sealed = AESGCM(self.keys[-1]).encrypt(nonce, body["plaintext"].encode(), about)
                text = base64.b64encode(nonce + sealed).decode()
                return 200, {"data": {"ciphertext": f"vault:v{len(self.keys)}:{text}", "key_version": len(self.keys)}}
            case "/v1/transit/decrypt/hub":
                _, version, text = body["ciphertext"].split(":")
                raw = base64.b64decode(text)
                try:
                    plain = AESGCM(self.keys[int(version[1:]) - 1]).decrypt(raw[:12], raw[12:], about)
                except InvalidTag:
                    return 400, {"errors": ["cipher: message authentication failed"]}
                return 200, {"data": {"plaintext": plain.decode()}}
            case "/v1/transit/keys/hub":
                return 200, {"data": {"name": "hub", "type": "aes256-gcm96", "latest_version": len(self.keys)}}
            case "/v1/secret/data/hub":
                return 200, {"data": {"data": {"HUB_SECRET_KEYS": self.ring}, "metadata": {"version": 1}}}
        return 404, {"errors": []}

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def stub(settings: Any) -> Iterator[Any]:
    kind: Any = type("OneVault", (VaultStub,), {"keys": [os.urandom(32)], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, daemon=True).start()
    settings.HUB_VAULT = vault.Settings(url=f"http://127.0.0.1:{server.server_port}", token=TOKEN, key="hub")
    kind.server = server
    yield kind
    server.shutdown()
    server.server_close()
    vault.transit.cache_clear()
    vault._client.cache_clear()


def forget() -> None:
    """As another process, or when what was kept is too old."""
    vault.transit.cache_clear()


def test_secret_is_sealed_and_opened_by_vault(stub: Any) -> None:
    sealed = seal("pässwort", purpose="a")
    forget()

    assert sealed.startswith("v.vault:v1:")
    assert "pässwort" not in sealed
    assert unseal(sealed, purpose="a") == "pässwort"
    assert stub.asked == ["/v1/transit/encrypt/hub", "/v1/transit/decrypt/hub"]


def test_secret_of_another_purpose_does_not_open(stub: Any) -> None:
    sealed = seal("x", purpose="a")

    with pytest.raises(SecretError, match="another purpose"):
        unseal(sealed, purpose="b")


def test_what_the_ring_has_sealed_still_opens(stub: Any, settings: Any) -> None:
    found, settings.HUB_VAULT = settings.HUB_VAULT, vault.Settings()
    sealed = seal("old", purpose="a")
    settings.HUB_VAULT = found

    assert unseal(sealed, purpose="a") == "old"
    assert stub.asked == []


def test_vault_down_keeps_what_was_opened_and_refuses_the_rest(stub: Any) -> None:
    sealed = seal("x", purpose="a")
    other = seal("y", purpose="a")
    forget()
    unseal(sealed, purpose="a")
    stub.is_sealed = True

    assert unseal(sealed, purpose="a") == "x"
    for call in (lambda: unseal(other, purpose="a"), lambda: seal("z", purpose="a")):
        with pytest.raises(vault.VaultAway) as refusal:
            call()
        assert (refusal.value.status, refusal.value.code) == (503, "secrets_unavailable")


def test_vault_that_is_away_is_not_asked_by_everybody_at_once(stub: Any) -> None:
    sealed = seal("x", purpose="a")
    forget()
    stub.is_sealed = True
    before = len(stub.asked)

    for _ in range(5):
        with pytest.raises(vault.VaultAway):
            unseal(sealed, purpose="a")

    assert len(stub.asked) == before + 1


@pytest.mark.parametrize("seconds", [0, 300])
def test_nothing_is_kept_when_nothing_shall_be(stub: Any, settings: Any, seconds: int) -> None:
    settings.HUB_VAULT = replace(settings.HUB_VAULT, cache_seconds=seconds)
    sealed = seal("x", purpose="a")

    for _ in range(3):
        unseal(sealed, purpose="a")

    assert stub.asked.count("/v1/transit/decrypt/hub") == (0 if seconds else 3)


def test_health_is_degraded_and_says_why(stub: Any) -> None:
    well = health.check_vault()
    stub.is_sealed = True
    sealed = health.check_vault()
    stub.server.shutdown()
    stub.server.server_close()
    gone = health.check_vault()

    assert (well.state, sealed.state, gone.state) == (health.OK, health.DEGRADED, health.DEGRADED)
    assert "sealed" in sealed.detail
    assert "does not answer" in gone.detail


def test_wrong_token_is_said(stub: Any, settings: Any) -> None:
    settings.HUB_VAULT = replace(settings.HUB_VAULT, token="hvs.other")

    with pytest.raises(vault.VaultAway, match="does not take the hub's token"):
        seal("x", purpose="a")


@pytest.mark.django_db
def test_program_is_told_that_secrets_are_unavailable(stub: Any) -> None:
    server = make_server()
    GameServer.objects.filter(pk=server.pk).update(rcon_password="for the ring")  # sealed by Vault on its way
    forget()
    stub.is_sealed = True

    answer = api_client(server.owner).post(f"/api/v1/servers/{server.pk}/reveal-credentials")

    assert (answer.status_code, answer.json()["code"]) == (503, "secrets_unavailable")


@pytest.mark.django_db
def test_rotation_moves_secrets_to_vault_and_to_the_newest_version_of_its_key(
    stub: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, settings.HUB_VAULT = settings.HUB_VAULT, vault.Settings()
    channel = Channel.objects.create(name="ops", kind="webhook", target="https://example.org/", secret="shared")
    settings.HUB_VAULT = found

    monkeypatch.setattr("accounts.secret_rotation.apps.get_models", lambda: [Channel])  # others live in tests only
    call_command("rotate_secrets")
    first = Channel.objects.get(pk=channel.pk).secret
    stub.keys.append(os.urandom(32))
    forget()
    call_command("rotate_secrets")
    second = Channel.objects.get(pk=channel.pk).secret
    forget()

    assert first.sealed.startswith("v.vault:v1:")
    assert second.sealed.startswith("v.vault:v2:")
    assert second.reveal() == "shared"
    assert AuditEntry.objects.filter(action="secrets.rotated").count() == 2


def test_ring_is_read_from_kv(stub: Any, settings: Any) -> None:
    assert vault.ring(replace(settings.HUB_VAULT, kv="secret/hub")) == {"HUB_SECRET_KEYS": stub.ring}


def test_ring_that_cannot_be_read_is_said(stub: Any, settings: Any) -> None:
    for kv in ("secret/other", "other/hub"):
        with pytest.raises(EnvError, match="HUB_VAULT_KV"):
            vault.ring(replace(settings.HUB_VAULT, kv=kv))


@pytest.mark.parametrize("given", [{}, {"HUB_VAULT_TOKEN": "t"}, {"HUB_VAULT_TRANSIT_KEY": "hub"}])
def test_half_a_configuration_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(EnvError, match="HUB_VAULT_URL"):
        vault.read(Env({"HUB_VAULT_URL": "https://vault.example.org", **given}))


def test_without_an_address_vault_is_not_used() -> None:
    assert not vault.read(Env({"HUB_VAULT_TRANSIT_KEY": "hub"})).seals
