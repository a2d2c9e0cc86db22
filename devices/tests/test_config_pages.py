"""The editor of configurations."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from accounts.actors import SYSTEM
from accounts.tests.factories import UserFactory
from devices.configuration.models import DeviceConfig, GroupConfig
from devices.configuration.services import config_of, set_device_config
from devices.models import Device

from .factories import DeviceFactory, DeviceGroupFactory
from .test_pages import browser, page

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return browser(UserFactory(role="Operator", username="rudo"))


@pytest.fixture
def device() -> Device:
    return DeviceFactory(name="gate-1")


def typed(values: Any, version: int = 1, **more: Any) -> dict[str, Any]:
    return {"values": values if isinstance(values, str) else json.dumps(values), "expected_version": version, **more}


def test_values_are_saved_with_their_note_and_shown_as_a_difference(staff: Client, device: Device) -> None:
    path = f"{device.get_absolute_url()}/config"

    page(staff, path, **typed({"log_level": "DEBUG"}, note="Looking for a fault."))
    text = page(staff, path, **typed({"log_level": "ERROR", "settings": {"angle": 30}}, 2))

    config = config_of(device)
    assert (config.version, config.values) == (3, {"log_level": "ERROR", "settings": {"angle": 30}})
    assert "Looking for a fault." in text
    assert "DEBUG → ERROR" in text
    assert "settings.angle" in text
    assert "Version 3 is what it is to be set to." in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"polling_interval": 1}, "polling_interval: 1 is less than the minimum of 10"),
        ({"log_level": "LOUD"}, "log_level: "),
        ({"colour": "red"}, "colour: There is no such setting."),
        ("{", "Enter a valid JSON."),
        ([1], "A configuration is an object"),
        ("[" * 20_000, "nested more than 32 deep"),
    ],
)
def test_refusal_names_the_setting_and_keeps_what_was_typed(
    staff: Client, device: Device, values: Any, words: str
) -> None:
    answer = staff.post(f"{device.get_absolute_url()}/config", typed(values, note="Try this"))

    text = answer.content.decode()
    assert answer.status_code == 422
    assert words in text
    assert 'value="Try this"' in text
    assert not DeviceConfig.objects.exists()


def test_change_of_who_has_read_an_older_version_is_refused(staff: Client, device: Device) -> None:
    set_device_config(device, {"log_level": "DEBUG"}, actor=SYSTEM)

    answer = staff.post(f"{device.get_absolute_url()}/config", typed({"log_level": "ERROR"}, 1))

    assert answer.status_code == 422
    assert "It is version 2 by now." in answer.content.decode()
    assert "ERROR" in answer.content.decode()
    assert config_of(device).values == {"log_level": "DEBUG"}


def test_earlier_version_comes_back_as_a_new_one(staff: Client, device: Device) -> None:
    set_device_config(device, {"log_level": "DEBUG"}, actor=SYSTEM)
    set_device_config(device, {"log_level": "ERROR"}, actor=SYSTEM)
    path = f"{device.get_absolute_url()}/config/back"

    late = page(staff, path, version=2, expected_version=2)
    text = page(staff, path, version=2, expected_version=3)
    unknown = page(staff, path, version=77, expected_version=4)

    assert "It is version 3 by now." in late
    assert "The values of version 2 are back, as version 4." in text
    assert "There was no version 77." in unknown
    assert config_of(device).values == {"log_level": "DEBUG"}


def test_group_hands_its_values_to_its_devices(staff: Client, device: Device) -> None:
    group = DeviceGroupFactory(slug="gates", name="Gates")
    group.devices.add(device)

    page(staff, "/device-groups/gates/config", **typed({"polling_interval": 120}))
    page(staff, "/device-groups/gates/config", **typed({"polling_interval": 30}, 2))
    page(staff, "/device-groups/gates/config/back", version=2, expected_version=3)

    assert GroupConfig.objects.get().values == {"polling_interval": 120}
    assert config_of(device).desired["polling_interval"] == 120
    assert "group Gates" in page(staff, f"{device.get_absolute_url()}/config")


def test_viewer_reads_and_changes_nothing(device: Device) -> None:
    viewer, group = browser(UserFactory(role="Viewer")), DeviceGroupFactory(slug="gates")
    path = f"{device.get_absolute_url()}/config"

    assert "<textarea" not in page(viewer, path)
    assert viewer.post(path, typed({"log_level": "DEBUG"})).status_code == 403
    assert viewer.post(f"{path}/back", {"version": 1}).status_code == 403
    assert "<textarea" not in page(viewer, f"{group.get_absolute_url()}/config")
    assert viewer.post(f"{group.get_absolute_url()}/config", typed({})).status_code == 403
    assert not DeviceConfig.objects.exists()
