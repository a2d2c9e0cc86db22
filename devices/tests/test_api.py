"""The API of devices for people and programs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from devices.choices import KeyState
from devices.configuration.services import set_device_config
from devices.models import Device, DeviceBeat, DeviceLog, EnrolmentToken
from hub.exceptions import Conflict
from hub.nodes.services import delete_region
from hub.nodes.tests.factories import RegionFactory

from .deployment_helpers import deploy, make_bundle, run_through
from .factories import DeviceFactory, DeviceGroupFactory, make_key
from .signing import pem_of

pytestmark = pytest.mark.django_db
API = "/api/v1"


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(UserFactory(username="ops", role="Operator"))
    return client


def post(client: Client, path: str, data: Any = None) -> Any:
    return client.post(f"{API}/{path}", data or {}, content_type="application/json")


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["name"] for row in answer.json()["results"]]


def test_list_filters_and_search(operator: Client) -> None:
    group = DeviceGroupFactory(slug="roofs")
    roof = DeviceFactory(name="roof", tags=["site:7"], beat__last_seen=5, beat__health="healthy")
    roof.groups.add(group)
    key = make_key(roof)
    DeviceFactory(name="cellar", status="pending", device_type="camera", region=RegionFactory(slug="moon"))
    number = Device.objects.get(name="cellar").number
    Device.objects.filter(name="cellar").update(identity={"serial": "GW-0042", "asset": 4711})
    from .signing import fingerprint_of

    for query, found in {
        "": ["cellar", "roof"],
        "q=oof": ["roof"],
        "q=site:7": ["roof"],
        f"q={roof.pk}": ["roof"],
        "q=GW-0042": ["cellar"],
        "q=GW-004": [],
        "q=4711": ["cellar"],
        f"q={fingerprint_of(key)[:12]}": ["roof"],
        f"q=%23{number}": ["cellar"],
        "status=pending": ["cellar"],
        "liveness=online": ["roof"],
        "liveness=never": ["cellar"],
        "liveness=online&liveness=never": ["cellar", "roof"],
        "health=healthy": ["roof"],
        "group=roofs": ["roof"],
        "type=camera": ["cellar"],
        "region=moon": ["cellar"],
        "tag=site:7": ["roof"],
        "ordering=-name": ["roof", "cellar"],
    }.items():
        assert names(operator.get(f"{API}/devices?{query}")) == found, query


def test_list_costs_the_same_for_many(operator: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            operator.get(f"{API}/devices")
        return len(queries)

    DeviceFactory()
    cost()
    few = cost()
    for _ in range(5):
        DeviceFactory()

    assert cost() == few


def test_detail_shows_keys_groups_and_what_was_said_last(operator: Client) -> None:
    device = DeviceFactory(beat__last_seen=5, beat__agent_version="1.2", beat__cpu_percent=12.5)
    device.groups.add(DeviceGroupFactory(slug="roofs"))
    make_key(device)

    shown = operator.get(f"{API}/devices/{device.pk}").json()

    assert (shown["liveness"], shown["agent_version"], shown["cpu_pct"]) == ("online", "1.2", 12.5)
    assert shown["groups"] == ["roofs"]
    assert [key["state"] for key in shown["keys"]] == ["active"]


def test_change_is_recorded_and_needs_a_fresh_look(operator: Client) -> None:
    device = DeviceFactory(region=None)
    DeviceGroupFactory(slug="roofs")
    path = f"{API}/devices/{device.pk}"
    tag = operator.get(path)["ETag"]
    change = {"name": "Roof", "tags": ["b", "a", "a"], "groups": ["roofs"], "region": RegionFactory().slug}

    first = operator.patch(path, change, content_type="application/json", headers={"If-Match": tag})
    second = operator.patch(path, {"name": "X"}, content_type="application/json", headers={"If-Match": tag})

    assert (first.status_code, second.status_code) == (200, 412)
    assert (first.json()["name"], first.json()["tags"], first.json()["groups"]) == ("Roof", ["a", "b"], ["roofs"])
    entry = AuditEntry.objects.get(action="device.updated")
    assert entry.data["after"]["name"] == "Roof"
    assert entry.data["after"]["groups"] == ["roofs"]


@pytest.mark.parametrize("change", [{"tags": ["has space"]}, {"tags": ["x"] * 51}, {"groups": ["none"]}, {"name": ""}])
def test_change_that_is_wrong(operator: Client, change: Any) -> None:
    device = DeviceFactory()

    answer = operator.patch(f"{API}/devices/{device.pk}", change, content_type="application/json")

    assert answer.status_code == 400


def test_preauthorise_and_its_conflicts(operator: Client) -> None:
    body = {"name": "Roof", "public_key": pem_of(Ed25519PrivateKey.generate()), "identity": {"serial": "7"}}

    made = post(operator, "devices", body)
    again = post(operator, "devices", body)
    other = post(operator, "devices", {**body, "public_key": pem_of(Ed25519PrivateKey.generate())})

    assert (made.status_code, made.json()["status"]) == (201, "preauthorised")
    assert (again.status_code, again.json()["code"]) == (409, "key_known")
    assert (other.status_code, other.json()["code"]) == (409, "identity_known")


@pytest.mark.parametrize(
    ("verb", "old", "new"),
    [
        ("accept", "pending", "accepted"),
        ("reject", "pending", "rejected"),
        ("suspend", "accepted", "suspended"),
        ("resume", "suspended", "accepted"),
        ("decommission", "accepted", "decommissioned"),
    ],
)
def test_decisions(operator: Client, verb: str, old: str, new: str) -> None:
    device = DeviceFactory(status=old)

    answer = post(operator, f"devices/{device.pk}/{verb}", {"reason": "Because."})

    assert (answer.status_code, answer.json()["status"]) == (200, new)
    assert post(operator, f"devices/{device.pk}/{verb}").status_code == 409


def test_bulk_decides_about_each(operator: Client) -> None:
    waiting, accepted = DeviceFactory(status="pending"), DeviceFactory()
    make_key(waiting, state=KeyState.PROPOSED)
    key = waiting.keys.get()
    unknown = "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"
    asked = {"verb": "accept", "ids": [str(waiting.pk), str(accepted.pk), unknown]}

    unnamed = post(operator, "devices/bulk", asked)
    other = post(operator, "devices/bulk", {**asked, "fingerprints": {str(waiting.pk): "0" * 64}})
    answer = post(operator, "devices/bulk", {**asked, "fingerprints": {str(waiting.pk): key.fingerprint}})

    assert [each.json()[0]["error"]["code"] for each in (unnamed, other)] == ["key_not_named", "other_key"]
    assert [row["status"] for row in answer.json()] == [200, 409, 404]
    assert Device.objects.get(pk=waiting.pk).status == "accepted"


def test_devices_that_are_not_as_wanted(operator: Client) -> None:
    one, two = make_bundle("1"), make_bundle("2")
    well, fell_back, at_work, changed = (
        DeviceFactory(name=name) for name in ("well", "fell-back", "at-work", "changed")
    )
    run_through(one, well, fell_back, at_work)
    DeviceBeat.objects.filter(device=fell_back).update(bundle_version="0")
    deploy(two, at_work)
    set_device_config(changed, {"log_level": "DEBUG"}, actor=SYSTEM)
    set_device_config(well, {"log_level": "DEBUG"}, actor=SYSTEM)
    DeviceBeat.objects.filter(device=well).update(config_version=2)

    found = {
        asked: [row["name"] for row in operator.get(f"{API}/devices?{asked}").json()["results"]]
        for asked in ("drift=bundle", "drift=config", "drift=bundle&drift=config")
    }

    assert found["drift=bundle"] == ["at-work", "fell-back"]
    assert found["drift=config"] == ["changed"]
    assert found["drift=bundle&drift=config"] == ["at-work", "changed", "fell-back"]
    assert operator.get(f"{API}/devices?drift=weather").status_code == 400


def test_fleet_in_numbers(operator: Client) -> None:
    DeviceFactory(beat__last_seen=5, beat__health="healthy", beat__bundle_version="2")
    DeviceFactory(beat__last_seen=5, beat__health="healthy", beat__bundle_version="1")
    DeviceFactory(beat__last_seen=3600, beat__health="error", beat__bundle_version="2")
    DeviceFactory(status="pending")
    DeviceFactory(status="decommissioned")

    stats = operator.get(f"{API}/devices/stats").json()

    assert (stats["total"], stats["online"], stats["offline"], stats["pending"]) == (4, 2, 1, 1)
    assert stats["by_health"] == {"healthy": 2, "error": 1}
    assert stats["by_version"] == {"2": 2, "1": 1}
    assert (stats["active_deployments"], stats["bundles"], stats["success_percent"]) == (0, 0, None)
    assert len(stats["days"]) == 7


def test_limited_operator_counts_and_reaches_his_regions(client: Client) -> None:
    here, there = DeviceFactory(region=RegionFactory(slug="near")), DeviceFactory(region=RegionFactory(slug="far"))
    limited = UserFactory(role="Operator")
    limited.region_scopes.create(region_slug="near")
    client.force_login(limited)

    assert client.get(f"{API}/devices/stats").json()["total"] == 1
    assert names(client.get(f"{API}/devices")) == [here.name]
    assert post(client, f"devices/{there.pk}/suspend").status_code == 404
    change = {"region": "far"}
    assert client.patch(f"{API}/devices/{here.pk}", change, content_type="application/json").status_code in (403, 404)


def test_groups(operator: Client) -> None:
    devices = [DeviceFactory() for _ in range(3)]
    made = post(operator, "device-groups", {"slug": "roofs", "name": "Roofs", "priority": 5})
    ids = [str(device.pk) for device in devices]

    first = post(operator, "device-groups/roofs/members", {"add": ids})
    second = post(operator, "device-groups/roofs/members", {"add": ids[:1], "remove": ids[1:2]})
    strange = post(operator, "device-groups/roofs/members", {"add": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]})

    assert made.status_code == 201
    assert (first.json(), second.json()) == ({"added": 3, "removed": 0}, {"added": 0, "removed": 1})
    assert strange.status_code == 404
    assert operator.get(f"{API}/device-groups/roofs").json()["members"] == 2
    changed = operator.patch(f"{API}/device-groups/roofs", {"priority": 9}, content_type="application/json")
    assert changed.json()["priority"] == 9
    assert operator.delete(f"{API}/device-groups/roofs").status_code == 204
    assert Device.objects.count() == 3


def test_group_that_a_token_leads_into_stays(operator: Client) -> None:
    DeviceGroupFactory(slug="roofs")
    expires = (timezone.now() + timedelta(days=1)).isoformat()
    post(operator, "enrolment-tokens", {"name": "batch", "expires_at": expires, "group": "roofs"})

    answer = operator.delete(f"{API}/device-groups/roofs")

    assert (answer.status_code, answer.json()["code"]) == (409, "in_use")


def test_secret_of_a_token_is_shown_once(operator: Client) -> None:
    expires = (timezone.now() + timedelta(days=1)).isoformat()

    made = post(operator, "enrolment-tokens", {"name": "batch", "expires_at": expires, "most_uses": 3})

    secret = made.json()["secret"]
    assert made["Cache-Control"] == "no-store"
    shown = operator.get(f"{API}/enrolment-tokens/{made.json()['id']}")
    assert secret not in shown.text
    assert secret.startswith(shown.json()["hint"])
    assert post(operator, f"enrolment-tokens/{made.json()['id']}/revoke").json()["revoked_at"]
    assert EnrolmentToken.objects.get().revoked_at


@pytest.mark.parametrize("change", [{"most_uses": 0}, {"most_uses": 100_001}, {"expires_at": "2001-01-01T00:00:00Z"}])
def test_token_that_is_wrong(operator: Client, change: Any) -> None:
    body = {"name": "batch", "expires_at": (timezone.now() + timedelta(days=1)).isoformat(), **change}

    assert post(operator, "enrolment-tokens", body).status_code == 400


def test_log_lines_by_device_level_and_text(operator: Client) -> None:
    one, other = DeviceFactory(), DeviceFactory()
    for device, level, message in ((one, "ERROR", "link down"), (one, "INFO", "link up"), (other, "ERROR", "hot")):
        DeviceLog.objects.create(device=device, at=timezone.now(), level=level, message=message)

    def messages(path: str) -> list[str]:
        return [row["message"] for row in operator.get(f"{API}/{path}").json()["results"]]

    assert messages(f"devices/{one.pk}/logs") == ["link up", "link down"]
    assert messages(f"devices/{one.pk}/logs?level=ERROR") == ["link down"]
    assert messages("logs?level=ERROR") == ["hot", "link down"]
    assert messages("logs?q=link") == ["link up", "link down"]


def test_region_with_devices_is_not_deleted() -> None:
    device = DeviceFactory()

    with pytest.raises(Conflict):
        delete_region(device.region, actor=UserFactory(role="Admin"))
