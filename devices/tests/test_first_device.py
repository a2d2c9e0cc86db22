"""The device that `make up` makes of this machine; the launcher's own tests start it whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from devices.choices import DeviceStatus, KeyState
from devices.management.commands import first_device
from devices.models import Device, EnrolmentToken

from .factories import DeviceFactory, make_key

pytestmark = pytest.mark.django_db


def remember(state: Path, device: Device) -> Path:
    state.mkdir(exist_ok=True)
    (state / "agent.json").write_text(json.dumps({"device_id": str(device.pk)}))
    return state


def run(state: Path, hub: str, capsys: Any) -> str:
    call_command("first_device", "--state", str(state), "--hub", hub)
    return capsys.readouterr().out


@pytest.mark.parametrize("status", [DeviceStatus.DECOMMISSIONED, DeviceStatus.REJECTED])
def test_one_that_somebody_ended_is_left_alone(tmp_path: Path, capsys: Any, status: str) -> None:
    state = remember(tmp_path, DeviceFactory(status=status))

    assert run(state, "http://localhost:1", capsys) == ""
    assert not EnrolmentToken.objects.exists()


def test_one_that_is_known_needs_no_token(tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    device = DeviceFactory(name="here")
    asked: list[str] = []
    answer = {"device_id": str(device.pk), "fingerprint": "f" * 64}
    monkeypatch.setattr(first_device, "enrol", lambda state, hub, *, token: asked.append(token) or answer)

    told = json.loads(run(remember(tmp_path, device), "http://localhost:1", capsys))

    assert told["device"].startswith("here, http")
    assert asked == [""]


@pytest.mark.parametrize("is_ours", [True, False])
def test_a_key_newer_than_a_recovered_database_is_taken_if_it_is_ours(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, is_ours: bool
) -> None:
    device = DeviceFactory()
    make_key(device)
    make_key(device, state=KeyState.PROPOSED)
    proposed = device.keys.get(state=KeyState.PROPOSED)
    answer = {"device_id": str(device.pk), "fingerprint": proposed.fingerprint if is_ours else "f" * 64}
    monkeypatch.setattr(first_device, "enrol", lambda state, hub, *, token: answer)

    run(remember(tmp_path, device), "http://localhost:1", capsys)

    assert device.keys.filter(state=KeyState.ACTIVE, pk=proposed.pk).exists() is is_ours
    assert device.keys.filter(state=KeyState.REVOKED).exists() is is_ours


def test_a_hub_that_does_not_answer_is_said(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(CommandError, match="could not enrol: The hub does not answer"):
        run(tmp_path / "state", "http://localhost:1", capsys)
