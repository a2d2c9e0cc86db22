"""Figures for Prometheus: each is moved by something, and none of it by a path that somebody made up."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from hub import metering, own_figures, tallies
from hub.launcher.plan import fetch
from hub.models import Beat, PeriodicRun, Tally
from hub.nodes.choices import OperationStatus
from hub.nodes.models import Node, NodeTask, Operation, Region
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.postgres.metering import kind_of
from hub.testing import child_environment, wait_until
from monitoring import store
from monitoring.measure import Reading
from servers.models import GameServer
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db
Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def figures(text: str | None = None) -> Figures:
    families = text_string_to_metric_families(metering.exposition().decode() if text is None else text)
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def value(found: Figures, name: str, **labels: str) -> float:
    return found.get((name, frozenset(labels.items())), 0.0)


def finish(server: GameServer, outcome: str, *, seconds: float, verb: str = "create", ago: float = 0) -> None:
    end = timezone.now() - timedelta(seconds=ago)
    operation = Operation.objects.create(
        workload_kind=server.kind,
        workload_id=server.pk,
        workload_name=server.name,
        node=server.node,
        verb=verb,
        generation=1,
        actor_name="ada",
        status=outcome,
        finished_at=end,
    )
    Operation.objects.filter(pk=operation.pk).update(created_at=end - timedelta(seconds=seconds))


def test_request_is_counted_and_timed_under_its_route(client: Client) -> None:
    labels = {"method": "GET", "endpoint": "api/v1/templates/<slug>"}
    before = figures()

    for slug in ("one", "two"):
        client.get(f"/api/v1/templates/{slug}")

    after = figures()
    assert value(after, "http_requests_total", status_code="404", **labels) == 2 + value(
        before, "http_requests_total", status_code="404", **labels
    )
    assert value(after, "http_request_duration_seconds_count", **labels) == 2 + value(
        before, "http_request_duration_seconds_count", **labels
    )
    assert value(after, "http_requests_in_progress", **labels) == 0


def test_paths_and_methods_of_strangers_make_no_series(client: Client) -> None:
    client.get("/wp-login.php")
    client.generic("PROPFIND", "/.git/config")

    text = metering.exposition().decode()
    assert "wp-login" not in text
    assert "PROPFIND" not in text
    assert re.search(r'http_requests_total\{endpoint="unmatched",method="other",status_code="4\d\d"\}', text)


def test_request_in_progress_is_seen_while_it_runs(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    text = client.get("/metrics", REMOTE_ADDR="127.0.0.1").text

    assert value(figures(text), "http_requests_in_progress", method="GET", endpoint="metrics") == 1
    assert value(figures(), "http_requests_in_progress", method="GET", endpoint="metrics") == 0


def test_unforeseen_error_is_counted_by_its_type(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"error_type": "ZeroDivisionError", "endpoint": "health/live"}
    before = value(figures(), "errors_total", **labels)
    monkeypatch.setattr("hub.health.OK", property())  # cannot become JSON

    client = Client(raise_request_exception=False)
    answer = client.get("/health/live")

    after = figures()
    assert answer.status_code == 500
    assert value(after, "errors_total", error_type="TypeError", endpoint="health/live") >= 1
    assert value(after, "errors_total", **labels) == before


def test_statements_are_counted_by_operation_and_table() -> None:
    before = figures()

    Region.objects.filter(name="nowhere").exists()
    Region.objects.filter(name="nowhere").update(name="still nowhere")

    after = figures()
    for operation in ("select", "update"):
        labels = {"operation": operation, "table": "nodes_region"}
        assert value(after, "database_operations_total", **labels) == 1 + value(
            before, "database_operations_total", **labels
        )
        assert value(after, "database_operation_duration_seconds_count", **labels) >= 1


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ('SELECT 1 FROM "nodes_node" WHERE x', ("select", "nodes_node")),
        ("insert into hub_beat (name) values (1)", ("insert", "hub_beat")),
        ('UPDATE "servers_gameserver" SET x = 1', ("update", "servers_gameserver")),
        ('DELETE FROM "nodes_operation"', ("delete", "nodes_operation")),
        ("SELECT now()", ("select", "other")),
        ("SELECT 1 FROM made_up_1234", ("select", "other")),
        ("SAVEPOINT s1", ("other", "")),
    ],
)
def test_kind_of_a_statement(sql: str, kind: tuple[str, str]) -> None:
    assert kind_of(sql) == kind


def test_provisioned_servers_errors_and_durations() -> None:
    server = make_server()
    before = figures()

    finish(server, OperationStatus.DONE, seconds=2)
    finish(server, OperationStatus.DONE, seconds=40)
    finish(server, OperationStatus.FAILED, seconds=1)
    finish(server, OperationStatus.DONE, seconds=7, verb="start")

    after = figures()
    assert value(after, "servers_provisioned_total") - value(before, "servers_provisioned_total") == 2
    assert value(after, "provisioning_errors_total") - value(before, "provisioning_errors_total") == 1
    assert value(after, "servers_provisioned_duration_ms_bucket", le="2500") == 1
    assert value(after, "servers_provisioned_duration_ms_bucket", le="+Inf") == 2
    assert value(after, "servers_provisioned_duration_ms_sum") == pytest.approx(42_000)
    start = {"node": server.node.name, "verb": "start"}
    assert value(after, "server_launch_duration_seconds_bucket", le="5", **start) == 0
    assert value(after, "server_launch_duration_seconds_bucket", le="10", **start) == 1
    queue = f"node:{server.node.name}"
    assert value(after, "jobs_total", queue=queue, job="server.create", outcome="failed") == 1


def test_tasks_and_periodic_runs_are_jobs_too() -> None:
    node = NodeFactory(name="alpha")
    now = timezone.now()
    NodeTask.objects.create(node=node, verb="look", actor_name="ada", status="done", finished_at=now)
    PeriodicRun.objects.create(task="seal-audit", due_at=now, outcome="failed", finished_at=now)

    found = figures()

    assert value(found, "jobs_total", queue="node:alpha", job="node.look", outcome="done") == 1
    assert value(found, "jobs_total", queue="default", job="seal-audit", outcome="failed") == 1


def test_ports_servers_and_beats() -> None:
    node = NodeFactory(name="alpha", agent_seen_at=timezone.now() - timedelta(minutes=5))
    PoolFactory(node=node, name="games", size=10)
    Beat.objects.create(name="scheduler", at=timezone.now())
    make_server(node=node)

    found = figures()

    pool = {"node": "alpha", "pool": "games"}
    assert value(found, "allocated_ports", **pool) + value(found, "available_ports", **pool) == 10
    assert value(found, "allocated_ports", **pool) >= 1
    assert value(found, "servers", status="queued") == 1
    assert (value(found, "agent_up", node="alpha"), value(found, "engine_up", node="alpha", engine="fake")) == (0, 0)
    Node.objects.update(agent_seen_at=timezone.now())
    found = figures()
    assert value(found, "agent_up", node="alpha") == 1
    assert value(found, "agent_seen_timestamp_seconds", node="alpha") == pytest.approx(time.time(), abs=30)
    assert value(found, "beat_timestamp_seconds", process="scheduler") == pytest.approx(time.time(), abs=30)


def test_machines_are_told_as_they_were_in_the_last_minute() -> None:
    NodeFactory(name="alpha")
    NodeFactory(name="away", is_enabled=False)
    now = timezone.now()
    store.store(
        [
            Reading("node:alpha", now, {"cpu_share": 25.0, "memory_bytes": 2.0**30}).line(),
            Reading("node:alpha", now - timedelta(hours=1), {"cpu_share": 99.0, "load": 3.0}).line(),
            Reading("node:away", now, {"cpu_share": 50.0}).line(),
            Reading("server:1", now, {"cpu_share": 75.0}).line(),
        ]
    )

    found = {key: number for key, number in figures().items() if key[0].startswith("machine_")}

    alpha = frozenset({("node", "alpha")})
    assert found == pytest.approx({("machine_cpu_ratio", alpha): 0.25, ("machine_memory_bytes", alpha): 2.0**30})


def test_room_of_nodes_is_told_where_the_hub_limits_it() -> None:
    node = NodeFactory(name="alpha", memory_mb=4096, overcommit={"memory": 2})
    NodeFactory(name="free")
    server = make_server(node=node)

    found = {key: number for key, number in figures().items() if key[0].startswith("node_")}

    labels = frozenset({("node", "alpha"), ("resource", "memory_mb")})
    assert found == {("node_capacity", labels): 8192, ("node_promised", labels): server.memory_mb}


def test_launches_of_instances_are_told_apart_from_those_of_servers() -> None:
    server = make_server()
    finish(server, OperationStatus.DONE, seconds=4)
    Operation.objects.update(workload_kind="instance")

    found = figures()

    labels = {"node": server.node.name, "verb": "create"}
    assert value(found, "instance_launch_duration_seconds_count", **labels) == 1
    assert value(found, "server_launch_duration_seconds_count", **labels) == 0


def test_counters_do_not_fall_when_their_rows_are_forgotten() -> None:
    server = make_server()
    finish(server, OperationStatus.DONE, seconds=2, ago=7200)
    finish(server, OperationStatus.DONE, seconds=3, ago=5)
    before = figures()

    tallies.add_up()
    tallies.add_up()
    added = figures()
    Operation.objects.filter(finished_at__lte=tallies.marks()["operations"]).delete()
    forgotten = figures()

    for name in ("servers_provisioned_total", "servers_provisioned_duration_ms_sum"):
        assert value(before, name) == value(added, name) == value(forgotten, name) > 0
    assert value(forgotten, "servers_provisioned_duration_ms_bucket", le="2500") == 1
    assert Tally.objects.filter(name="operation_seconds_count").count() == 1


def test_what_cannot_be_asked_is_said_and_hides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Any:
        raise RuntimeError("away")

    monkeypatch.setitem(metering._collectors, "bad", fail)

    found = figures()

    assert value(found, "hub_scrape_failed", source="bad") == 1
    assert value(found, "hub_scrape_failed", source="nodes") == 0
    assert any(name == "servers" for name, _ in found)


def test_allowed_networks_read_metrics_without_a_token(client: Client, settings: Any) -> None:
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 403

    settings.HUB_METRICS_ALLOWED = [ip_network("10.1.0.0/16")]

    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.2.2.3").status_code == 403


def test_middleware_costs_less_than_a_tenth_of_a_millisecond() -> None:
    request = RequestFactory().get("/health/live")
    answer = HttpResponse()
    middleware = metering.MetricsMiddleware(lambda request: answer)
    rounds = 2_000
    began = time.thread_time()
    for _ in range(rounds):
        middleware.process_view(request)
        middleware(request)

    assert (time.thread_time() - began) / rounds < 0.0001


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_processes_of_gunicorn_count_together(tmp_path: Path) -> None:
    """Whichever of three processes is asked, it tells what all have answered, also after one of them has died."""
    port = 8391
    command = [sys.executable, "-m", "gunicorn", "hub.wsgi", "--bind", f"127.0.0.1:{port}", "--workers", "3"]
    server = subprocess.Popen([*command, "--no-control-socket"], env=child_environment(), stderr=subprocess.PIPE)
    try:
        wait_until(lambda: fetch("127.0.0.1", port, "/health/live")[0] == 200, 60)
        for _ in range(30):
            assert fetch("127.0.0.1", port, "/api/v1/nowhere-to-be")[0] == 404
        labels = {"method": "GET", "endpoint": "unmatched", "status_code": "404"}
        seen = {
            value(figures(fetch("127.0.0.1", port, "/metrics")[1].decode()), "http_requests_total", **labels)
            for _ in range(8)
        }
        assert seen == {30.0}

        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        os.kill(int(children[0]), signal.SIGKILL)
        wait_until(lambda: fetch("127.0.0.1", port, "/health/live")[0] == 200, 60)
        found = figures(fetch("127.0.0.1", port, "/metrics")[1].decode())
        assert value(found, "http_requests_total", **labels) == 30
    finally:
        server.terminate()
        server.communicate(timeout=120)


def test_connections_of_the_database_are_counted_and_so_is_what_it_accepts() -> None:
    """Others of the same run come and go meanwhile; ours and the one opened here are there."""
    with psycopg.connect(os.environ["DATABASE_URL"].replace("/hub?", "/postgres?", 1)):
        told = {family.name: family.samples[0].value for family in own_figures.collect_database()}
    with connection.cursor() as cursor:
        cursor.execute("SHOW max_connections")
        accepted = int(cursor.fetchone()[0])

    assert told["database_connections_limit"] == accepted
    assert 2 <= told["database_connections"] <= accepted
