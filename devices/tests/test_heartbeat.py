"""Heartbeats: what they store, what they answer, what they cost, and each way in which one is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from devices import claims, public_keys
from devices.choices import DeviceStatus, KeyState, Liveness
from devices.models import Device, DeviceBeat, DeviceKey
from hub.testing import stop_rate_windows

from .conftest import Caller
from .factories import DeviceFactory
from .signing import COVERED, Signer, fingerprint_of, pem_of

pytestmark = pytest.mark.django_db

SAID = {
    "agent_version": "1.2.3",
    "status": "degraded",
    "memory_mb": 512.4,
    "cpu_pct": 12.5,
    "bundle_version": "2026.1",
    "config_version": 3,
}


def refused(answer: Any, status: int, code: str) -> bool:
    return (answer.status_code, answer.json()["code"]) == (status, code)


def test_stores_what_is_reported_and_answers_what_is_wanted(caller: Caller) -> None:
    answer = caller.beat(SAID)

    assert answer.status_code == 200, answer.content
    assert answer.json()["commands"] == []
    assert answer.json()["polling_interval"] == 60
    assert 54 <= answer.json()["next_in_seconds"] <= 66
    beat = DeviceBeat.objects.get(device=caller.device)
    assert (beat.agent_version, beat.health, beat.memory_mb, beat.cpu_percent) == ("1.2.3", "degraded", 512, 12.5)
    assert (beat.bundle_version, beat.config_version) == ("2026.1", 3)
    assert timezone.now() - beat.last_seen_at < timedelta(seconds=5)  # type: ignore[operator]


def test_makes_the_device_online(caller: Caller) -> None:
    caller.beat()

    assert Device.objects.with_liveness().get().liveness == Liveness.ONLINE


def test_what_is_left_out_stays(caller: Caller) -> None:
    caller.beat(SAID)

    caller.beat({"status": "healthy"})

    beat = DeviceBeat.objects.get(device=caller.device)
    assert (beat.agent_version, beat.health, beat.config_version) == ("1.2.3", "healthy", 3)


def test_idle_heartbeat_is_one_statement(caller: Caller) -> None:
    caller.beat()

    with CaptureQueriesContext(
        connection,
    ) as queries:
        caller.beat()

    assert [query["sql"].split()[0] for query in queries] == ["UPDATE"]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"cpu_pct": 101}, "cpu_pct"),
        ({"cpu_pct": -1}, "cpu_pct"),
        ({"cpu_pct": "12"}, "cpu_pct"),
        ({"cpu_pct": True}, "cpu_pct"),
        ({"memory_mb": 1_000_001}, "memory_mb"),
        ({"memory_mb": 10**400}, "memory_mb"),  # larger than any float
        ({"agent_version": "x" * 51}, "agent_version"),
        ({"status": "a\nb"}, "status"),
        ({"status": 5}, "status"),
        ({"config_version": 2**31}, "config_version"),
    ],
)
def test_values_out_of_bounds_name_their_field_and_store_nothing(caller: Caller, data: Any, field: str) -> None:
    answer = caller.beat(data)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]
    assert DeviceBeat.objects.get(device=caller.device).last_seen_at is None


@pytest.mark.parametrize("body", [b"[]", b"{", b"[" * 5000, b'{"cpu_pct": NaN}', b"\xff"])
def test_what_is_no_object_is_refused(caller: Caller, body: bytes) -> None:
    path = f"{caller.path}/heartbeat"
    headers = caller.signer.headers("POST", path, body)

    assert caller.client.generic("POST", path, body, headers=headers).status_code == 400


def test_long_body_is_refused(caller: Caller) -> None:
    assert refused(caller.beat({"notes": "x" * 20_000}), 413, "too_large")


def test_other_methods_are_refused(caller: Caller) -> None:
    assert caller.client.get(f"{caller.path}/heartbeat").status_code == 405


@pytest.mark.parametrize(
    "private",
    [
        pytest.param(lambda: Ed25519PrivateKey.generate(), id="ed25519"),
        pytest.param(lambda: ec.generate_private_key(ec.SECP256R1()), id="p256"),
        pytest.param(lambda: rsa.generate_private_key(65537, 2048), id="rsa"),
    ],
)
def test_every_kind_of_key_signs(client: Client, private: Callable[[], Any]) -> None:
    device, key = DeviceFactory(), private()
    facts = public_keys.read(pem_of(key))
    DeviceKey.objects.create(
        device=device,
        fingerprint=facts.fingerprint,
        algorithm=facts.algorithm,
        bits=facts.bits,
        public_key=facts.pem,
        state=KeyState.ACTIVE,
    )
    caller = Caller(device, Signer(key, alg=facts.algorithm.value), client)

    assert caller.beat().status_code == 200


def test_covering_more_is_taken(caller: Caller) -> None:
    caller.signer.covered = (*COVERED, "@authority", "content-type")

    assert caller.beat().status_code == 200


# Each way to be refused, and that it is counted.


def counted(reason: str) -> float:
    return claims.refused_total.labels(reason)._value.get()


def check_refused(answer: Any, before: float, reason: str, status: int = 401) -> None:
    assert refused(answer, status, reason), answer.content
    assert counted(reason) == before + 1


def test_unsigned(caller: Caller) -> None:
    before = counted("unsigned")

    answer = caller.client.post(f"{caller.path}/heartbeat", {}, content_type="application/json")

    check_refused(answer, before, "unsigned")


def test_replay(caller: Caller) -> None:
    before = counted("replayed")
    assert caller.beat(nonce="77000000").status_code == 200

    check_refused(caller.beat(nonce="77000000"), before, "replayed")
    assert refused(caller.beat(nonce="76999999"), 401, "replayed")


def test_exact_copy_of_a_request(caller: Caller) -> None:
    path = f"{caller.path}/heartbeat"
    headers = caller.signer.headers("POST", path, b"{}")
    send = lambda: caller.client.generic("POST", path, b"{}", headers=headers)  # noqa: E731

    assert send().status_code == 200
    assert refused(send(), 401, "replayed")


def test_wrong_path(caller: Caller) -> None:
    before = counted("signature")
    headers = caller.signer.headers("POST", f"{caller.path}/logs", b"{}")

    answer = caller.client.generic("POST", f"{caller.path}/heartbeat", b"{}", headers=headers)

    check_refused(answer, before, "signature")


def test_wrong_method_and_query(caller: Caller) -> None:
    path = f"{caller.path}/heartbeat"
    for headers, target in (
        (caller.signer.headers("PUT", path, b"{}"), path),
        (caller.signer.headers("POST", path, b"{}"), f"{path}?a=1"),
    ):
        assert refused(caller.client.generic("POST", target, b"{}", headers=headers), 401, "signature")


def test_wrong_body(caller: Caller) -> None:
    before = counted("digest")

    check_refused(caller.beat({"cpu_pct": 1}, signed_body=b'{"cpu_pct": 2}'), before, "digest")


@pytest.mark.parametrize("age", [310, -310])
def test_stale_and_from_the_future(caller: Caller, age: int) -> None:
    before = counted("stale")
    caller.signer.age = age

    check_refused(caller.beat(), before, "stale")


@pytest.mark.parametrize("age", [280, -280])
def test_clock_that_is_a_little_wrong_is_taken(caller: Caller, age: int) -> None:
    caller.signer.age = age

    assert caller.beat().status_code == 200


def test_unknown_key(caller: Caller) -> None:
    before = counted("unknown_key")
    caller.signer = Signer()

    check_refused(caller.beat(), before, "unknown_key")


def test_signature_of_another_key(caller: Caller) -> None:
    before = counted("signature")
    caller.signer = Signer(keyid=fingerprint_of(caller.signer.private))

    check_refused(caller.beat(), before, "signature")


def test_key_of_another_device(caller: Caller, make_caller: Callable[..., Caller]) -> None:
    before = counted("other_device")
    other = make_caller()
    caller.device = other.device

    check_refused(caller.beat(), before, "other_device", status=404)


@pytest.mark.parametrize("state", [KeyState.REVOKED, KeyState.PROPOSED])
def test_revoked_and_proposed_key(caller: Caller, state: KeyState) -> None:
    before = counted("retired_key")
    assert caller.beat().status_code == 200  # the process knows the key by now
    DeviceKey.objects.update(state=state)

    check_refused(caller.beat(), before, "retired_key")


def test_retired_key_after_its_overlap(caller: Caller) -> None:
    DeviceKey.objects.update(state=KeyState.RETIRING, retires_at=timezone.now() + timedelta(minutes=1))
    assert caller.beat().status_code == 200

    DeviceKey.objects.update(retires_at=timezone.now() - timedelta(seconds=1))

    assert refused(caller.beat(), 401, "retired_key")


@pytest.mark.parametrize("alg", ["rsa-pss-sha512", "hmac-sha256", "none", "ecdsa-p256-sha256"])
def test_algorithm_confusion(caller: Caller, alg: str) -> None:
    before = counted("algorithm")
    caller.signer.alg = alg

    check_refused(caller.beat(), before, "algorithm")


@pytest.mark.parametrize("missing", COVERED)
def test_part_that_is_not_covered(caller: Caller, missing: str) -> None:
    before = counted("coverage")
    caller.signer.covered = tuple(name for name in COVERED if name != missing)

    check_refused(caller.beat(), before, "coverage")


def test_tag_of_another_use(caller: Caller) -> None:
    before = counted("tag")
    caller.signer.tag = "hub-enrol"

    check_refused(caller.beat(), before, "tag")


@pytest.mark.parametrize("nonce", ["abc", "-1", "0", "01", "1.5", str(2**63), "9" * 30])
def test_counter_that_is_none(caller: Caller, nonce: str) -> None:
    before = counted("counter")

    check_refused(caller.beat(nonce=nonce), before, "counter")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Signature", "hub=:???:"),
        ("Signature", "other=:AAAA:"),
        ("Signature-Input", "hub=()"),
        ("Signature-Input", 'hub=("@method" "@method" "@path" "@query" "content-digest");created=1;keyid="a";tag="b"'),
        ("Content-Digest", "sha-512=:AAAA:"),
        ("Content-Digest", ""),
    ],
)
def test_malformed_headers(caller: Caller, name: str, value: str) -> None:
    path = f"{caller.path}/heartbeat"
    headers = {**caller.signer.headers("POST", path, b"{}"), name: value}

    answer = caller.client.generic("POST", path, b"{}", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["code"] in ("malformed", "tag")


@pytest.mark.parametrize(
    "status", [status for status in DeviceStatus if status != DeviceStatus.ACCEPTED], ids=lambda status: status.value
)
def test_device_that_is_not_accepted(caller: Caller, status: DeviceStatus) -> None:
    before = counted(f"device_{status.value}")
    Device.objects.update(status=status)

    check_refused(caller.beat(), before, f"device_{status.value}", status=403)
    assert DeviceBeat.objects.get(device=caller.device).counter == 0


def test_more_than_a_hundred_a_minute(caller: Caller, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop_rate_windows(monkeypatch)
    settings.HUB_API_RATES = {**settings.HUB_API_RATES, "device": 2}
    for _ in range(2):
        assert caller.beat().status_code == 200

    answer = caller.beat()

    assert refused(answer, 429, "too_many_requests")
    assert int(answer["Retry-After"]) > 0


def test_rate_is_each_devices_own(caller: Caller, make_caller: Callable[..., Caller], settings: Any) -> None:
    settings.HUB_API_RATES = {**settings.HUB_API_RATES, "device": 1}
    caller.beat()

    assert make_caller().beat().status_code == 200
