"""The mechanism over the fake engine: what is asked comes true, what fails is named, late workers cannot write."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from hub.engines.base import EngineError, PullProgress, Reason, State
from hub.engines.fake import Behaviour, FakeEngine, FakeImage
from hub.jobs import node_queue, rq_queue
from hub.nodes import leases
from hub.nodes import reconcile as mechanism
from hub.nodes import sweep as sweep_module
from hub.nodes.choices import AddressState, ObservedStatus, OperationStatus
from hub.nodes.models import Address, Node, Operation
from hub.nodes.moves import TOO_FEW
from hub.nodes.reconcile import kill_now, reconcile, take_step
from hub.nodes.steps import claim, store
from hub.nodes.sweep import sweep, tick
from hub.nodes.tests.factories import PoolFactory
from hub.testing import count_queries, run_commit_hooks, run_jobs
from servers import services, variables
from servers.models import GameServer, Template
from servers.tests.factories import GAME, TemplateFactory, VariableFactory, make_node, make_server

from .conftest import Games

S = ObservedStatus
pytestmark = pytest.mark.django_db


@pytest.fixture
def server(node: Node, engine: FakeEngine, games: Games) -> GameServer:
    return make_server(node=node)


def drive(server: GameServer, engine: FakeEngine, passes: int = 1) -> GameServer:
    """Reconcile so many times and read the row again."""
    for _ in range(passes):
        reconcile(GameServer, server.pk, engine=engine)
    server.refresh_from_db()
    return server


def running(server: GameServer, engine: FakeEngine) -> GameServer:
    return drive(server, engine, passes=2)


def last_operation(server: GameServer) -> Operation:
    return Operation.objects.filter(workload_id=server.pk).latest("created_at")


def let_time_pass(server: GameServer) -> None:
    """Every wait of the workload is over."""
    past = timezone.now() - timedelta(seconds=1)
    for name in ("restart_after", "stop_deadline_at", "ready_deadline_at"):
        if getattr(server, name):
            GameServer.objects.filter(pk=server.pk).update(**{name: past})
            setattr(server, name, past)


def test_launch_starts_and_is_running_once_the_game_answers(server: GameServer, engine: FakeEngine) -> None:
    drive(server, engine)
    started = (server.observed_status, last_operation(server).status)

    drive(server, engine)

    assert started == (S.STARTING, OperationStatus.RUNNING)
    assert server.observed_status == S.RUNNING
    assert last_operation(server).status == OperationStatus.DONE
    assert server.facts["players"] == 3


def test_launch_says_that_a_secret_cannot_be_opened_and_goes_on_once_it_can(
    server: GameServer, engine: FakeEngine, settings: Any
) -> None:
    ring = settings.HUB_KEY_RING
    settings.HUB_KEY_RING = {"other": b"n" * 32}
    drive(server, engine)
    waiting = (server.observed_status, server.status_reason)

    settings.HUB_KEY_RING = ring
    running(server, engine)

    key = next(iter(ring))
    assert waiting == (S.QUEUED, f"There is no key for k{key} in HUB_SECRET_KEYS. The hub tries again.")
    assert server.observed_status == S.RUNNING


def test_a_secret_that_the_template_has_got_since_is_made_and_kept(server: GameServer, engine: FakeEngine) -> None:
    VariableFactory(template=server.template, key="ADMIN_PASSWORD", kind="secret")

    running(server, engine)
    services.restart_server(server, actor=server.owner)
    drive(server, engine, passes=3)

    told = [call.args[0].env["ADMIN_PASSWORD"] for call in engine.calls("ensure")]
    assert told == [variables.of_server(server).secret["ADMIN_PASSWORD"]] * 2
    assert len(told[0]) == 12


def test_ports_that_the_template_has_lost_are_given_back_at_the_next_launch(
    node: Node, engine: FakeEngine, games: Games
) -> None:
    extra = {**GAME, "name": "query", "target_port": 25566, "variable": "QUERY_PORT"}
    server = make_server(node=node, template=TemplateFactory(ports=[GAME, extra]))
    running(server, engine)
    Template.objects.update(ports=[GAME])

    drive(server, engine)
    before = server.addresses().count()
    services.restart_server(server, actor=server.owner)
    drive(server, engine, passes=3)

    assert before == 2
    assert server.observed_status == S.RUNNING
    assert [address.port_name for address in server.addresses()] == ["game"]


def test_what_waits_for_more_than_its_node_has_holds_up_nobody(owner: Any, games: Games) -> None:
    node = make_node(size=1)
    engine = FakeEngine(node=node.name, options={})
    make_server(node=node, owner=owner)
    waiting = make_server(node=node, owner=owner)
    extra = {**GAME, "name": "query", "target_port": 25566, "variable": "QUERY_PORT"}
    GameServer.objects.filter(pk=waiting.pk).update(template=TemplateFactory(ports=[{**GAME, "name": "main"}, extra]))

    drive(waiting, engine)

    assert (waiting.observed_status, waiting.status_reason) == (S.FAILED, TOO_FEW)
    assert leases.count_waiting(node) == 0


def test_what_the_engine_says_of_a_running_workload_is_shown(
    server: GameServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(server, engine)
    inspect, words = FakeEngine.inspect, "It uses 6000 MB of disk; its limit is 5000 MB."

    def full(self: FakeEngine, name: str) -> Any:
        seen = inspect(self, name)
        return seen and replace(seen, detail=words)

    monkeypatch.setattr(FakeEngine, "inspect", full)
    drive(server, engine)

    assert (server.observed_status, server.status_reason) == (S.RUNNING, words)


def test_waiting_and_pulling_are_told_apart_from_launching(server: GameServer, engine: FakeEngine) -> None:
    Operation.objects.update(created_at=timezone.now() - timedelta(minutes=5))
    engine.slow("pull", 0.15)

    running(server, engine)

    operation = last_operation(server)
    assert operation.started_at
    assert operation.finished_at
    assert operation.started_at > timezone.now() - timedelta(minutes=1)
    assert 0.15 <= operation.pull_seconds < (operation.finished_at - operation.started_at).total_seconds()


def test_running_again_changes_nothing(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)

    drive(server, engine, passes=3)

    assert len(engine.calls("ensure")) == 1


def test_not_ready_in_time_is_unhealthy_with_the_reason_and_recovers(
    server: GameServer, engine: FakeEngine, games: Games
) -> None:
    answer, games.answer = games.answer, None
    drive(server, engine, passes=2)
    waiting = server.observed_status
    let_time_pass(server)
    drive(server, engine)
    given_up = (server.observed_status, last_operation(server).status, server.status_reason)

    games.answer = answer
    drive(server, engine)

    assert waiting == S.STARTING
    assert given_up[:2] == (S.UNHEALTHY, OperationStatus.FAILED)
    assert "Not ready after" in given_up[2]
    assert server.observed_status == S.RUNNING


def test_a_hang_is_seen_only_after_several_misses(server: GameServer, engine: FakeEngine, games: Games) -> None:
    running(server, engine)
    games.answer = None

    statuses = [drive(server, engine).observed_status for _ in range(3)]

    assert statuses == [S.RUNNING, S.RUNNING, S.UNHEALTHY]
    assert "3 times in a row" in server.status_reason


def test_crash_names_the_exit_code_and_restarts_after_a_wait(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.crash(server.engine_name, code=3)

    drive(server, engine)
    crashed = (server.observed_status, server.exit_code, server.status_reason)
    drive(server, engine)
    still = server.observed_status
    let_time_pass(server)
    drive(server, engine, passes=2)

    assert crashed[:2] == (S.CRASHED, 3)
    assert "exit code 3" in crashed[2]
    assert "after 5 s" in crashed[2]
    assert still == S.CRASHED
    assert server.observed_status == S.RUNNING


def test_crash_by_memory_is_named(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.crash(server.engine_name, code=137, oom=True)

    drive(server, engine)

    assert server.oom_killed
    assert server.status_reason.startswith("Out of memory: it needed more than its 1024 MB.")


def test_crash_loop_is_given_up_after_eight_in_an_hour(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    waits = []
    for _ in range(8):
        engine.crash(server.engine_name, code=1)
        drive(server, engine)
        waits.append(round((server.restart_after - timezone.now()).total_seconds()) if server.restart_after else None)
        let_time_pass(server)
        drive(server, engine, passes=2)

    assert waits == [5, 10, 20, 40, 80, 160, 300, None]
    assert server.observed_status == S.FAILED
    assert "Given up after 8 crashes" in server.status_reason
    assert AuditEntry.objects.filter(action="server.failed").count() == 1


@pytest.mark.parametrize(
    ("minutes_ago", "counted", "status"),
    [
        # seven of eight fall into the hour before the last one, though the first two lie outside
        pytest.param((70, 61, 50, 40, 30, 20, 10, 5), 7, S.CRASHED, id="first-ones-over"),
        pytest.param((70, 50, 45, 40, 30, 20, 10, 5), 8, S.FAILED, id="eight-in-the-hour-that-ends-now"),
        pytest.param((70, 65), 1, S.CRASHED, id="all-over"),
    ],
)
def test_crashes_are_counted_in_the_hour_before_each(
    server: GameServer, engine: FakeEngine, minutes_ago: tuple[int, ...], counted: int, status: str
) -> None:
    running(server, engine)
    times = [timezone.now() - timedelta(minutes=minutes) for minutes in reversed(minutes_ago)]
    GameServer.objects.update(crash_times=times, restart_count=len(times), restart_window_at=times[-1])
    engine.crash(server.engine_name, code=1)

    drive(server, engine)

    assert (server.restart_count, server.observed_status) == (counted, status)
    assert server.crash_times[1:] == times[: counted - 1]
    assert server.restart_window_at == server.crash_times[-1]


@pytest.mark.parametrize(("minutes", "counted"), [(59, 5), (61, 1)])
def test_crashes_that_the_version_before_has_counted_are_as_old_as_its_first(
    server: GameServer, engine: FakeEngine, minutes: int, counted: int
) -> None:
    running(server, engine)
    first = timezone.now() - timedelta(minutes=minutes)
    GameServer.objects.update(restart_count=4, restart_window_at=first)
    engine.crash(server.engine_name, code=1)

    drive(server, engine)

    assert (server.restart_count, len(server.crash_times)) == (counted, counted)


def test_given_up_server_starts_again_when_asked(server: GameServer, engine: FakeEngine) -> None:
    GameServer.objects.filter(pk=server.pk).update(observed_status=S.FAILED, restart_count=8)
    server.refresh_from_db()

    services.start_server(server, actor=server.owner)
    running(server, engine)

    assert (server.observed_status, server.restart_count) == (S.RUNNING, 0)


def test_restart_of_the_engine_is_no_crash(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.restart_engine()

    drive(server, engine, passes=2)

    assert (server.observed_status, server.restart_count) == (S.RUNNING, 0)


def test_removed_behind_the_hubs_back_is_lost_and_launched_again(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.lose(server.engine_name)

    drive(server, engine)
    lost = (server.observed_status, server.status_reason)
    let_time_pass(server)
    drive(server, engine, passes=2)

    assert lost[0] == S.LOST
    assert "removed outside the hub" in lost[1]
    assert server.observed_status == S.RUNNING


def test_paused_behind_the_hubs_back_is_unhealthy(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    workload = engine.state.workloads[server.engine_name]
    workload.observation = type(workload.observation)(**{**vars(workload.observation), "state": State.PAUSED})

    drive(server, engine)

    assert (server.observed_status, server.status_reason) == (S.UNHEALTHY, "It was paused outside the hub.")


def test_stop_is_not_a_crash_whatever_the_exit_code(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.behave(Behaviour(stop_code=143), server.engine_name)

    services.stop_server(server, actor=server.owner)
    drive(server, engine, passes=2)

    assert (server.observed_status, server.exit_code, server.restart_count) == (S.STOPPED, 143, 0)
    assert last_operation(server).status == OperationStatus.DONE


def test_stop_keeps_the_address(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    before = server.address

    services.stop_server(server, actor=server.owner)
    drive(server, engine, passes=2)

    assert GameServer.objects.get(pk=server.pk).address == before


def test_what_ignores_the_stop_is_killed_at_the_deadline(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.behave(Behaviour(ignores_stop=True), server.engine_name)

    services.stop_server(server, actor=server.owner)
    drive(server, engine, passes=3)
    waiting = (server.observed_status, len(engine.calls("kill")))
    let_time_pass(server)
    drive(server, engine, passes=2)

    assert waiting == (S.STOPPING, 0)
    assert (server.observed_status, server.exit_code) == (S.STOPPED, -9)


def test_stop_sends_its_signal_once(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.behave(Behaviour(ignores_stop=True), server.engine_name)

    services.stop_server(server, actor=server.owner)
    drive(server, engine, passes=4)

    assert len(engine.calls("stop")) == 1


def test_restart_waits_until_the_old_run_is_gone(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.behave(Behaviour(ignores_stop=True), server.engine_name)

    services.restart_server(server, actor=server.owner)
    drive(server, engine, passes=3)
    ensured_while_stopping = len(engine.calls("ensure"))
    let_time_pass(server)
    drive(server, engine, passes=4)

    seen = engine.inspect(server.engine_name)
    assert ensured_while_stopping == 1
    assert server.observed_status == S.RUNNING
    assert seen is not None
    assert seen.generation == server.generation


def test_start_during_a_stop_ends_in_a_fresh_run(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.behave(Behaviour(ignores_stop=True), server.engine_name)
    services.stop_server(server, actor=server.owner)
    drive(server, engine)

    services.start_server(server, actor=server.owner)
    drive(server, engine)
    let_time_pass(server)
    drive(server, engine, passes=4)

    assert server.observed_status == S.RUNNING
    fates = Operation.objects.filter(workload_id=server.pk).order_by("created_at").values_list("verb", "status")
    assert list(fates) == [("create", "done"), ("stop", "superseded"), ("start", "done")]


def test_delete_removes_everything_and_the_address_rests(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    held = Address.objects.get(holder=server.pk, port_name="game")

    services.delete_server(server, actor=server.owner)
    drive(server, engine, passes=3)

    held.refresh_from_db()
    assert (server.observed_status, engine.list_owned(), engine.state.data) == (S.DELETED, [], set())
    assert (held.state, held.holder) == (AddressState.QUARANTINED, None)
    assert not Address.objects.filter(holder=server.pk).exists()


def test_address_is_kept_until_the_engine_confirms_that_it_is_gone(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.fail("remove", EngineError("busy", reason=Reason.UNAVAILABLE), times=1)

    services.delete_server(server, actor=server.owner)
    drive(server, engine, passes=2)
    held = Address.objects.filter(holder=server.pk).count()
    drive(server, engine, passes=2)

    assert held > 0
    assert server.observed_status == S.DELETED


def test_port_in_use_by_a_stranger_is_blocked_and_another_taken(server: GameServer, engine: FakeEngine) -> None:
    engine.state.occupied.add(("127.0.0.1", 25565))

    running(server, engine)

    blocked = Address.objects.get(port=25565)
    assert blocked.state == AddressState.BLOCKED
    assert blocked.reason
    assert server.observed_status == S.RUNNING
    assert server.address is not None
    assert server.address.port != 25565


def test_an_ip_that_the_node_lacks_is_blocked_as_a_whole_where_there_is_another(
    server: GameServer, engine: FakeEngine
) -> None:
    PoolFactory(node=server.node, first_ip="127.0.0.2")
    engine.state.missing_ips.add("127.0.0.1")

    running(server, engine)

    assert len(engine.calls("probe_address")) == 2
    assert set(Address.objects.filter(ip="127.0.0.1").values_list("state", "reason")) == {
        ("blocked", "This node has no address 127.0.0.1.")
    }
    assert (server.observed_status, str(server.address)) == (S.RUNNING, "127.0.0.2:25565")


def test_an_only_ip_that_the_node_lacks_fails_the_launch_and_is_not_blocked(
    server: GameServer, engine: FakeEngine
) -> None:
    engine.state.missing_ips.add("127.0.0.1")

    drive(server, engine)

    assert (server.observed_status, server.status_reason) == (S.FAILED, "This node has no address 127.0.0.1.")
    assert not Address.objects.filter(state=AddressState.BLOCKED).exists()
    assert not Operation.objects.open().exists()


def test_why_a_port_was_changed_stays_on_the_servers_page(server: GameServer, engine: FakeEngine, client: Any) -> None:
    engine.state.occupied.add(("127.0.0.1", 25565))
    running(server, engine)
    client.force_login(server.owner)

    page = client.get(f"{server.get_absolute_url()}/activity").content.decode()

    assert "127.0.0.1:25565 is in use by another program." in page


def test_bind_error_of_the_engine_leads_to_another_port(
    server: GameServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = EngineError("port is already allocated", reason=Reason.ADDRESS_TAKEN, ip="127.0.0.1", port=25565)
    engine.fail("ensure", taken)

    running(server, engine)

    assert Address.objects.get(port=25565).state == AddressState.BLOCKED
    assert server.observed_status == S.RUNNING


def test_full_pool_queues_with_the_place_and_serves_in_order(games: Games, owner: Any) -> None:
    FakeEngine.reset()
    node = make_node(size=2)
    engine = FakeEngine(node=node.name, options={})
    template = TemplateFactory(ports=[{"name": "game", "target_port": 25565, "variable": "SERVER_PORT"}])
    servers = [make_server(node=node, template=template) for _ in range(4)]
    for server in servers:
        drive(server, engine, passes=2)
    waiting = [server.status_reason for server in servers[2:]]

    services.delete_server(servers[0], actor=servers[0].owner)
    drive(servers[0], engine, passes=3)
    tick(node, engine=engine)
    tick(node, engine=engine)
    drive(servers[2], engine, passes=2)
    drive(servers[3], engine)

    assert waiting == ["Waiting for a free address, place 1.", "Waiting for a free address, place 2."]
    assert servers[2].observed_status == S.RUNNING
    assert servers[3].status_reason == "Waiting for a free address, place 1."


def test_permanent_error_fails_the_wish_with_its_reason(server: GameServer, engine: FakeEngine) -> None:
    engine.fail("ensure", EngineError("The program is not installed.", reason=Reason.REFUSED, permanent=True))

    drive(server, engine)

    assert (server.observed_status, server.status_reason) == (S.FAILED, "The program is not installed.")
    assert last_operation(server).error == "The program is not installed."


@pytest.mark.parametrize(("minutes", "status"), [(29, S.PULLING), (31, S.FAILED)])
def test_a_registry_that_never_answers_is_given_up(
    minutes: int, status: str, server: GameServer, engine: FakeEngine
) -> None:
    engine.fail("ensure", EngineError("The registry does not answer.", reason=Reason.IMAGE_MISSING), times=2)
    drive(server, engine)
    begun = timezone.now() - timedelta(minutes=minutes)
    Operation.objects.filter(workload_id=server.pk).update(started_at=begun)

    drive(server, engine)

    assert server.observed_status == status
    assert ("Given up after 30 minutes." in server.status_reason) == (status == S.FAILED)


def test_engine_that_is_away_is_waited_for_and_said(server: GameServer, engine: FakeEngine) -> None:
    engine.fail("inspect", EngineError("Docker does not answer.", reason=Reason.UNAVAILABLE), times=1)

    drive(server, engine)
    waiting = (server.observed_status, server.status_reason)
    running(server, engine)

    assert waiting == (S.QUEUED, "Docker does not answer. The hub tries again.")
    assert server.observed_status == S.RUNNING


def test_pull_shows_its_progress(server: GameServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, int | None]] = []
    real = mechanism.renew

    def watch(workload: Any, **changes: Any) -> bool:
        answer = real(workload, **changes)
        row = GameServer.objects.get(pk=workload.pk)
        seen.append((row.observed_status, row.progress_percent))
        return answer

    monkeypatch.setattr(mechanism, "renew", watch)
    engine.state.images["kutanga/sample"] = FakeImage("sha256:1", (PullProgress("Downloading", 64),))

    drive(server, engine)

    assert seen[0] == (S.PULLING, 64)
    assert (server.observed_status, server.progress_percent) == (S.STARTING, None)
    assert server.image_digest == "sha256:1"


def test_restart_after_a_crash_keeps_the_image_though_its_tag_has_moved(server: GameServer, engine: FakeEngine) -> None:
    engine.state.images["kutanga/sample"] = FakeImage("sha256:1")
    running(server, engine)
    engine.state.images["kutanga/sample"] = FakeImage("sha256:2")

    engine.crash(server.engine_name)
    drive(server, engine)
    let_time_pass(server)
    drive(server, engine)

    assert engine.inspect(server.engine_name).image == "kutanga/sample@sha256:1"
    assert (server.image_digest, server.image_pinned) == ("sha256:1", "kutanga/sample@sha256:1")


def test_restart_that_somebody_asks_for_takes_what_the_tag_means_now(server: GameServer, engine: FakeEngine) -> None:
    engine.state.images["kutanga/sample"] = FakeImage("sha256:1")
    running(server, engine)
    engine.state.images["kutanga/sample"] = FakeImage("sha256:2")

    services.restart_server(server, actor=server.owner)
    drive(server, engine, passes=3)

    assert (server.image_digest, server.image_pinned) == ("sha256:2", "kutanga/sample@sha256:2")


def test_image_of_a_run_whose_launcher_died_is_noted_when_it_is_seen(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    GameServer.objects.filter(pk=server.pk).update(image_digest="", image_pinned="")

    drive(server, engine)

    assert server.image_pinned == f"kutanga/sample@{server.image_digest}"
    assert server.image_digest


def test_crashed_server_whose_pinned_image_is_gone_says_so(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    engine.state.local_images.clear()
    engine.state.images["kutanga/sample"] = FakeImage("sha256:other")

    engine.crash(server.engine_name)
    drive(server, engine)
    let_time_pass(server)
    drive(server, engine)

    assert server.observed_status == S.FAILED
    assert server.image_pinned in server.status_reason


# --- The clock is set ----------------------------------------------------------------------------------------------


def set_clock(server: GameServer, by: timedelta) -> GameServer:
    """What a step of the machine's clock leaves: all that was noted lies elsewhere."""
    names = ("lease_until", "next_check_at", "restart_after", "stop_deadline_at", "ready_deadline_at")
    server.refresh_from_db()
    moved = {name: value - by for name in names if (value := getattr(server, name))}
    GameServer.objects.filter(pk=server.pk).update(**moved)
    return server


