"""What the tables of devices hold and refuse."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection

from accounts.tests.factories import UserFactory
from devices.choices import MOST_NUMBER, DeviceStatus, KeyState, Liveness
from devices.models import Device, DeviceBeat
from hub.exceptions import Conflict
from hub.nodes.tests.factories import RegionFactory

from ..choices import DEVICE_TRANSITIONS
from .factories import DeviceFactory, make_key

pytestmark = pytest.mark.django_db


def test_number_rises_and_stays_below_31_bits() -> None:
    first, second = DeviceFactory(), DeviceFactory()

    numbers = [Device.objects.get(pk=device.pk).number for device in (first, second)]

    assert 0 < numbers[0] < numbers[1] <= MOST_NUMBER
    with connection.cursor() as cursor:
        cursor.execute("SELECT max_value FROM pg_sequences WHERE sequencename = 'devices_device_number'")
        assert cursor.fetchone() == (MOST_NUMBER,)


def test_heartbeat_touches_no_index() -> None:
    """Rows keep room on their page, and the key has the only index."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT reloptions FROM pg_class WHERE relname = 'devices_devicebeat'")
        assert "fillfactor=70" in cursor.fetchone()[0]
        cursor.execute("SELECT count(*) FROM pg_indexes WHERE tablename = 'devices_devicebeat'")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize(
    ("seconds", "liveness"),
    [
        (0, Liveness.ONLINE),
        (100, Liveness.ONLINE),
        (110, Liveness.OVERDUE),
        (235, Liveness.OVERDUE),
        (245, Liveness.OFFLINE),
        (None, Liveness.NEVER),
    ],
)
def test_liveness_follows_from_the_interval(seconds: int | None, liveness: Liveness) -> None:
    device = DeviceFactory(beat__last_seen=seconds)

    assert Device.objects.with_liveness().get(pk=device.pk).liveness == liveness


def test_device_of_longer_interval_is_online_for_longer() -> None:
    device = DeviceFactory(beat__last_seen=3600, beat__interval_seconds=3600)

    assert Device.objects.with_liveness().get(pk=device.pk).liveness == Liveness.ONLINE


def test_second_active_key_is_refused() -> None:
    device = DeviceFactory()
    make_key(device)

    with pytest.raises(IntegrityError, match="devices_key_one_active"):
        make_key(device)


def test_retired_keys_may_be_many() -> None:
    device = DeviceFactory()

    for _ in range(2):
        make_key(device, state=KeyState.REVOKED)

    assert device.keys.count() == 2


def test_counter_is_never_below_zero() -> None:
    device = DeviceFactory()

    with pytest.raises(IntegrityError, match="devices_beat_counter"):
        DeviceBeat.objects.filter(device=device).update(counter=-1)


@pytest.mark.parametrize("old", DeviceStatus)
@pytest.mark.parametrize("new", DeviceStatus)
def test_arrows_of_the_status(old: DeviceStatus, new: DeviceStatus) -> None:
    allowed = {
        "pending": {"accepted", "rejected", "decommissioned"},
        "preauthorised": {"accepted", "decommissioned"},
        "accepted": {"suspended", "decommissioned"},
        "rejected": {"accepted", "decommissioned"},
        "suspended": {"accepted", "decommissioned"},
        "decommissioned": set(),
    }
    device = DeviceFactory(status=old)

    if new == old or new in allowed[old]:
        assert DEVICE_TRANSITIONS.apply(device, new)
    else:
        with pytest.raises(Conflict):
            DEVICE_TRANSITIONS.apply(device, new)


def test_players_see_no_devices_and_operators_those_of_their_regions() -> None:
    here = DeviceFactory()
    there = DeviceFactory(region=RegionFactory(slug="far"))
    limited = UserFactory(role="Operator")
    limited.region_scopes.create(region_slug="far")

    def seen(user: object) -> list[Device]:
        return list(Device.objects.visible_to(user).order_by("name"))

    assert seen(UserFactory(role="Player")) == []
    assert seen(UserFactory(role="Viewer")) == [here, there]
    assert seen(limited) == [there]
