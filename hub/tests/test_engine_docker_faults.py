"""What happens to containers behind the hub's back, and to the hub when its agent, the daemon or the node fails."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hub.engines.base import EngineError, PortBinding, Reason, State
from hub.engines.docker import DockerEngine
from hub.failpoints import FAILPOINTS
from hub.testing import free_port

from .docker_helpers import Lab
from .docker_images import image
from .dockerd import PrivateDaemon
from .harnesses import KEEPS_A_FILE, SLEEPER, STUBBORN, held_socket
from .process_helpers import in_child

pytestmark = [pytest.mark.docker, pytest.mark.slow]

ENSURE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("docker.ensure"))
REMOVE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("docker.remove"))
VERBS: dict[str, Callable[[DockerEngine, Any], object]] = {
    "ensure": lambda engine, spec: engine.ensure(spec),
    "stop": lambda engine, spec: engine.stop(spec.name),
    "kill": lambda engine, spec: engine.kill(spec.name),
    "remove": lambda engine, spec: engine.remove(spec.name),
    "inspect": lambda engine, spec: engine.inspect(spec.name),
    "list_owned": lambda engine, spec: engine.list_owned(),
    "logs": lambda engine, spec: engine.logs(spec.name),
    "usage": lambda engine, spec: engine.usage(),
    "send_input": lambda engine, spec: engine.send_input(spec.name, "x"),
    "pull": lambda engine, spec: engine.pull(spec.image, progress=lambda event: True),
    "images": lambda engine, spec: engine.images(),
    "prepare": lambda engine, spec: engine.prepare(),
    "limits": lambda engine, spec: engine.limits(),
}


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture
def daemon() -> Iterator[PrivateDaemon]:
    daemon = PrivateDaemon()
    try:
        daemon.start()
        daemon.load("busybox")
        yield daemon
    finally:
        daemon.close()


@pytest.fixture
def far_lab(daemon: PrivateDaemon) -> Iterator[Lab]:
    """A lab on a daemon of its own."""
    lab = Lab(socket=str(daemon.socket))
    yield lab
    if not daemon.answers():
        daemon.start()
    lab.close()


def at(ip: str, port: int) -> tuple[PortBinding, ...]:
    return (PortBinding(name="game", ip=ip, port=port, target_port=port),)


class TestAgentDies:
    @pytest.mark.parametrize("point", ENSURE_POINTS)
    def test_next_agent_finishes_a_launch(self, lab: Lab, point: str):
        spec = lab.script("echo ready; sleep 300", ports=at("127.0.0.1", free_port()))
        lab.engine.ensure(replace(spec, generation=1))
        lab.engine.kill(spec.name)
        wanted = replace(spec, generation=2)

        status = in_child(lambda: lab.reopen().ensure(wanted), point)

        assert os.WTERMSIG(status) == signal.SIGKILL, f"{point} was not passed"
        assert lab.reopen().ensure(wanted).is_running
        lab.wait_for_line(spec.name, "ready")
        assert [seen.generation for seen in lab.engine.list_owned()] == [2]
        assert lab.engine.logs(spec.name).lines.count("ready") == 1

    @pytest.mark.parametrize("point", ENSURE_POINTS)
    def test_launch_that_was_cut_can_be_removed(self, lab: Lab, point: str):
        spec = lab.script("sleep 300", ports=at("127.0.0.1", free_port()))
        in_child(lambda: lab.reopen().ensure(spec), point)

        lab.reopen().remove(spec.name)

        assert lab.engine.list_owned() == []
        assert left_of(spec.name) == ""

    @pytest.mark.parametrize("point", REMOVE_POINTS)
    def test_next_agent_finishes_a_removal(self, lab: Lab, point: str):
        spec = lab.start(KEEPS_A_FILE)

        status = in_child(lambda: lab.reopen().remove(spec.name), point)
        lab.reopen().remove(spec.name)

        assert os.WTERMSIG(status) == signal.SIGKILL
        assert left_of(spec.name) == ""

    def test_container_left_with_another_port_is_replaced(self, lab: Lab):
        """Its address was taken before it started, so the hub has leased another one at the same generation."""
        first, second = free_port(), free_port() + 1
        spec = lab.script("sleep 300", ports=at("127.0.0.1", first))
        in_child(lambda: lab.reopen().ensure(spec), "docker.ensure.after_create")
        assert lab.look(spec.name).state is State.CREATED

        seen = lab.engine.ensure(replace(spec, ports=at("127.0.0.1", second)))

        assert seen.is_running
        assert [port.port for port in seen.ports] == [second]


class TestAddresses:
    @pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
    def test_port_of_another_container_is_named(self, lab: Lab, ip: str):
        port = free_port(ip)
        lab.engine.ensure(lab.script("sleep 300", ports=at(ip, port)))
        late = lab.script("sleep 300", ports=at(ip, port))

        with pytest.raises(EngineError) as refused:
            lab.engine.ensure(late)

        assert (refused.value.reason, refused.value.permanent) == (Reason.ADDRESS_TAKEN, False)
        assert (refused.value.ip, refused.value.port) == (ip, port)
        assert left_of(late.name, but_data=True) == ""

    def test_udp_port_of_another_program_is_named(self, lab: Lab):
        port = free_port()
        spec = lab.script("sleep 300", ports=at("127.0.0.1", port))

        with held_socket("127.0.0.1", port, socket.SOCK_DGRAM), pytest.raises(EngineError) as refused:
            lab.engine.ensure(spec)

        assert (refused.value.reason, refused.value.port) == (Reason.ADDRESS_TAKEN, port)
        assert left_of(spec.name, but_data=True) == ""

    def test_address_that_was_taken_can_be_used_once_it_is_free(self, lab: Lab):
        port = free_port()
        spec = lab.script("sleep 300", ports=at("127.0.0.1", port))
        with held_socket("127.0.0.1", port, socket.SOCK_STREAM), pytest.raises(EngineError):
            lab.engine.ensure(spec)

        assert lab.engine.ensure(spec).is_running

    def test_probe_sees_the_port_of_a_container(self, lab: Lab):
        port = free_port()
        lab.engine.ensure(lab.script("sleep 300", ports=at("127.0.0.1", port)))

        assert "in use" in lab.engine.probe_address("127.0.0.1", port)


class TestBehindTheHubsBack:
    def test_paused_container_is_seen_and_can_be_killed(self, lab: Lab):
        spec = lab.start(STUBBORN)
        lab.api.pause(spec.name)

        paused = lab.look(spec.name)
        lab.engine.kill(spec.name)

        assert paused.state is State.PAUSED
        assert lab.look(spec.name).exit_code == -signal.SIGKILL

    def test_removed_container_is_unknown_and_is_made_again_with_its_data(self, lab: Lab):
        spec = lab.start(KEEPS_A_FILE)
        lab.api.remove_container(spec.name, force=True)

        assert lab.engine.inspect(spec.name) is None
        assert lab.engine.ensure(spec).is_running
        assert lab.has_data(spec.name)

    def test_container_stopped_by_hand_is_seen_as_ended(self, lab: Lab):
        spec = lab.start(SLEEPER)
        lab.api.stop(spec.name)

        seen = lab.look(spec.name)

        assert (seen.state, seen.exit_code, seen.engine_restarted) == (State.EXITED, 0, False)

    def test_listing_notices_every_change_of_a_workload_it_knows(self, lab: Lab):
        """A running container is inspected once, so what happens to it must show in the listing."""
        spec = lab.start(SLEEPER)
        first = lab.engine.list_owned()
        lab.api.pause(spec.name)
        paused = lab.engine.list_owned()
        lab.api.unpause(spec.name)
        again = lab.engine.list_owned()
        lab.api.restart(spec.name)
        restarted = lab.engine.list_owned()
        lab.api.kill(spec.name)
        killed = lab.engine.list_owned()

        states = [seen[0].state for seen in (first, paused, again, restarted, killed)]
        assert states == [State.RUNNING, State.PAUSED, State.RUNNING, State.RUNNING, State.EXITED]
        assert again == first
        assert restarted[0].started_at > first[0].started_at
        assert killed[0] == lab.look(spec.name)

    def test_container_of_a_stranger_with_our_name_is_left_alone(self, lab: Lab):
        spec = lab.script("sleep 300")
        lab.api.create_container(image("busybox"), ["sleep", "300"], name=spec.name)
        try:
            for verb in ("ensure", "remove", "kill"):
                with pytest.raises(EngineError) as refused:
                    VERBS[verb](lab.engine, spec)
                assert refused.value.reason is Reason.REFUSED
        finally:
            lab.api.remove_container(spec.name)

    def test_two_hubs_on_one_machine_do_not_see_each_other(self, lab: Lab):
        other = Lab()
        try:
            spec = other.start(SLEEPER)

            assert lab.engine.list_owned() == []
            assert lab.engine.usage() == {}
            assert [seen.name for seen in other.engine.list_owned()] == [spec.name]
        finally:
            other.close()

    def test_image_that_is_gone_is_named(self, lab: Lab):
        spec = replace(lab.script("true"), image=f"kutanga-test/gone:{uuid.uuid4().hex[:8]}")

        with pytest.raises(EngineError) as refused:
            lab.engine.ensure(spec)

        assert (refused.value.reason, refused.value.permanent) == (Reason.IMAGE_MISSING, False)

    def test_missing_command_is_named(self, lab: Lab):
        spec = replace(lab.script(""), command=("/no/such/program",))
        lab.engine.ensure(spec)
        lab.wait_for_exit(spec.name)

        seen = lab.look(spec.name)

        assert seen.exit_code == 127
        assert "not found in the image" in seen.detail


class TestRaces:
    def test_removal_during_launches_leaves_all_or_nothing(self, lab: Lab):
        spec = lab.script("sleep 300")
        errors: list[EngineError] = []

        def call(verb: str) -> None:
            try:
                VERBS[verb](lab.reopen(), spec)
            except EngineError as error:
                errors.append(error)

        for _ in range(3):
            callers = [threading.Thread(target=call, args=(verb,)) for verb in ("ensure", "remove", "ensure", "remove")]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
        lab.engine.remove(spec.name)

        assert [str(error) for error in errors if error.permanent] == []
        assert left_of(spec.name) == ""

    def test_parent_and_child_do_not_share_a_connection(self, lab: Lab):
        specs = [lab.script("sleep 300") for _ in range(2)]
        lab.engine.list_owned()

        pids = []
        for spec in specs:
            if (pid := os.fork()) == 0:
                try:
                    lab.engine.ensure(spec)
                finally:
                    os._exit(0)
            pids.append(pid)
        listed = [lab.engine.list_owned() for _ in range(20)]
        for pid in pids:
            os.waitpid(pid, 0)

        assert len(listed) == 20
        assert {seen.name for seen in lab.engine.list_owned()} == {spec.name for spec in specs}


class TestDaemonFails:
    def test_every_verb_says_that_the_daemon_is_down(self, daemon: PrivateDaemon, far_lab: Lab):
        spec = far_lab.start(SLEEPER)
        daemon.stop()

        said = {verb: reason_of(lambda call=call: call(far_lab.engine, spec)) for verb, call in VERBS.items()}
        fresh = reason_of(lambda: far_lab.reopen().list_owned())

        assert said == dict.fromkeys(VERBS, (Reason.UNAVAILABLE, False))
        assert fresh == (Reason.UNAVAILABLE, False)

    def test_no_verb_waits_for_ever(self, daemon: PrivateDaemon, far_lab: Lab, monkeypatch: pytest.MonkeyPatch):
        spec = far_lab.start(SLEEPER)
        monkeypatch.setattr(DockerEngine, "timeout_seconds", 0.5)
        engine = far_lab.reopen()
        engine.list_owned()
        daemon.freeze()
        try:
            calls = {verb: call for verb, call in VERBS.items() if verb != "pull"}
            said = {verb: reason_of(lambda call=call: call(engine, spec)) for verb, call in calls.items()}
        finally:
            daemon.thaw()

        assert said == dict.fromkeys(calls, (Reason.TIMED_OUT, False))

    @pytest.mark.parametrize("end", [PrivateDaemon.stop, PrivateDaemon.kill], ids=["stopped", "killed"])
    def test_restart_of_the_daemon_is_no_crash(
        self, daemon: PrivateDaemon, far_lab: Lab, end: Callable[[PrivateDaemon], None]
    ):
        specs = [far_lab.start(program) for program in (SLEEPER, KEEPS_A_FILE)]

        end(daemon)
        daemon.start()

        seen = [far_lab.look(spec.name) for spec in specs]
        assert [(one.state, one.engine_restarted) for one in seen] == [(State.EXITED, True)] * 2
        assert all(far_lab.engine.ensure(spec).is_running for spec in specs)
        far_lab.engine.kill(specs[0].name)
        assert not far_lab.look(specs[0].name).engine_restarted

    def test_memory_shortage_is_told_even_after_a_restart(self, daemon: PrivateDaemon, far_lab: Lab):
        spec = far_lab.script("tail /dev/zero")
        far_lab.engine.ensure(spec)
        far_lab.wait_for_exit(spec.name)

        daemon.stop()
        daemon.start()

        seen = far_lab.look(spec.name)
        assert (seen.oom_killed, seen.engine_restarted) == (True, False)

    def test_with_live_restore_workloads_run_through_and_their_exits_are_their_own(self):
        daemon = PrivateDaemon("--live-restore")
        try:
            daemon.start()
            daemon.load("busybox")
            with contextlib.closing(Lab(socket=str(daemon.socket))) as lab:
                spec = lab.start(SLEEPER)

                daemon.kill()
                daemon.start()
                survived = lab.look(spec.name).is_running
                lab.engine.kill(spec.name)
                seen = lab.look(spec.name)
        finally:
            daemon.close()

        assert survived
        assert (seen.exit_code, seen.engine_restarted) == (-signal.SIGKILL, False)

    def test_full_disk_is_named(self, tmp_path: Path):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], check=True)
        daemon = PrivateDaemon(root=tmp_path)
        try:
            daemon.start()
            daemon.load("busybox")
            with contextlib.closing(Lab(socket=str(daemon.socket))) as lab:
                (tmp_path / "filler").write_bytes(bytes(2**20) * (os.statvfs(tmp_path).f_bavail // 256 - 2))

                said = reason_of(lambda: lab.engine.ensure(lab.script("true")))
                without_data = reason_of(lambda: lab.engine.ensure(lab.script("true", data_path="")))
        finally:
            daemon.close()
            subprocess.run(["umount", "--lazy", tmp_path], check=True)

        assert said == (Reason.DISK_FULL, False)
        assert without_data is None or without_data == (Reason.DISK_FULL, False)


def reason_of(call: Callable[[], object]) -> tuple[Reason, bool] | None:
    """What a call refuses with, and whether for ever."""
    try:
        call()
    except EngineError as error:
        return error.reason, error.permanent
    return None


def left_of(name: str, *, but_data: bool = False) -> str:
    """What Docker still has of a workload."""
    commands = [["ps", "--all", "--quiet"], ["network", "ls", "--quiet"]]
    if not but_data:
        commands.append(["volume", "ls", "--quiet"])
    found = [
        subprocess.run(
            ["docker", *command, "--filter", f"name={name}"], check=True, capture_output=True, text=True, timeout=120
        )
        for command in commands
    ]
    return "".join(done.stdout for done in found)
