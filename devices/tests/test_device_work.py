"""What a device does over HTTP: it hears of its work, fetches and opens the file, and says how it went."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actors import SYSTEM
from devices import offers, sessions
from devices.bundles import services as bundle_services
from devices.bundles.models import Bundle
from devices.choices import KeyAlgorithm
from devices.configuration import services as configuration
from devices.deployments import commands
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.services import Chosen, Terms, cancel_deployment, create_deployment
from devices.models import DeviceKey
from devices.packaging.wrapping import unwrap
from hub.sealing import SealedReader

from .bundle_files import bundle
from .conftest import Caller
from .deployment_helpers import make_bundle, only
from .signing import Signer, fingerprint_of, pem_of

pytestmark = pytest.mark.django_db
KEYS: dict[str, Callable[[], Any]] = {
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "p256": lambda: ec.generate_private_key(ec.SECP256R1()),
}
DATA = bundle("1.0")


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> Path:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    options = {"location": tmp_path / "bundles"}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}
    return tmp_path


def upload(**said: Any) -> Bundle:
    facts = {"name": "camera", "version": "1.0", "actor": SYSTEM, "size_bytes": len(DATA), **said}
    return bundle_services.upload_bundle(file=io.BytesIO(DATA), **facts)


def deploy(caller: Caller, **terms: Any) -> Deployment:
    asked = Terms(**{"soak_seconds": 0, **terms})
    row = Bundle.objects.first() or upload()
    return create_deployment(row, Chosen(devices=[caller.device.pk]), asked, actor=SYSTEM).deployment


def read(caller: Caller, path: str, **headers: str) -> Any:
    key = DeviceKey.objects.select_related("device").get(device=caller.device, state="active")
    return caller.client.get(path, headers={"Authorization": f"Bearer {sessions._sign(key)}", **headers})


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content)


def say(caller: Caller, deployment: Deployment, data: Any = None, query: str = "") -> Any:
    path = f"/api/v1/deployments/{deployment.pk}/result{query}"
    return caller.signer.send(caller.client, "POST", path, data or {})


def sealing_key(caller: Caller) -> X25519PrivateKey:
    private = X25519PrivateKey.generate()
    raw = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    assert caller.post("sealing-key", {"public_key": raw}).status_code == 200
    return private


def test_a_device_goes_all_the_way(caller: Caller) -> None:
    """Heartbeat, work, file, key, plain bytes, result: over HTTP and through every check."""
    private = sealing_key(caller)
    deployment = deploy(caller)

    (command,) = caller.beat({"status": "healthy"}).json()["commands"]
    work = read(caller, command["work_url"]).json()
    sealed = body(read(caller, work["file"]["url"]))
    made = Bundle.objects.get()
    key = unwrap(work["file"]["wrapped_key"], private, bundle=made.pk.bytes)
    plain = b"".join(SealedReader(io.BytesIO(sealed), key, about=made.pk.bytes).blocks())
    answer = say(caller, deployment, {"status": "installed"})

    assert command["type"] == "deploy"
    assert plain == DATA
    assert answer.json() == {"status": "succeeded", "counted": True}
    assert caller.beat({"bundle_version": "1.0"}).json()["commands"] == []


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_can_do_both_opens_bundles_too(make_caller: Callable[..., Caller], kind: str) -> None:
    private = KEYS[kind]()
    caller = make_caller()
    algorithm = {"rsa": KeyAlgorithm.RSA, "p256": KeyAlgorithm.P256}[kind]
    facts = {"public_key": pem_of(private), "fingerprint": fingerprint_of(private), "algorithm": algorithm}
    DeviceKey.objects.filter(device=caller.device).update(**facts)
    caller.signer = Signer(private)
    deployment = deploy(caller)
    caller.beat()

    work = read(caller, f"/api/v1/deployments/{deployment.pk}/work").json()

    made = Bundle.objects.get()
    opened = unwrap(work["file"]["wrapped_key"], private, bundle=made.pk.bytes)
    assert opened == base64.b64decode(made.content_key.reveal())


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-", 206, 0, None),
        ("bytes=100-", 206, 100, None),
        ("bytes=100-199", 206, 100, 200),
        ("bytes=-50", 206, -50, None),
        ("bytes=100-99999999", 206, 100, None),
        ("bytes=5-4", 416, 0, 0),
        ("bytes=99999999-", 416, 0, 0),
        ("bytes=-0", 416, 0, 0),
        ("bytes=0-1,5-6", 200, 0, None),
        ("octets=0-1", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=" + "9" * 30 + "-", 200, 0, None),
    ],
)
def test_ranges(caller: Caller, settings: Any, asked: str, status: int, start: int, end: int | None) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()

    answer = read(caller, f"/api/v1/deployments/{deployment.pk}/file", Range=asked)

    assert answer.status_code == status
    if status == 416:
        assert answer["Content-Range"] == f"bytes */{len(DATA)}"
    else:
        assert body(answer) == DATA[start:end]
        assert answer["ETag"] == f'"{Bundle.objects.get().sha256}"'
        assert ("Content-Range" in answer) == (status == 206)


def test_going_on_with_another_file_is_not_possible(caller: Caller, settings: Any) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()
    path, tag = f"/api/v1/deployments/{deployment.pk}/file", f'"{Bundle.objects.get().sha256}"'

    assert read(caller, path, **{"Range": "bytes=5-", "If-Range": tag}).status_code == 206
    assert read(caller, path, **{"Range": "bytes=5-", "If-Range": '"other"'}).status_code == 200
    assert read(caller, path, **{"If-None-Match": tag}).status_code == 304
    assert read(caller, path, **{"If-Match": '"other"'}).status_code == 412


def test_nginx_sends_the_file_where_it_may(caller: Caller, settings: Any) -> None:
    sealing_key(caller)
    settings.HUB_BUNDLE_ACCEL = "/bundles-internal/"
    deployment = deploy(caller)
    caller.beat()

    answer = read(caller, f"/api/v1/deployments/{deployment.pk}/file")

    assert answer["X-Accel-Redirect"] == f"/bundles-internal/{Bundle.objects.get().stored_name}"
    assert answer.content == b""


def test_a_file_that_is_gone_is_said(caller: Caller, settings: Any, own_store: Path) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()
    for path in (own_store / "bundles").iterdir():
        path.unlink()

    assert read(caller, f"/api/v1/deployments/{deployment.pk}/file").status_code == 410


@pytest.mark.parametrize("what", ["work", "file"])
def test_work_is_for_its_device_and_its_time(
    caller: Caller, make_caller: Callable[..., Caller], settings: Any, what: str
) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    path, stranger = f"/api/v1/deployments/{deployment.pk}/{what}", make_caller()

    assert read(caller, path).json()["code"] == "closed"
    caller.beat()
    assert read(caller, path).status_code == 200
    assert caller.client.get(path).status_code == 401
    assert caller.client.get(path, headers={"Authorization": "Bearer nonsense"}).status_code == 401
    assert read(stranger, path).json()["code"] == "not_a_target"
    assert read(caller, path.replace(str(deployment.pk), str(caller.device.pk))).status_code == 404
    cancel_deployment(deployment, actor=SYSTEM)
    assert read(caller, path).json()["code"] == "called_off"


@pytest.mark.parametrize(
    ("data", "query"),
    [({"status": "success"}, ""), ({}, "?status_str=success&error_message="), ({"status": "installed"}, "")],
)
def test_success_status_update(caller: Caller, settings: Any, data: Any, query: str) -> None:
    """X69: in the body or in the address."""
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()

    assert say(caller, deployment, data, query).json() == {"status": "succeeded", "counted": True}
    assert say(caller, deployment, data, query).json() == {"status": "succeeded", "counted": False}


def test_failure_with_error(caller: Caller, settings: Any) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()

    say(caller, deployment, {}, "?status_str=failed&error_message=No%20disk")

    assert (only(deployment).status, only(deployment).error_message) == ("failed", "No disk")


def test_non_target_rejection_and_invalid_status(
    caller: Caller, make_caller: Callable[..., Caller], settings: Any
) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()

    assert say(make_caller(), deployment, {"status": "success"}).status_code == 403
    assert say(caller, deployment, {"status": "exploded"}).status_code == 400
    assert say(caller, deployment, {"status": "success", "progress_percent": 101}).status_code == 400


def test_a_result_must_be_signed(caller: Caller, settings: Any) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    deployment = deploy(caller)
    caller.beat()
    path = f"/api/v1/deployments/{deployment.pk}/result"

    answer = caller.client.post(path, {"status": "success"}, content_type="application/json")

    assert answer.status_code == 401
    assert only(deployment).status == "offered"


@pytest.mark.parametrize("key", ["", "AAAA", "?" * 44, base64.b64encode(bytes(32)).decode()])
def test_a_sealing_key_must_be_one(caller: Caller, key: str) -> None:
    assert caller.post("sealing-key", {"public_key": key}).status_code == 400


def test_config_command_and_its_end(caller: Caller) -> None:
    configuration.set_device_config(caller.device, {"polling_interval": 30}, actor=SYSTEM)
    (command,) = caller.beat().json()["commands"]
    assert (command["type"], command["config_version"], command["polling_interval"]) == ("configure", 2, 30)

    assert caller.post("config/applied", {"config_version": 9}).status_code == 409
    assert caller.post("config/applied", {"config_version": 2}).json() == {"config_version": 2}

    answer = caller.beat({"config_version": 2}).json()
    assert (answer["commands"], answer["polling_interval"]) == ([], 30)


def test_an_idle_heartbeat_stays_one_statement(caller: Caller, django_assert_num_queries: Any) -> None:
    configuration.set_device_config(caller.device, {}, actor=SYSTEM)
    caller.beat({"config_version": 2})

    with django_assert_num_queries(1):
        caller.beat({"config_version": 2})


@pytest.mark.django_db(transaction=True)
def test_an_offer_costs_five_statements_more_than_an_idle_heartbeat(caller: Caller) -> None:
    """Ten thousand devices are offered a deployment within one interval: no savepoint, nothing asked twice."""
    caller.beat()
    make_bundle()
    deploy(caller)

    with CaptureQueriesContext(connection) as asked:
        (command,) = caller.beat().json()["commands"]

    assert command["type"] == "deploy"
    assert [each["sql"].split()[0] for each in asked] == ["UPDATE", "BEGIN", "SELECT", "UPDATE", "INSERT", "COMMIT"]


@pytest.mark.parametrize("table", ["devices_deploymenttarget", "devices_deviceconfig", "devices_manualcommand"])
def test_what_waits_is_found_by_an_index(table: str) -> None:
    """By plan: none of the conditions that each heartbeat asks may read a table whole, however many rows it has."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        asked = f"EXPLAIN SELECT true{offers.conditions()} FROM devices_devicebeat beat WHERE device_id = %s"  # noqa: S608
        cursor.execute(asked, [uuid4()])
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert f"on {table}" in plan
    assert "Seq Scan" not in plan


def test_an_offer_beside_another_that_has_become_active_waits(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    make_bundle()
    target = only(deploy(caller))
    real = commands._offer

    def late(found: DeploymentTarget, now: datetime) -> Any:
        other = Deployment.objects.create(created_by_name="somebody quicker")
        DeploymentTarget.objects.create(
            deployment=other, device=caller.device, bundle=found.bundle, status="installing"
        )
        return real(found, now)

    monkeypatch.setattr(commands, "_offer", late)

    assert caller.beat().json()["commands"] == []
    assert only(target.deployment).status == "waiting"
