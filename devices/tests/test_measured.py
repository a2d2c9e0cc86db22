"""Samples, marks in charts, alerts and figures of devices."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.tests.factories import UserFactory
from devices import alerts, figures, measured
from devices.choices import DeviceStatus
from devices.deployments import moves
from devices.deployments.choices import TargetStatus
from devices.models import DeviceBeat
from hub import tallies
from monitoring import query, subjects
from monitoring.alerts import defaults, evaluate
from monitoring.alerts.models import Alert, AlertRule
from monitoring.models import Event

from .conftest import Caller
from .deployment_helpers import make_bundle, only, run_through
from .factories import DeviceFactory

pytestmark = pytest.mark.django_db
SAID = {"status": "healthy", "cpu_pct": 40, "memory_mb": 512, "disk_pct": 71.5, "load": 1.25, "agent_version": "1"}


def call_now(caller: Caller) -> None:
    """A heartbeat later than all before: within the test's one transaction the database's clock stands still."""
    caller.beat(SAID)
    DeviceBeat.objects.filter(device=caller.device).update(last_seen_at=timezone.now())


def samples() -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT subject, cpu_share, memory_bytes::float8, disk_share, load FROM monitoring_sample sample"
            " JOIN monitoring_series series ON series.id = sample.series_id ORDER BY at"
        )
        return cursor.fetchall()


def test_a_heartbeat_becomes_one_sample(caller: Caller) -> None:
    caller.beat(SAID)

    assert measured.sample_devices() == 1
    assert measured.sample_devices() == 0
    assert samples() == [(caller.device.subject, 40, 512 * 2**20, 71.5, 1.25)]


def test_only_devices_that_called_since_are_sampled(caller: Caller) -> None:
    DeviceFactory(beat__last_seen=3600)
    DeviceFactory()
    measured.sample_devices()
    call_now(caller)

    assert measured.sample_devices() == 1


def test_a_batch_that_is_stored_already_is_not_stored_again(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    caller.beat(SAID)
    measured.sample_devices()
    monkeypatch.setattr(measured, "_number", lambda at: 1)  # a late run with an older number
    call_now(caller)

    measured.sample_devices()

    assert len(samples()) == 1


def test_changes_of_health_and_versions_are_marked_once(caller: Caller) -> None:
    caller.beat(SAID)
    measured.note_changes()
    caller.beat({**SAID, "status": "error", "bundle_version": "2", "agent_version": "2"})

    assert measured.note_changes() == 3
    assert measured.note_changes() == 0
    marks = Event.objects.filter(subject=caller.device.subject).order_by("text")
    assert [(mark.kind, mark.text) for mark in marks] == [
        ("note", "Agent 2, before 1."),
        ("deployed", "Runs 2."),
        ("unhealthy", "Says it is error."),
    ]


def test_who_may_not_see_a_device_sees_no_samples() -> None:
    device = DeviceFactory(hardware={"total_memory_mb": 2048})
    elsewhere = UserFactory(role="Operator", regions=["us-east-1"])

    assert subjects.visible(UserFactory(), [device.subject]) == {}
    assert subjects.visible(elsewhere, [device.subject]) == {}
    found = subjects.visible(UserFactory(role="Viewer"), [device.subject])[device.subject]
    assert (found.name, found.limits["memory_bytes"]) == (device.name, 2048 * 2**20)


def test_page_and_api_show_the_charts(caller: Caller) -> None:
    caller.beat(SAID)
    measured.sample_devices()
    client = Client()
    client.force_login(UserFactory(role="Viewer"))

    page = client.get(caller.device.get_absolute_url()).content.decode()
    answer = client.get(f"/api/v1/metrics/query?subject={caller.device.subject}&metric=disk_share")

    assert 'data-chart="disk_share"' in page
    assert 71.5 in answer.json()["series"][0]["mean"]


def fire(now: Any = None) -> dict[str, str]:
    defaults.sync_rules()
    evaluate.evaluate_all(now or timezone.now())
    firing = Alert.objects.filter(state="firing", subject__startswith="device")
    return dict(firing.values_list("subject", "rule__slug"))


def test_an_offline_device_is_an_alert_until_it_calls() -> None:
    device = DeviceFactory(beat__last_seen=3600)
    DeviceFactory(beat__last_seen=120)  # overdue, which is shipped switched off
    DeviceFactory(beat__last_seen=3600, status=DeviceStatus.SUSPENDED)
    DeviceFactory()
    assert fire() == {device.subject: "device-offline"}

    DeviceBeat.objects.filter(device=device).update(last_seen_at=timezone.now())
    evaluate.evaluate_all(timezone.now())
    evaluate.evaluate_all(timezone.now() + timedelta(minutes=30))

    assert Alert.objects.get(subject=device.subject).state == "resolved"


def test_an_overdue_device_is_an_alert_where_the_rule_is_on() -> None:
    device = DeviceFactory(beat__last_seen=120)
    defaults.sync_rules()
    AlertRule.objects.filter(slug="device-overdue").update(is_enabled=True)

    assert fire() == {device.subject: "device-overdue"}


def test_a_device_in_error_is_an_alert_after_its_time() -> None:
    device = DeviceFactory(beat__last_seen=1, beat__health="error")
    assert fire() == {}

    assert fire(timezone.now() + timedelta(seconds=70)) == {device.subject: "device-unwell"}


def test_a_fleet_that_falls_silent_is_some_alerts_and_one_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alerts, "MOST_ALERTS", 2)
    silent = [DeviceFactory(beat__last_seen=3600 - n) for n in range(5)]

    found = fire()

    assert found.keys() == {silent[0].subject, silent[1].subject, "devices:offline"}
    assert Alert.objects.get(subject="devices:offline").value == 3


def test_prometheus_is_told_of_devices_and_deployments() -> None:
    device = DeviceFactory(beat__last_seen=1)
    DeviceFactory(beat__last_seen=3600)
    deployment = run_through(make_bundle(), device)
    told = {
        (sample.name, *sample.labels.values()): sample.value
        for family in figures.collect()
        for sample in family.samples
    }

    assert told["devices", "online"] == told["devices_online",] == 1
    assert told["devices", "offline"] == 1
    assert told["deployments_total", "succeeded"] == told["deployment_duration_seconds_count",] == 1
    moves.move(only(deployment), TargetStatus.ROLLED_BACK)
    later = tallies.read()[f"{figures.SOURCE}_count"]
    assert {labels["status"]: value for labels, value in later} == {"succeeded": 1, "rolled_back": 1}


def test_metrics_of_a_device_are_those_of_its_charts(caller: Caller) -> None:
    caller.beat(SAID)
    measured.sample_devices()

    measured_of = query.metrics_of([caller.device.subject])[caller.device.subject]
    assert set(measured_of) == {"cpu_share", "memory_bytes", "disk_share", "load"}
