"""Tokens for machines that deliver: they upload bundles and deploy to their groups, and reach nothing else."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from accounts import tokens
from accounts.actors import SYSTEM
from accounts.models import ApiToken, AuditEntry
from accounts.tests.factories import UserFactory
from devices.bundles.models import Bundle
from devices.deployments.models import Deployment
from devices.models import Device, DeviceGroup

from .bundle_files import bundle
from .deployment_helpers import deploy, make_bundle
from .factories import DeviceFactory, DeviceGroupFactory

pytestmark = pytest.mark.django_db
NOTHING = "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"


@pytest.fixture
def owner() -> Any:
    return UserFactory(role="Admin")


@pytest.fixture
def roofs() -> DeviceGroup:
    return DeviceGroupFactory(slug="roofs")


@pytest.fixture
def ours(roofs: DeviceGroup) -> Device:
    device = DeviceFactory(name="roof")
    device.groups.add(roofs)
    return device


@pytest.fixture
def theirs() -> Device:
    device = DeviceFactory(name="cellar")
    device.groups.add(DeviceGroupFactory(slug="cellars"))
    return device


class Program:
    """A client with a token, as a build machine has it."""

    def __init__(self, owner: Any, **limits: Any) -> None:
        self.token, plain = tokens.create_token(owner, name="ci", actor=SYSTEM, **limits)
        self.client = Client(headers={"Authorization": f"Token {plain}"})

    def get(self, path: str) -> Any:
        return self.client.get(f"/api/v1/{path}")

    def post(self, path: str, data: Any = None, method: str = "post") -> Any:
        return getattr(self.client, method)(f"/api/v1/{path}", data or {}, content_type="application/json")


@pytest.fixture
def ci(owner: Any, roofs: DeviceGroup) -> Program:
    return Program(owner, device_groups=["roofs"])


def test_it_uploads_and_deploys_to_its_group(ci: Program, ours: Device, settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = False
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    options = {"location": tmp_path / "bundles"}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}
    data = bundle("1.0")

    made = ci.post("bundles", {"name": "camera", "version": "1.0", "size_bytes": len(data)}).json()
    piece = {"offset": 0, "content": base64.b64encode(data).decode()}
    assert ci.post(f"bundles/{made['id']}/piece", piece).status_code == 200
    assert ci.post(f"bundles/{made['id']}/finish").json()["status"] == "ready"
    answer = ci.post("deployments", {"bundle": made["id"], "groups": ["roofs"]})

    assert answer.status_code == 201
    assert list(Deployment.objects.get().targets.values_list("device", flat=True)) == [ours.pk]
    deployment = answer.json()["deployment_id"]
    assert ci.get(f"deployments/{deployment}/targets").json()["results"][0]["status"] == "waiting"
    assert ci.post(f"deployments/{deployment}/cancel").status_code == 200
    assert AuditEntry.objects.filter(action="deployment.created", token_name="ci").exists()


def test_single_devices_of_its_group_too(ci: Program, ours: Device) -> None:
    asked = {"bundle": str(make_bundle().pk), "devices": [str(ours.pk)]}

    assert ci.post("deployments/preview", asked).json()["eligible"] == 1
    assert ci.post("deployments", asked).status_code == 201


@pytest.mark.parametrize("path", ["deployments", "deployments/preview"])
def test_it_deploys_to_nobody_else(ci: Program, ours: Device, theirs: Device, path: str) -> None:
    facts = {"bundle": str(make_bundle().pk)}
    chosen = [
        ({"groups": ["cellars"]}, 403),
        ({"groups": ["roofs", "cellars"]}, 403),
        ({"groups": ["nowhere"]}, 403),
        ({"all": True}, 403),
        ({"devices": [str(theirs.pk)]}, 404),
        ({"devices": [str(ours.pk), str(theirs.pk)]}, 404),
        ({"target_devices": [str(theirs.pk)]}, 404),
    ]

    assert [ci.post(path, {**facts, **said}).status_code for said, _ in chosen] == [status for _, status in chosen]
    assert not Deployment.objects.exists()


@pytest.mark.parametrize(
    ("chosen", "status"), [({"all": True}, 403), ({"groups": ["cellars"]}, 403), ({"devices": "theirs"}, 404)]
)
def test_it_sends_back_nobody_else(ci: Program, theirs: Device, chosen: dict[str, Any], status: int) -> None:
    said = {"target_device_ids": [str(theirs.pk)]} if "devices" in chosen else chosen

    assert ci.post("devices/rollback", said).status_code == status


@pytest.mark.parametrize("verb", ["cancel", "retry"])
def test_deployments_of_others_are_not_there(ci: Program, theirs: Device, verb: str) -> None:
    deployment = deploy(make_bundle(), theirs)

    assert ci.get(f"deployments/{deployment.pk}").status_code == 404
    assert ci.post(f"deployments/{deployment.pk}/{verb}").status_code == 404
    assert ci.get("deployments").json()["results"] == []


def test_one_that_reaches_others_too_is_seen_and_not_touched(ci: Program, ours: Device, theirs: Device) -> None:
    deployment = deploy(make_bundle(), ours, theirs)

    assert ci.get(f"deployments/{deployment.pk}").status_code == 200
    assert [row["device"] for row in ci.get(f"deployments/{deployment.pk}/targets").json()["results"]] == [str(ours.pk)]
    assert ci.post(f"deployments/{deployment.pk}/cancel").status_code == 403
    deployment.refresh_from_db()
    assert deployment.status == "running"


def test_it_sees_its_devices_and_no_others(ci: Program, ours: Device, theirs: Device) -> None:
    assert [row["name"] for row in ci.get("devices").json()["results"]] == ["roof"]
    assert ci.get("devices/stats").json()["total"] == 1
    assert [row["slug"] for row in ci.get("device-groups").json()["results"]] == ["roofs"]
    assert ci.get(f"devices/{ours.pk}/config").status_code == 200
    for rest in ("", "/config", "/logs", "/bundle-history"):
        assert ci.get(f"devices/{theirs.pk}{rest}").status_code == 404


def test_what_is_no_delivery_is_refused_also_in_its_group(ci: Program, ours: Device, roofs: DeviceGroup) -> None:
    used = make_bundle()
    refused = [
        ("put", f"devices/{ours.pk}/config", {"polling_interval": 60}),
        ("put", "device-groups/roofs/config", {"polling_interval": 60}),
        ("post", f"devices/{ours.pk}/config/rollback", {"version": 1}),
        ("post", f"devices/{ours.pk}/suspend", {}),
        ("post", "devices/bulk", {"verb": "suspend", "ids": [str(ours.pk)]}),
        ("patch", f"devices/{ours.pk}", {"name": "mine"}),
        ("post", "device-commands", {"ids": [str(ours.pk)], "name": "diagnose"}),
        ("post", "device-groups", {"slug": "more", "name": "More"}),
        ("post", "device-groups/roofs/members", {"add": []}),
        ("post", f"bundles/{used.pk}/invalidate", {"reason": "no"}),
        ("delete", f"bundles/{used.pk}", {}),
        ("post", "publisher-keys", {"name": "me", "public_key": "x"}),
        ("post", "tokens", {"name": "wider"}),
        ("get", "audit", {}),
        ("get", "users", {}),
    ]

    answers = {f"{method} {path}": ci.post(path, data, method).status_code for method, path, data in refused}

    assert set(answers.values()) == {403}, answers


def test_its_own_bundle_is_its_own_until_it_is_used(ci: Program, owner: Any, ours: Device) -> None:
    own = make_bundle("1.0", uploaded_by=owner)
    deploy(own, ours)
    Bundle.objects.filter(pk=own.pk).update(first_used_at=own.created_at)
    fresh = make_bundle("2.0", uploaded_by=owner)

    assert ci.post(f"bundles/{own.pk}/invalidate", {"reason": "no"}).status_code == 403
    assert ci.post(f"bundles/{fresh.pk}", method="delete").status_code == 204


def test_scopes_and_role_narrow_it_further(owner: Any, ours: Device) -> None:
    uploads_only = Program(owner, device_groups=["roofs"], scopes=["bundles.*"])
    watcher = Program(UserFactory(role="Viewer"), device_groups=["roofs"])
    asked = {"bundle": str(make_bundle().pk), "groups": ["roofs"]}

    assert uploads_only.post("deployments", asked).status_code == 403
    assert watcher.post("deployments", asked).status_code == 403


def test_a_new_text_keeps_its_limit(ci: Program, owner: Any) -> None:
    new, _ = tokens.rotate_token(ci.token, actor=owner)

    assert new.device_groups == ["roofs"]


def test_limit_counts_when_tokens_are_compared() -> None:
    free, one, two = ApiToken(), ApiToken(device_groups=["a"]), ApiToken(device_groups=["a", "b"])

    assert one.is_within(two)
    assert one.is_within(free)
    assert not two.is_within(one)
    assert not free.is_within(one)


def test_made_over_http_with_groups_that_there_are(owner: Any, roofs: DeviceGroup) -> None:
    client = Client()
    client.force_login(owner)
    body = {"name": "ci", "device_groups": ["roofs"]}

    made = client.post("/api/v1/tokens", body, content_type="application/json")
    wrong = client.post("/api/v1/tokens", {**body, "device_groups": ["attics"]}, content_type="application/json")

    assert made.json()["device_groups"] == ["roofs"]
    assert (wrong.status_code, "attics" in wrong.content.decode()) == (400, True)


def test_made_on_the_page(client: Client, owner: Any, roofs: DeviceGroup) -> None:
    client.force_login(owner)

    made = client.post(reverse("accounts:token_list"), {"name": "ci", "lasts": "90", "device_groups": ["roofs"]})

    assert made.status_code == 200
    assert ApiToken.objects.get().device_groups == ["roofs"]
    assert "deploys to roofs only" in client.get(reverse("accounts:token_list")).content.decode()