BACK, FORWARD = timedelta(hours=-1), timedelta(hours=1)


def test_clock_set_back_does_not_prolong_the_lease_of_a_dead_worker(
    server: GameServer, node: Node, engine: FakeEngine
) -> None:
    assert claim(GameServer, server.pk) is not None
    set_clock(server, BACK)

    tick(node, engine=engine)
    tick(node, engine=engine)

    server.refresh_from_db()
    assert server.observed_status in (S.STARTING, S.RUNNING)


def test_clock_set_back_prolongs_neither_wait_nor_check(server: GameServer, node: Node, engine: FakeEngine) -> None:
    running(server, engine)
    engine.crash(server.engine_name)
    drive(server, engine)
    assert server.restart_after
    set_clock(server, BACK)

    tick(node, engine=engine)

    server.refresh_from_db()
    assert server.observed_status == S.STARTING


def test_clock_set_back_does_not_keep_a_stubborn_server_alive(server: GameServer, engine: FakeEngine) -> None:
    engine.behave(Behaviour(ignores_stop=True))
    running(server, engine)
    services.stop_server(server, actor=server.owner)
    drive(server, engine)
    set_clock(server, BACK)

    drive(server, engine, passes=2)

    assert server.observed_status == S.STOPPED
    assert engine.state.workloads[server.engine_name].signals[-1] == "SIGKILL"


