"""Pages of devices: who may is in hub/tests/permissions.txt, here is what they show and do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import User
from accounts.tests.factories import UserFactory
from devices.choices import DeviceStatus, KeyState
from devices.configuration.services import set_device_config, set_group_config
from devices.deployments.choices import TargetStatus
from devices.models import Deployment, Device, DeviceLog
from devices.services import accept_device
from hub.nodes.tests.factories import RegionFactory
from monitoring import store
from monitoring.measure import Reading

from .deployment_helpers import make_bundle, run_through
from .factories import DeviceFactory, DeviceGroupFactory, make_key

pytestmark = pytest.mark.django_db
FRAGMENT = {"HX-Request": "true"}


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def staff() -> Client:
    return browser(UserFactory(role="Operator", username="rudo"))


@pytest.fixture
def viewer() -> Client:
    return browser(UserFactory(role="Viewer"))


def page(client: Client, path: str, **values: Any) -> str:
    answer = client.post(path, values, follow=True) if values else client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.content.decode())


def waiting(**values: Any) -> Device:
    device = DeviceFactory(status=DeviceStatus.PENDING, **values)
    make_key(device, state=KeyState.PROPOSED)
    return device


def test_empty_list_says_what_a_device_is(staff: Client) -> None:
    assert "No device yet" in page(staff, "/devices/")


def test_list_shows_one_state_for_each_device(viewer: Client) -> None:
    DeviceFactory(name="fine", beat__last_seen=1, beat__health="healthy")
    DeviceFactory(name="ill", beat__last_seen=1, beat__health="error")
    DeviceFactory(name="late", beat__last_seen=150, beat__health="healthy")
    DeviceFactory(name="gone", beat__last_seen=9_000)
    DeviceFactory(name="shut", status=DeviceStatus.SUSPENDED, status_reason="It was stolen.")

    text = page(viewer, "/devices/?columns=")

    for word in ("Online", "Error", "Overdue", "Offline", "Suspended", "It was stolen."):
        assert f"<span>{word}</span>" in text or f">{word}<" in text, word


def test_list_shows_the_last_hour_of_each_device(viewer: Client) -> None:
    device = DeviceFactory(name="fine", beat__last_seen=1)
    times = [timezone.now() - timedelta(minutes=each) for each in (10, 20)]
    store.store([Reading(device.subject, at, {"cpu_share": 40.0}).line() for at in times])

    assert "at most 40.0 % in the last hour" in page(viewer, "/devices/")
    assert "k-spark" not in page(viewer, "/devices/?columns=")


def test_list_is_narrowed_by_search_chip_and_tab(viewer: Client) -> None:
    group = DeviceGroupFactory(slug="gates")
    DeviceFactory(name="gate-1").groups.add(group, DeviceGroupFactory(slug="all"))
    DeviceFactory(name="camera-1")

    assert "camera-1" not in page(viewer, "/devices/?q=gate")
    both = page(viewer, "/devices/?group=gates&group=all")
    assert "camera-1" not in both
    assert "1–1 of 1" in both
    assert "Nothing matches" in page(viewer, "/devices/?view=waiting")


def test_list_costs_the_same_for_any_number_of_devices(viewer: Client) -> None:
    def cost() -> int:
        cache.clear()  # sparklines of rows seen before
        with CaptureQueriesContext(connection) as queries:
            page(viewer, "/devices/")
        return len(queries)

    DeviceFactory().groups.add(DeviceGroupFactory())
    cost()
    few = cost()
    for _ in range(8):
        DeviceFactory().groups.add(DeviceGroupFactory())

    assert cost() == few


def test_csv_has_the_groups(viewer: Client) -> None:
    DeviceFactory(name="gate-1").groups.add(DeviceGroupFactory(slug="gates"))

    lines = viewer.get("/devices/?csv=1").content.decode().splitlines()

    assert "Groups" in lines[0]
    assert "gates" in lines[1]


def test_polled_list_is_304_until_a_device_calls(viewer: Client) -> None:
    device = DeviceFactory(beat__last_seen=1)
    headers = {**FRAGMENT, "HX-Target": "list"}
    first = viewer.get("/devices/", headers=headers)

    again = viewer.get("/devices/", headers={**headers, "If-None-Match": first["ETag"]})
    Device.objects.filter(pk=device.pk).update(name="renamed")
    after = viewer.get("/devices/", headers={**headers, "If-None-Match": first["ETag"]})

    assert (first.status_code, again.status_code, after.status_code) == (200, 304, 200)
    assert "renamed" in after.content.decode()


def test_viewer_sees_no_buttons_and_no_ticks(viewer: Client) -> None:
    device = waiting()

    text = page(viewer, "/devices/") + page(viewer, device.get_absolute_url())

    assert "/accept" not in text
    assert "data-pick" not in text
    assert "/edit" not in text


def test_device_is_accepted_from_its_page(staff: Client) -> None:
    device = waiting()
    path = device.get_absolute_url()
    assert "waits to be accepted" in page(staff, path)

    text = page(staff, f"{path}/accept", now="1")

    device.refresh_from_db()
    assert device.status == DeviceStatus.ACCEPTED
    assert f"{device.name} is accepted." in text
    assert "waits to be accepted" not in text


def test_what_is_too_late_is_said_and_changes_nothing(staff: Client) -> None:
    device = DeviceFactory()

    assert "This device is accepted." in page(staff, f"{device.get_absolute_url()}/accept", now="1")


@pytest.mark.parametrize(
    ("verb", "before", "after"),
    [("reject", "pending", "rejected"), ("suspend", "accepted", "suspended")],
)
def test_decision_is_asked_and_keeps_its_reason(staff: Client, verb: str, before: str, after: str) -> None:
    device = DeviceFactory(status=before)
    path = f"{device.get_absolute_url()}/{verb}"
    assert "Reason (optional)" in page(staff, path)

    text = page(staff, path, reason="Not one of ours.")

    device.refresh_from_db()
    assert (device.status, device.status_reason) == (after, "Not one of ours.")
    assert "Not one of ours." in text


def test_decommissioning_wants_the_name(staff: Client) -> None:
    device = DeviceFactory(name="gate-1")
    path = f"{device.get_absolute_url()}/decommission"

    refused = staff.post(path, {"typed": "gate"})
    device.refresh_from_db()
    kept = device.status
    page(staff, path, typed="gate-1")

    device.refresh_from_db()
    assert (refused.status_code, kept, device.status) == (422, "accepted", "decommissioned")


def test_proposed_key_is_shown_and_taken_or_refused(staff: Client) -> None:
    device = DeviceFactory()
    make_key(device)
    make_key(device, state=KeyState.PROPOSED)
    path = device.get_absolute_url()
    shown = page(staff, path)
    assert "Somebody with another key" in shown
    assert f"refuse-key?fingerprint={device.keys.get(state=KeyState.PROPOSED).fingerprint}" in shown

    page(staff, f"{path}/refuse-key", now="1")
    make_key(device, state=KeyState.PROPOSED)
    wanted = device.keys.get(state=KeyState.PROPOSED)
    page(staff, f"{path}/accept-key", now="1")

    wanted.refresh_from_db()
    assert wanted.state == KeyState.ACTIVE
    assert device.keys.filter(state=KeyState.REVOKED).count() == 2
    assert "Somebody with another key" not in page(staff, path)


def test_bulk_decides_about_each_and_says_what_was_refused(staff: Client) -> None:
    first, second = waiting(name="first"), DeviceFactory(name="second")

    key = first.keys.get().fingerprint

    asked = page(staff, "/devices/bulk", verb="accept", ids=[first.pk, second.pk])
    named = {f"fingerprint-{first.pk}": key}
    text = page(staff, "/devices/bulk", verb="accept", ids=[first.pk, second.pk], **named)

    assert f'name="fingerprint-{first.pk}" value="{key}"' in asked
    assert "Accept: 1 of 2 done" in text
    assert "This device is accepted." in text


def test_bulk_decommission_wants_a_phrase(staff: Client) -> None:
    devices = [DeviceFactory(), DeviceFactory()]
    ids = [device.pk for device in devices]

    asked = page(staff, "/devices/bulk", verb="decommission", ids=ids)
    untouched = Device.objects.filter(status=DeviceStatus.DECOMMISSIONED).count()
    page(staff, "/devices/bulk", verb="decommission", ids=ids, typed="decommission 2")

    assert "Decommission 2 devices?" in asked
    assert untouched == 0
    assert Device.objects.filter(status=DeviceStatus.DECOMMISSIONED).count() == 2


def test_operator_of_a_region_neither_sees_nor_decides_elsewhere() -> None:
    here, there = RegionFactory(slug="here"), RegionFactory(slug="there")
    client = browser(UserFactory(role="Operator", regions=["here"]))
    mine, other = waiting(region=here, name="mine"), waiting(region=there, name="other")

    assert "other" not in page(client, "/devices/?columns=")
    assert client.get(other.get_absolute_url()).status_code == 404
    assert client.post(f"{other.get_absolute_url()}/accept").status_code == 404
    page(client, f"{mine.get_absolute_url()}/accept", now="1")


def test_edit_saves_groups_and_tags_and_refuses_a_bad_tag(staff: Client) -> None:
    device, group = DeviceFactory(name="old"), DeviceGroupFactory(slug="gates")
    path = f"{device.get_absolute_url()}/edit"

    refused = staff.post(path, {"name": "new", "tags": "good !bad"})
    page(staff, path, name="new", tags="indoor, roof", groups="gates", device_type="gate")

    device.refresh_from_db()
    assert refused.status_code == 422
    assert "A tag holds letters" in refused.content.decode()
    assert (device.name, device.tags, list(device.groups.all())) == ("new", ["indoor", "roof"], [group])


def test_log_is_filtered_by_level_and_follows(viewer: Client) -> None:
    device = DeviceFactory()
    DeviceLog.objects.create(device=device, at=timezone.now(), level="ERROR", message="The link is down.")
    DeviceLog.objects.create(device=device, at=timezone.now(), level="INFO", message="All is well.")
    DeviceLog.objects.create(device=DeviceFactory(), at=timezone.now(), level="ERROR", message="Another's.")
    path, headers = f"{device.get_absolute_url()}/log", {**FRAGMENT, "HX-Target": "list"}

    text = page(viewer, f"{path}?level=ERROR")
    first = viewer.get(path, headers=headers)
    same = viewer.get(path, headers={**headers, "If-None-Match": first["ETag"]})
    DeviceLog.objects.create(device=device, at=timezone.now(), level="INFO", message="Something new.")
    fresh = viewer.get(path, headers={**headers, "If-None-Match": first["ETag"]})

    assert "The link is down." in text
    assert "All is well." not in text
    assert "Another&#x27;s." not in first.content.decode()
    assert (same.status_code, fresh.status_code) == (304, 200)
    assert "Something new." in fresh.content.decode()


def test_log_line_is_text_and_never_markup(viewer: Client) -> None:
    device = DeviceFactory()
    DeviceLog.objects.create(device=device, at=timezone.now(), level="INFO", message="<script>alert(1)</script>")

    assert "<script>alert" not in page(viewer, f"{device.get_absolute_url()}/log")


def test_configuration_says_where_each_value_comes_from(viewer: Client) -> None:
    device, group = DeviceFactory(), DeviceGroupFactory(name="Gates")
    device.groups.add(group)
    set_group_config(group, {"log_level": "DEBUG"}, actor=SYSTEM)
    set_device_config(device, {"settings": {"angle": 30}}, actor=SYSTEM)

    text = page(viewer, f"{device.get_absolute_url()}/config")

    assert "group Gates" in text
    assert "settings.angle" in text
    assert "Not applied yet" in text


def test_deployments_stand_on_the_device_with_what_became_of_them(viewer: Client) -> None:
    device = DeviceFactory()
    deployment = run_through(make_bundle("1.0"), device)
    bad = make_bundle("2.0", device_types=["camera"])
    path = f"{device.get_absolute_url()}/deployments"

    text = page(viewer, f"{path}?bundle={bad.pk}")

    assert "camera 1.0" in text
    assert "Succeeded" in text
    assert "It is for camera; the device is gateway." in text
    assert deployment.targets.get().status == TargetStatus.SUCCEEDED


def test_deployments_of_a_device_are_a_list_like_others(viewer: Client) -> None:
    device = DeviceFactory()
    run_through(make_bundle("1.0"), device)
    run_through(make_bundle("2.0"), device)
    path = f"{device.get_absolute_url()}/deployments"

    found = viewer.get(path, {"q": "2.0", "status": "succeeded"}).context["list"].page.object_list
    table = viewer.get(path, {"csv": "1"}).content.decode().splitlines()

    assert [str(row.bundle) for row in found] == ["camera 2.0"]
    assert (len(table), table[0]) == (3, "Bundle,State,Before,Attempt,Begun,Ended")


def test_timeline_tells_deeds_and_moves(staff: Client) -> None:
    device = waiting()
    accept_device(device, actor=SYSTEM)
    run_through(make_bundle("1.0"), device)

    text = page(staff, f"{device.get_absolute_url()}/activity")

    assert "accepted device" in text
    assert "camera 1.0" in text


def test_palette_and_overview_know_devices(viewer: Client) -> None:
    device = DeviceFactory(name="roof-gate", beat__last_seen=1)

    assert device.get_absolute_url() in page(viewer, "/search?q=roof")
    assert "of 1 online" in page(viewer, "/")


def test_palette_finds_deployments_by_bundle(viewer: Client) -> None:
    deployment = Deployment.objects.create(bundle=make_bundle(name="lantern"))

    assert deployment.get_absolute_url() in page(viewer, "/search?q=lantern")


def test_player_sees_no_devices_anywhere() -> None:
    device = DeviceFactory(name="roof-gate")
    client = browser(UserFactory())

    assert client.get("/devices/").status_code == 403
    assert client.get(device.get_absolute_url()).status_code == 404
    assert "/devices/" not in page(client, "/")
    assert "roof-gate" not in page(client, "/search?q=roof")
