"""The agent in a process of its own against a live hub: enrol, call, learn the time, rotate, send its log."""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.utils import timezone

from accounts.actors import SYSTEM
from devices import services
from devices.choices import KeyState
from devices.models import Device, DeviceBeat, DeviceLog
from hub.testing import stop_rate_windows

sys.path.insert(0, str(django_settings.BASE_DIR / "agent"))
from kutanga_agent import health, work
from kutanga_agent.health import Meter, Reading
from kutanga_agent.hub import HubError
from kutanga_agent.keys import NEXT, Key, KeyStore
from kutanga_agent.loop import Agent
from kutanga_agent.state import State

pytestmark = [pytest.mark.django_db(transaction=True)]
ROOT: Path = django_settings.BASE_DIR


class Machine:
    """A device: a state directory and the program."""

    def __init__(self, place: Path, url: str) -> None:
        self.place, self.url = place, url
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT / "agent")}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "kutanga_agent", "--state", str(self.place), *words]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words), env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def enrol(self, *words: str) -> Any:
        done = self.run("enrol", "--hub", self.url, *words)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command("run"), env=self.environment, stderr=subprocess.DEVNULL, text=True)

    def agent(self) -> Agent:
        """The same device, driven from here."""
        state = State(self.place)
        store = KeyStore(state)
        key = store.load()
        assert key is not None
        return Agent(state, store, key)


@pytest.fixture
def machine(tmp_path: Path, live_server: Any) -> Machine:
    return Machine(tmp_path / "state", live_server.url)


@pytest.fixture
def enrolled(machine: Machine) -> Machine:
    """In this process, because a program of its own takes a second to start."""
    state = State(machine.place)
    state.memory.hub, state.memory.identity = machine.url, {"serial": "GW-0042"}
    store, key = KeyStore(state), Key.make("ed25519")
    store.save(key)
    Agent(state, store, key).enrol(token=token())
    return machine


def token(**values: Any) -> str:
    expires = timezone.now() + timedelta(hours=1)
    return services.create_token(actor=SYSTEM, **{"name": "batch", "expires_at": expires, **values})[1]


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.1)
    raise AssertionError("it did not come about in time")


@pytest.fixture
def running(enrolled: Machine) -> Iterator[subprocess.Popen[str]]:
    process = enrolled.start()
    yield process
    process.kill()
    process.wait(60)


@pytest.mark.slow
def test_program_enrols_waits_and_calls(machine: Machine) -> None:
    answer = machine.enrol("--identity", "serial=GW-0042", "--type", "gateway")
    assert (answer["status"], answer["key_state"]) == ("pending", "proposed")
    device = Device.objects.get()
    assert device.hardware["python_version"]
    assert machine.enrol()["device_id"] == str(device.pk)
    services.accept_device(device, actor=SYSTEM)

    process = machine.start()
    try:
        beat = wait_for(lambda: DeviceBeat.objects.exclude(agent_version="").first())
        assert beat.health in ("healthy", "degraded", "error")
        assert wait_for(lambda: DeviceLog.objects.filter(message__startswith="agent ").exists())
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0


@pytest.mark.slow
def test_killed_agent_goes_on_with_a_higher_counter(enrolled: Machine, running: subprocess.Popen[str]) -> None:
    counter = wait_for(lambda: DeviceBeat.objects.get().counter)
    running.kill()
    running.wait(60)

    enrolled.agent().beat()

    assert DeviceBeat.objects.get().counter > counter


def test_key_is_encrypted_and_nobody_else_reads_it(enrolled: Machine) -> None:
    assert (enrolled.place.stat().st_mode & 0o777) == 0o700
    assert b"BEGIN ENCRYPTED PRIVATE KEY" in (enrolled.place / "key.pem").read_bytes()
    for name in ("key.pem", "agent.json", "passphrase"):
        assert ((enrolled.place / name).stat().st_mode & 0o777) == 0o600


@pytest.mark.parametrize("kind", ["p256", "rsa"])
def test_other_kinds_of_keys(enrolled: Machine, kind: str) -> None:
    agent = enrolled.agent()

    agent.rotate_key(kind)

    assert agent.beat()["commands"] == []
    assert agent.hub.read("/api/v1/devices/self")["status"] == "accepted"


