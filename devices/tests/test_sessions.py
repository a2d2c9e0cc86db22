"""Assertions, the tokens they are traded for, and log batches."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.utils import timezone
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from accounts import jwt as login_tokens
from accounts.tests.factories import UserFactory
from devices import public_keys, sessions
from devices.choices import DeviceStatus, KeyState
from devices.models import Device, DeviceKey, DeviceLog, SpentAssertion

from .conftest import Caller
from .signing import Signer, fingerprint_of, later, pem_of

pytestmark = pytest.mark.django_db
TOKEN = "/api/v1/devices/token"
KINDS: dict[str, Any] = {"Ed25519": OKPKey, "EdDSA": OKPKey, "ES256": ECKey, "PS512": RSAKey}


def assertion(caller: Caller, *, alg: str = "Ed25519", kid: str = "", key: Any = None, **changes: Any) -> str:
    private = caller.signer.private
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    device, now = str(caller.device.pk), int(time.time())
    claims = {
        "iss": device,
        "sub": device,
        "aud": f"http://testserver{TOKEN}",
        "iat": now,
        "exp": now + 120,
        "jti": uuid.uuid4().hex,
        **changes,
    }
    claims = {name: _told(value, now) for name, value in claims.items() if value is not None}
    header = {"alg": alg, "kid": kid or fingerprint_of(private)}
    return jwt.encode(header, claims, key or KINDS[alg].import_key(pem), algorithms=[alg])


def _told(value: Any, now: int) -> Any:
    """A claim as it is sent; a span counts from this moment, not from when the tests were collected."""
    return now + int(value.total_seconds()) if isinstance(value, timedelta) else value


def trade(caller: Caller, text: str) -> Any:
    body = {"grant_type": sessions.GRANT, "assertion": text}
    return caller.client.post(TOKEN, body, content_type="application/json")


def me(caller: Caller, token: str) -> Any:
    return caller.client.get("/api/v1/devices/self", headers={"Authorization": f"Bearer {token}"})


def token_of(caller: Caller) -> str:
    answer = trade(caller, assertion(caller))
    assert answer.status_code == 200, answer.content
    return str(answer.json()["access_token"])


def test_assertion_is_traded_for_a_token(caller: Caller) -> None:
    answer = trade(caller, assertion(caller))

    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    shown = me(caller, answer.json()["access_token"]).json()
    assert (shown["device_id"], shown["status"]) == (str(caller.device.pk), "accepted")


@pytest.mark.parametrize(
    ("alg", "private"),
    [
        ("ES256", lambda: ec.generate_private_key(ec.SECP256R1())),
        ("PS512", lambda: rsa.generate_private_key(65537, 2048)),
    ],
)
def test_other_kinds_of_keys(caller: Caller, alg: str, private: Callable[[], Any]) -> None:
    caller.signer = Signer(private())
    facts = public_keys.read(pem_of(caller.signer.private))
    DeviceKey.objects.update(
        fingerprint=facts.fingerprint, public_key=facts.pem, algorithm=facts.algorithm, bits=facts.bits
    )

    assert trade(caller, assertion(caller, alg=alg)).status_code == 200


def test_assertion_works_once(caller: Caller) -> None:
    text = assertion(caller)
    trade(caller, text)

    answer = trade(caller, text)

    assert (answer.status_code, answer.json()["code"]) == (401, "replayed")


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "somebody"},
        {"sub": str(uuid.uuid4())},
        {"aud": "https://elsewhere.example/api/v1/devices/token"},
        {"exp": timedelta(seconds=-120)},
        {"exp": timedelta(seconds=3600)},
        {"exp": None},
        {"jti": None},
        {"jti": "short"},
        {"jti": "x" * 129},
        {"nbf": timedelta(seconds=600)},
    ],
)
def test_assertion_that_is_not_for_us_or_not_for_now(caller: Caller, changes: dict[str, Any]) -> None:
    answer = trade(caller, assertion(caller, **changes))

    assert answer.status_code == 401
    assert answer.json()["code"] in ("assertion", "malformed")
    assert not SpentAssertion.objects.exists()


def test_assertion_of_a_stranger(caller: Caller) -> None:
    caller.signer = Signer()

    assert trade(caller, assertion(caller)).json()["code"] == "unknown_key"


def test_assertion_signed_by_another_key(caller: Caller) -> None:
    kid = fingerprint_of(caller.signer.private)
    caller.signer = Signer()

    assert trade(caller, assertion(caller, kid=kid)).json()["code"] == "signature"


def test_algorithm_confusion_of_an_assertion(caller: Caller) -> None:
    """The public key as the secret of an HMAC, and no signature at all."""
    secret = OctKey.import_key(pem_of(caller.signer.private).replace("PUBLIC", "PUBLISHED").encode())
    unsigned = assertion(caller).split(".")
    none = "eyJhbGciOiJub25lIiwia2lkIjoiIn0." + unsigned[1] + "."

    assert trade(caller, assertion(caller, alg="HS256", key=secret)).json()["code"] == "signature"
    assert trade(caller, none).status_code == 401


def test_older_name_of_the_algorithm_is_taken(caller: Caller) -> None:
    with pytest.warns(match="deprecated"):
        assert trade(caller, assertion(caller, alg="EdDSA")).status_code == 200


@pytest.mark.parametrize("text", ["", "a.b.c", "nothing", "....", "eyJhIjoxfQ.e30.x"])
def test_what_is_no_assertion(caller: Caller, text: str) -> None:
    assert trade(caller, text).status_code in (400, 401)


def test_suspended_device_gets_no_token(caller: Caller) -> None:
    Device.objects.update(status=DeviceStatus.SUSPENDED)

    answer = trade(caller, assertion(caller))

    assert (answer.status_code, answer.json()["code"]) == (403, "device_suspended")


def test_token_ends_with_its_time(caller: Caller) -> None:
    token = token_of(caller)

    with later(61 * 60):
        assert me(caller, token).status_code == 401


@pytest.mark.parametrize("change", ["suspend", "revoke"])
def test_token_ends_with_its_device_and_key(caller: Caller, change: str) -> None:
    token = token_of(caller)
    if change == "suspend":
        Device.objects.update(status=DeviceStatus.SUSPENDED)
    else:
        DeviceKey.objects.update(state=KeyState.REVOKED)

    assert me(caller, token).status_code == 401


def test_token_of_a_device_is_no_login_and_the_reverse(caller: Caller) -> None:
    pair = login_tokens.log_in(UserFactory(role="Admin"))

    assert me(caller, pair.access).status_code == 401
    headers = {"Authorization": f"Bearer {token_of(caller)}"}
    assert caller.client.get("/api/v1/auth/me", headers=headers).status_code == 401


def test_token_does_not_change_anything(caller: Caller) -> None:
    headers = {"Authorization": f"Bearer {token_of(caller)}"}

    answer = caller.client.post(f"{caller.path}/heartbeat", {}, content_type="application/json", headers=headers)

    assert answer.json()["code"] == "unsigned"


def test_spent_assertions_are_forgotten_after_their_time(caller: Caller) -> None:
    token_of(caller)
    assert sessions.forget_spent() == 0

    SpentAssertion.objects.update(expires_at=timezone.now() - timedelta(seconds=1))

    assert sessions.forget_spent() == 1


# Log lines.

LINE = {"level": "ERROR", "source": "net", "message": "The link is down."}


def test_lines_are_stored(caller: Caller) -> None:
    at = timezone.now() - timedelta(minutes=3)

    answer = caller.post("logs/batch", {"sequence": 1, "lines": [{**LINE, "at": at.isoformat()}]})

    assert answer.json()["ingested"] == 1
    line = DeviceLog.objects.get()
    assert (line.device, line.level, line.message, line.at) == (caller.device, "ERROR", "The link is down.", at)


def test_batch_is_stored_once(caller: Caller) -> None:
    for sequence, ingested in ((5, 1), (5, 0), (4, 0), (6, 1)):
        answer = caller.post("logs/batch", {"sequence": sequence, "lines": [LINE]})
        assert answer.json() == {"ingested": ingested, "sequence": max(5, sequence)}
    assert DeviceLog.objects.count() == 2


def test_time_that_cannot_be_right_is_replaced(caller: Caller) -> None:
    for at in ("1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z"):
        caller.post("logs/batch", {"lines": [{**LINE, "at": at}]})

    assert all(timezone.now() - line.at < timedelta(minutes=1) for line in DeviceLog.objects.all())


@pytest.mark.parametrize(
    "lines", [[{"message": "x" * 2001}], [{"level": "LOUD", "message": "x"}], [{}], [LINE] * 501, "text"]
)
def test_batches_out_of_bounds(caller: Caller, lines: Any) -> None:
    assert caller.post("logs/batch", {"lines": lines}).status_code == 400
    assert not DeviceLog.objects.exists()


def test_short_address_of_the_first_specification(caller: Caller) -> None:
    answer = caller.signer.send(caller.client, "POST", "/api/v1/logs/batch", {"lines": [LINE]})

    assert answer.json()["ingested"] == 1


def test_unsigned_lines_are_refused(caller: Caller) -> None:
    answer = caller.client.post(f"{caller.path}/logs/batch", {"lines": [LINE]}, content_type="application/json")

    assert answer.status_code == 401
