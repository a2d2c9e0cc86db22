"""Configuration: bounds, versions, inheritance, history, drift, and what devices are told."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from devices.configuration import schema, services
from devices.configuration.commands import commands_for
from devices.configuration.models import ConfigRevision, DeviceConfig
from devices.models import Device, DeviceBeat
from devices.reports import Report
from devices.services import delete_group, set_members, update_device, update_group
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from .factories import DeviceFactory, DeviceGroupFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def device() -> Device:
    return DeviceFactory()


def test_looking_stores_nothing(device: Device) -> None:
    """X62: a row made by a look was repeated in every heartbeat."""
    config = services.config_of(device)

    assert (config.version, config.desired) == (1, {**schema.DEFAULTS, "settings": {}})
    assert DeviceConfig.objects.count() == 0
    assert commands_for(device.pk, Report()) == []


def test_each_change_is_a_version(device: Device) -> None:
    """X72: three updates give 2, 3, 4; what is left out falls back to the default."""
    versions = [
        services.set_device_config(device, values, actor=SYSTEM).version
        for values in ({"polling_interval": 120}, {"log_level": "DEBUG"}, {})
    ]

    assert versions == [2, 3, 4]
    assert [row.desired["polling_interval"] for row in ConfigRevision.objects.order_by("version")] == [120, 60, 60]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"polling_interval": 9}, "polling_interval"),
        ({"polling_interval": 3601}, "polling_interval"),
        ({"polling_interval": "soon"}, "polling_interval"),
        ({"polling_interval": True}, "polling_interval"),
        ({"polling_interval": 1.5}, "polling_interval"),
        ({"deploy_timeout": 59}, "deploy_timeout"),
        ({"heartbeat_timeout": 601}, "heartbeat_timeout"),
        ({"log_level": "LOUD"}, "log_level"),
        ({"settings": []}, "settings"),
        ({"settings": {"x": "y" * 40_000}}, "settings"),
        ({"settings": {"x": "a\0b"}}, "settings"),
        ({"settings": {"\ud800": 1}}, "settings"),
        ({"settings": {"x": [float("nan")]}}, "settings"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_values_have_bounds(device: Device, values: Any, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.set_device_config(device, values, actor=SYSTEM)

    assert refusal.value.field == field
    assert DeviceConfig.objects.count() == 0


def test_numbers_may_come_as_text(device: Device) -> None:
    """X54: the seed's values are all texts."""
    assert (
        services.set_device_config(device, {"polling_interval": "90"}, actor=SYSTEM).desired["polling_interval"] == 90
    )


def test_who_has_read_an_older_version_is_refused(device: Device) -> None:
    services.set_device_config(device, {"polling_interval": 90}, actor=SYSTEM, expected_version=1)

    with pytest.raises(Conflict) as refusal:
        services.set_device_config(device, {"polling_interval": 30}, actor=SYSTEM, expected_version=1)

    assert refusal.value.code == "version_differs"
    assert services.config_of(device).desired["polling_interval"] == 90


def test_the_heartbeat_tells_only_who_is_behind(device: Device) -> None:
    services.set_device_config(device, {"polling_interval": 90, "settings": {"led": "on"}}, actor=SYSTEM)

    (command,) = commands_for(device.pk, Report(config_version=1))

    assert command == {
        "type": "configure",
        "config_version": 2,
        "polling_interval": 90,
        "heartbeat_timeout": 30,
        "deploy_timeout": 300,
        "log_level": "INFO",
        "settings": {"led": "on"},
    }
    assert len(commands_for(device.pk, Report())) == 1
    assert commands_for(device.pk, Report(config_version=2)) == []


def test_the_interval_is_told_with_every_heartbeat(device: Device) -> None:
    services.set_device_config(device, {"polling_interval": 90}, actor=SYSTEM)

    assert DeviceBeat.objects.get(device=device).interval_seconds == 90


