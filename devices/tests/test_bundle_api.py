"""Bundles, deployments and configuration over HTTP, as people and programs use them."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.tests.factories import UserFactory, token_for
from devices.bundles.choices import UPLOAD_PIECE_BYTES
from devices.bundles.models import Bundle
from devices.deployments.models import Deployment
from hub.testing import stop_rate_windows

from .bundle_files import bundle
from .deployment_helpers import beat, deploy, make_bundle, run_through
from .factories import DeviceFactory, DeviceGroupFactory

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    options = {"location": tmp_path / "bundles"}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}
    settings.HUB_BUNDLE_ENCRYPTION = False


class Program:
    """A program with the token of an Operator."""

    def __init__(self, client: Client, **of_token: Any) -> None:
        self.client = client
        secret = token_for(UserFactory(role="Operator"), **of_token)[1]
        self.headers = {"Authorization": f"Token {secret}"}

    def ask(self, method: str, path: str, data: Any = None, key: str = "") -> Any:
        body = "" if data is None else _json(data)
        headers = self.headers | ({"Idempotency-Key": key} if key else {})
        return self.client.generic(method, f"{API}/{path}", body, "application/json", headers=headers)

    def form(self, data: bytes, manifest: str) -> Any:
        said = {"file": SimpleUploadedFile("bundle.tar.gz", data), "manifest": manifest}
        return self.client.post(f"{API}/bundles", said, headers=self.headers)

    def upload(self, data: bytes, **said: Any) -> Any:
        facts = {"name": "camera", "version": "1.0", "size_bytes": len(data), **said}
        made = self.ask("POST", "bundles", facts)
        if made.status_code != 201:
            return made
        path = f"bundles/{made.json()['id']}"
        for offset in range(0, len(data), 100_000):
            content = base64.b64encode(data[offset : offset + 100_000]).decode()
            assert self.ask("POST", f"{path}/piece", {"offset": offset, "content": content}).status_code == 200
        return self.ask("POST", f"{path}/finish")


def _json(data: Any) -> bytes:
    return json.dumps(data).encode()


@pytest.fixture
def program(client: Client) -> Program:
    return Program(client)


def test_uploads_have_a_limit_of_their_own_for_their_beginning(
    program: Program, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_rate_windows(monkeypatch)
    settings.HUB_API_RATES = {"upload": 2}

    begun = [program.ask("POST", "bundles", {"name": "camera", "version": f"1.{n}", "size_bytes": 9}) for n in range(3)]

    assert [answer.status_code for answer in begun] == [201, 201, 429]
    assert begun[2]["RateLimit-Limit"] == "2"
    assert (
        program.ask("POST", f"bundles/{begun[0].json()['id']}/piece", {"offset": 0, "content": "eHg="}).status_code
        == 200
    )


def test_upload_and_list(program: Program) -> None:
    data = bundle("1.0", name="camera")

    answer = program.upload(data)

    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    (row,) = program.ask("GET", "bundles?q=cam&status=ready").json()["results"]
    assert (row["version"], row["size_bytes"], row["received_bytes"]) == ("1.0", len(data), len(data))
    assert "content_key" not in row


def test_a_whole_upload_as_a_form(program: Program) -> None:
    """X64, with `model` as a text."""
    data = bundle("1.0", model="yolo")

    answers = [program.form(data, text) for text in ("{", "{}", '{"version": "1.0", "model": "yolo"}')]
    again = program.form(data, '{"version": "1.0", "model": "yolo"}')

    assert [answer.status_code for answer in answers] == [400, 400, 201]
    made = answers[2].json()
    assert (made["bundle_id"], made["version"], made["status"]) == (made["id"], "1.0", "ready")
    assert made["checksum_sha256"] == hashlib.sha256(data).hexdigest()
    assert (again.status_code, again.json()["code"]) == (409, "version_exists")
    assert Bundle.objects.get().model_name == "yolo"


def test_a_form_that_is_refused_leaves_nothing(program: Program) -> None:
    answer = program.form(b"no archive", '{"version": "1.0"}')

    assert (answer.status_code, answer.json()["code"]) == (400, "archive_refused")
    assert not Bundle.objects.exists()


@pytest.mark.parametrize(("role", "status"), [("Operator", 400), ("Player", 413), (None, 413)])
def test_a_long_form_is_read_from_those_who_may_upload(
    client: Client, settings: Any, role: str | None, status: int
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 300
    headers = {"Authorization": f"Token {token_for(UserFactory(role=role))[1]}"} if role else {}
    body = {"file": SimpleUploadedFile("x", b"x" * 1000)}

    assert client.post(f"{API}/bundles", body, headers=headers).status_code == status
    assert client.post(f"{API}/bundles", "x" * 1000, "application/json", headers=headers).status_code == 413


def test_a_version_that_is_there_is_refused_at_once(program: Program) -> None:
    program.upload(bundle("1.0"))

    again = program.ask("POST", "bundles", {"name": "camera", "version": "1.0", "size_bytes": 5})

    assert (again.status_code, again.json()["code"]) == (409, "version_exists")


def test_a_gap_and_what_is_no_base64_are_refused(program: Program) -> None:
    made = program.ask("POST", "bundles", {"name": "camera", "version": "1.0", "size_bytes": 50}).json()
    path = f"bundles/{made['id']}/piece"

    gap = program.ask("POST", path, {"offset": 5, "content": "AAAA"})
    wrong = program.ask("POST", path, {"offset": 0, "content": "?!"})

    assert (gap.status_code, gap.json()["code"]) == (409, "offset_mismatch")
    assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["content"])


def test_the_longest_piece_fits_into_a_body(program: Program) -> None:
    size = UPLOAD_PIECE_BYTES
    made = program.ask("POST", "bundles", {"name": "camera", "version": "1.0", "size_bytes": size, "kind": "image"})
    content = base64.b64encode(bytes(size)).decode()

    answer = program.ask("POST", f"bundles/{made.json()['id']}/piece", {"offset": 0, "content": content})

    assert (answer.status_code, answer.json()["received_bytes"]) == (200, size)


def test_deploying_says_whom_it_leaves_out(program: Program) -> None:
    good, other = DeviceFactory(), DeviceFactory(device_type="pi5")
    made = make_bundle(device_types=["gateway"])
    asked = {"bundle": str(made.pk), "devices": [str(good.pk), str(other.pk)]}

    seen = program.ask("POST", "deployments/preview", asked).json()
    answer = program.ask("POST", "deployments", asked)

    assert (seen["eligible"], seen["refused"], seen["bytes"]) == (1, 1, 1000)
    assert answer.status_code == 201
    body = answer.json()
    assert (body["status"], body["targets"]) == ("pending", 1)
    assert [reason["code"] for reason in body["refusals"][0]["reasons"]] == ["other_type"]
    shown = program.ask("GET", f"deployments/{body['deployment_id']}").json()
    assert (shown["total"], shown["open_count"], shown["bundle_version"]) == (1, 1, "1.0")
    (target,) = program.ask("GET", f"deployments/{body['deployment_id']}/targets").json()["results"]
    assert (target["device"], target["status"]) == (str(good.pk), "waiting")


def test_deploying_by_version_as_older_programs_do(program: Program) -> None:
    """X67."""
    device = DeviceFactory()
    make_bundle("1.0")

    answer = program.ask("POST", "deployments", {"bundle_version": "1.0", "target_devices": [str(device.pk)]})
    unknown = program.ask("POST", "deployments", {"bundle_version": "9.9", "target_devices": [str(device.pk)]})
    nobody = program.ask("POST", "deployments", {"bundle_version": "1.0", "target_devices": []})

    assert answer.status_code == 201
    assert (unknown.status_code, unknown.json()["code"]) == (404, "no_such_bundle")
    assert nobody.status_code == 400


def test_cancel_and_what_is_over(program: Program) -> None:
    device = DeviceFactory()
    make_bundle()
    made = program.ask("POST", "deployments", {"bundle_version": "1.0", "devices": [str(device.pk)]}).json()
    path = f"deployments/{made['deployment_id']}"

    assert program.ask("POST", f"{path}/cancel", {"reason": "Wrong"}).json()["status"] == "cancelled"
    assert program.ask("POST", f"{path}/retry").status_code == 409


def test_rollback_to_previous(program: Program) -> None:
    device = DeviceFactory()
    for version in ("1.0", "2.0"):
        run_through(make_bundle(version), device)

    asked = {"target_device_ids": [str(device.pk)], "bundle_version": "1.0"}
    answer = program.ask("POST", "devices/rollback", asked)

    assert answer.status_code == 201
    assert Deployment.objects.get(pk=answer.json()["deployment_id"]).kind == "rollback"


@pytest.mark.parametrize("verb", ["retry", "rollback", "devices"])
def test_retry_and_rollback_sent_again_make_nothing_more(program: Program, verb: str) -> None:
    """X94."""
    device = DeviceFactory()
    last = [run_through(make_bundle(version), device) for version in ("1.0", "2.0")][-1]
    path = f"deployments/{last.pk}/{verb}"
    asked: dict[str, Any] = {}
    if verb == "devices":
        path, asked = "devices/rollback", {"target_device_ids": [str(device.pk)]}
    elif verb == "retry":
        last.targets.update(status="failed")

    first, second = (program.ask("POST", path, asked, key="once") for _ in range(2))

    assert (first.status_code, second.status_code) == ((202, 202) if verb == "rollback" else (201, 201))
    assert (second["Idempotency-Replayed"], second.json()) == ("true", first.json())
    assert Deployment.objects.count() == 3


def test_rollback_requirements_and_rollback_nonexistent(program: Program) -> None:
    """X71."""
    device = DeviceFactory()
    make_bundle("1.0")
    asked: dict[str, Any] = {"target_device_ids": [str(device.pk)], "all_or_none": True}

    never = program.ask("POST", "devices/rollback", {**asked, "bundle_version": "1.0"})
    unknown = program.ask("POST", "devices/rollback", {**asked, "bundle_version": "7.7"})
    nobody = program.ask("POST", "devices/rollback", {"target_device_ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]})

    assert (never.status_code, "no successful deployment of version" in never.json()["detail"]) == (400, True)
    assert (unknown.status_code, nobody.status_code) == (400, 400)


def test_what_a_deployment_reached_goes_back(program: Program) -> None:
    """X70: it sends something to the devices."""
    device = DeviceFactory(name="roof")
    last = [run_through(make_bundle(version), device) for version in ("1.0", "2.0")][-1]
    new = DeviceFactory(name="new")
    run_through(Bundle.objects.get(version="2.0"), new)

    shown = program.ask("POST", "devices/rollback/preview", {"all": True}).json()
    unknown = program.ask("POST", f"deployments/{last.pk}/rollback", {"target_version": "7.7"})
    answer = program.ask("POST", f"deployments/{last.pk}/rollback", {})

    assert (shown["eligible"], shown["refused"]) == (1, 1)
    assert shown["ways"] == [{"device": str(device.pk), "name": "roof", "runs": "2.0", "bundle": "camera 1.0"}]
    assert [row["code"] for row in shown["refusals"][0]["reasons"]] == ["no_good_bundle"]
    assert (unknown.status_code, list(unknown.json()["fields"])) == (400, ["target_version"])
    assert (answer.status_code, answer.json()["targets"]) == (202, 1)
    assert beat(device)[0]["type"] == "rollback"
    assert Deployment.objects.get(pk=answer.json()["deployment_id"]).parent == last


def test_a_device_that_does_not_answer_is_ended(program: Program) -> None:
    device = DeviceFactory()
    deployment = deploy(make_bundle(), device)
    beat(device)
    path = f"deployments/{deployment.pk}/force-quit"

    stranger = program.ask("POST", path, {"device": str(DeviceFactory().pk)})
    answer = program.ask("POST", path, {"device": str(device.pk)})

    assert (stranger.status_code, stranger.json()["code"]) == (409, "not_a_target")
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert program.ask("POST", path, {"device": str(device.pk)}).json()["code"] == "target_over"


def test_a_stored_file_is_verified_against_what_was_recorded(program: Program) -> None:
    """X66: not valid because nothing was asked."""
    program.upload(bundle("1.0"))
    made = Bundle.objects.get()
    path = f"bundles/{made.pk}/verify"

    whole = program.ask("POST", path, {})
    same = program.ask("POST", path, {"checksum": made.sha256.upper()})
    another = program.ask("POST", path, {"checksum": "0" * 64})
    with storages["bundles"].open(made.stored_name, "r+b") as file:
        file.seek(40)
        file.write(b"changed")
    damaged = program.ask("POST", path, {"checksum": made.sha256})
    storages["bundles"].delete(made.stored_name)

    assert whole.json() == {"valid": True, "is_whole": True, "checksum": made.sha256}
    assert [each.json()["valid"] for each in (same, another, damaged)] == [True, False, False]
    assert program.ask("POST", path, {}).status_code == 410


def test_config_create_update_and_version_increment(program: Program) -> None:
    """X72."""
    path = f"devices/{DeviceFactory().pk}/config"
    assert program.ask("GET", path).json()["config_version"] == 1

    versions = [program.ask("PUT", path, {"polling_interval": n}).json()["config_version"] for n in (30, 40, 50)]
    late = program.ask("PUT", path, {"polling_interval": 60, "expected_version": 2})
    back = program.ask("POST", f"{path}/rollback", {"version": 2})
    history = program.ask("GET", f"{path}/history").json()

    assert versions == [2, 3, 4]
    assert (late.status_code, late.json()["code"]) == (409, "version_differs")
    assert (back.json()["config_version"], back.json()["desired"]["polling_interval"]) == (5, 30)
    assert [row["version"] for row in history] == [5, 4, 3, 2, 1]
    assert program.ask("PUT", path, {"polling_interval": 5}).status_code == 400


def test_config_takes_what_the_page_takes(program: Program) -> None:
    """A misspelt setting is named and changes nothing; `settings` have the bounds of the schema."""
    path = f"devices/{DeviceFactory().pk}/config"
    program.ask("PUT", path, {"polling_interval": 30, "settings": {"x": "y" * 20_000}})

    refused = program.ask("PUT", path, {"poling_interval": 60})

    assert (refused.status_code, list(refused.json()["fields"])) == (400, ["poling_interval"])
    now = program.ask("GET", path).json()
    assert (now["config_version"], now["desired"]["polling_interval"]) == (2, 30)


def test_config_of_a_group(program: Program) -> None:
    group = DeviceGroupFactory()
    device = DeviceFactory()
    device.groups.add(group)

    answer = program.ask("PUT", f"device-groups/{group.slug}/config", {"log_level": "DEBUG"})

    assert answer.json() == {"config_version": 2, "values": {"log_level": "DEBUG"}}
    assert program.ask("GET", f"devices/{device.pk}/config").json()["desired"]["log_level"] == "DEBUG"
    program.ask("PUT", f"device-groups/{group.slug}/config", {"log_level": "ERROR"})
    back = program.ask("POST", f"device-groups/{group.slug}/config/rollback", {"version": 2})
    history = program.ask("GET", f"device-groups/{group.slug}/config/history").json()
    assert back.json() == {"config_version": 4, "values": {"log_level": "DEBUG"}}
    assert [(row["version"], row["note"]) for row in history][:2] == [(4, "Back to version 2"), (3, "")]


def test_bundle_history_order(program: Program) -> None:
    """X74: newest first."""
    device = DeviceFactory()
    for version in ("1.0", "2.0", "3.0"):
        run_through(make_bundle(version), device)

    rows = program.ask("GET", f"devices/{device.pk}/bundle-history").json()

    assert [row["bundle_version"] for row in rows] == ["3.0", "2.0", "1.0"]
    assert len(program.ask("GET", f"devices/{device.pk}/bundle-history?limit=2").json()) == 2
    assert program.ask("GET", f"devices/{device.pk}/bundle-history?limit=101").status_code == 400


def test_why_not(program: Program) -> None:
    device = DeviceFactory(device_type="pi5")
    made = make_bundle(device_types=["pi4"])

    rows = program.ask("GET", f"devices/{device.pk}/why-not?bundle={made.pk}").json()

    assert [row["code"] for row in rows] == ["other_type", "never_deployed"]


def test_a_token_may_be_for_uploads_alone(client: Client) -> None:
    """X22: for CI."""
    device = DeviceFactory()
    ci = Program(client, scopes=["bundles.view", "bundles.change"])

    assert ci.upload(bundle("1.0")).status_code == 200
    asked = {"bundle": str(Bundle.objects.get().pk), "devices": [str(device.pk)]}
    assert ci.ask("POST", "deployments", asked).status_code == 403
