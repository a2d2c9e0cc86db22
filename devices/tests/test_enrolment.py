"""Enrolment, its tokens, the decisions about it, and rotation of keys."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.apps import apps
from django.test import Client
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory, token_for, token_header
from devices import services
from devices.choices import DeviceStatus, KeyState
from devices.models import Device, DeviceBeat, DeviceKey, DeviceSealingKey, EnrolmentToken
from devices.public_keys import SMALL_PRIMES, SUBGROUPS
from devices.services.keys import rotation_message
from devices.services.tokens import use_token
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound
from hub.nodes.tests.factories import RegionFactory

from .conftest import Caller
from .factories import DeviceFactory, DeviceGroupFactory, make_key
from .signing import Signer, later, pem_of, raw_signature

pytestmark = pytest.mark.django_db
REGISTER = "/api/v1/devices/register"


def nonce(client: Client) -> str:
    return client.post("/api/v1/devices/nonce").json()["nonce"]


def register(client: Client, private: Any = None, *, given: str = "", signer: Signer | None = None, **data: Any) -> Any:
    private = private or Ed25519PrivateKey.generate()
    signer = signer or Signer(private, tag="hub-enrol")
    body = {"public_key": pem_of(private), **data}
    return signer.send(client, "POST", REGISTER, body, nonce=given or nonce(client))


def make_token(**values: Any) -> tuple[EnrolmentToken, str]:
    expires = timezone.now() + timedelta(hours=1)
    return services.create_token(actor=SYSTEM, **{"name": "batch", "expires_at": expires, **values})


def test_new_device_waits(client: Client) -> None:
    answer = register(client, identity={"serial": "A1"}, device_type="gateway", hardware_metadata={"hostname": "hut"})

    assert answer.status_code == 201, answer.content
    device = Device.objects.get(pk=answer.json()["device_id"])
    assert (device.status, device.name, device.device_type) == ("pending", "hut", "gateway")
    assert answer.json()["key_state"] == "proposed"
    entry = AuditEntry.objects.get(action="device.enrolled")
    assert (entry.actor_kind, entry.actor_id) == ("device", str(device.pk))


def test_same_key_again_is_the_same_record(client: Client) -> None:
    private = Ed25519PrivateKey.generate()

    answers = [register(client, private, identity={"b": 1, "a": 2}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert Device.objects.count() == DeviceKey.objects.count() == 1


def test_new_key_of_a_known_identity_is_proposed(client: Client) -> None:
    first = register(client, identity={"serial": "A1"})
    device = Device.objects.get()
    services.accept_device(device, actor=SYSTEM)

    second = register(client, identity={"serial": "A1"})

    assert second.json()["device_id"] == first.json()["device_id"]
    assert (second.json()["status"], second.json()["key_state"]) == ("accepted", "proposed")
    assert sorted(device.keys.values_list("state", flat=True)) == ["active", "proposed"]


def test_later_proposal_takes_the_place_of_one_before(client: Client) -> None:
    register(client, identity={"serial": "A1"})
    services.accept_device(Device.objects.get(), actor=SYSTEM)
    for _ in range(3):
        register(client, identity={"serial": "A1"})

    assert DeviceKey.objects.count() == 2


def test_known_key_with_another_identity_is_a_conflict(client: Client) -> None:
    private = Ed25519PrivateKey.generate()
    register(client, private, identity={"serial": "A1"})

    answer = register(client, private, identity={"serial": "B2"})

    assert (answer.status_code, answer.json()["code"]) == (409, "key_known")


def test_proof_must_be_of_the_key_it_brings(client: Client) -> None:
    answer = register(client, Ed25519PrivateKey.generate(), signer=Signer(tag="hub-enrol"))

    assert (answer.status_code, answer.json()["code"]) == (401, "unknown_key")
    assert not Device.objects.exists()


def test_nonce_must_be_ours_and_fresh(client: Client) -> None:
    with later(-360):
        old = nonce(client)

    for given in (old, "12345", nonce(client)[:-2] + "xx"):
        answer = register(client, given=given)
        assert (answer.status_code, answer.json()["code"]) == (401, "nonce")
    assert not Device.objects.exists()


def test_unsigned_enrolment_is_refused(client: Client) -> None:
    body = {"public_key": pem_of(Ed25519PrivateKey.generate())}

    answer = client.post(REGISTER, body, content_type="application/json")

    assert (answer.status_code, answer.json()["code"]) == (401, "unsigned")


def test_heartbeat_signature_does_not_enrol(client: Client) -> None:
    private = Ed25519PrivateKey.generate()

    assert register(client, private, signer=Signer(private)).json()["code"] == "tag"


def shared_key() -> str:
    raw = base64.b64decode("JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    key = Ed25519PublicKey.from_public_bytes(raw)
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize(
    ("pem", "words"),
    [
        (lambda: pem_of(small_rsa()), "2048"),
        (lambda: pem_of(rsa.generate_private_key(3, 2048)), "exponent"),
        (lambda: pem_of(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (lambda: pem_of(ec.generate_private_key(ec.SECP256K1())), "P-256"),
        (shared_key, "public"),
        (lambda: pem_of(rsa_with_small_factor()), "factored"),
        (lambda: rsa_of(*faulty_factors()), "factored"),
        (lambda: rsa_of(*close_factors()), "factored"),
        (lambda: RFC_9421_RSA, "public"),
        (lambda: "nonsense", "PEM"),
        (lambda: "x" * 4097, ""),
    ],
)
def test_weak_and_shared_keys_are_refused(client: Client, pem: Any, words: str) -> None:
    body = {"public_key": pem()}

    answer = Signer(tag="hub-enrol").send(client, "POST", REGISTER, body, nonce=nonce(client))

    assert answer.status_code == 400
    assert words in answer.json()["fields"]["public_key"][0]


def rsa_of(one: int, other: int) -> str:
    key = rsa.RSAPublicNumbers(65537, one * other).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def without_small_factors(numbers: Iterator[int]) -> int:
    return next(each for each in numbers if math.gcd(each, SMALL_PRIMES) == 1)


def faulty_factors() -> tuple[int, int]:
    """As CVE-2017-15361 makes them: a multiple of the product of small primes, and a power of 65537."""
    product = 2 * math.prod(SUBGROUPS)
    start = (3 << 1022) // product
    return tuple(  # type: ignore[return-value]
        without_small_factors(number * product + pow(65537, power, product) for number in count(start))
        for power in (1234, 5678)
    )


def close_factors() -> tuple[int, int]:
    one = without_small_factors(count((3 << 1022) + 1, 2))
    return one, without_small_factors(count(one + 2**500, 2))


RFC_9421_RSA = """-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAr4tmm3r20Wd/PbqvP1s2
+QEtvpuRaV8Yq40gjUR8y2Rjxa6dpG2GXHbPfvMs8ct+Lh1GH45x28Rw3Ry53mm+
oAXjyQ86OnDkZ5N8lYbggD4O3w6M6pAvLkhk95AndTrifbIFPNU8PPMO7OyrFAHq
gDsznjPFmTOtCEcN2Z1FpWgchwuYLPL+Wokqltd11nqqzi+bJ9cvSKADYdUAAN5W
Utzdpiy6LbTgSxP7ociU4Tn0g5I6aDZJ7A8Lzo0KSyZYoA485mqcO0GVAdVw9lq4
aOT9v6d+nb4bnNkQVklLQ3fVAvJm+xdDOp9LCNCN48V2pnDOkFV6+U9nV5oyc6XI
2wIDAQAB
-----END PUBLIC KEY-----
"""


def small_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - weak is what it is for


class _Public:
    def __init__(self, key: rsa.RSAPublicKey) -> None:
        self.key = key

    def public_key(self) -> rsa.RSAPublicKey:
        return self.key


def rsa_with_small_factor() -> Any:
    return _Public(rsa.RSAPublicNumbers(65537, 3 * (2**2047 + 9) | 1).public_key())


def test_token_accepts_at_once_into_group_and_region(client: Client) -> None:
    group, region = DeviceGroupFactory(), RegionFactory()
    token, secret = make_token(group=group, region=region, tags=["roof"])

    answer = register(client, identity={"serial": "A1"}, enrolment_token=secret)

    device = Device.objects.get()
    assert (answer.json()["status"], answer.json()["key_state"]) == ("accepted", "active")
    assert (device.region, list(device.groups.all()), device.tags) == (region, [group], ["roof"])
    token.refresh_from_db()
    assert token.uses == 1


@pytest.mark.parametrize(
    "values", [{"most_uses": 1}, {"expires_at": timezone.now() - timedelta(seconds=1)}, {"revoked_at": timezone.now()}]
)
def test_token_that_is_used_up_expired_or_revoked(client: Client, values: Any) -> None:
    _, secret = make_token(**values)
    if "most_uses" in values:
        register(client, enrolment_token=secret)
    before = Device.objects.count()

    answer = register(client, enrolment_token=secret)

    assert (answer.status_code, answer.json()["code"]) == (400, "enrolment_token_refused")
    assert Device.objects.count() == before


def test_same_key_again_uses_no_token(client: Client) -> None:
    _, secret = make_token(most_uses=1)
    private = Ed25519PrivateKey.generate()

    answers = [register(client, private, enrolment_token=secret) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]


def test_token_does_not_vouch_for_a_new_key_of_a_known_device(client: Client) -> None:
    _, secret = make_token(most_uses=5)
    register(client, identity={"serial": "A1"}, enrolment_token=secret)

    answer = register(client, identity={"serial": "A1"}, enrolment_token=secret)

    assert answer.json()["key_state"] == "proposed"


def test_secret_of_a_token_is_stored_nowhere() -> None:
    token, secret = make_token()

    assert secret not in str(EnrolmentToken.objects.filter(pk=token.pk).values().get())
    assert secret not in str(list(AuditEntry.objects.values()))


def test_so_many_may_wait(client: Client, settings: Any) -> None:
    settings.HUB_DEVICES_PENDING = 1
    register(client)

    answer = register(client)

    assert (answer.status_code, answer.json()["code"]) == (429, "too_many_wait")


def test_preauthorised_device_is_accepted_by_its_first_proof(client: Client) -> None:
    private = Ed25519PrivateKey.generate()
    made = services.preauthorise_device(
        actor=SYSTEM, name="roof", public_key=pem_of(private), identity={"serial": "A1"}
    )
    assert made.status == DeviceStatus.PREAUTHORISED

    answer = register(client, private, identity={"serial": "A1"}, device_type="gateway")

    assert (answer.json()["device_id"], answer.json()["status"]) == (str(made.pk), "accepted")
    assert Device.objects.get().device_type == "gateway"


def test_preauthorised_identity_with_another_key_is_not_accepted(client: Client) -> None:
    services.preauthorise_device(
        actor=SYSTEM, name="roof", public_key=pem_of(Ed25519PrivateKey.generate()), identity={"serial": "A1"}
    )

    answer = register(client, identity={"serial": "A1"})

    assert answer.json()["status"] == "preauthorised"
    assert DeviceKey.objects.filter(state=KeyState.ACTIVE).count() == 0


def test_stranger_who_comes_twice_is_not_the_device_that_is_expected(client: Client) -> None:
    """It was: the second call found the key that the first had proposed in the place of the expected one."""
    expected, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    made = services.preauthorise_device(
        actor=SYSTEM, name="roof", public_key=pem_of(expected), identity={"serial": "A1"}
    )

    taken = [register(client, stranger, identity={"serial": "A1"}).json() for _ in range(2)]
    answer = register(client, expected, identity={"serial": "A1"}).json()

    assert [each["status"] for each in taken] == ["preauthorised"] * 2
    assert (answer["device_id"], answer["status"], answer["key_state"]) == (str(made.pk), "accepted", "active")
    assert made.keys.get(state=KeyState.PROPOSED).public_key == pem_of(stranger)


def test_another_key_of_an_expected_device_is_taken_when_somebody_says_so(client: Client) -> None:
    services.preauthorise_device(
        actor=SYSTEM, name="roof", public_key=pem_of(Ed25519PrivateKey.generate()), identity={"serial": "A1"}
    )
    replaced = Ed25519PrivateKey.generate()
    register(client, replaced, identity={"serial": "A1"})

    services.accept_key(Device.objects.get(), actor=SYSTEM)

    assert register(client, replaced, identity={"serial": "A1"}).json()["status"] == "accepted"


def test_keys_that_were_expected_before_are_kept_and_proposed_ones_are_not() -> None:
    device = services.preauthorise_device(
        actor=SYSTEM, name="roof", public_key=pem_of(Ed25519PrivateKey.generate()), identity={"serial": "A1"}
    )
    displaced = DeviceFactory(status=DeviceStatus.PREAUTHORISED)
    make_key(displaced, state=KeyState.PROPOSED)
    displaced.keys.filter(state=KeyState.PROPOSED).update(created_at=timezone.now() + timedelta(seconds=5))
    device.keys.update(state=KeyState.PROPOSED)

    import_module("devices.migrations.0008_expected_keys").expect(apps, None)

    assert device.keys.get().state == KeyState.NEXT
    assert displaced.keys.filter(state=KeyState.PROPOSED).exists()


def test_who_does_not_say_what_it_is_is_known_by_its_key(client: Client) -> None:
    private = Ed25519PrivateKey.generate()
    first = register(client, private, identity={"serial": "A1"})

    again = register(client, private)

    assert again.status_code == 201, again.content
    assert again.json() == first.json()


def test_decision_is_about_the_key_that_was_looked_at(client: Client) -> None:
    register(client, identity={"serial": "A1"})
    device = Device.objects.get()
    looked_at = device.keys.get().fingerprint
    register(client, identity={"serial": "A1"})
    page = Client()
    page.force_login(UserFactory(role="Operator"))

    page.post(f"/devices/{device.pk}/accept", {"fingerprint": looked_at})
    with pytest.raises(Conflict, match="Another key"):
        services.accept_device(device, actor=SYSTEM, fingerprint=looked_at)

    device.refresh_from_db()
    assert device.status == "pending"
    services.accept_device(device, actor=SYSTEM, fingerprint=device.keys.get().fingerprint)


def test_decommissioned_device_does_not_come_back(client: Client) -> None:
    private = Ed25519PrivateKey.generate()
    register(client, private, identity={"serial": "A1"})
    services.decommission_device(Device.objects.get(), actor=SYSTEM)

    assert register(client, private, identity={"serial": "A1"}).status_code == 403
    assert register(client, identity={"serial": "A1"}).status_code == 409


def test_what_was_said_under_a_lost_key_is_not_believed_of_the_next(client: Client) -> None:
    """A new installation has neither the bundle nor the configuration, and counts its batches of lines from one."""
    register(client, identity={"serial": "A1"})
    device = Device.objects.get()
    services.accept_device(device, actor=SYSTEM)
    DeviceBeat.objects.update(bundle_version="1.0", config_version=4, log_sequence=50)
    DeviceSealingKey.objects.create(device=device, public_key="A" * 43 + "=")
    register(client, identity={"serial": "A1"})

    services.accept_key(device, actor=SYSTEM)

    row = DeviceBeat.objects.get()
    assert (row.bundle_version, row.config_version, row.log_sequence) == ("", None, 0)
    assert not DeviceSealingKey.objects.exists()


def test_identity_that_cannot_be_stored_is_refused(client: Client) -> None:
    for value in ("\ud800", "a\0b"):
        answer = register(client, identity={"serial": value})
        assert (answer.status_code, list(answer.json()["fields"])) == (400, ["identity"])


# Decisions.

DECISIONS = [
    (services.accept_device, "pending", "accepted"),
    (services.accept_device, "rejected", "accepted"),
    (services.reject_device, "pending", "rejected"),
    (services.suspend_device, "accepted", "suspended"),
    (services.resume_device, "suspended", "accepted"),
    (services.decommission_device, "accepted", "decommissioned"),
]


@pytest.mark.parametrize(("decide", "old", "new"), DECISIONS)
def test_decisions(decide: Any, old: str, new: str) -> None:
    device = DeviceFactory(status=old)
    operator = UserFactory(role="Operator")

    decide(device, actor=operator)

    assert Device.objects.get().status == new
    assert AuditEntry.objects.filter(actor_name=operator.username, target_id=str(device.pk)).count() == 1


@pytest.mark.parametrize(("decide", "old", "new"), DECISIONS)
def test_decisions_are_not_for_viewers_nor_for_operators_of_other_regions(decide: Any, old: str, new: str) -> None:
    device = DeviceFactory(status=old)
    limited = UserFactory(role="Operator")
    limited.region_scopes.create(region_slug="far")

    with pytest.raises(NotAllowed):
        decide(device, actor=UserFactory(role="Viewer"))
    with pytest.raises(NotFound):
        decide(device, actor=limited)
    assert Device.objects.get().status == old


@pytest.mark.parametrize(
    ("decide", "old"),
    [
        (services.accept_device, "suspended"),
        (services.accept_device, "decommissioned"),
        (services.resume_device, "pending"),
        (services.reject_device, "accepted"),
        (services.suspend_device, "pending"),
    ],
)
def test_decisions_that_do_not_fit(decide: Any, old: str) -> None:
    with pytest.raises(Conflict):
        decide(DeviceFactory(status=old), actor=SYSTEM)


def test_accepting_a_proposed_key_ends_the_others(client: Client) -> None:
    register(client, identity={"serial": "A1"})
    device = services.accept_device(Device.objects.get(), actor=SYSTEM)
    old = device.keys.get()
    private = Ed25519PrivateKey.generate()
    register(client, private, identity={"serial": "A1"})

    services.accept_key(device, actor=SYSTEM)

    old.refresh_from_db()
    assert old.state == KeyState.REVOKED
    assert Caller(device, Signer(private), client).beat().status_code == 200


def test_refused_key_is_never_taken_again(client: Client) -> None:
    register(client, identity={"serial": "A1"})
    device = services.accept_device(Device.objects.get(), actor=SYSTEM)
    private = Ed25519PrivateKey.generate()
    register(client, private, identity={"serial": "A1"})

    services.refuse_key(device, actor=SYSTEM)

    assert register(client, private, identity={"serial": "A1"}).json()["code"] == "retired_key"


def test_refusal_is_of_the_key_that_was_looked_at(client: Client) -> None:
    register(client, identity={"serial": "A1"})
    device = services.accept_device(Device.objects.get(), actor=SYSTEM)
    proposed = device.keys.filter(state=KeyState.PROPOSED)
    register(client, identity={"serial": "A1"})
    looked_at = proposed.get().fingerprint
    register(client, identity={"serial": "A1"})
    user = UserFactory(role="Operator")
    page = Client()
    page.force_login(user)

    asked = page.post(f"/devices/{device.pk}/refuse-key?fingerprint={looked_at}")
    path, headers = f"/api/v1/devices/{device.pk}/refuse-key", token_header(token_for(user)[1])
    answers = [
        client.post(path, {"fingerprint": each}, "application/json", headers=headers)
        for each in (looked_at, proposed.get().fingerprint)
    ]

    assert asked.status_code == 422
    assert (answers[0].status_code, answers[0].json()["code"]) == (409, "other_key")
    assert (answers[1].status_code, proposed.count()) == (200, 0)


# Rotation.


def rotate(caller: Caller, private: Any, *, old: str = "", signer: Any = None) -> Any:
    from .signing import fingerprint_of

    message = rotation_message(caller.device.pk, old or fingerprint_of(caller.signer.private), fingerprint_of(private))
    proof = base64.b64encode(raw_signature(signer or private, message)).decode()
    return caller.post("key", {"public_key": pem_of(private), "proof": proof})


def test_rotation_takes_both_keys_until_the_new_one_is_used(caller: Caller) -> None:
    new = ec.generate_private_key(ec.SECP256R1())
    old_signer = caller.signer

    answer = rotate(caller, new)

    assert (answer.status_code, answer.json()["state"]) == (201, "next")
    assert caller.beat().status_code == 200
    caller.signer = Signer(new)
    assert caller.beat().status_code == 200
    assert sorted(caller.device.keys.values_list("state", flat=True)) == ["active", "retiring"]
    caller.signer = old_signer
    assert caller.beat().status_code == 200
    retiring = DeviceKey.objects.get(state=KeyState.RETIRING)
    left = retiring.retires_at - timezone.now()  # type: ignore[operator]
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_rotation_needs_the_new_keys_signature(caller: Caller) -> None:
    answer = rotate(caller, Ed25519PrivateKey.generate(), signer=Ed25519PrivateKey.generate())

    assert (answer.status_code, answer.json()["code"]) == (400, "no_proof")


def test_rotation_proof_is_for_this_key_alone(caller: Caller) -> None:
    assert rotate(caller, Ed25519PrivateKey.generate(), old="0" * 64).json()["code"] == "no_proof"


def test_rotation_is_signed_by_the_old_key(caller: Caller) -> None:
    new = Ed25519PrivateKey.generate()
    caller.signer = Signer(new)

    assert rotate(caller, new).json()["code"] == "unknown_key"


def test_rotation_again_changes_nothing_and_another_key_takes_its_place(caller: Caller) -> None:
    new = Ed25519PrivateKey.generate()

    assert [rotate(caller, new).status_code for _ in range(2)] == [201, 201]
    assert rotate(caller, Ed25519PrivateKey.generate()).status_code == 201
    assert sorted(caller.device.keys.values_list("state", flat=True)) == ["active", "next", "revoked"]


def test_rotation_to_a_known_or_weak_key_is_refused(caller: Caller) -> None:
    assert rotate(caller, caller.signer.private).json()["code"] == "key_known"
    assert rotate(caller, ec.generate_private_key(ec.SECP256K1())).json()["code"] == "key_refused"


def test_retiring_key_names_no_successor(caller: Caller) -> None:
    DeviceKey.objects.update(state=KeyState.RETIRING)

    assert rotate(caller, Ed25519PrivateKey.generate()).json()["code"] == "key_retiring"


def test_revoked_token_is_refused_twice() -> None:
    token, _ = make_token()
    services.revoke_token(token, actor=SYSTEM)

    with pytest.raises(Conflict):
        services.revoke_token(token, actor=SYSTEM)
    with pytest.raises(Invalid):
        use_token("enrol_nothing")
