"""Kill whoever calls the process engine, or the shim, at any point: nothing is doubled, lost or left."""

import os
import random
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from hub.engines.base import EngineError
from hub.engines.trees import delete
from hub.failpoints import FAILPOINTS
from hub.testing import wait_until

from .harnesses import ProcessHarness
from .process_helpers import ALONE, BOTH, ESCAPES, READY_ALONE, in_child, living, status_of

ENSURE_POINTS = sorted(name for name in FAILPOINTS if name.startswith("process.ensure."))
END_POINTS = sorted(name for name in FAILPOINTS if name.startswith(("process.kill.", "process.remove.")))
SHIM_START_POINTS = ["process.shim.before_fork", "process.shim.before_go", "process.shim.before_answer"]
SHIM_END_POINTS = ["process.shim.before_leftovers", "process.shim.before_exit_status"]


@pytest.fixture(params=BOTH)
def harness(request: pytest.FixtureRequest) -> Iterator[ProcessHarness]:
    subject = request.param()
    yield subject
    subject.close()


def settle(harness: ProcessHarness) -> None:
    """What the next sweep of an agent does."""
    harness.engine.list_owned()
    harness.engine.tidy()


@pytest.mark.chaos
@pytest.mark.parametrize("point", ENSURE_POINTS)
def test_caller_killed_while_it_starts_a_program_leaves_one_program(harness, point):
    spec = harness.spec(ALONE)

    status = in_child(lambda: harness.engine.ensure(spec), failpoint=point)
    settle(harness)
    harness.engine.ensure(spec)

    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(living(spec)) == 1
    assert [seen.name for seen in harness.engine.list_owned()] == [spec.name]


@pytest.mark.chaos
@pytest.mark.parametrize("point", ENSURE_POINTS)
def test_caller_killed_while_it_starts_a_program_leaves_what_can_be_removed(harness, point):
    spec = harness.spec(ALONE)

    in_child(lambda: harness.engine.ensure(spec), failpoint=point)
    harness.engine.remove(spec.name)

    assert living(spec) == []
    assert list((harness.root / "workloads").iterdir()) == []


@pytest.mark.chaos
@pytest.mark.parametrize("point", END_POINTS)
@pytest.mark.parametrize("keep_data", [False, True])
def test_caller_killed_while_it_removes_can_be_followed_by_another(harness, point, keep_data):
    spec = harness.start(ESCAPES)

    in_child(lambda: harness.engine.remove(spec.name, keep_data=keep_data), failpoint=point)
    harness.engine.remove(spec.name, keep_data=keep_data)
    settle(harness)

    assert living(spec) == []
    assert harness.engine.list_owned() == []
    left = [path.name for path in (harness.root / "workloads").iterdir()]
    assert left == ([spec.name] if keep_data else [])


@pytest.mark.chaos
@pytest.mark.parametrize("point", SHIM_START_POINTS)
def test_shim_killed_while_it_starts_a_program_leaves_one_program(harness, point, monkeypatch):
    spec = harness.spec(ALONE)
    monkeypatch.setenv("HUB_FAILPOINT", f"{point}=kill")

    with pytest.raises(EngineError):
        harness.engine.ensure(spec)
    monkeypatch.delenv("HUB_FAILPOINT")
    settle(harness)
    harness.engine.ensure(spec)

    wait_until(lambda: living(spec), what="its program")
    assert len(living(spec)) == 1


@pytest.mark.chaos
@pytest.mark.parametrize("point", SHIM_END_POINTS)
def test_shim_killed_while_a_program_ends_leaves_an_exit_that_was_not_seen(harness, point, monkeypatch):
    monkeypatch.setenv("HUB_FAILPOINT", f"{point}=kill")
    spec = harness.start(READY_ALONE)
    monkeypatch.delenv("HUB_FAILPOINT")

    harness.engine.stop(spec.name)
    harness.wait_for_exit(spec.name)

    assert harness.look(spec.name).exit_code is None
    assert harness.engine.ensure(spec).is_running
    assert len(living(spec)) == 1


@pytest.mark.chaos
def test_caller_killed_at_any_moment_leaves_one_program(harness):
    chance = random.Random(20)  # noqa: S311 - moments, not secrets
    for turn in range(12):
        spec = harness.spec(ALONE)
        pid = os.fork()
        if pid == 0:
            harness.engine.ensure(spec)
            os._exit(0)

        time.sleep(chance.uniform(0, 0.05))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        seen = harness.engine.ensure(spec)

        assert seen.is_running, turn
        assert len(living(spec)) == 1, turn
        harness.engine.remove(spec.name)
        assert living(spec) == [], turn


@pytest.mark.chaos
def test_shim_killed_at_any_moment_leaves_nothing_after_removal(harness):
    chance = random.Random(21)  # noqa: S311 - moments, not secrets
    for turn in range(8):
        spec = harness.start(ESCAPES)
        before = living(spec)
        os.kill(status_of(harness, spec)["shim_pid"], signal.SIGKILL)
        time.sleep(chance.uniform(0, 0.02))

        harness.engine.remove(spec.name)

        assert len(before) == 2, turn
        assert living(spec) == [], turn


@pytest.mark.chaos
def test_start_and_removal_at_once_end_in_one_of_both(harness):
    for _ in range(8):
        spec = harness.spec(ALONE)
        pids = []
        for action in (lambda: harness.engine.ensure(spec), lambda: harness.engine.remove(spec.name)):  # noqa: B023
            pid = os.fork()
            if pid == 0:
                try:
                    action()
                finally:
                    os._exit(0)
            pids.append(pid)
        for pid in pids:
            os.waitpid(pid, 0)

        seen = harness.engine.inspect(spec.name)
        assert len(living(spec)) == (1 if seen else 0)
        harness.engine.remove(spec.name)


@pytest.mark.chaos
def test_kill_waits_for_a_start_that_is_under_way(harness):
    spec = harness.spec(ALONE)
    home = harness.root / "workloads" / spec.name
    pid = os.fork()
    if pid == 0:
        os.environ["HUB_FAILPOINT"] = "process.ensure.before_spawn=sleep:0.3"
        try:
            harness.engine.ensure(replace(spec, generation=1))
        finally:
            os._exit(0)
    wait_until(lambda: (home / "spec.json").exists(), what="the start")

    harness.engine.kill(spec.name)
    os.waitpid(pid, 0)

    assert living(spec) == []
    assert harness.look(spec.name).exit_code == -9


@pytest.mark.chaos
def test_removal_and_tidying_may_delete_the_same_tree_at_once(tmp_path):
    for _ in range(5):
        root = tmp_path / "tree"
        for number in range(60):
            (root / f"{number}" / "deep" / "deeper").mkdir(parents=True)
            (root / f"{number}" / "deep" / "file").touch()

        with ThreadPoolExecutor(4) as pool:
            done = list(pool.map(lambda _: delete(root, seconds=10), range(4)))  # noqa: B023

        assert done == [True] * 4
        assert not root.exists()
