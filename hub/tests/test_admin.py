"""The plumbing's rows in the admin."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client

from hub.models import BackupReport, Beat, IdempotentAnswer, PeriodicRun

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client, person: Callable[..., Any]) -> Client:
    user = person("root-lady", "Admin")
    user.is_staff = True
    user.save()
    client.force_login(user)
    return client


@pytest.fixture
def rows() -> dict[str, Any]:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    answer = {"route": "POST /x", "key": "k", "digest": "d1g35t", "status": 201, "body": "b0dy"}
    return {
        "periodicrun": PeriodicRun.objects.create(task="t", due_at=at),
        "beat": Beat.objects.create(name="scheduler", at=at),
        "backupreport": BackupReport.objects.create(kind="trial", at=at),
        "idempotentanswer": IdempotentAnswer.objects.create(actor="user:1", **answer),
    }


@pytest.mark.parametrize("model", ["periodicrun", "beat", "idempotentanswer", "backupreport"])
def test_rows_may_be_looked_at_and_not_changed(admin: Client, rows: dict[str, Any], model: str) -> None:
    place = f"/admin/hub/{model}/"
    one = f"{place}{rows[model].pk}/"

    assert admin.get(place).status_code == 200
    assert admin.get(f"{one}change/").status_code == 200
    assert admin.post(f"{one}change/", {}).status_code == 403
    assert admin.get(f"{place}add/").status_code == 403
    assert admin.post(f"{one}delete/", {"post": "yes"}).status_code == 403


def test_stored_answers_are_not_shown(admin: Client, rows: dict[str, Any]) -> None:
    page = admin.get(f"/admin/hub/idempotentanswer/{rows['idempotentanswer'].pk}/change/").text

    assert "b0dy" not in page
    assert "d1g35t" not in page


@pytest.mark.parametrize("role", ["Operator", "Viewer", "Player"])
def test_plumbing_is_the_admins_alone(client: Client, person: Callable[..., Any], role: str) -> None:
    user = person("ada", role)
    user.is_staff = True
    user.save()
    client.force_login(user)

    assert client.get("/admin/hub/periodicrun/").status_code == 403
