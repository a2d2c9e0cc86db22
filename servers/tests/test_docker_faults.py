"""Everything around containers fails: agents, the daemon, hands from outside, strangers, images, disks."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from django.db.models.functions import Now

from accounts.models import AuditEntry
from hub.engines.docker.__main__ import clear
from hub.exceptions import HubError
from hub.failpoints import FAILPOINTS
from hub.nodes import crashes, drift, reconcile, steps
from hub.nodes.choices import AddressState, Finding, ObservedStatus
from hub.nodes.models import Address
from hub.nodes.sweep import sweep, tick
from hub.testing import empty_queues, wait_until
from hub.tests.dockerd import PrivateDaemon, inside
from servers import protocols
from servers.images import SAMPLE_IMAGE, provide_sample
from servers.models import GameServer
from servers.services import delete_server, restart_server, start_server, stop_server

from .docker_house import DockerHouse, open_docker_house
from .faults import ending_of, in_child, kill, lasting_complaints, recover, work
from .test_faults import LAUNCHES, LIFE, STOPS, forget, job_and_sweeps

S = ObservedStatus
pytestmark = [pytest.mark.docker, pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

KILLED = -signal.SIGKILL
ALL = set(LIFE)
PATIENCE = 60.0
DISK_MB = 400
LEFT_BYTES = 2 * 1024 * 1024
CLIENTS, CREATIONS = 8, 13
MANY_SECONDS = 500.0

# Where each failpoint is passed in a server's life; `kill` leaves the container, so `delete` removes an ended one.
KILLED_IN: dict[str, set[str]] = {
    "reconcile.after_claim": ALL,
    "reconcile.before_inspect": ALL,
    "reconcile.before_pull": LAUNCHES,
    "reconcile.after_pull": LAUNCHES,
    "reconcile.before_ensure": LAUNCHES,
    "docker.ensure.after_replace": {"restart", "start"},
    "docker.ensure.after_volume": LAUNCHES,
    "docker.ensure.after_create": LAUNCHES,
    "docker.ensure.after_start": LAUNCHES,
    "reconcile.after_ensure": LAUNCHES,
    "reconcile.before_stop": STOPS,
    "reconcile.after_stop": STOPS,
    "reconcile.before_kill": {"kill"},
    "reconcile.after_kill": {"kill"},
    "reconcile.before_remove": {"delete"},
    "docker.remove.after_container": {"delete"},
    "docker.remove.after_volume": {"delete"},
    "reconcile.after_remove": {"delete"},
    "leases.after_release": {"delete"},
    "reconcile.before_store": ALL,
    "reconcile.in_store": ALL,
    "reconcile.after_store": ALL,
}
QUICK = {"docker.ensure.after_create"}


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dead worker's lease runs out within the test."""
    monkeypatch.setattr(steps, "LEASE_SECONDS", 2)
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.3)
    monkeypatch.setattr(crashes, "FIRST_WAIT_SECONDS", 0)
    empty_queues()


@pytest.fixture
def house() -> Iterator[DockerHouse]:
    with open_docker_house() as house:
        yield house


@pytest.fixture
def server(house: DockerHouse) -> GameServer:
    """A server that runs."""
    server = house.create()
    settle(house)
    server.refresh_from_db()
    return server


def settle(house: DockerHouse) -> None:
    work(house.node, house.is_settled, seconds=PATIENCE)


def port_of(server: GameServer) -> int:
    address = server.addresses().first()
    assert address is not None
    return address.port or 0


