"""Commands by hand: who may send which, offered one by one under a lease, done once, seen on pages and in lists."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.tests.factories import UserFactory
from devices import keeping
from devices.happenings import merged
from devices.manual import services
from devices.manual.choices import COMMAND_TRANSITIONS, MOST_OFFERS, MOST_OPEN, OPEN, CommandStatus
from devices.manual.models import ManualCommand
from devices.models import Device, DeviceBeat
from devices.packaging.manifest import ManifestError, read
from devices.presentation import history
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from .conftest import Caller
from .deployment_helpers import make_bundle, run_through
from .factories import DeviceFactory

pytestmark = pytest.mark.django_db
C = CommandStatus


@pytest.fixture
def device() -> Device:
    return DeviceFactory()


@pytest.fixture
def operator() -> Any:
    return UserFactory(role="Operator")


def send(device: Device, name: str = "diagnose", **said: Any) -> ManualCommand:
    return services.send_command(device, actor=SYSTEM, name=name, **said)


def status_of(command: ManualCommand) -> str:
    return ManualCommand.objects.get(pk=command.pk).status


def age(command: ManualCommand, seconds: int) -> None:
    span = timedelta(seconds=seconds)
    ManualCommand.objects.filter(pk=command.pk).update(
        **{name: F(name) - span for name in ("expires_at", "lease_until", "created_at", "finished_at")}
    )


def answer(caller: Caller, command: ManualCommand, **said: Any) -> Any:
    return caller.post(f"commands/{command.pk}", {"status": "done", **said})


def test_command_goes_to_the_device_and_its_answer_comes_back(caller: Caller, operator: Any) -> None:
    command = send(caller.device, arguments=["a b", "--now"], timeout_seconds=90)

    (offered,) = caller.beat().json()["commands"]
    said = answer(caller, command, output="all is well\n")

    assert offered == {
        "type": "command",
        "command_id": str(command.pk),
        "name": "diagnose",
        "arguments": ["a b", "--now"],
        "timeout_seconds": 90,
    }
    assert said.json() == {"status": "done", "counted": True}
    assert caller.beat().json()["commands"] == []
    (moment,) = [each for each in history(caller.device, 10) if each.badge]
    assert (moment.what, moment.badge.word) == ("diagnose a b --now", "Done")
    assert [each.source for each in merged(operator, 10)] == ["command"]


def test_an_answer_counts_once_and_only_of_the_device_that_was_asked(make_caller: Callable[..., Caller]) -> None:
    caller, other = make_caller(), make_caller()
    command = send(caller.device)
    assert answer(caller, command).json()["code"] == "not_offered"
    caller.beat()

    assert answer(other, command).status_code == 404
    assert answer(caller, command, status="failed", error_message="no disk").json()["counted"]
    assert answer(caller, command).json() == {"status": "failed", "counted": False}
    assert answer(caller, command, status="succeeded").status_code == 400


def test_one_after_the_other_in_their_order(caller: Caller) -> None:
    first, second = send(caller.device), send(caller.device, "restart")

    assert [each["command_id"] for each in caller.beat().json()["commands"]] == [str(first.pk)]
    assert caller.beat().json()["commands"] == []  # the first is at work
    answer(caller, first)
    assert [each["command_id"] for each in caller.beat().json()["commands"]] == [str(second.pk)]


def test_silence_offers_again_and_then_gives_up_and_a_late_answer_counts(caller: Caller) -> None:
    command = send(caller.device)
    for _ in range(MOST_OFFERS):
        assert len(caller.beat().json()["commands"]) == 1
        ManualCommand.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert caller.beat().json()["commands"] == []
    assert status_of(command) == C.LOST
    assert answer(caller, command).json() == {"status": "done", "counted": True}


@pytest.mark.parametrize(("heard", "status"), [(False, C.EXPIRED), (True, C.LOST)])
def test_time_ends_what_waits_also_when_nobody_calls(device: Device, heard: bool, status: str) -> None:
    command = send(device, expires_seconds=60)
    if heard:
        services.next_offer(device.pk)
    assert services.expire_commands() == 0

    age(command, 700)

    assert services.expire_commands() == 1
    assert status_of(command) == status


def test_what_is_past_is_not_offered(device: Device) -> None:
    command = send(device, expires_seconds=60)
    age(command, 61)

    assert services.next_offer(device.pk) is None
    assert status_of(command) == C.EXPIRED


def test_taken_back_before_it_is_heard_and_not_after(device: Device) -> None:
    command, later = send(device), send(device)

    services.cancel_command(command, actor=SYSTEM)
    services.next_offer(device.pk)

    assert status_of(command) == C.CANCELLED
    with pytest.raises(Conflict, match="heard of it"):
        services.cancel_command(ManualCommand.objects.get(pk=later.pk), actor=SYSTEM)


def test_only_what_the_running_bundle_declares(device: Device) -> None:
    declared = {"commands": {"clear-cache": {"script": "bin/clear.sh"}}}
    run_through(make_bundle("1.0", manifest=declared), device)
    DeviceBeat.objects.filter(device=device).update(bundle_version="0.9")
    with pytest.raises(Conflict, match="declares no such command"):
        send(device, "clear-cache")  # it says that it runs another

    DeviceBeat.objects.filter(device=device).update(bundle_version="1.0")

    assert send(device, "clear-cache").status == C.WAITING
    with pytest.raises(Conflict, match="clear-cache"):
        send(device, "format-disk")


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"name": "rm -rf"}, "name"),
        ({"name": "diagnose\n"}, "name"),
        ({"arguments": ["x"] * 11}, "arguments"),
        ({"arguments": ["x" * 201]}, "arguments"),
        ({"arguments": ["a\0b"]}, "arguments"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": 3601}, "timeout_seconds"),
        ({"expires_seconds": 59}, "expires_seconds"),
        ({"expires_seconds": 604_801}, "expires_seconds"),
    ],
)
def test_bounds(device: Device, said: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        send(device, **{"name": "diagnose", **said})

    assert caught.value.field == field


def test_so_many_wait_and_no_more(device: Device) -> None:
    for _ in range(MOST_OPEN):
        send(device)

    with pytest.raises(Conflict, match="already"):
        send(device)


@pytest.mark.parametrize("status", ["pending", "suspended", "decommissioned"])
def test_only_accepted_devices_are_told(status: str) -> None:
    with pytest.raises(Conflict, match=status):
        send(DeviceFactory(status=status))


@pytest.mark.parametrize("role", ["User", "Viewer"])
def test_others_send_and_take_back_nothing(device: Device, role: str) -> None:
    command, user = send(device), UserFactory(role=role)

    with pytest.raises((NotAllowed, NotFound)):
        services.send_command(device, actor=user, name="diagnose")
    with pytest.raises((NotAllowed, NotFound)):
        services.send_many([device.pk], actor=user, name="diagnose")
    with pytest.raises((NotAllowed, NotFound)):
        services.cancel_command(command, actor=user)


def test_every_arrow_is_one_of_the_table_and_no_end_goes_on() -> None:
    ends = {each for each in C if each not in OPEN} - {C.LOST}

    assert all(not COMMAND_TRANSITIONS.allows(end, to) for end in ends for to in C if to != end)
    assert COMMAND_TRANSITIONS.allows(C.LOST, C.DONE)
    assert not COMMAND_TRANSITIONS.allows(C.WAITING, C.DONE)
    assert not COMMAND_TRANSITIONS.allows(C.OFFERED, C.CANCELLED)


def test_manifest_names_scripts_inside_the_bundle() -> None:
    assert read({"version": "1", "commands": {"clear": {"script": "clear.sh"}}}).raw["commands"]
    for commands in ({"clear": {"script": "../clear.sh"}}, {"Clear": {"script": "clear.sh"}}, {"clear": "clear.sh"}):
        with pytest.raises(ManifestError, match="commands"):
            read({"version": "1", "commands": commands})


def test_ended_commands_are_forgotten_with_the_log(device: Device, settings: Any) -> None:
    old, fresh, waiting = send(device), send(device), send(device)
    for command in (old, fresh):
        services.cancel_command(command, actor=SYSTEM)
    age(old, (settings.HUB_DEVICE_LOG_DAYS + 1) * 86_400)

    assert keeping.forget_past() == 1
    assert set(ManualCommand.objects.all()) == {fresh, waiting}


def test_api_sends_to_many_lists_and_takes_back(client: Client, device: Device, operator: Any) -> None:
    client.force_login(operator)
    gone = DeviceFactory(status="suspended")
    body = {"ids": [str(device.pk), str(gone.pk)], "name": "diagnose"}

    made = client.post("/api/v1/device-commands", body, content_type="application/json").json()
    (listed,) = client.get(f"/api/v1/device-commands?device={device.pk}&status=waiting").json()["results"]
    taken = client.post(f"/api/v1/device-commands/{listed['id']}/cancel").json()

    assert [(each["status"], each["error"] and each["error"]["code"]) for each in made] == [
        (201, None),
        (409, "not_accepted"),
    ]
    assert made[0]["command"] == listed["id"]
    assert (taken["status"], taken["output"]) == ("cancelled", "")


def test_page_sends_shows_and_takes_back(client: Client, device: Device, operator: Any) -> None:
    client.force_login(operator)
    url = reverse("devices:device_commands", args=[device.pk])
    form = {"name": "diagnose", "arguments": '"two words" three', "timeout_seconds": "60", "expires_minutes": "5"}

    assert client.post(url, {**form, "arguments": '"open'}).status_code == 422
    assert client.post(url, {**form, "name": "other"}).status_code == 422
    assert client.post(url, form).status_code == 302
    command = ManualCommand.objects.get()
    assert (command.arguments, command.timeout_seconds) == (["two words", "three"], 60)
    page = client.get(url).content.decode()
    assert f'is told when it calls next. <a href="{url}">Show</a>' in page
    assert "Take back diagnose" in page
    client.post(reverse("devices:device_command_cancel", args=[device.pk, command.pk]))
    assert "Cancelled" in client.get(url, {"status": "cancelled"}).content.decode()
    assert "Cancelled</span>" not in client.get(url, {"status": "done"}).content.decode()
    assert "diagnose two words three,cancelled" in client.get(url, {"csv": "1"}).content.decode()


def test_ticked_devices_are_told_together(client: Client, operator: Any) -> None:
    client.force_login(operator)
    devices = [DeviceFactory(), DeviceFactory(status="suspended")]
    ticked = {"verb": "command", "ids": [str(each.pk) for each in devices]}

    asked = client.post(reverse("devices:device_bulk"), ticked)
    form = {"name": "diagnose", "arguments": "", "timeout_seconds": "60", "expires_minutes": "5"}
    done = client.post(reverse("devices:device_bulk"), {**ticked, **form}).content.decode()

    assert "Command for 2 devices" in asked.content.decode()
    assert "1 of 2 done" in done
    assert "The device is suspended." in done
    assert ManualCommand.objects.get().device == devices[0]
