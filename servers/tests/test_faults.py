"""Whoever acts for the hub is killed at every failpoint; after two sweeps nothing is lost, doubled or left behind.

A server goes through its whole life; at each stage the worker has one failpoint armed. `KILLED_IN` says where each is
passed, and is held against what happens. Failpoints of the web, of images and of the queue have tests of their own.
"""

from __future__ import annotations

import importlib
import os
import random
import re
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from accounts.models import AuditEntry
from hub.engines.base import Limits, WorkloadSpec
from hub.engines.fake import FakeEngine
from hub.engines.process.home import Home
from hub.failpoints import FAILPOINTS
from hub.nodes import crashes, jobs, reconcile, steps
from hub.nodes.choices import AddressState, DesiredStatus
from hub.nodes.janitor import reap_expired
from hub.nodes.models import Address, AddressPool, AddressRequest, Operation
from hub.nodes.shutdown import stop_workloads
from hub.nodes.sweep import sweep
from hub.testing import empty_queues, wait_until
from servers.models import GameServer
from servers.services import delete_server, kill_server, restart_server, start_server, stop_server

from .factories import make_node, make_server
from .faults import House, ending_of, in_child, kill, lasting_complaints, open_house, recover, work

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

KILLED = -signal.SIGKILL
LIFE: dict[str, Callable[..., Any] | None] = {
    "launch": None,
    "restart": restart_server,
    "stop": stop_server,
    "start": start_server,
    "kill": kill_server,
    "delete": delete_server,
}
LAUNCHES = {"launch", "restart", "start"}
STOPS = {"restart", "stop"}
ALL = set(LIFE)

KILLED_IN: dict[str, set[str]] = {
    "reconcile.after_claim": ALL,
    "reconcile.before_inspect": ALL,
    "reconcile.before_ensure": LAUNCHES,
    "process.ensure.before_spec": LAUNCHES,
    "process.ensure.before_spawn": LAUNCHES,
    "process.ensure.after_spawn": LAUNCHES,
    "reconcile.after_ensure": LAUNCHES,
    "reconcile.before_stop": STOPS,
    "reconcile.after_stop": STOPS,
    "reconcile.before_kill": {"kill"},
    "process.kill.after_signal": {"kill"},
    "reconcile.after_kill": {"kill"},
    "reconcile.before_remove": {"delete"},
    "process.remove.before_files": {"delete"},
    "process.remove.after_rename": {"delete"},
    "reconcile.after_remove": {"delete"},
    "leases.after_release": {"delete"},
    "reconcile.before_store": ALL,
    "reconcile.in_store": ALL,
    "reconcile.after_store": ALL,
}
ORPHAN_POINTS = [
    "sweep.before_remove_orphan",
    "process.kill.after_signal",
    "process.remove.before_files",
    "process.remove.before_spec",
    "sweep.after_remove_orphan",
]
# What remains to be seen afterwards: a start that failed is an exit nobody saw, a program may outlive its shim.
SHIM_START_POINTS = {
    "process.shim.before_fork": [],
    "process.shim.before_go": ["arena counts 1 crashes"],
    "process.shim.before_answer": ["arena has 0 shims"],
}
SHIM_END_POINTS = ["process.shim.before_leftovers", "process.shim.before_exit_status"]
PULL_POINTS = ["reconcile.before_pull", "reconcile.after_pull"]
QUEUE_POINTS = ["leases.after_lease"]
SHUTDOWN_POINTS = {
    "shutdown.before_stop": [],
    "shutdown.after_stop": ["arena counts 1 crashes"],
    "shutdown.before_kill": [],
    "shutdown.after_kill": ["arena counts 1 crashes"],
}
JANITOR_POINTS = ["janitor.before_remove", "janitor.after_remove"]
# Those of engines that start late and restart by themselves, or hold whole addresses.
CLUSTER_POINTS = {
    f"reconcile.{when}_{what}" for when in ("before", "after") for what in ("hold", "take_back", "give_up", "call_off")
}
WEB_POINTS = ["leases.after_lease", "operations.before_commit"]
AFTER_COMMIT_POINTS = ["jobs.before_send", "jobs.after_send"]
# Beside that engine, the tasks of nodes, the commands for consoles and the uploads of bundles.
TESTED_ELSEWHERE = ("docker.", "kubernetes.", "tasks.", "console.", "bundles.", "devices.")
QUICK = {"reconcile.after_ensure", "reconcile.in_store", "process.remove.after_rename"}