def listen(port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A stranger on one of our ports."""
    stranger = socket.socket(socket.AF_INET, kind)
    stranger.bind(("127.0.0.1", port))
    if kind == socket.SOCK_STREAM:
        stranger.listen()
    return stranger


def answers(server: GameServer) -> bool:
    return bool(protocols.query("minecraft", "127.0.0.1", port_of(server), timeout=2).max_players)


# --- The agent is killed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [pytest.param(p, marks=[] if p in QUICK else [pytest.mark.slow]) for p in KILLED_IN])
def test_agent_killed_at_any_stage_of_a_containers_life(
    house: DockerHouse, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    # One agent at a time, so nobody takes a lease that has run out under a live one.
    monkeypatch.setattr(steps, "LEASE_SECONDS", 0.3)
    server = house.create()
    last = [stage for stage in LIFE if stage in KILLED_IN[point]][-1]
    killed = set()

    for stage, verb in LIFE.items():
        if verb is not None:
            verb(server, actor=house.owner)
        child = in_child(lambda: job_and_sweeps(house, server, stage), failpoint=point)  # noqa: B023
        killed |= {stage} if ending_of(child, PATIENCE) == KILLED else set()
        recover(house)

        assert lasting_complaints(house) == [], stage
        if stage == last:
            break

    assert killed == KILLED_IN[point]


def test_every_failpoint_of_the_engine_is_passed() -> None:
    assert {name for name in FAILPOINTS if name.startswith("docker.")} == {
        name for name in KILLED_IN if name.startswith("docker.")
    }


@pytest.mark.slow
@pytest.mark.parametrize("point", ["sweep.before_remove_orphan", "docker.remove.after_container"])
def test_agent_killed_while_it_removes_an_orphan(house: DockerHouse, server: GameServer, point: str) -> None:
    forget(server)

    ending = ending_of(in_child(lambda: sweep(house.node), failpoint=point), PATIENCE)
    recover(house)

    assert ending == KILLED
    assert house.containers() == []
    assert house.volumes() == {f"{server.engine_name}-data"}, "nobody asked to lose its data"


# --- Hands from outside -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_container_removed_by_hand_is_launched_again_with_its_data(house: DockerHouse, server: GameServer) -> None:
    volumes = house.volumes()
    house.engine.client.api.remove_container(server.engine_name, force=True)
    found = {row.subject: row.finding for row in drift.compare(house.node, house.engine)}

    sweep(house.node)
    server.refresh_from_db()
    lost = (server.observed_status, server.status_reason)
    settle(house)

    assert found[server.name] == Finding.MISSING
    assert "removed outside the hub" in lost[1] or lost[0] == S.STARTING
    assert house.volumes() == volumes
    assert answers(server)


@pytest.mark.slow
def test_container_stopped_by_hand_is_a_crash_with_its_exit_code(house: DockerHouse, server: GameServer) -> None:
    house.engine.client.api.stop(server.engine_name, timeout=10)

    settle_after_crash(house, server)

    assert server.restart_count == 1
    assert answers(server)


@pytest.mark.slow
def test_container_paused_by_hand_is_shown_and_well_again_once_resumed(house: DockerHouse, server: GameServer) -> None:
    api = house.engine.client.api
    api.pause(server.engine_name)
    look_at(server)
    paused = (server.observed_status, server.status_reason)
    found = {row.subject: row.why for row in drift.compare(house.node, house.engine)}
    api.unpause(server.engine_name)
    look_at(server)

    assert paused == (S.UNHEALTHY, "It was paused outside the hub.")
    assert "paused" in found[server.name]
    assert server.observed_status == S.RUNNING


@pytest.mark.slow
def test_paused_container_is_stopped_and_deleted_all_the_same(house: DockerHouse, server: GameServer) -> None:
    house.engine.client.api.pause(server.engine_name)
    delete_server(server, actor=house.owner)

    settle(house)

    assert house.traces() == []


@pytest.mark.slow
def test_labelled_orphan_is_found_and_removed(house: DockerHouse, server: GameServer) -> None:
    forget(server)
    found = [row.finding for row in drift.compare(house.node, house.engine)]

    sweep(house.node)

    assert found == [Finding.ORPHAN]
    assert house.containers() == []


def look_at(server: GameServer) -> None:
    reconcile.reconcile(GameServer, server.pk)
    server.refresh_from_db()


def settle_after_crash(house: DockerHouse, server: GameServer) -> None:
    """Have the agent notice the end, and wait until it runs again."""
    sweep(house.node)
    server.refresh_from_db()
    assert server.restart_count == 1, server.observed_status
    settle(house)
    server.refresh_from_db()


# --- Strangers on our ports ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_port_taken_before_the_launch_is_blocked_with_the_reason(house: DockerHouse, kind: int) -> None:
    server = house.create()
    old = port_of(server)
    with listen(old, kind):
        settle(house)

    server.refresh_from_db()
    blocked = Address.objects.get(port=old)
    assert blocked.state == AddressState.BLOCKED
    assert "in use" in blocked.reason
    assert port_of(server) != old
    assert answers(server)
    assert lasting_complaints(house) == []


@pytest.mark.slow
def test_port_taken_between_probe_and_bind_leads_to_another_one(
    house: DockerHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe saw nothing; Docker's own bind fails."""
    monkeypatch.setattr(reconcile, "probe", lambda engine, addresses: None)
    server = house.create()
    old = port_of(server)
    with listen(old):
        settle(house)

    assert Address.objects.get(port=old).state == AddressState.BLOCKED
    assert port_of(server) != old
    assert answers(server)
    assert lasting_complaints(house) == []


@pytest.mark.slow
def test_port_taken_while_the_server_was_stopped_moves_it_and_says_so(house: DockerHouse, server: GameServer) -> None:
    old = port_of(server)
    stop_server(server, actor=house.owner)
    settle(house)
    with listen(old):
        start_server(server, actor=house.owner)
        settle(house)

    moved = AuditEntry.objects.get(action="server.port_moved", target_id=str(server.pk))
    assert port_of(server) != old
    assert f":{port_of(server)}" in moved.data["new"]
    assert "in use" in moved.data["reason"]
    assert Address.objects.get(port=old).state == AddressState.BLOCKED
    assert answers(server)


# --- Images and disks ---------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_image_that_is_gone_is_named_and_the_launch_goes_on_once_it_is_back() -> None:
    name = f"localhost/kutanga-test/absent-{os.getpid()}"
    with open_docker_house(image=name) as house:
        server = house.create()
        work(house.node, lambda: "could not be pulled" in reason_of(server), seconds=PATIENCE)
        missing = reason_of(server)
        assert provide_sample(house.engine) == ""
        house.engine.client.api.tag(f"{SAMPLE_IMAGE}:latest", name, "latest")
        try:
            settle(house)
            is_well = answers(server)
        finally:
            clear(house.engine)
            house.engine.client.api.remove_image(f"{name}:latest")

    assert name in missing
    assert is_well


def reason_of(server: GameServer) -> str:
    server.refresh_from_db()
    return server.status_reason


@pytest.mark.slow
def test_data_over_the_limit_are_said_and_keep_it_from_starting(house: DockerHouse, server: GameServer) -> None:
    stop_server(server, actor=house.owner)
    settle(house)
    path = house.engine.client.api.inspect_volume(f"{server.engine_name}-data")["Mountpoint"]
    Path(path, "fill.bin").write_bytes(bytes(3 * 1024 * 1024))
    GameServer.objects.filter(pk=server.pk).update(disk_mb=2)

    start_server(server, actor=house.owner)
    work(house.node, lambda: "limit is 2 MB" in reason_of(server), seconds=PATIENCE)
    GameServer.objects.filter(pk=server.pk).update(disk_mb=5000)
    settle(house)

    assert answers(server)


@pytest.mark.slow
def test_crashed_server_keeps_its_image_though_the_tag_has_moved() -> None:
    name = f"localhost/kutanga-test/moving-{os.getpid()}"
    with open_docker_house(image=name) as house:
        api = house.engine.client.api
        assert provide_sample(house.engine) == ""
        api.tag(f"{SAMPLE_IMAGE}:latest", name, "latest")
        try:
            server = house.create()
            settle(house)
            first = image_of(house, server)
            api.commit(server.engine_name, repository=name, tag="latest", changes=["LABEL edition=2"])

            api.remove_container(server.engine_name, force=True)
            sweep(house.node)
            settle(house)
            again, is_well = image_of(house, server), answers(server)
            restart_server(server, actor=house.owner)
            work(house.node, lambda: image_of(house, server) not in ("", first), seconds=PATIENCE)
        finally:
            clear(house.engine)
            api.remove_image(f"{name}:latest")

    assert again == first
    assert is_well


def image_of(house: DockerHouse, server: GameServer) -> str:
    container = house.container(server)
    return str(container["Image"]) if container else ""


# --- The daemon ---------------------------------------------------------------------------------------------------


@pytest.fixture
def daemon() -> Iterator[PrivateDaemon]:
    daemon = PrivateDaemon()
    try:
        daemon.start()
        yield daemon
    finally:
        daemon.close()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["stop", "kill"])
