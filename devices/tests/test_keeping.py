"""What is forgotten after its time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from devices import keeping
from devices.models import DeviceKey, DeviceLog, SpentAssertion

from .factories import DeviceFactory, make_key

pytestmark = pytest.mark.django_db


def test_old_lines_and_used_assertions_go_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    device, now = DeviceFactory(), timezone.now()
    make_key(device)
    for days in (29, 31, 31, 31):
        line = DeviceLog.objects.create(device=device, at=now, level="INFO", message=f"{days} days")
        DeviceLog.objects.filter(pk=line.pk).update(received_at=now - timedelta(days=days))
    for minutes in (-1, 1):
        SpentAssertion.objects.create(
            key=DeviceKey.objects.get(), jti=f"jti{minutes}", expires_at=now + timedelta(minutes=minutes)
        )

    assert keeping.forget_past() == 4

    assert [line.message for line in DeviceLog.objects.all()] == ["29 days"]
    assert [each.jti for each in SpentAssertion.objects.all()] == ["jti1"]