def test_clock_set_back_does_not_prolong_the_wait_for_an_answer(
    server: GameServer, engine: FakeEngine, games: Games
) -> None:
    games.answer = None
    drive(server, engine, passes=2)
    set_clock(server, BACK)

    drive(server, engine)

    assert server.ready_deadline_at
    assert server.ready_deadline_at <= timezone.now() + timedelta(seconds=server.ready_timeout_seconds)


@pytest.mark.parametrize("step", [BACK, FORWARD])
def test_clock_that_is_set_costs_a_running_server_nothing(
    server: GameServer, node: Node, engine: FakeEngine, step: timedelta
) -> None:
    running(server, engine)
    set_clock(server, step)

    tick(node, engine=engine)
    sweep(node, engine=engine)

    server.refresh_from_db()
    assert (server.observed_status, server.restart_count) == (S.RUNNING, 0)
    assert len(engine.calls("ensure")) == 1


def test_lease_of_a_worker_at_work_is_respected(server: GameServer) -> None:
    assert claim(GameServer, server.pk) is not None

    assert claim(GameServer, server.pk) is None


def test_pull_is_given_up_when_the_wish_changes(server: GameServer, engine: FakeEngine) -> None:
    def change_mind(event: PullProgress) -> None:
        services.stop_server(GameServer.objects.get(pk=server.pk), actor=server.owner)

    class Steps(tuple[PullProgress, ...]):
        def __iter__(self) -> Any:
            for event in tuple.__iter__(self):
                change_mind(event)
                yield event

    engine.state.images["kutanga/sample"] = FakeImage("sha256:1", Steps((PullProgress("a"), PullProgress("b"))))

    drive(server, engine)

    assert server.observed_status == S.STOPPED
    assert engine.calls("ensure") == []