def test_groups_are_inherited_and_overridden(device: Device) -> None:
    weak, strong = DeviceGroupFactory(priority=1), DeviceGroupFactory(priority=2)
    device.groups.add(weak, strong)
    services.set_group_config(weak, {"polling_interval": 30, "log_level": "DEBUG"}, actor=SYSTEM)
    services.set_group_config(strong, {"polling_interval": 40, "settings": {"a": 1, "b": 1}}, actor=SYSTEM)

    config = services.set_device_config(device, {"settings": {"b": 2}}, actor=SYSTEM)

    assert config.desired == {
        "polling_interval": 40,
        "heartbeat_timeout": 30,
        "deploy_timeout": 300,
        "log_level": "DEBUG",
        "settings": {"a": 1, "b": 2},
    }
    assert config.version == 4


def test_a_group_changes_only_whom_it_concerns(device: Device) -> None:
    other, group = DeviceFactory(), DeviceGroupFactory()
    for each in (device, other):
        each.groups.add(group)
    services.set_device_config(device, {"polling_interval": 90}, actor=SYSTEM)

    services.set_group_config(group, {"polling_interval": 45}, actor=SYSTEM)

    assert services.config_of(device).version == 2
    assert (services.config_of(other).version, services.config_of(other).desired["polling_interval"]) == (2, 45)


def test_leaving_a_group_is_a_change(device: Device) -> None:
    group = DeviceGroupFactory()
    device.groups.add(group)
    services.set_group_config(group, {"polling_interval": 45}, actor=SYSTEM)
    device.groups.clear()

    assert services.refresh_devices([device.pk], actor=SYSTEM) == 1
    assert services.refresh_devices([device.pk], actor=SYSTEM) == 0
    assert services.config_of(device).desired["polling_interval"] == 60


def test_going_back_is_a_new_version(device: Device) -> None:
    for interval in (30, 40, 50):
        services.set_device_config(device, {"polling_interval": interval}, actor=SYSTEM)

    config = services.rollback_device_config(device, 2, actor=SYSTEM)

    assert (config.version, config.desired["polling_interval"]) == (5, 30)
    with pytest.raises(NotFound):
        services.rollback_device_config(device, 77, actor=SYSTEM)


def test_history_begins_with_the_defaults(device: Device) -> None:
    assert [each.version for each in services.history_of(device, 9)] == [1]
    for interval in (30, 40):
        services.set_device_config(device, {"polling_interval": interval}, actor=SYSTEM)

    assert [each.version for each in services.history_of(device, 9)] == [3, 2, 1]
    assert [each.version for each in services.history_of(device, 2)] == [3, 2]
    assert services.rollback_device_config(device, 1, actor=SYSTEM).desired["polling_interval"] == 60


def test_a_group_goes_back_too(device: Device) -> None:
    group = DeviceGroupFactory()
    device.groups.add(group)
    for interval in (30, 40):
        services.set_group_config(group, {"polling_interval": interval}, actor=SYSTEM)

    services.rollback_group_config(group, 2, actor=SYSTEM)

    assert services.config_of(device).desired["polling_interval"] == 30


def test_differences_are_flat() -> None:
    before = {"polling_interval": 60, "settings": {"a": 1, "b": 2}}
    after = {"polling_interval": 30, "settings": {"a": 1, "c": 3}}

    assert schema.difference(before, after) == [
        {"name": "polling_interval", "before": 60, "after": 30},
        {"name": "settings.b", "before": 2, "after": None},
        {"name": "settings.c", "before": None, "after": 3},
    ]


def test_drift_ends_when_the_device_has_applied_it(device: Device) -> None:
    services.set_device_config(device, {"polling_interval": 90}, actor=SYSTEM)
    assert DeviceConfig.objects.all().drifting().count() == 1

    services.report_applied(device.pk, 2, error="No such file")
    assert DeviceConfig.objects.all().drifting().get().error == "No such file"
    services.report_applied(device.pk, 2)

    assert DeviceConfig.objects.all().drifting().count() == 0
    assert DeviceConfig.objects.get().error == ""


def test_why_an_older_version_did_not_work_is_not_said_of_the_newest(device: Device) -> None:
    for seconds in (90, 120):
        services.set_device_config(device, {"polling_interval": seconds}, actor=SYSTEM)

    services.report_applied(device.pk, 2, error="No such file")

    assert DeviceConfig.objects.get().error == ""


