"""Every limit is exceeded on purpose; what stops it is what the engine declares."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hub.engines.base import Enforcement, EngineError, Reason, State
from hub.engines.process import cgroups
from hub.testing import wait_until

from .harnesses import BUSY, LIMITS, BareProcessHarness, ProcessHarness
from .process_helpers import BOTH, home_of, living, output_of, shell

# Its main process holds 150 MB, far more than the limit, and waits.
TAKES_MEMORY = "mkfifo f; (head -c 150000000 /dev/zero; exec sleep 60) > f & exec tail -c 150000000 f"
FORKS = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 300 & done; echo all; exec sleep 300"

needs_cgroups = pytest.mark.skipif(not cgroups.detect().parents, reason="control groups cannot be made here")


@pytest.fixture(params=BOTH)
def harness(request: pytest.FixtureRequest) -> Iterator[ProcessHarness]:
    subject = request.param()
    yield subject
    subject.close()


@pytest.fixture
def grouped() -> Iterator[ProcessHarness]:
    subject = ProcessHarness()
    yield subject
    subject.close()


@pytest.fixture
def bare() -> Iterator[ProcessHarness]:
    subject = BareProcessHarness()
    yield subject
    subject.close()


@pytest.mark.slow
def test_program_beyond_its_memory_is_killed_and_named_out_of_memory(harness):
    declared = harness.engine.limits()["memory"]

    spec = harness.start(shell(TAKES_MEMORY))
    harness.wait_for_exit(spec.name)

    seen = harness.look(spec.name)
    assert declared in (Enforcement.ENFORCED, Enforcement.WATCHED)
    assert (seen.state, seen.exit_code, seen.oom_killed) == (State.EXITED, -9, True)
    assert seen.detail == ("" if declared is Enforcement.ENFORCED else "It used more memory than its limit.")
    assert living(spec) == []


def test_killed_program_within_its_memory_is_not_named_out_of_memory(harness):
    spec = harness.start(BUSY)

    harness.engine.kill(spec.name)

    assert harness.look(spec.name).oom_killed is False


@needs_cgroups
def test_processes_beyond_the_limit_cannot_be_forked(grouped):
    declared = grouped.engine.limits()["pids"]

    spec = grouped.start(shell(FORKS), limits=replace(LIMITS, pids=8))
    grouped.wait_for_exit(spec.name)

    assert declared is Enforcement.ENFORCED
    assert any("fork" in line for line in grouped.engine.logs(spec.name).lines)


def test_processes_beyond_the_limit_are_watched_without_groups(bare):
    declared = bare.engine.limits()["pids"]

    spec = bare.start(shell(FORKS), limits=replace(LIMITS, pids=8))
    bare.wait_for_exit(spec.name)

    seen = bare.look(spec.name)
    assert declared is Enforcement.WATCHED
    assert (seen.exit_code, seen.oom_killed) == (-9, False)
    assert seen.detail == "It started more processes and threads than its limit."
    assert living(spec) == []


@needs_cgroups
def test_program_gets_no_more_processor_than_its_limit(grouped):
    spec = grouped.start(BUSY, limits=replace(LIMITS, cpu_percent=20))
    began, before = time.monotonic(), grouped.usage(spec).cpu_seconds_total

    time.sleep(1.0)  # the share is a figure over time
    after, ended = grouped.usage(spec).cpu_seconds_total, time.monotonic()

    assert grouped.engine.limits()["cpu"] is Enforcement.ENFORCED
    assert (after - before) / (ended - began) < 0.35


def test_processor_without_groups_is_declared_absent(bare):
    assert bare.engine.limits()["cpu"] is Enforcement.ABSENT


def test_open_files_are_limited(harness):
    lines = output_of(harness, "ulimit -n; ulimit -Hn", limits=replace(LIMITS, open_files=100))

    assert lines == ["100", "100"]
    assert harness.engine.limits()["files"] is Enforcement.ENFORCED


def test_file_larger_than_the_disk_limit_is_refused_by_the_kernel(harness):
    spec = harness.start(shell("exec head -c 8000000 /dev/zero > big"), limits=replace(LIMITS, disk_mb=4))
    harness.wait_for_exit(spec.name)

    seen = harness.look(spec.name)
    assert seen.exit_code == -25
    assert seen.detail == "It wrote a file larger than its disk limit."
    assert (home_of(harness, spec).data / "big").stat().st_size == 4 * 1024**2


def test_data_beyond_the_disk_limit_is_seen_and_refuses_the_next_start(harness, monkeypatch):
    limits = replace(LIMITS, disk_mb=4)
    spec = harness.start(
        shell("for i in 1 2 3; do head -c 2000000 /dev/zero > $i; done; sync; echo ready; exec sleep 300"),
        limits=limits,
    )
    harness.wait_for_line(spec.name, "ready")

    used = harness.usage(spec).disk_bytes
    detail = harness.look(spec.name).detail
    harness.engine.kill(spec.name)
    with pytest.raises(EngineError) as refused:
        harness.engine.ensure(spec)

    assert harness.engine.limits()["disk"] is Enforcement.WATCHED
    assert used > 4 * 1024**2
    assert detail == "Its data takes 5 MB; the limit is 4 MB."
    assert (refused.value.reason, refused.value.permanent) == (Reason.DISK_FULL, False)
    assert "Delete files or raise the limit." in str(refused.value)


def test_deleted_files_let_a_full_workload_start_at_once(harness):
    spec = harness.start(
        shell("[ -f 1 ] || for i in 1 2 3; do head -c 2000000 /dev/zero > $i; done; echo ready; exec sleep 300"),
        limits=replace(LIMITS, disk_mb=4),
    )
    harness.wait_for_line(spec.name, "ready")
    harness.engine.usage()
    harness.engine.kill(spec.name)

    (home_of(harness, spec).data / "2").unlink()

    assert harness.engine.ensure(spec).is_running
    assert harness.look(spec.name).detail == ""


def test_full_disk_of_the_node_refuses_a_start(harness, monkeypatch):
    monkeypatch.setattr("hub.engines.process.engine.SPARE_BYTES", 1 << 62)

    with pytest.raises(EngineError) as refused:
        harness.engine.ensure(harness.spec())

    assert (refused.value.reason, str(refused.value)) == (Reason.DISK_FULL, "This node's disk is full.")


def test_disk_is_counted_at_most_once_a_minute(harness):
    spec = harness.start(shell("head -c 1000000 /dev/zero > a; echo ready; exec sleep 300"))
    harness.wait_for_line(spec.name, "ready")

    first = harness.usage(spec).disk_bytes
    (home_of(harness, spec).data / "a").unlink()
    second = harness.usage(spec).disk_bytes

    assert first == second >= 1000000


@needs_cgroups
def test_fork_bomb_is_ended(grouped):
    spec = grouped.start(shell("b() { b | b & b; }; b; sleep 300"), limits=replace(LIMITS, pids=40, cpu_percent=20))
    wait_until(lambda: len(living(spec)) > 20 or not grouped.look(spec.name).is_running, what="the bomb")

    grouped.engine.kill(spec.name)

    assert living(spec) == []
