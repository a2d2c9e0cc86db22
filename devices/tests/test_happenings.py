"""What happened to devices, merged from all records (X75)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.tests.factories import UserFactory
from devices import measured
from devices.models import DeviceBeat
from monitoring.models import Event

from .conftest import Caller
from .deployment_helpers import beat, deploy, make_bundle, report
from .factories import DeviceFactory

pytestmark = pytest.mark.django_db
API = "/api/v1/logs/merged"


def rows(client: Client, query: str = "") -> list[dict[str, Any]]:
    answer = client.get(f"{API}{query}")
    assert answer.status_code == 200, answer.content
    return list(answer.json())


@pytest.fixture
def viewer() -> Client:
    client = Client()
    client.force_login(UserFactory(role="Viewer"))
    return client


def test_lines_deployments_and_states_stand_in_one_list_newest_first(caller: Caller, viewer: Client) -> None:
    caller.beat({"status": "healthy"})
    measured.note_changes()
    caller.post("logs/batch", {"sequence": 1, "lines": [{"level": "WARNING", "source": "net", "message": "Slow."}]})
    deployment = deploy(make_bundle("2.0"), caller.device)
    beat(caller.device)
    report(caller.device, deployment, "failed", error_code="script", error_message="deploy.sh ended with 3.")
    caller.beat({"status": "degraded"})
    measured.note_changes()

    found = rows(viewer)

    assert [row["timestamp"] for row in found] == sorted((row["timestamp"] for row in found), reverse=True)
    levels = {(row["source"], row["level"]) for row in found}
    assert {("net", "WARNING"), ("deployment", "ERROR"), ("state", "WARNING")} <= levels
    assert any("deploy.sh ended with 3." in row["message"] for row in found)
    assert len(rows(viewer, "?limit=1")) == 1


def test_a_device_that_falls_silent_is_an_error_and_its_return_is_told(caller: Caller, viewer: Client) -> None:
    caller.beat()
    measured.note_changes()
    DeviceBeat.objects.update(last_seen_at=timezone.now() - timedelta(hours=1))
    assert measured.note_changes() == 1
    assert measured.note_changes() == 0
    caller.beat()
    assert measured.note_changes() == 1

    said = {row["message"]: row["level"] for row in rows(viewer)}

    assert said == {measured.SILENT: "ERROR", measured.BACK: "INFO"}
    assert set(Event.objects.values_list("kind", flat=True)) == {"stopped", "started"}


def test_of_one_device_and_what_one_may_not_see(caller: Caller, viewer: Client) -> None:
    other = DeviceFactory()
    for device in (caller.device, other):
        Event.objects.create(subject=device.subject, kind="note", text=device.name, at=timezone.now())
    elsewhere = Client()
    elsewhere.force_login(UserFactory(role="Operator", regions=["us-east-1"]))

    assert [row["message"] for row in rows(viewer, f"?device={other.pk}")] == [other.name]
    assert rows(elsewhere) == []
    assert elsewhere.get(f"{API}?device={other.pk}").status_code == 400


@pytest.mark.parametrize("query", ["?limit=0", "?limit=501", "?device=x"])
def test_bounds(viewer: Client, query: str) -> None:
    assert viewer.get(f"{API}{query}").status_code == 400