def test_a_version_that_was_never_made_is_not_applied(device: Device) -> None:
    assert services.report_applied(device.pk, 1) is None
    services.set_device_config(device, {}, actor=SYSTEM)

    with pytest.raises(Conflict):
        services.report_applied(device.pk, 3)


@pytest.mark.parametrize("role", ["Viewer", "Player"])
def test_only_staff_configures(device: Device, role: str) -> None:
    person = UserFactory(role=role)

    for do in (
        lambda: services.set_device_config(device, {}, actor=person),
        lambda: services.set_group_config(DeviceGroupFactory(), {}, actor=person),
    ):
        with pytest.raises((NotAllowed, NotFound)):
            do()


def test_a_group_costs_the_same_for_many_devices() -> None:
    group, counts = DeviceGroupFactory(), []
    services.set_group_config(group, {}, actor=SYSTEM)
    for number in (1, 2):
        for _ in range(3):
            DeviceFactory().groups.add(group)
        with CaptureQueriesContext(connection) as queries:
            services.set_group_config(group, {"polling_interval": 10 + number}, actor=SYSTEM)
        counts.append(len(queries))

    assert counts[0] == counts[1]
    assert set(DeviceBeat.objects.values_list("interval_seconds", flat=True)) == {12}
    assert ConfigRevision.objects.exclude(device=None).count() == 9


def test_an_operator_of_regions_changes_no_group_with_devices_elsewhere() -> None:
    operator = UserFactory(role="Operator", regions=["here"])
    own, shared = DeviceGroupFactory(), DeviceGroupFactory()
    mine, other = DeviceFactory(region__slug="here"), DeviceFactory(region__slug="there")
    mine.groups.set([own, shared])
    other.groups.set([shared])

    services.set_group_config(own, {"polling_interval": 30}, actor=operator)
    for do in (
        lambda: services.set_group_config(shared, {"polling_interval": 30}, actor=operator),
        lambda: update_group(shared, actor=operator, priority=9),
        lambda: delete_group(shared, actor=operator),
    ):
        with pytest.raises(NotAllowed):
            do()


def test_the_trail_names_what_changed_and_not_its_value(device: Device) -> None:
    services.set_device_config(device, {"settings": {"wifi": "hunter2"}}, actor=SYSTEM)

    entry = AuditEntry.objects.get(action="device.configured")
    assert entry.data["changed"] == ["settings.wifi"]
    assert "hunter2" not in str(entry.data)


def desired_level(device: Device) -> str:
    return str(services.config_of(device).desired["log_level"])


def test_who_comes_into_a_group_inherits_at_once_and_who_goes_does_no_longer(device: Device) -> None:
    group = DeviceGroupFactory()
    services.set_group_config(group, {"log_level": "DEBUG"}, actor=SYSTEM)

    set_members(group, actor=SYSTEM, add=[device])
    inside = (desired_level(device), DeviceConfig.objects.get(device=device).version)
    set_members(group, actor=SYSTEM, remove=[device])

    assert inside == ("DEBUG", 2)
    assert (desired_level(device), DeviceConfig.objects.get(device=device).version) == ("INFO", 3)


def test_deleting_a_group_takes_back_what_it_gave(device: Device) -> None:
    group = DeviceGroupFactory()
    services.set_group_config(group, {"log_level": "DEBUG"}, actor=SYSTEM)
    update_device(device, actor=SYSTEM, groups=[group])
    assert desired_level(device) == "DEBUG"

    delete_group(group, actor=SYSTEM)

    assert desired_level(device) == "INFO"


def test_the_order_of_groups_decides_anew_when_it_changes(device: Device) -> None:
    low, high = DeviceGroupFactory(priority=1), DeviceGroupFactory(priority=2)
    for group, level in ((low, "DEBUG"), (high, "ERROR")):
        services.set_group_config(group, {"log_level": level}, actor=SYSTEM)
        set_members(group, actor=SYSTEM, add=[device])
    assert desired_level(device) == "ERROR"

    update_group(low, actor=SYSTEM, priority=3)

    assert desired_level(device) == "DEBUG"
