"""The tests that the seed of this app has, by their names (X36 to X39, X103), over HTTP and with devices that sign.

Where the seed had a defect the right behaviour is tested, and the line is named.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client
from django.utils import timezone

from accounts.tests.factories import PASSWORD, UserFactory, token_for
from devices import sessions
from devices.bundles.models import Bundle
from devices.deployments.models import DeploymentTarget
from devices.models import Device, DeviceBeat, DeviceKey

from .bundle_files import bundle
from .conftest import Caller
from .factories import DeviceFactory
from .signing import Signer, pem_of

pytestmark = pytest.mark.django_db
API = "/api/v1"
DATA = bundle("1.0")


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    settings.HUB_BUNDLE_ENCRYPTION = False
    backend, options = "django.core.files.storage.FileSystemStorage", {"location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}


@pytest.fixture
def ask(client: Client) -> Callable[..., Any]:
    """Ask as a program of an Operator."""
    secret = token_for(UserFactory(role="Operator"))[1]

    def send(method: str, path: str, data: Any = None) -> Any:
        body = "" if data is None else json.dumps(data)
        headers = {"Authorization": f"Token {secret}"}
        return client.generic(method, f"{API}/{path}", body, "application/json", headers=headers)

    return send


def enrol(client: Client, private: Ed25519PrivateKey, **said: Any) -> Any:
    nonce = client.post(f"{API}/devices/nonce").json()["nonce"]
    signer = Signer(private, tag="hub-enrol")
    body = {"public_key": pem_of(private), **said}
    return signer.send(client, "POST", f"{API}/devices/register", body, nonce=nonce)


def upload(ask: Callable[..., Any], version: str = "1.0") -> str:
    data = DATA if version == "1.0" else bundle(version)
    made = ask("POST", "bundles", {"name": "camera", "version": version, "size_bytes": len(data)}).json()
    piece = {"offset": 0, "content": base64.b64encode(data).decode()}
    assert ask("POST", f"bundles/{made['id']}/piece", piece).status_code == 200
    assert ask("POST", f"bundles/{made['id']}/finish").status_code == 200
    return str(made["id"])


def deploy(ask: Callable[..., Any], *callers: Caller, version: str = "1.0") -> str:
    asked = {"bundle_version": version, "target_devices": [str(each.device.pk) for each in callers], "soak_seconds": 0}
    answer = ask("POST", "deployments", asked)
    assert answer.status_code == 201, answer.content
    return str(answer.json()["deployment_id"])


def result(caller: Caller, deployment: str, status: str, **said: Any) -> Any:
    path = f"{API}/deployments/{deployment}/result"
    return caller.signer.send(caller.client, "POST", path, {"status": status, **said})


def run_through(ask: Callable[..., Any], caller: Caller, version: str) -> str:
    upload(ask, version)
    deployment = deploy(ask, caller, version=version)
    caller.beat()
    assert result(caller, deployment, "success").json()["status"] == "succeeded"
    return deployment


# Device management


def test_register_device(client: Client) -> None:
    answer = enrol(client, Ed25519PrivateKey.generate(), device_type="gateway", hardware_metadata={"cpu_count": 4})

    assert (answer.status_code, answer.json()["status"]) == (201, "pending")
    assert Device.objects.get(pk=answer.json()["device_id"]).hardware == {"cpu_count": 4}


def test_duplicate_key_handling(client: Client) -> None:
    """X55, X56: the same record, for who proves the key alone."""
    private = Ed25519PrivateKey.generate()
    first = enrol(client, private).json()

    again = enrol(client, private)
    thief = Signer(Ed25519PrivateKey.generate(), tag="hub-enrol")
    nonce = client.post(f"{API}/devices/nonce").json()["nonce"]
    stolen = thief.send(client, "POST", f"{API}/devices/register", {"public_key": pem_of(private)}, nonce=nonce)

    assert (again.status_code, again.json()["device_id"]) == (201, first["device_id"])
    assert stolen.status_code == 401
    assert Device.objects.count() == 1


def test_heartbeat_polling(caller: Caller) -> None:
    """X63: without a deployment and a configuration there is nothing to do."""
    answer = caller.beat({"agent_version": "1.0", "memory_mb": 512, "cpu_pct": 10, "status": "healthy"})

    assert (answer.status_code, answer.json()["commands"]) == (200, [])


def test_list_devices(ask: Callable[..., Any]) -> None:
    """X57, with pages."""
    for _ in range(3):
        DeviceFactory()

    answer = ask("GET", "devices?limit=2").json()

    assert (answer["count"], len(answer["results"])) == (3, 2)


def test_get_device_details(ask: Callable[..., Any], caller: Caller) -> None:
    shown = ask("GET", f"devices/{caller.device.pk}").json()

    assert (shown["id"], shown["status"]) == (str(caller.device.pk), "accepted")
    assert ask("GET", "devices/0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11").status_code == 404


def test_heartbeat_timestamp(caller: Caller) -> None:
    caller.beat()

    seen = DeviceBeat.objects.get(device=caller.device).last_seen_at
    assert seen is not None
    assert timezone.now() - seen < timedelta(seconds=10)


def test_pending_deployment(ask: Callable[..., Any], make_caller: Callable[..., Caller]) -> None:
    """X60, X63: one command, and each of several devices gets its own."""
    first, second = make_caller(), make_caller()
    upload(ask)
    deployment = deploy(ask, first, second)

    commands = [each.beat().json()["commands"] for each in (first, second)]

    assert [[each["type"] for each in found] for found in commands] == [["deploy"], ["deploy"]]
    assert {found[0]["deployment_id"] for found in commands} == {deployment}


def test_bundle_history_order(ask: Callable[..., Any], caller: Caller) -> None:
    """X74: newest first."""
    for version in ("1.0", "2.0"):
        run_through(ask, caller, version)

    rows = ask("GET", f"devices/{caller.device.pk}/bundle-history").json()

    assert [row["bundle_version"] for row in rows] == ["2.0", "1.0"]


# Bundle management


def test_upload_and_list(ask: Callable[..., Any]) -> None:
    key = upload(ask)

    (row,) = ask("GET", "bundles").json()["results"]
    assert (row["id"], row["version"], row["status"]) == (key, "1.0", "ready")


# Deployment


def test_download_bundle(ask: Callable[..., Any], caller: Caller) -> None:
    upload(ask)
    deployment = deploy(ask, caller)
    caller.beat()
    key = DeviceKey.objects.select_related("device").get(device=caller.device)
    headers = {"Authorization": f"Bearer {sessions._sign(key)}"}

    answer = caller.client.get(f"{API}/deployments/{deployment}/file", headers=headers)

    assert b"".join(answer.streaming_content) == DATA
    assert caller.client.get(f"{API}/deployments/{deployment}/file").status_code == 401  # X101: it was open to all


def test_bundle_id_in_command(ask: Callable[..., Any], caller: Caller) -> None:
    """X59, and with the digest that X91 found missing."""
    key = upload(ask)
    deployment = deploy(ask, caller)

    (command,) = caller.beat().json()["commands"]

    assert (command["bundle_id"], command["bundle_version"]) == (key, "1.0")
    assert (command["deployment_id"], command["checksum_sha256"]) == (deployment, Bundle.objects.get().sha256)


def test_success_status_update(ask: Callable[..., Any], caller: Caller) -> None:
    """X68: counted once, and the deployment ends with its time."""
    upload(ask)
    deployment = deploy(ask, caller)
    caller.beat()

    words = [result(caller, deployment, "success").json() for _ in range(2)]

    assert [word["counted"] for word in words] == [True, False]
    shown = ask("GET", f"deployments/{deployment}").json()
    assert (shown["status"], shown["finished_at"] is not None) == ("finished", True)


def test_failure_with_error(ask: Callable[..., Any], caller: Caller) -> None:
    upload(ask)
    deployment = deploy(ask, caller)
    caller.beat()

    result(caller, deployment, "failed", error_message="deploy.sh ended with 3")

    target = DeploymentTarget.objects.get(deployment=deployment)
    assert (target.status, target.error_message) == ("failed", "deploy.sh ended with 3")


def test_non_target_rejection(ask: Callable[..., Any], make_caller: Callable[..., Caller]) -> None:
    caller, stranger = make_caller(), make_caller()
    upload(ask)
    deployment = deploy(ask, caller)

    assert result(stranger, deployment, "success").status_code == 403
    assert result(caller, "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", "success").status_code == 404


def test_invalid_status(ask: Callable[..., Any], caller: Caller) -> None:
    upload(ask)
    deployment = deploy(ask, caller)
    caller.beat()

    assert result(caller, deployment, "perhaps").status_code == 400
    assert DeploymentTarget.objects.get(deployment=deployment).status == "offered"


# Configuration and rollback


def test_config_create_update(ask: Callable[..., Any], caller: Caller) -> None:
    path = f"devices/{caller.device.pk}/config"
    assert ask("GET", path).json()["desired"]["polling_interval"] == 60

    answer = ask("PUT", path, {"polling_interval": 30, "log_level": "DEBUG"}).json()

    assert (answer["desired"]["polling_interval"], answer["desired"]["log_level"]) == (30, "DEBUG")
    assert ask("PUT", path, {"polling_interval": 9}).status_code == 400  # X73


def test_bundle_history(ask: Callable[..., Any], caller: Caller) -> None:
    run_through(ask, caller, "1.0")

    (row,) = ask("GET", f"devices/{caller.device.pk}/bundle-history").json()

    assert (row["bundle_version"], row["status"], row["device"]) == ("1.0", "succeeded", str(caller.device.pk))


def test_rollback_to_previous(ask: Callable[..., Any], caller: Caller) -> None:
    """X59, X71: it is sent to the device, as a rollback."""
    for version in ("1.0", "2.0"):
        run_through(ask, caller, version)

    asked = {"bundle_version": "1.0", "target_device_ids": [str(caller.device.pk)]}
    answer = ask("POST", "devices/rollback", asked)

    assert answer.status_code == 201
    (command,) = caller.beat().json()["commands"]
    assert (command["type"], command["bundle_version"]) == ("rollback", "1.0")


def test_rollback_requirements(ask: Callable[..., Any], caller: Caller) -> None:
    """X71: only to what has run there with success."""
    run_through(ask, caller, "1.0")
    upload(ask, "2.0")

    asked = {"bundle_version": "2.0", "target_device_ids": [str(caller.device.pk)], "all_or_none": True}
    answer = ask("POST", "devices/rollback", asked)

    assert answer.status_code == 400
    assert "no successful deployment of version" in answer.json()["detail"]


def test_rollback_nonexistent(ask: Callable[..., Any], caller: Caller) -> None:
    known, unknown = str(caller.device.pk), "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"

    no_version = ask("POST", "devices/rollback", {"bundle_version": "7.7", "target_device_ids": [known]})
    no_device = ask("POST", "devices/rollback", {"target_device_ids": [unknown]})

    assert (no_version.status_code, no_device.status_code) == (400, 400)


def test_config_command(ask: Callable[..., Any], caller: Caller) -> None:
    """X62: sent until the device says that it has this version, and not again."""
    version = ask("PUT", f"devices/{caller.device.pk}/config", {"log_level": "DEBUG"}).json()["config_version"]

    (command,) = caller.beat().json()["commands"]

    assert (command["type"], command["config_version"], command["log_level"]) == ("configure", version, "DEBUG")
    assert caller.beat({"config_version": version}).json()["commands"] == []


def test_config_version_increment(ask: Callable[..., Any], caller: Caller) -> None:
    """X72: three updates give 2, 3, 4."""
    path = f"devices/{caller.device.pk}/config"

    assert [ask("PUT", path, {"polling_interval": n}).json()["config_version"] for n in (20, 30, 40)] == [2, 3, 4]


def test_device_status_from_result(ask: Callable[..., Any], caller: Caller) -> None:
    """X68, X85: success says what it runs, and a healthy device is not shown as degraded."""
    run_through(ask, caller, "1.0")
    caller.beat({"status": "healthy"})

    shown = ask("GET", f"devices/{caller.device.pk}").json()

    assert (shown["bundle_version"], shown["health"], shown["liveness"]) == ("1.0", "healthy", "online")


# The later four


def test_login_flow(client: Client) -> None:
    """X77."""
    user = UserFactory(role="Operator")

    wrong = client.post(f"{API}/auth/login", {"username": user.username, "password": "no"}, "application/json")
    right = client.post(f"{API}/auth/login", {"username": user.username, "password": PASSWORD}, "application/json")

    assert (wrong.status_code, right.status_code) == (401, 200)
    headers = {"Authorization": f"Bearer {right.json()['access']}"}
    assert client.get(f"{API}/devices", headers=headers).status_code == 200


def test_logs(ask: Callable[..., Any], caller: Caller) -> None:
    lines = [{"level": "ERROR", "message": "The link is down."}, {"level": "INFO", "message": "The link is up."}]

    assert caller.post("logs/batch", {"sequence": 1, "lines": lines}).json()["ingested"] == 2
    assert [row["level"] for row in ask("GET", "logs?level=ERROR").json()["results"]] == ["ERROR"]


@pytest.mark.parametrize("path", ["devices", "bundles", "deployments", "logs"])
def test_production_needs_token(client: Client, path: str) -> None:
    """X78: there is no mode in which it does not."""
    assert client.get(f"{API}/{path}").status_code == 401


@pytest.mark.parametrize("path", ["devices", "bundles", "deployments", "logs"])
def test_production_accepts_token(ask: Callable[..., Any], path: str) -> None:
    assert ask("GET", path).status_code == 200
