"""Servers on an engine that starts late and restarts by itself: the hub says what it waits for, counts, gives up."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from hub.engines.base import EngineError, Observation, Obstacle, Probe, ProbeKind, Reason, State
from hub.engines.fake import FakeEngine
from hub.engines.kubernetes import KubernetesEngine
from hub.nodes import operations
from hub.nodes.choices import AddressState, DesiredStatus, Finding, ObservedStatus
from hub.nodes.drift import judge
from hub.nodes.models import Address, Node, Operation
from hub.nodes.reconcile import reconcile
from hub.nodes.shutdown import stop_workloads
from servers import health, services
from servers.models import GameServer, Template

from .conftest import Games
from .factories import make_server

pytestmark = pytest.mark.django_db
S = ObservedStatus


class Cluster(FakeEngine):
    """The fake engine, which makes workloads and starts them when the test says so."""

    capabilities = KubernetesEngine.capabilities
    is_slow = True
    obstacle: Obstacle | None = None
    restarts = 0
    is_ending = False

    def ensure(self, spec):
        return self.told(super().ensure(spec))

    def inspect(self, name):
        seen = super().inspect(name)
        return None if seen is None else self.told(seen)

    def told(self, seen: Observation) -> Observation:
        if self.is_slow and seen.is_running:
            return replace(seen, state=State.CREATED, started_at=None, detail="On its way.", obstacle=self.obstacle)
        if self.restarts and seen.is_running:
            later = seen.started_at + timedelta(seconds=self.restarts)
            seen = replace(seen, started_at=later, restart_count=self.restarts)
            seen = replace(seen, restart_cause="It ended with exit code 3.")
        return replace(seen, is_ending=self.is_ending and seen.is_running)


@pytest.fixture
def cluster(node: Node, engine: FakeEngine) -> Cluster:
    return Cluster(node=node.name, options={})


@pytest.fixture
def server(node: Node, cluster: Cluster, games: Games) -> GameServer:
    return make_server(node=node)


def look(server: GameServer, cluster: Cluster) -> GameServer:
    reconcile(GameServer, server.pk, engine=cluster)
    server.refresh_from_db()
    return server


def test_a_launch_under_way_is_shown_with_what_it_waits_for(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    look(server, cluster)

    assert (server.observed_status, server.status_reason) == (S.STARTING, "On its way.")
    assert sum(call.verb == "ensure" for call in cluster.state.calls) == 1


def test_one_that_is_stopped_on_its_way_up_does_not_come_up(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    services.stop_server(server, actor=server.owner)

    look(server, cluster)
    cluster.is_slow = False

    assert server.observed_status == S.STOPPED
    assert cluster.inspect(server.engine_name).state is State.EXITED


def test_it_runs_once_the_cluster_has_started_it(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    cluster.is_slow = False

    look(server, cluster)

    assert server.observed_status == S.RUNNING
    assert not Operation.objects.open().exists()


def test_a_launch_that_takes_too_long_is_taken_back_with_its_reason(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    GameServer.objects.update(ready_deadline_at=timezone.now() - timedelta(seconds=1))

    look(server, cluster)

    assert server.observed_status == S.FAILED
    assert "taken back: On its way." in server.status_reason
    assert cluster.inspect(server.engine_name) is None
    assert server.engine_name in cluster.state.data


def test_what_waiting_cannot_mend_fails_at_once(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    cluster.obstacle = Obstacle(Reason.IMAGE_MISSING, "The image games:9 cannot be pulled: not found", permanent=True)

    look(server, cluster)

    assert (server.observed_status, server.status_reason) == (S.FAILED, cluster.obstacle.message)
    assert cluster.inspect(server.engine_name) is None


def test_a_launch_that_is_refused_in_its_middle_leaves_nothing(server: GameServer, cluster: Cluster) -> None:
    refused = EngineError("The cluster refused this: no.", reason=Reason.REFUSED, permanent=True)
    cluster.fail("ensure", refused, after=True)

    look(server, cluster)

    assert (server.observed_status, server.status_reason) == (S.FAILED, "The cluster refused this: no.")
    assert cluster.inspect(server.engine_name) is None
    assert server.engine_name in cluster.state.data


def test_what_another_wish_has_made_is_not_taken_back(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    mine = operations.wish(server, verb="restart", actor=server.owner, desired=DesiredStatus.RUNNING)
    newer = EngineError("A newer generation exists.", reason=Reason.STALE, permanent=True)
    cluster.fail("ensure", newer)

    look(server, cluster)

    assert mine.generation == server.generation == 2
    assert cluster.inspect(server.engine_name).generation == 1


def test_what_its_engine_takes_its_time_to_delete_is_being_deleted(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    services.stop_server(server, actor=server.owner)
    look(server, cluster)
    services.delete_server(server, actor=server.owner)
    cluster.fail("remove", EngineError("The cluster is deleting it.", reason=Reason.TIMED_OUT))

    look(server, cluster)
    told = server.observed_status, server.status_reason
    look(server, cluster)

    assert told == (S.DELETING, "The cluster is deleting it. The hub tries again.")
    assert server.observed_status == S.DELETED


def test_an_address_that_is_not_given_is_blocked_and_another_one_leased(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    first = server.addresses().first()
    cluster.obstacle = Obstacle(Reason.ADDRESS_TAKEN, "It is shared by others.", ip=str(first.ip), port=first.port)

    look(server, cluster)
    first.refresh_from_db()

    assert (first.state, first.reason) == (AddressState.BLOCKED, "It is shared by others.")
    assert server.addresses().first() != first
    assert Address.objects.filter(holder=server.pk).count() == 1


def test_restarts_by_the_cluster_are_counted(server: GameServer, cluster: Cluster) -> None:
    cluster.is_slow = False
    look(server, cluster)
    cluster.restarts = 1

    look(server, cluster)
    told = server.status_reason
    look(server, cluster)

    assert told == "It ended with exit code 3."
    assert (server.observed_status, server.restart_count, server.status_reason) == (S.RUNNING, 1, "")


def test_the_hub_gives_up_by_stopping_what_the_cluster_would_restart(server: GameServer, cluster: Cluster) -> None:
    cluster.is_slow = False
    look(server, cluster)

    for count in range(1, 9):
        cluster.restarts = count
        look(server, cluster)

    assert server.observed_status == S.FAILED
    assert "Given up after 8 crashes" in server.status_reason
    assert any(call.verb == "stop" for call in cluster.state.calls)


def test_what_was_given_up_stays_failed_until_it_has_ended(
    server: GameServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.is_slow = False
    look(server, cluster)
    monkeypatch.setattr(cluster, "stop", lambda name: setattr(cluster, "is_ending", True))
    for count in range(1, 9):
        cluster.restarts = count
        look(server, cluster)

    look(server, cluster)

    assert (server.observed_status, server.restart_count) == (S.FAILED, 8)
    assert "Given up after 8 crashes" in server.status_reason


def test_what_was_brought_to_rest_with_the_hub_is_not_taken_for_running_while_it_ends(
    server: GameServer, cluster: Cluster, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.is_slow = False
    look(server, cluster)
    look(server, cluster)
    with monkeypatch.context() as patched:
        for verb in ("stop", "kill"):
            patched.setattr(cluster, verb, lambda name, **_: setattr(cluster, "is_ending", True))
        stop_workloads(node, seconds=0, engine=cluster)

    told = [(look(server, cluster).observed_status, judge(server, cluster.inspect(server.engine_name))[0])]
    cluster.kill(server.engine_name)
    cluster.is_ending = False
    look(server, cluster)
    look(server, cluster)

    assert told == [(S.LOST, Finding.BUSY)]
    assert (server.observed_status, server.restart_count, len(cluster.calls("ensure"))) == (S.RUNNING, 0, 2)
    assert not AuditEntry.objects.filter(action__in=("workload.adopted", "server.crashed")).exists()


def test_what_ends_by_its_console_when_the_hub_goes_down_is_not_started_again_by_its_cluster(
    server: GameServer, cluster: Cluster, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with_console(server, cluster)
    monkeypatch.setattr(cluster, "send_input", lambda name, line: setattr(cluster, "is_slow", True))

    stop_workloads(node, seconds=60, engine=cluster)

    assert (len(cluster.calls("stop")), len(cluster.calls("kill"))) == (1, 0)


def test_what_ends_by_its_console_and_is_started_again_is_stopped_before_it_is_killed(
    server: GameServer, cluster: Cluster
) -> None:
    run_with_console(server, cluster)
    services.stop_server(server, actor=server.owner)
    look(server, cluster)
    GameServer.objects.update(stop_deadline_at=timezone.now() + timedelta(seconds=1))
    cluster.restarts = 1

    look(server, cluster)
    left = server.stop_deadline_at - timezone.now()
    look(server, cluster)

    assert (cluster.input_of(server.engine_name), server.observed_status) == (["save-and-quit"], S.STOPPED)
    assert (len(cluster.calls("kill")), server.exit_code) == (0, -signal.SIGTERM)
    assert left > timedelta(seconds=20), "the new run has the grace of a run"


def test_what_ends_by_its_console_does_not_come_up_after_the_clusters_pause(
    server: GameServer, cluster: Cluster
) -> None:
    run_with_console(server, cluster)
    services.stop_server(server, actor=server.owner)
    look(server, cluster)
    cluster.crash(server.engine_name, code=0)

    look(server, cluster)

    assert (server.observed_status, server.exit_code) == (S.STOPPED, 0)
    assert cluster.calls("stop")


def test_what_the_cluster_starts_again_right_before_the_next_launch_is_stopped_first(
    server: GameServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_with_console(server, cluster)
    held = cluster.state.workloads[server.engine_name]
    services.restart_server(server, actor=server.owner)
    look(server, cluster)
    ran = held.observation
    cluster.crash(server.engine_name, code=0)
    with monkeypatch.context() as patched:
        later = replace(ran, started_at=ran.started_at + timedelta(seconds=1))
        patched.setattr(cluster, "pull", lambda *_, **__: setattr(held, "observation", later) or "")

        look(server, cluster)

    told = server.observed_status
    look(server, cluster)
    look(server, cluster)

    assert (told, server.observed_status) == (S.STOPPING, S.RUNNING)
    assert (cluster.inspect(server.engine_name).generation, cluster.calls("kill")) == (server.generation, [])


def run_with_console(server: GameServer, cluster: Cluster) -> None:
    Template.objects.update(stop_kind="console", stop_value="save-and-quit")
    cluster.is_slow = False
    look(server, cluster)
    look(server, cluster)


@pytest.mark.parametrize(
    ("kind", "probe"),
    [("tcp", Probe(ProbeKind.TCP, 25565)), ("minecraft", Probe(ProbeKind.TCP, 25565)), ("a2s", None), ("log", None)],
)
def test_a_port_that_takes_connections_is_told_as_a_probe(
    server: GameServer, cluster: Cluster, kind: str, probe: Probe | None
) -> None:
    server.template.readiness_kind = kind

    assert server.build_spec(list(server.addresses()), cluster).probe == probe


def test_a_server_whose_probe_fails_is_not_asked_further(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    seen = cluster.inspect(server.engine_name)
    assert seen is not None

    told = health.check(server, cluster, replace(seen, is_ready=False))

    assert (told.is_ok, "no connections" in told.detail) == (False, True)


def test_a_port_that_the_agent_cannot_reach_is_left_to_the_cluster(server: GameServer, cluster: Cluster) -> None:
    look(server, cluster)
    server.template.readiness_kind = "minecraft"
    seen = cluster.inspect(server.engine_name)
    assert seen is not None

    assert health.check(server, cluster, replace(seen, host="", ports=(), is_ready=True)).is_ok
