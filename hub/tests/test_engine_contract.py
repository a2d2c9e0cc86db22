"""What every engine promises, run over each of them; `harnesses.py` says how to add one."""

import multiprocessing
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hub.engines.base import (
    EngineError,
    LogChunk,
    PortBinding,
    Reason,
    State,
    WorkloadSpec,
    labels_for,
)
from hub.testing import free_port, wait_until

from .callers import ensure_at_once
from .cluster.role import BEYOND_THE_CONTRACT, shipped_role
from .harnesses import (
    ANSWERS_INTERRUPT_WITH_4,
    BUSY,
    ECHOES_INPUT,
    EXITS_3,
    HARNESSES,
    KEEPS_A_FILE,
    PRINTS_300_LINES,
    PRINTS_ITS_PASSWORD,
    SLEEPER,
    STUBBORN,
    Harness,
    KubernetesHarness,
)

UNKNOWN_NAMES = [
    "hub-server-00000000-0000-4000-8000-000000000000",
    "hub-server-nonsense",
    "../etc",
    "hub-server-00000000-0000-4000-8000-000000000000/../..",
    "",
]
BEGUN_ON_A_CLUSTER: set[str] = set()
FAILED_ON_A_CLUSTER: set[str] = set()


@pytest.fixture(params=HARNESSES)
def harness(request: pytest.FixtureRequest) -> Iterator[Harness]:
    failed = request.session.testsfailed
    subject = request.param()
    yield subject
    subject.close()
    if isinstance(subject, KubernetesHarness):
        BEGUN_ON_A_CLUSTER.add(request.node.originalname)
        if request.session.testsfailed > failed:
            FAILED_ON_A_CLUSTER.add(request.node.originalname)


def port_at(ip: str, port: int) -> PortBinding:
    return PortBinding(name="game", ip=ip, port=port, target_port=port)