def slow_except_quick(points: dict[str, Any]) -> list[Any]:
    return [pytest.param(point, marks=[] if point in QUICK else [pytest.mark.slow]) for point in points]


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead worker's lease runs out within the test."""
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.7)
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.3)
    empty_queues()


@pytest.fixture
def house() -> Iterator[House]:
    with open_house() as house:
        yield house


def job_and_sweeps(house: House, server: GameServer, stage: str) -> None:
    """What an agent does about a wish: the job, then whatever is due."""
    job = jobs.kill_workload if stage == "kill" else jobs.reconcile_workload
    job(server.kind, str(server.pk))
    work(house.node, house.is_settled)


# --- Workers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", slow_except_quick(KILLED_IN))
def test_worker_killed_at_any_stage_of_a_servers_life(house: House, point: str) -> None:
    server = house.create()
    last = [stage for stage in LIFE if stage in KILLED_IN[point]][-1]
    killed = set()

    for stage, verb in LIFE.items():
        if verb is not None:
            verb(server, actor=house.owner)
        ending = ending_of(in_child(lambda: job_and_sweeps(house, server, stage), failpoint=point))  # noqa: B023
        killed |= {stage} if ending == KILLED else set()
        recover(house)

        assert lasting_complaints(house) == [], stage
        if stage == last:
            break

    assert killed == KILLED_IN[point]


@pytest.mark.parametrize("point", ORPHAN_POINTS)
def test_sweep_killed_while_it_removes_a_server_that_nobody_knows(house: House, point: str) -> None:
    server = house.create()
    work(house.node, house.is_settled)
    forget(server)

    ending = ending_of(in_child(lambda: sweep(house.node), failpoint=point))
    recover(house)

    assert ending == KILLED
    assert house.programs(server) == []
    assert house.engine.list_owned() == []
    assert [complaint for complaint in house.complaints() if "left on disk" not in complaint] == []
    assert Home(house.root, server.engine_name).data.exists(), "nobody asked to lose its data"


def forget(server: GameServer) -> None:
    """What restoring a dump from before its creation does to a server."""
    Address.objects.filter(holder=server.pk).update(state=AddressState.FREE, holder=None, port_name="")
    Operation.objects.filter(workload_id=server.pk).delete()
    GameServer.objects.filter(pk=server.pk).delete()


@pytest.mark.parametrize(("point", "remains"), SHIM_START_POINTS.items())
def test_shim_killed_while_it_starts_a_server(
    house: House, point: str, remains: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "FIRST_WAIT_SECONDS", 0)
    server = house.create()

    pid = in_child(lambda: job_and_sweeps(house, server, "launch"), failpoint=point)
    wait_until(lambda: GameServer.objects.filter(pk=server.pk).exclude(status_reason="").exists(), what="a reason")
    kill(pid)
    recover(house)

    assert lasting_complaints(house, remains) == remains


@pytest.mark.parametrize("point", SHIM_END_POINTS)
def test_shim_killed_while_its_server_ends(house: House, point: str) -> None:
    server = house.create()
    ending_of(in_child(lambda: job_and_sweeps(house, server, "launch"), failpoint=point))

    stop_server(server, actor=house.owner)
    recover(house)

    assert lasting_complaints(house) == []


@pytest.mark.slow
def test_worker_killed_at_any_moment(house: House) -> None:
    chance = random.Random(5)  # noqa: S311 - moments, not secrets
    servers = [house.create(f"arena {number}") for number in range(3)]

    for _ in range(12):
        pid = in_child(lambda: work(house.node, house.is_settled))
        time.sleep(chance.uniform(0.02, 0.4))
        kill(pid)
        for server in servers:
            move_on(server, house, chance)
    recover(house)

    assert lasting_complaints(house) == []


def move_on(server: GameServer, house: House, chance: random.Random) -> None:
    server.refresh_from_db()
    if server.desired_status == DesiredStatus.STOPPED:
        start_server(server, actor=house.owner)
    else:
        chance.choice([stop_server, restart_server, kill_server])(server, actor=house.owner)


@pytest.mark.parametrize(("point", "remains"), SHUTDOWN_POINTS.items())
def test_hub_killed_while_it_goes_down(
    house: House, point: str, remains: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crashes, "FIRST_WAIT_SECONDS", 0)
    server = house.create()
    work(house.node, house.is_settled)
    if point.endswith("_kill"):
        monkeypatch.setattr(GameServer, "begin_stop", lambda *_: None)

    ending = ending_of(in_child(lambda: stop_workloads(house.node, seconds=0), failpoint=point))
    if remains:
        wait_until(lambda: house.programs(server) == [], what="the end it was asked for")
    recover(house)

    assert ending == KILLED
    assert lasting_complaints(house, remains) == remains