def test_daemon_restarted_under_five_servers_counts_no_crash(daemon: PrivateDaemon, way: str) -> None:
    with inside(daemon), open_docker_house(daemon=daemon) as house:
        servers = [house.create(f"arena {number}") for number in range(5)]
        settle(house)
        ports = {server.pk: port_of(server) for server in servers}

        getattr(daemon, way)()
        away = sweep(house.node)
        daemon.start()
        wait_until(lambda: sweep(house.node).error == "", PATIENCE, what="the daemon")
        settle(house)

        assert "Docker" in away.error
        assert lasting_complaints(house) == []
        assert {server.pk: port_of(server) for server in servers} == ports
        assert all(answers(server) for server in servers)
        assert house.rules(), "laid again"


@pytest.mark.slow
def test_full_node_is_said_and_launches_go_on_once_there_is_room(
    daemon_on_a_small_disk: tuple[PrivateDaemon, Path],
) -> None:
    daemon, disk = daemon_on_a_small_disk
    with inside(daemon), open_docker_house(daemon=daemon) as house:
        filler = disk / "fill.bin"
        filler.write_bytes(bytes(shutil.disk_usage(disk).free - LEFT_BYTES))
        server = house.create()
        work(house.node, lambda: "disk is full" in reason_of(server), seconds=PATIENCE)

        filler.unlink()
        settle(house)

        assert lasting_complaints(house) == []
        assert answers(server)