@pytest.mark.parametrize("is_job_lost", [False, True])
def test_long_pull_in_a_tick_is_left_to_a_job_once(
    server: GameServer, node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch, is_job_lost: bool
) -> None:
    run_commit_hooks()
    rq_queue(node_queue(node.name)).empty()  # the job of its creation is lost
    monkeypatch.setattr(sweep_module, "PULL_SECONDS", 0.0)
    engine.state.images["kutanga/sample"] = FakeImage("sha256:1", (PullProgress("Downloading", 64),))

    tick(node, engine=engine)
    server.refresh_from_db()
    left = (server.observed_status, server.lease_token, len(engine.calls("ensure")))
    if is_job_lost:
        GameServer.objects.update(next_check_at=timezone.now())
        tick(node, engine=engine)
    else:
        run_jobs(node_queue(node.name))

    server.refresh_from_db()
    assert left == (S.PULLING, None, 0)
    assert (server.observed_status, len(engine.calls("ensure"))) == (S.STARTING, 1)


def test_silent_registry_holds_no_tick_though_no_job_comes(
    server: GameServer, node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_commit_hooks()
    rq_queue(node_queue(node.name)).empty()
    monkeypatch.setattr(sweep_module, "PULL_SECONDS", 0.0)
    silent = PullProgress("Asking the registry", None, silent_seconds=sweep_module.SILENT_SECONDS)
    engine.state.images["kutanga/sample"] = FakeImage("sha256:1", (PullProgress("Downloading", 1), silent))

    told = []
    for _ in range(3):
        tick(node, engine=engine)
        server.refresh_from_db()
        told.append((server.observed_status, server.lease_token, len(engine.calls("ensure"))))
        GameServer.objects.update(next_check_at=timezone.now())

    assert told == [(S.PULLING, None, 0)] * 3


def test_lease_admits_one_worker(server: GameServer, engine: FakeEngine) -> None:
    first = claim(GameServer, server.pk)

    second = claim(GameServer, server.pk)

    assert first is not None
    assert second is None


def test_lease_of_a_dead_worker_runs_out(server: GameServer, engine: FakeEngine) -> None:
    claim(GameServer, server.pk)
    GameServer.objects.filter(pk=server.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    assert claim(GameServer, server.pk) is not None


def test_late_worker_cannot_store_after_its_lease_was_taken(server: GameServer, engine: FakeEngine) -> None:
    late = claim(GameServer, server.pk)
    assert late is not None
    step = take_step(late, engine)
    GameServer.objects.filter(pk=server.pk).update(lease_token=uuid.uuid4())

    stored = store(late, step)

    server.refresh_from_db()
    assert not stored
    assert server.observed_status != S.STARTING


def test_worker_of_an_older_wish_cannot_store(server: GameServer, engine: FakeEngine) -> None:
    busy = claim(GameServer, server.pk)
    assert busy is not None
    step = take_step(busy, engine)
    services.stop_server(server, actor=server.owner)

    stored = store(busy, step)

    assert not stored
    assert GameServer.objects.get(pk=server.pk).observed_status != S.STARTING


def test_wish_that_arrives_during_a_step_is_done_on_release(
    server: GameServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(server, engine)
    services.restart_server(server, actor=server.owner)
    real = mechanism.take_step
    asked = []

    def interrupted(workload: Any, engine: Any) -> Any:
        step = real(workload, engine)
        if not asked:
            asked.append(services.stop_server(GameServer.objects.get(pk=server.pk), actor=server.owner))
        return step

    monkeypatch.setattr(mechanism, "take_step", interrupted)

    drive(server, engine, passes=2)

    assert server.observed_status == S.STOPPED


def test_kill_passes_by_the_lease(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    claim(GameServer, server.pk)

    services.kill_server(server, actor=server.owner)
    kill_now(server, engine=engine)

    seen = engine.inspect(server.engine_name)
    assert seen is not None
    assert seen.exit_code == -9


def test_kill_during_a_launch_ends_what_the_launch_started(
    server: GameServer, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = engine.ensure

    def ensure(spec: Any) -> Any:
        services.kill_server(GameServer.objects.get(pk=server.pk), actor=server.owner)
        kill_now(server, engine=engine)
        return real(spec)

    monkeypatch.setattr(engine, "ensure", ensure)

    drive(server, engine, passes=2)

    seen = engine.inspect(server.engine_name)
    assert server.observed_status == S.STOPPED
    assert seen is not None
    assert not seen.is_running


def test_sweep_removes_what_no_live_row_stands_behind(server: GameServer, engine: FakeEngine, node: Node) -> None:
    running(server, engine)
    name = server.engine_name
    Address.objects.filter(holder=server.pk).update(state="free", holder=None)
    GameServer.objects.filter(pk=server.pk).delete()

    report = sweep(node, engine=engine)

    assert report.orphans_removed == [name]
    assert engine.list_owned() == []
    assert AuditEntry.objects.filter(action="workload.orphan_removed").exists()


def test_sweep_finds_a_crash_that_no_job_told(server: GameServer, engine: FakeEngine, node: Node) -> None:
    running(server, engine)
    engine.crash(server.engine_name, code=9)

    sweep(node, engine=engine)

    server.refresh_from_db()
    assert server.observed_status == S.CRASHED


def test_sweep_stops_what_was_started_behind_the_hubs_back(server: GameServer, engine: FakeEngine, node: Node) -> None:
    running(server, engine)
    spec = engine.state.workloads[server.engine_name].spec
    services.stop_server(server, actor=server.owner)
    drive(server, engine, passes=2)
    engine.ensure(spec)

    sweep(node, engine=engine)
    drive(server, engine, passes=2)

    seen = engine.inspect(server.engine_name)
    assert server.observed_status == S.STOPPED
    assert seen is not None
    assert not seen.is_running


def test_sweep_with_the_engine_away_marks_the_node_and_touches_nothing(
    server: GameServer, engine: FakeEngine, node: Node
) -> None:
    running(server, engine)
    engine.fail("list_owned", EngineError("Docker does not answer.", reason=Reason.UNAVAILABLE))

    sweep(node, engine=engine)
    node.refresh_from_db()
    away = node.engine_error
    sweep(node, engine=engine)
    node.refresh_from_db()
    server.refresh_from_db()

    assert (away, node.engine_error) == ("Docker does not answer.", "")
    assert server.observed_status == S.RUNNING


def test_sweep_costs_a_constant_number_of_queries(server: GameServer, engine: FakeEngine, node: Node) -> None:
    running(server, engine)
    one = count_queries(lambda: sweep(node, engine=engine))
    for _ in range(3):
        running(make_server(node=node, owner=server.owner, template=server.template), engine)

    assert count_queries(lambda: sweep(node, engine=engine)) == one


def test_tick_looks_only_at_what_is_due(server: GameServer, engine: FakeEngine, node: Node) -> None:
    first = tick(node, engine=engine)
    GameServer.objects.update(next_check_at=timezone.now() + timedelta(minutes=5))

    assert (first, tick(node, engine=engine)) == (1, 0)


def test_tick_ends_in_time_and_goes_on_with_the_longest_due(
    server: GameServer, engine: FakeEngine, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_server(node=node, owner=server.owner, template=server.template)
    now = timezone.now()
    for row, seconds in ((server, 1), (other, 60)):
        GameServer.objects.filter(pk=row.pk).update(next_check_at=now - timedelta(seconds=seconds))
    monkeypatch.setattr("hub.nodes.sweep.TICK_SECONDS", 0)

    looked_at = tick(node, engine=engine)

    assert looked_at == 1
    assert {call.args[0].id for call in engine.calls("ensure")} == {other.pk}


def test_one_broken_workload_does_not_keep_the_others_waiting(
    server: GameServer, engine: FakeEngine, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = make_server(node=node, owner=server.owner, template=server.template)
    real = GameServer.build_spec

    def build_spec(self: GameServer, *args: Any) -> Any:
        if self.pk == server.pk:
            raise ValueError("broken")
        return real(self, *args)

    monkeypatch.setattr(GameServer, "build_spec", build_spec)

    tick(node, engine=engine)

    other.refresh_from_db()
    server.refresh_from_db()
    assert other.observed_status == S.STARTING
    assert server.lease_token is None


def test_connections_of_the_last_run_do_not_move_a_server(server: GameServer, engine: FakeEngine) -> None:
    running(server, engine)
    services.restart_server(server, actor=server.owner)
    probed = len(engine.calls("probe_address"))

    drive(server, engine, passes=4)

    assert server.observed_status == S.RUNNING
    assert len(engine.calls("probe_address")) == probed