@pytest.mark.parametrize("point", JANITOR_POINTS)
def test_janitor_killed_while_it_ends_what_is_over(house: House, point: str) -> None:
    limits = Limits(memory_mb=64, cpu_percent=10, disk_mb=64)
    over = datetime.now(UTC) - timedelta(hours=1)
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    house.engine.ensure(WorkloadSpec("server", uuid.uuid4(), 1, "t", command, limits, expires_at=over))

    ending = ending_of(in_child(lambda: reap_expired(house.engine), failpoint=point))
    reap_expired(house.engine)

    assert ending == KILLED
    assert house.engine.list_owned() == []
    assert os.listdir(house.root) == []


# --- The queue, images, the web -----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", QUEUE_POINTS)
def test_worker_killed_while_it_serves_the_queue(house: House, point: str) -> None:
    AddressPool.objects.update(is_enabled=False)
    server = house.create()
    AddressPool.objects.update(is_enabled=True)
    assert AddressRequest.objects.filter(holder=server.pk).count() == 2

    ending = ending_of(in_child(lambda: work(house.node, house.is_settled), failpoint=point))
    recover(house)

    assert ending == KILLED
    assert lasting_complaints(house) == []


@pytest.mark.parametrize("point", PULL_POINTS)
def test_worker_killed_while_it_pulls_an_image(games: Any, point: str) -> None:
    FakeEngine.reset()
    node = make_node()
    server = make_server(node=node)

    ending = ending_of(in_child(lambda: jobs.reconcile_workload("server", str(server.pk)), failpoint=point))
    work(node, lambda: GameServer.objects.filter(observed_status="running").exists())

    assert ending == KILLED
    assert [call.args[0].generation for call in FakeEngine(node=node.name, options={}).calls("ensure")] == [1]
    assert not Operation.objects.open().exists()


@pytest.mark.parametrize("point", WEB_POINTS)
def test_web_process_killed_while_it_creates_a_server_has_stored_nothing(house: House, point: str) -> None:
    ending = ending_of(in_child(house.create, failpoint=point))

    assert ending == KILLED
    assert not GameServer.objects.exists()
    assert not Operation.objects.exists()
    assert not Address.objects.filter(state=AddressState.LEASED).exists()
    assert not AuditEntry.objects.filter(action="server.created").exists()


@pytest.mark.parametrize("point", AFTER_COMMIT_POINTS)
def test_web_process_killed_after_it_has_created_a_server_has_created_it(house: House, point: str) -> None:
    ending = ending_of(in_child(house.create, failpoint=point))
    recover(house)

    assert ending == KILLED
    assert GameServer.objects.get().observed_status == "running"
    assert lasting_complaints(house) == []


def test_web_process_killed_while_it_takes_a_wish_has_stored_nothing(house: House) -> None:
    server = house.create()
    work(house.node, house.is_settled)

    ending = ending_of(in_child(lambda: stop_server(server, actor=house.owner), failpoint="operations.before_commit"))
    recover(house)

    assert ending == KILLED
    assert not Operation.objects.filter(verb="stop").exists()
    assert lasting_complaints(house) == []
    assert len(house.programs(server)) == 1


# --- The list is whole --------------------------------------------------------------------------------------------


def test_every_failpoint_has_a_test() -> None:
    tested = {*KILLED_IN, *ORPHAN_POINTS, *SHIM_START_POINTS, *SHIM_END_POINTS, *PULL_POINTS, *QUEUE_POINTS}
    tested |= {*WEB_POINTS, *AFTER_COMMIT_POINTS, *SHUTDOWN_POINTS, *JANITOR_POINTS, *CLUSTER_POINTS}

    assert tested == {name for name in FAILPOINTS if not name.startswith(TESTED_ELSEWHERE)}


def test_every_declared_failpoint_is_in_the_code() -> None:
    apps = ("hub", "accounts", "monitoring", "servers", "challenges", "devices")
    sources = {path: path.read_text() for app in apps for path in python_files(app)}
    for path, text in sources.items():
        if re.search(r"^declare\(", text, re.MULTILINE):
            importlib.import_module(".".join(path.relative_to(settings.BASE_DIR).with_suffix("").parts))

    passed = {name for text in sources.values() for name in re.findall(r"\bfailpoint\(\s*\"([^\"]+)\"\)", text)}

    assert passed == FAILPOINTS


def python_files(app: str) -> list[Path]:
    return [path for path in (settings.BASE_DIR / app).rglob("*.py") if "tests" not in path.parts]