@pytest.fixture
def daemon_on_a_small_disk(tmp_path: Path) -> Iterator[tuple[PrivateDaemon, Path]]:
    """A daemon whose data lie on a file system of their own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", disk], check=True)
    daemon = PrivateDaemon(root=disk / "docker")
    try:
        daemon.start()
        yield daemon, disk
    finally:
        daemon.close()
        subprocess.run(["umount", "--lazy", disk], check=False)


# --- All at once --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_hundred_creations_and_deletions_by_eight_clients_with_faults_end_as_the_database_says(
    settings: Any,
) -> None:
    """Clients create, stop, start, restart and delete; agents are killed, containers removed and killed by hand."""
    settings.HUB_CREATES_PER_HOUR = 1000
    chance = random.Random(3)  # noqa: S311 - moments, not secrets
    with open_docker_house(size=50) as house:
        clients = [in_child(partial(play, house, seed)) for seed in range(CLIENTS)]
        agents = [in_child(partial(serve, house)) for _ in range(2)]
        endings: dict[int, int] = {}
        deadline = time.monotonic() + MANY_SECONDS
        try:
            while len(endings) < CLIENTS:
                assert time.monotonic() < deadline, "the clients did not come to an end"
                time.sleep(chance.uniform(0.3, 1.2))
                disturb(house, chance)
                if chance.random() < 0.4:
                    kill(agents.pop(0))
                    agents.append(in_child(partial(serve, house)))
                endings |= {pid: code for pid in clients if pid not in endings and (code := end_of(pid)) is not None}
        finally:
            for pid in [*agents, *(pid for pid in clients if pid not in endings)]:
                kill(pid)
        wait_until(lambda: not GameServer.objects.filter(lease_until__gt=Now()).exists(), what="the end of all leases")
        work(house.node, house.is_settled, seconds=MANY_SECONDS)
        sweep(house.node)

        alive = GameServer.objects.exclude(observed_status=S.DELETED).count()
        assert set(endings.values()) == {0}
        assert [line for line in house.complaints() if "crashes" not in line] == []
        assert GameServer.objects.count() == CLIENTS * CREATIONS
        assert alive < CLIENTS * CREATIONS
        running = GameServer.objects.filter(observed_status=S.RUNNING).count()
        assert [one["State"] for one in house.containers()].count("running") == running > 0
        assert Address.objects.filter(state=AddressState.LEASED).count() == alive
        assert not Address.objects.filter(state=AddressState.BLOCKED).exists()


def play(house: DockerHouse, seed: int) -> None:
    """One client: creates its servers one after the other and does something with those it has."""
    chance = random.Random(seed)  # noqa: S311 - choices, not secrets
    mine: list[GameServer] = []
    for number in range(CREATIONS):
        mine.append(house.create(f"arena {seed} {number}"))
        while mine and (len(mine) > 3 or chance.random() < 0.5):
            server = chance.choice(mine)
            verb = chance.choice([stop_server, start_server, restart_server, delete_server])
            with suppress(HubError):
                verb(server, actor=house.owner)
            if verb is delete_server:
                mine.remove(server)
            time.sleep(chance.uniform(0, 0.5))


def serve(house: DockerHouse) -> None:
    """An agent, until it is killed."""
    while True:
        sweep(house.node)
        for _ in range(10):
            tick(house.node)
            time.sleep(0.1)


def disturb(house: DockerHouse, chance: random.Random) -> None:
    """Lay hands on one of the containers."""
    containers = house.containers()
    if not containers:
        return
    container = chance.choice(containers)
    with suppress(docker.errors.APIError):
        if chance.random() < 0.5:
            house.engine.client.api.kill(container["Id"])
        else:
            house.engine.client.api.remove_container(container["Id"], force=True)


def end_of(pid: int) -> int | None:
    """How a child has ended, None while it lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None