def test_rotation_keeps_both_until_the_new_one_is_used(enrolled: Machine) -> None:
    agent = enrolled.agent()
    old = agent.hub.key

    new = agent.rotate_key("ed25519")

    states = dict(Device.objects.get().keys.values_list("fingerprint", "state"))
    assert states == {old.fingerprint: KeyState.RETIRING, new.fingerprint: KeyState.ACTIVE}
    stored = KeyStore(State(enrolled.place)).load()
    assert stored is not None
    assert stored.fingerprint == new.fingerprint


def test_rotation_that_was_cut_short_is_taken_up(enrolled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = enrolled.agent()
    monkeypatch.setattr(agent, "beat", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        agent.rotate_key("ed25519")  # the hub knows the next key, and we were killed before we used it

    again = enrolled.agent()
    following = again.rotate_key("ed25519")

    assert following.fingerprint == agent.hub.key.fingerprint
    assert not (enrolled.place / NEXT).exists()


@pytest.mark.parametrize("seconds", [-600, 600])
def test_clock_that_is_ten_minutes_off_is_learned(enrolled: Machine, seconds: float) -> None:
    agent = enrolled.agent()
    agent.state.memory.clock_offset = seconds

    agent.beat()

    assert abs(State(enrolled.place).memory.clock_offset) < 30


def test_lost_counter_is_asked_back(enrolled: Machine) -> None:
    DeviceBeat.objects.update(counter=2**62)

    agent = enrolled.agent()
    agent.beat()

    assert DeviceBeat.objects.get().counter == 2**62 + 1


def test_counter_rises_although_the_clock_goes_back(tmp_path: Path) -> None:
    state = State(tmp_path)
    first = state.next_counter()
    again = State(tmp_path)
    again.memory.clock_offset = -86_400.0

    assert again.next_counter() > first


def test_full_disk_does_not_silence_it(enrolled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = enrolled.agent()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(State, "write", full)
    agent.step()
    agent.state.keep("report.json", b"said")

    assert DeviceBeat.objects.get().last_seen_at is not None
    assert agent.state.read("report.json") == b"said"
    agent.state.forget("report.json")
    assert agent.state.read("report.json") is None


@pytest.mark.parametrize(
    ("status", "code", "is_final"),
    [
        (409, "called_off", True),
        (403, "not_a_target", True),
        (403, "device_suspended", False),
        (401, "stale", False),
        (429, "too_many_requests", False),
        (503, "unavailable", False),
        (0, "unreachable", False),
    ],
)
def test_what_a_hub_may_take_another_time_is_kept(status: int, code: str, is_final: bool) -> None:
    assert HubError(status, code, "").is_final is is_final


def test_programs_beside_each_other_keep_what_the_other_has_stored(tmp_path: Path) -> None:
    running, beside = State(tmp_path), State(tmp_path)
    running.memory.bundle_version = "2.0"
    running.save()

    beside.memory.clock_offset = 3.0
    beside.save()

    memory = State(tmp_path).memory
    assert (memory.bundle_version, memory.clock_offset) == ("2.0", 3.0)


def test_hub_that_is_away_is_tried_less_and_less_often(enrolled: Machine) -> None:
    agent = enrolled.agent()
    agent.state.memory.hub = "http://127.0.0.1:9"

    assert [agent.step() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_retry_after_is_heeded_and_success_forgets_the_pauses(
    enrolled: Machine, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_rate_windows(monkeypatch)
    agent = enrolled.agent()
    agent.pause = 32
    assert agent.step() > 40
    assert agent.pause == 1
    settings.HUB_API_RATES = {**settings.HUB_API_RATES, "device": 1}

    assert agent.step() >= 1
    with pytest.raises(HubError) as refused:
        agent.beat()

    assert (refused.value.status, refused.value.code) == (429, "too_many_requests")
    assert refused.value.retry_after > 0


def test_lost_count_of_batches_goes_on_above_what_the_hub_has(enrolled: Machine) -> None:
    """A state directory from an older copy of the disk: its lines are not taken for those that are there already."""
    DeviceBeat.objects.update(log_sequence=50)
    agent = enrolled.agent()
    agent.shipper.handle(logging.LogRecord("net", logging.ERROR, "", 0, "The link is down.", (), None))

    for _ in range(2):
        agent.shipper.send(agent.hub)

    assert DeviceLog.objects.get().message == "The link is down."
    assert State(enrolled.place).memory.log_sequence == DeviceBeat.objects.get().log_sequence == 51


def test_heartbeat_tells_also_that_nothing_is_there(enrolled: Machine) -> None:
    """After a new installation the hub forgets what the device said before it."""
    DeviceBeat.objects.update(bundle_version="1.0", config_version=4)

    enrolled.agent().beat()

    assert DeviceBeat.objects.values_list("bundle_version", "config_version").get() == ("", 0)


def test_lost_answer_does_not_store_a_batch_twice(enrolled: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = enrolled.agent()

    agent.shipper.handle(logging.LogRecord("net", logging.ERROR, "", 0, "The link is %s.", ("down",), None))
    send = agent.hub._send

    def lose(*words: Any) -> Any:
        send(*words)
        raise HubError(0, "unreachable", "cut")

    monkeypatch.setattr(agent.hub, "_send", lose)
    with pytest.raises(HubError):
        agent.shipper.send(agent.hub)
    monkeypatch.setattr(agent.hub, "_send", send)
    agent.shipper.send(agent.hub)

    assert list(DeviceLog.objects.values_list("level", "message")) == [("ERROR", "The link is down.")]


def test_suspended_device_waits(enrolled: Machine) -> None:
    services.suspend_device(Device.objects.get(), actor=SYSTEM)
    agent = enrolled.agent()

    with pytest.raises(HubError) as refused:
        agent.beat()

    assert refused.value.code == "device_suspended"


@pytest.mark.parametrize(
    ("cpu", "memory", "disk", "status"),
    [
        (84.9, 84.9, 89.9, "healthy"),
        (85, 0, 0, "degraded"),
        (0, 85, 0, "degraded"),
        (0, 0, 90, "degraded"),
        (95, 0, 0, "error"),
        (0, 95, 0, "error"),
        (0, 0, 98, "error"),
        (85, 95, 0, "error"),
    ],
)
def test_health_follows_from_the_worst(cpu: float, memory: float, disk: float, status: str) -> None:
    assert Reading(cpu, memory, disk, 0).status == status


def test_meter_reads_this_machine() -> None:
    reading = Meter().read()

    assert 0 <= reading.cpu <= 100
    assert 0 < reading.memory < 100
    assert reading.memory_mb > 0


def test_processor_that_is_busy_for_a_moment_is_not_ill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor is one that an installation kept busy: it counts after a minute that was all like that."""
    clock = {"now": 0.0, "busy": 0}
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock["now"]))
    monkeypatch.setattr(
        Meter, "_times", lambda self: (int(clock["now"] * 100), int(clock["now"] * 100 - clock["busy"]))
    )
    meter = Meter(tmp_path)

    def look(seconds: float, share: float) -> tuple[float, bool]:
        clock["now"] += seconds
        clock["busy"] += round(seconds * share * 100)
        reading = meter.read()
        return reading.cpu, replace(reading, memory=0, disk=0).status == "error"

    assert look(20, 1.0) == (100, False)
    assert look(50, 0.5) == (50, False)
    assert look(50, 1.0) == (100, False)
    assert look(30, 1.0) == (100, True)
    meter.forget()
    assert look(50, 1.0) == (100, False)
    assert look(20, 1.0) == (100, True)


def test_unknown_command_and_one_that_fails_do_not_stop_it(enrolled: Machine) -> None:
    agent = enrolled.agent()
    done: list[str] = []
    work.handles("test-good")(lambda agent, command: done.append(command["type"]))
    work.handles("test-bad")(lambda agent, command: 1 / 0)  # type: ignore[arg-type,return-value]

    results = [work.do(agent, {"type": kind}) for kind in ("test-good", "test-bad", "from-the-future")]

    assert results == [True, False, False]
    assert done == ["test-good"]


@pytest.mark.parametrize(("kind", "is_next_at_once"), [("test-goes-well", True), ("from-the-future", False)])
def test_what_went_wrong_is_not_asked_for_again_at_once(
    enrolled: Machine, monkeypatch: pytest.MonkeyPatch, kind: str, is_next_at_once: bool
) -> None:
    agent = enrolled.agent()
    work.handles("test-goes-well")(lambda agent, command: None)
    beat = agent.beat
    monkeypatch.setattr(agent, "beat", lambda: {**beat(), "commands": [{"type": kind}]})

    assert (agent.step() == 0) is is_next_at_once


def test_agent_brings_no_django() -> None:
    """It must run where nothing of the hub is installed."""
    code = "import sys, kutanga_agent.__main__; print('django' in sys.modules)"
    environment = {"PYTHONPATH": str(ROOT / "agent")}

    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"