class TestEngineContract:
    def test_ensure_starts_a_workload(self, harness: Harness):
        spec = harness.spec(SLEEPER)

        seen = harness.ensure(spec)

        assert seen.state is State.RUNNING
        assert (seen.name, seen.generation, seen.exit_code) == (spec.name, 1, None)
        assert seen.started_at is not None

    def test_observation_carries_labels_and_ports(self, harness: Harness):
        ports = (port_at("127.0.0.1", free_port()),)

        spec = harness.start(SLEEPER, ports=ports)

        seen = harness.look(spec.name)
        assert seen is not None
        assert dict(seen.labels) == labels_for(spec)
        assert tuple(seen.ports) == ports

    def test_ensure_of_a_running_workload_does_nothing(self, harness: Harness):
        spec = harness.start(SLEEPER)
        before = harness.look(spec.name)

        again = harness.reopen().ensure(spec)

        assert again == before
        assert harness.engine.logs(spec.name).lines.count("ready") == 1

    def test_ensure_of_what_is_on_its_way_makes_nothing_twice(self, harness: Harness):
        spec = harness.spec(SLEEPER)

        with harness.held_up():
            harness.engine.ensure(spec)
            harness.reopen().ensure(spec)

        assert [(seen.name, seen.generation) for seen in harness.engine.list_owned()] == [(spec.name, 1)]

    def test_ensure_starts_an_exited_workload_again(self, harness: Harness):
        spec = harness.start(EXITS_3)
        harness.wait_for_exit(spec.name)
        before = harness.look(spec.name)

        harness.engine.ensure(spec)
        harness.wait_for_exit(spec.name)

        runs = 2 if harness.keeps_output else 1
        wait_until(lambda: harness.engine.logs(spec.name).lines.count("bye") == runs, what="a second run")
        assert harness.look(spec.name).started_at >= before.started_at

    def test_ensure_refuses_an_older_generation_as_stale(self, harness: Harness):
        spec = harness.start(SLEEPER, generation=5)

        with pytest.raises(EngineError) as refused:
            harness.engine.ensure(replace(spec, generation=4))

        assert refused.value.reason is Reason.STALE
        assert harness.look(spec.name).generation == 5

    def test_ensure_refuses_an_older_generation_of_an_exited_workload(self, harness: Harness):
        spec = harness.start(EXITS_3, generation=5)
        harness.wait_for_exit(spec.name)

        with pytest.raises(EngineError) as refused:
            harness.engine.ensure(replace(spec, generation=4))

        assert refused.value.reason is Reason.STALE

    def test_ensure_refuses_to_replace_a_running_older_generation(self, harness: Harness):
        spec = harness.start(SLEEPER)

        with pytest.raises(EngineError) as refused:
            harness.engine.ensure(replace(spec, generation=2))

        assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)
        assert harness.look(spec.name).generation == 1

    def test_ensure_replaces_an_exited_older_generation_and_keeps_its_data(self, harness: Harness):
        spec = harness.start(KEEPS_A_FILE)
        harness.engine.kill(spec.name)
        harness.wait_for_exit(spec.name)

        seen = harness.ensure(replace(spec, generation=2))

        assert (seen.generation, seen.is_running, seen.exit_code) == (2, True, None)
        assert harness.has_data(spec.name)

    def test_exit_is_seen_with_its_code(self, harness: Harness):
        spec = harness.start(EXITS_3)

        harness.wait_for_exit(spec.name)

        seen = harness.look(spec.name)
        assert (seen.state, seen.exit_code, seen.oom_killed, seen.engine_restarted) == (State.EXITED, 3, False, False)
        assert seen.started_at is not None
        assert seen.finished_at is not None
        assert seen.finished_at >= seen.started_at

    def test_stop_asks_and_the_workload_ends_its_own_way(self, harness: Harness):
        spec = harness.start(SLEEPER)

        harness.engine.stop(spec.name)
        harness.wait_for_exit(spec.name)

        assert harness.look(spec.name).exit_code == 0

    def test_stop_sends_the_signal_it_is_given(self, harness: Harness):
        spec = harness.start(ANSWERS_INTERRUPT_WITH_4, stop_signal="SIGINT")

        harness.engine.stop(spec.name, signal="SIGINT")
        harness.wait_for_exit(spec.name)

        assert harness.look(spec.name).exit_code == 4

    def test_stop_leaves_a_workload_that_will_not(self, harness: Harness):
        spec = harness.start(STUBBORN)

        harness.engine.stop(spec.name)
        harness.engine.stop(spec.name)

        assert harness.look(spec.name).is_running

    def test_kill_ends_a_workload_that_will_not_stop(self, harness: Harness):
        spec = harness.start(STUBBORN)

        harness.engine.kill(spec.name)
        harness.wait_for_exit(spec.name)

        assert harness.look(spec.name).exit_code == -9

    def test_stop_and_kill_leave_an_ended_workload_alone(self, harness: Harness):
        spec = harness.start(EXITS_3)
        harness.wait_for_exit(spec.name)
        before = harness.look(spec.name)

        harness.engine.stop(spec.name)
        harness.engine.kill(spec.name)
        harness.engine.kill(spec.name)

        assert harness.engine.inspect(spec.name) == before

    @pytest.mark.parametrize("name", UNKNOWN_NAMES)
    def test_unknown_names_are_quiet(self, harness: Harness, name: str):
        harness.engine.stop(name)
        harness.engine.kill(name)
        harness.engine.remove(name)
        harness.engine.remove(name, keep_data=True)

        assert harness.engine.inspect(name) is None
        assert harness.engine.logs(name) == LogChunk((), "")

    def test_data_come_back_from_a_file(self, harness: Harness, tmp_path: Path):
        """Where data lie with the engine; elsewhere it says that it cannot, and nothing is written."""
        spec = harness.start(KEEPS_A_FILE)
        copy = tmp_path / "copy"
        if not harness.engine.capabilities.archives:
            for verb in (
                lambda: harness.engine.export_data(spec.name, copy, going_on=lambda: True),
                lambda: harness.engine.import_data(spec.name, copy),
            ):
                with pytest.raises(EngineError) as refused:
                    verb()
                assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)
            assert not copy.exists()
            return
        harness.engine.export_data(spec.name, copy, going_on=lambda: True)
        with pytest.raises(EngineError, match="stop it first"):
            harness.engine.import_data(spec.name, copy)
        harness.engine.remove(spec.name)
        assert spec.name not in harness.engine.data()

        harness.engine.import_data(spec.name, copy)

        assert harness.has_data(spec.name)
        assert spec.name in harness.engine.data()
        harness.engine.import_data(spec.name, copy)
        assert harness.has_data(spec.name)
        copy.write_bytes(b"damaged")
        with pytest.raises(EngineError, match="damaged"):
            harness.engine.import_data(spec.name, copy)
        assert harness.has_data(spec.name)

    def test_list_owned_says_what_inspect_says(self, harness: Harness):
        running, ended = harness.start(SLEEPER), harness.start(EXITS_3)
        harness.wait_for_exit(ended.name)

        listed = harness.reopen().list_owned()

        assert {seen.name: seen for seen in listed} == {
            spec.name: harness.engine.inspect(spec.name) for spec in (running, ended)
        }

    def test_workload_outlives_the_engine_object_that_started_it(self, harness: Harness):
        spec = harness.start(SLEEPER)

        harness.engine = harness.reopen()

        assert harness.look(spec.name).is_running
        harness.engine.stop(spec.name)
        harness.wait_for_exit(spec.name)
        assert harness.look(spec.name).exit_code == 0

    def test_logs_gives_the_last_lines(self, harness: Harness):
        spec = harness.start(PRINTS_300_LINES)
        harness.wait_for_line(spec.name, "line 300")

        chunk = harness.engine.logs(spec.name, tail=3)

        assert list(chunk.lines) == ["line 298", "line 299", "line 300"]

    def test_logs_after_a_cursor_are_the_new_lines_only(self, harness: Harness):
        if not harness.engine.capabilities.stdin:
            pytest.skip("needs stdin to print on demand")
        spec = harness.start(ECHOES_INPUT)
        cursor = harness.engine.logs(spec.name).cursor

        quiet = harness.engine.logs(spec.name, cursor=cursor)
        harness.engine.send_input(spec.name, "news")
        wait_until(lambda: harness.engine.logs(spec.name, cursor=cursor).lines, what="the news")

        assert list(quiet.lines) == []
        assert list(harness.engine.logs(spec.name, cursor=cursor).lines) == ["news"]

    def test_logs_are_bounded_and_walk_through_everything_by_cursor(self, harness: Harness):
        if not harness.engine.capabilities.stdin:
            pytest.skip("needs stdin to print on demand")
        spec = harness.start(ECHOES_INPUT)
        cursor = harness.engine.logs(spec.name).cursor
        sent = [f"{i:03d}{'x' * 3000}" for i in range(40)]
        for line in sent:
            harness.engine.send_input(spec.name, line)
            harness.wait_for_line(spec.name, line)

        chunks = []
        while (chunk := harness.engine.logs(spec.name, cursor=cursor)).lines:
            chunks.append(chunk.lines)
            cursor = chunk.cursor

        assert [line for lines in chunks for line in lines] == sent
        assert len(chunks) == 2
        assert all(sum(len(line) + 1 for line in lines) <= 64 * 1024 for lines in chunks)
        assert sum(len(line) + 1 for line in harness.engine.logs(spec.name).lines) <= 64 * 1024

    def test_logs_hide_secrets(self, harness: Harness):
        secret = "canary-4711-secret"

        spec = harness.start(PRINTS_ITS_PASSWORD, env={"PASSWORD": secret}, secrets=(secret,))
        wait_until(lambda: harness.engine.logs(spec.name).lines, what="output")

        text = "\n".join(harness.reopen().logs(spec.name).lines)
        assert text.startswith("password is ")
        assert secret not in text

    def test_send_input_reaches_the_program(self, harness: Harness):
        if not harness.engine.capabilities.stdin:
            pytest.skip("this engine has no stdin")
        spec = harness.start(ECHOES_INPUT)

        harness.reopen().send_input(spec.name, "say hello; $(reboot) `x` \\ 'quoted'")

        harness.wait_for_line(spec.name, "say hello; $(reboot) `x` \\ 'quoted'")

    def test_send_input_says_when_nothing_runs(self, harness: Harness):
        spec = harness.start(EXITS_3)
        harness.wait_for_exit(spec.name)
        expected = Reason.NOT_RUNNING if harness.engine.capabilities.stdin else Reason.REFUSED

        for name in (spec.name, *UNKNOWN_NAMES):
            with pytest.raises(EngineError) as refused:
                harness.engine.send_input(name, "stop")

            assert refused.value.reason is expected

    def test_usage_covers_running_workloads_and_rises(self, harness: Harness):
        if not harness.engine.capabilities.usage:
            pytest.skip("this engine tells no usage")
        busy, ended = harness.start(BUSY), harness.start(EXITS_3)
        harness.wait_for_exit(ended.name)
        before = harness.usage(busy)

        wait_until(lambda: cpu_seconds(harness, busy) > (before.cpu_seconds_total or 0), what="a rising counter")

        after = harness.usage(busy)
        assert ended.name not in harness.engine.usage()
        assert after.epoch == before.epoch
        assert after.memory_limit_bytes == 64 * 1024**2
        assert (after.memory_bytes or 0) > 0
        assert (after.pids or 0) >= 1 or not harness.counts_processes

    def test_usage_of_another_run_has_another_epoch(self, harness: Harness):
        if not harness.engine.capabilities.usage:
            pytest.skip("this engine tells no usage")
        spec = harness.start(SLEEPER)
        before = harness.usage(spec).epoch
        harness.engine.kill(spec.name)
        harness.wait_for_exit(spec.name)

        harness.ensure(spec)

        assert harness.usage(spec).epoch != before

    def test_remove_leaves_nothing(self, harness: Harness):
        spec = harness.start(KEEPS_A_FILE)

        harness.engine.remove(spec.name)

        assert harness.engine.inspect(spec.name) is None
        assert harness.engine.list_owned() == []
        assert harness.engine.logs(spec.name) == LogChunk((), "")
        assert not harness.has_data(spec.name)

    def test_remove_may_keep_the_data(self, harness: Harness):
        spec = harness.start(KEEPS_A_FILE)

        harness.engine.remove(spec.name, keep_data=True)
        harness.engine.remove(spec.name, keep_data=True)

        assert harness.engine.inspect(spec.name) is None
        assert harness.engine.list_owned() == []
        assert harness.has_data(spec.name)

    def test_kept_data_is_told_until_it_is_removed(self, harness: Harness):
        other, spec = harness.start(SLEEPER), harness.start(KEEPS_A_FILE)
        before = harness.engine.kept_data()
        harness.engine.remove(spec.name, keep_data=True)

        kept = harness.reopen().kept_data()
        harness.engine.remove(spec.name)

        assert before == []
        assert [one.name for one in kept] == [spec.name]
        assert kept[0].size_bytes is not None
        assert harness.engine.kept_data() == []
        assert harness.engine.inspect(other.name) is not None

    def test_kept_data_is_found_again_and_can_be_removed_later(self, harness: Harness):
        spec = harness.start(KEEPS_A_FILE)
        harness.engine.remove(spec.name, keep_data=True)

        seen = harness.ensure(replace(spec, generation=1))
        had_data = harness.has_data(spec.name)
        harness.engine.remove(spec.name)

        assert (seen.is_running, had_data, harness.has_data(spec.name)) == (True, True, False)

    def test_ensure_says_which_address_is_taken(self, harness: Harness):
        port = free_port()
        spec = harness.spec(SLEEPER, ports=(port_at("127.0.0.1", port),))

        with harness.hold("127.0.0.1", port, socket.SOCK_STREAM), pytest.raises(EngineError) as refused:
            harness.ensure(spec)

        assert (refused.value.reason, refused.value.permanent) == (Reason.ADDRESS_TAKEN, False)
        assert (refused.value.ip, refused.value.port) == ("127.0.0.1", port)
        seen = harness.engine.inspect(spec.name)
        assert seen is None or not seen.is_running

    def test_ensure_says_when_the_node_lacks_the_address(self, harness: Harness):
        spec = harness.spec(SLEEPER, ports=(port_at(harness.missing_ip, 25565),))

        with pytest.raises(EngineError) as refused:
            harness.ensure(spec)

        assert (refused.value.reason, refused.value.ip) == (Reason.ADDRESS_MISSING, harness.missing_ip)

    @pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM], ids=["tcp", "udp"])
    def test_probe_sees_a_taken_address(self, harness: Harness, kind: socket.SocketKind):
        port = free_port()
        before = harness.engine.probe_address("127.0.0.1", port)

        with harness.hold("127.0.0.1", port, kind):
            during = harness.engine.probe_address("127.0.0.1", port)

        assert (before, bool(during)) == ("", True)

    def test_probe_says_when_the_node_lacks_the_address(self, harness: Harness):
        with pytest.raises(EngineError) as refused:
            harness.engine.probe_address(harness.missing_ip, 25565)

        assert refused.value.reason is Reason.ADDRESS_MISSING

    def test_ensure_from_many_processes_starts_one(self, harness: Harness):
        if not harness.crosses_processes:
            pytest.skip("this engine lives in one process")
        spec = harness.spec(SLEEPER)
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(4)
        callers = [context.Process(target=ensure_at_once, args=(harness.factory(), spec, barrier)) for _ in range(4)]

        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(60)

        harness.wait_for_line(spec.name, "ready")
        assert [caller.exitcode for caller in callers] == [0, 0, 0, 0]
        assert harness.engine.logs(spec.name).lines.count("ready") == 1
        assert len(harness.engine.list_owned()) == 1

    def test_pull_without_images_is_done_at_once(self, harness: Harness):
        if harness.engine.capabilities.images:
            pytest.skip("this engine has images")

        assert harness.engine.pull("anything:latest", progress=lambda event: True) == ""

    def test_limits_of_a_node_are_never_worse_than_declared(self, harness: Harness):
        order = ["absent", "watched", "enforced"]

        declared, actual = harness.engine.capabilities.limits, harness.engine.limits()

        assert declared.keys() == actual.keys() == {"memory", "swap", "cpu", "pids", "disk", "files"}
        assert all(order.index(actual[name]) >= order.index(declared[name]) for name in declared)


def cpu_seconds(harness: Harness, spec: WorkloadSpec) -> float:
    return harness.usage(spec).cpu_seconds_total or 0.0


def test_the_role_we_ship_is_what_the_contract_asks_of_a_cluster_and_nothing_more() -> None:
    """All that the tests above have called, so it stands behind them; without one of them it is not known."""
    whole = {name for name in vars(TestEngineContract) if name.startswith("test_")}
    beyond = set.union(*BEYOND_THE_CONTRACT.values())
    if FAILED_ON_A_CLUSTER:
        pytest.skip(f"what was called is not known: {', '.join(sorted(FAILED_ON_A_CLUSTER))} failed")
    if missing := whole - BEGUN_ON_A_CLUSTER:
        give_up = pytest.fail if os.environ.get("HUB_TEST_ALL") == "1" else pytest.skip
        give_up(f"run this whole file: in this process {len(missing)} tests were not held against a cluster")

    assert shipped_role() - beyond == KubernetesHarness.called
