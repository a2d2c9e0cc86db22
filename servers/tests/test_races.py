"""Many at once, on a real PostgreSQL and through the services: numbers are exact, order holds, nobody deadlocks."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection, connections

from accounts.models import User
from accounts.tests.factories import UserFactory
from hub.engines.fake import FakeEngine
from hub.exceptions import HubError, LimitReached, TooMany
from hub.nodes import jobs, reconcile
from hub.nodes.choices import OPEN_OPERATIONS, AddressState, DesiredStatus, OperationStatus
from hub.nodes.models import Address, AddressRequest, Node, Operation
from hub.nodes.sweep import sweep, tick
from hub.testing import empty_queues, wait_until
from servers import services
from servers.models import GameServer, Template

from .conftest import Games
from .factories import TemplateFactory, make_node, make_server

pytestmark = pytest.mark.django_db(transaction=True)

AtOnce = Callable[..., list[Any]]


@pytest.fixture
def at_once() -> Iterator[AtOnce]:
    """Call a function in many threads at the same moment; answers what each returned or raised."""
    pool = connection.settings_dict["OPTIONS"]["pool"]
    before = dict(pool)
    connections.close_all()
    connection.close_pool()
    pool.update(max_size=80, timeout=60)

    def run(function: Callable[[int], Any], count: int) -> list[Any]:
        barrier = threading.Barrier(count)

        def work(number: int) -> Any:
            barrier.wait(60)
            try:
                return function(number)
            except HubError as error:
                return error
            finally:
                connection.close()

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(work, range(count)))

    yield run
    connections.close_all()
    connection.close_pool()
    pool.clear()
    pool.update(before)


@pytest.fixture(autouse=True)
def _engine(games: Games) -> Iterator[None]:
    FakeEngine.reset()
    empty_queues()
    yield
    FakeEngine.reset()


def create(node: Node, template: Template, owner: User, name: str, **values: Any) -> GameServer:
    asked = {"memory_mb": 1024, "disk_mb": 5000, "cpu_percent": 50, **values}
    return services.create_server(actor=owner, name=name, template=template, region=node.region, **asked)


def all_owners(count: int) -> list[User]:
    return [UserFactory() for _ in range(count)]


def holds(node: Node) -> set[Any]:
    return set(Address.objects.filter(node=node, state=AddressState.LEASED).values_list("holder", flat=True))


def tick_until(node: Node, is_done: Callable[[], bool]) -> None:
    """Do what an agent does about twice a second, faster."""
    wait_until(lambda: (tick(node), is_done())[1], what="the agent's work")


# --- Addresses and their queue ------------------------------------------------------------------------------------


def test_64_creations_at_once_in_a_pool_of_50_get_50_ports_and_14_places(at_once: AtOnce) -> None:
    node, template, owners = make_node(size=50), TemplateFactory(), all_owners(64)

    servers = at_once(lambda number: create(node, template, owners[number], "arena"), 64)

    leased = [server for server in servers if server.leased_addresses]
    waiting = [server for server in servers if not server.leased_addresses]
    assert len({str(address) for server in leased for address in server.leased_addresses}) == len(leased) == 50
    assert sorted(server.status_reason for server in waiting) == sorted(
        f"Waiting for a free address, place {place}." for place in range(1, 15)
    )
    assert Address.objects.filter(state=AddressState.LEASED).count() == 50


def test_ports_that_become_free_go_to_those_who_wait_in_their_order(at_once: AtOnce) -> None:
    node, template, owners = make_node(size=4), TemplateFactory(), all_owners(9)
    servers = at_once(lambda number: create(node, template, owners[number], "arena"), 9)
    line = sorted((s for s in servers if s.status_reason), key=lambda s: int(s.status_reason.split()[-1].strip(".")))
    lucky = [server for server in servers if not server.status_reason]
    assert len(line) == 5

    for round_, gone in enumerate(lucky, start=1):
        services.delete_server(gone, actor=gone.owner)
        newcomer = create(node, template, UserFactory(), "late")
        tick_until(node, lambda: line[round_ - 1].pk in holds(node))  # noqa: B023

        assert holds(node) == {server.pk for server in lucky[round_:] + line[:round_]}
        assert not newcomer.leased_addresses


# --- Limits -------------------------------------------------------------------------------------------------------


def test_quota_is_exact_under_20_creations_at_once(at_once: AtOnce) -> None:
    node, template, owner = make_node(size=30), TemplateFactory(), UserFactory(role="Player")

    answers = at_once(lambda number: create(node, template, owner, f"arena {number}"), 20)

    refused = [answer for answer in answers if isinstance(answer, LimitReached)]
    assert GameServer.objects.count() == 5
    assert len(refused) == 15
    assert {error.code for error in refused} == {"quota_exceeded"}
    assert Address.objects.filter(state=AddressState.LEASED).count() == 5


def test_creations_in_an_hour_are_counted_exactly(at_once: AtOnce) -> None:
    node, template, owner = make_node(size=30), TemplateFactory(), UserFactory(role="Admin")

    answers = at_once(lambda number: create(node, template, owner, f"arena {number}"), 20)

    assert GameServer.objects.count() == settings.HUB_CREATES_PER_HOUR == 10
    assert sum(isinstance(answer, TooMany) for answer in answers) == 10


def test_a_node_is_never_promised_more_than_it_has(at_once: AtOnce) -> None:
    node, template, owners = make_node(size=30, memory_mb=8 * 1024), TemplateFactory(), all_owners(20)

    answers = at_once(lambda number: create(node, template, owners[number], "arena"), 20)

    assert GameServer.objects.count() == 8
    assert {error.code for error in answers if isinstance(error, LimitReached)} == {"region_full"}


def test_one_name_at_once_gives_one_server(at_once: AtOnce) -> None:
    node, template, owner = make_node(), TemplateFactory(), UserFactory()

    answers = at_once(lambda number: create(node, template, owner, "The Arena" if number % 2 else "the arena"), 8)

    assert GameServer.objects.count() == 1
    assert Counter(getattr(answer, "code", "created") for answer in answers) == {"created": 1, "name_taken": 7}


# --- Wishes -------------------------------------------------------------------------------------------------------


def test_power_verbs_at_once_leave_one_wish_and_supersede_the_others(at_once: AtOnce) -> None:
    server = make_server()
    verbs = [services.stop_server, services.restart_server, services.kill_server] * 4

    at_once(lambda number: verbs[number](GameServer.objects.get(pk=server.pk), actor=server.owner), len(verbs))

    server.refresh_from_db()
    operations = list(Operation.objects.filter(workload_id=server.pk).order_by("generation"))
    assert [operation.generation for operation in operations] == list(range(1, server.generation + 1))
    assert [operation.status for operation in operations[:-1]] == [OperationStatus.SUPERSEDED] * (len(operations) - 1)
    assert operations[-1].status == OperationStatus.QUEUED
    assert server.desired_status == (
        DesiredStatus.RUNNING if operations[-1].verb == "restart" else DesiredStatus.STOPPED
    )
    assert server.is_kill_wanted == (operations[-1].verb == "kill")


def test_two_starts_at_once_are_one_wish(at_once: AtOnce) -> None:
    server = make_server()
    reconcile.reconcile(GameServer, server.pk)
    services.stop_server(server, actor=server.owner)
    tick_until(server.node, lambda: not Operation.objects.open().exists())

    answers = at_once(lambda _: services.start_server(GameServer.objects.get(pk=server.pk), actor=server.owner), 8)

    assert sum(answer is not None for answer in answers) == 1
    assert Operation.objects.filter(verb="start").count() == 1


def hang_in_ensure(server: GameServer, engine: FakeEngine) -> tuple[threading.Thread, threading.Event]:
    """A worker that got lost in the engine, holding the lease."""
    gate = engine.hang("ensure", after=True)

    def launch() -> None:
        try:
            jobs.reconcile_workload("server", str(server.pk))
        finally:
            connection.close()

    worker = threading.Thread(target=launch)
    worker.start()
    wait_until(lambda: engine.inspect(server.engine_name), what="the launch")
    return worker, gate


def test_kill_acts_at_once_while_a_worker_hangs_in_the_engine(at_once: AtOnce, engine: FakeEngine, node: Node) -> None:
    server = make_server(node=node)
    worker, gate = hang_in_ensure(server, engine)

    began = time.monotonic()
    services.kill_server(server, actor=server.owner)
    jobs.kill_workload("server", str(server.pk))
    seconds = time.monotonic() - began
    seen = engine.inspect(server.engine_name)
    gate.set()
    worker.join()

    assert seconds < 30, "it waited for the worker"
    assert seen is not None
    assert not seen.is_running
    server.refresh_from_db()
    assert server.observed_status == "stopped"
    assert server.started_at is None, "the late worker stored its launch"
    assert server.restart_count == 0
    assert dict(Operation.objects.values_list("verb", "status")) == {"create": "superseded", "kill": "done"}


def test_kill_acts_at_once_even_when_its_job_is_lost(at_once: AtOnce, engine: FakeEngine, node: Node) -> None:
    server = make_server(node=node)
    worker, gate = hang_in_ensure(server, engine)

    services.kill_server(server, actor=server.owner)
    empty_queues()
    tick(node)
    seen = engine.inspect(server.engine_name)
    gate.set()
    worker.join()

    assert seen is not None
    assert not seen.is_running


# --- Everything at once -------------------------------------------------------------------------------------------


class Crowd:
    """People who do anything to a few servers, while agents work."""

    def __init__(self, node: Node, template: Template, seed: int) -> None:
        self.node, self.template, self.seed = node, template, seed
        self.owner = UserFactory(role="Admin")
        self.done: Counter[str] = Counter()
        self.deadlocks: list[str] = []
        self.is_over = threading.Event()

    def live(self, turn: int) -> None:
        """One person's turns."""
        chance = random.Random(self.seed + turn)  # noqa: S311 - moves, not secrets
        try:
            for _ in range(60):
                self.move(chance)
        finally:
            connection.close()

    def move(self, chance: random.Random) -> None:
        servers = list(GameServer.objects.filter(node=self.node).alive())
        verb = chance.choice(
            ["create", "start", "stop", "restart", "kill", "delete", "resize", "publish", "unpublish", "move"]
        )
        try:
            if verb == "create" or not servers:
                create(self.node, self.template, self.owner, f"arena {chance.getrandbits(40)}")
            else:
                self.act(verb, chance.choice(servers), chance)
            self.done[verb] += 1
        except HubError:
            self.done["refused"] += 1
        except OperationalError as error:
            self.deadlocks.append(f"{verb}: {error}")

    def act(self, verb: str, server: GameServer, chance: random.Random) -> None:
        power = {
            "start": services.start_server,
            "stop": services.stop_server,
            "restart": services.restart_server,
            "kill": services.kill_server,
            "delete": services.delete_server,
        }
        if verb in power:
            power[verb](server, actor=self.owner)
        elif verb == "resize":
            memory = chance.choice([1024, 2048])
            services.resize_server(server, actor=self.owner, memory_mb=memory, disk_mb=5000)
        elif verb == "publish":
            services.publish_port(server, actor=self.owner, port_name="rcon")
        elif verb == "unpublish":
            services.unpublish_port(server, actor=self.owner, port_name="rcon")
        else:
            services.move_port(server, actor=self.owner, port_name="game", reason="")

    def agent(self) -> None:
        """Jobs and sweeps until everybody has finished."""
        try:
            while not self.is_over.is_set():
                try:
                    sweep(self.node)
                    tick(self.node)
                except OperationalError as error:
                    self.deadlocks.append(f"agent: {error}")
        finally:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_mixed_operations_with_agents_at_work_neither_deadlock_nor_leak(
    at_once: AtOnce, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    monkeypatch.setattr(settings, "HUB_CREATES_PER_HOUR", 10_000)
    node = make_node(size=14)
    crowd = Crowd(node, TemplateFactory(), seed)
    agents = [threading.Thread(target=crowd.agent) for _ in range(2)]
    for agent in agents:
        agent.start()

    at_once(crowd.live, 8)
    crowd.is_over.set()
    for agent in agents:
        agent.join()
    for _ in range(6):
        GameServer.objects.update(next_check_at=None, restart_after=None)
        GameServer.objects.alive().update(next_check_at="2020-01-01T00:00Z")
        tick(node)
        sweep(node)

    assert crowd.deadlocks == []
    assert sum(crowd.done.values()) == 8 * 60
    assert "failed" not in {
        record.message.split()[-1] for record in caplog.records if record.name.startswith("hub.nodes")
    }
    assert_sound(node)


def assert_sound(node: Node) -> None:
    """Rows, addresses and engine tell the same story."""
    engine = FakeEngine(node=node.name, options={})
    servers = list(GameServer.objects.filter(node=node).alive())
    waiting = set(AddressRequest.objects.values_list("holder", flat=True))
    wanted = {(s.pk, port.name) for s in servers if s.pk not in waiting for port in s.ports_wanted()}
    leased = set(
        Address.objects.filter(state=AddressState.LEASED).exclude(holder__in=waiting).values_list("holder", "port_name")
    )
    running = {s.engine_name: s.generation for s in servers if s.observed_status == "running"}
    held = {seen.name: seen.generation for seen in engine.list_owned() if seen.is_running}
    unsettled = [
        f"{s.name}: {s.desired_status}, {s.observed_status} {s.status_reason}"
        for s in servers
        if s.observed_status != s.desired_status and s.pk not in waiting
    ]

    assert leased == wanted
    assert waiting <= {s.pk for s in servers}
    assert running == held
    assert unsettled == []
    assert not Operation.objects.filter(status__in=OPEN_OPERATIONS).exclude(workload_id__in=waiting).exists()
