"""What deploy/ gives to Prometheus and Grafana: understood by them, firing when it should, asking for what is there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from hub import metering, own_figures, tallies
from hub.jobs import DEFAULT_QUEUE, rq_queue
from hub.launcher.processes import follow_parent
from hub.models import BackupReport, Beat
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import empty_queues, wait_until
from monitoring import store
from monitoring.measure import Reading

DEPLOY = Path(settings.BASE_DIR) / "deploy"
RULES = ("hub.rules.yml", "kubernetes.rules.yml")
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
ELSEWHERE = ("up", "container_", "kube_")  # what Prometheus itself and a cluster's exporters tell
NOT_NAMES = re.compile(r'\{[^}]*\}|"[^"]*"|\b(by|without|on)\s*\([^)]*\)|\[\w+\]')
NAME = re.compile(r"\b[a-z][a-z0-9_:]*\b(?!\s*\()")
WORDS = {"and", "or", "by", "sum", "max", "histogram_quantile"}
SUBMIT = "/api/v1/event-challenges/1/submit"


def rules() -> list[dict[str, Any]]:
    files = [yaml.safe_load((DEPLOY / "prometheus" / name).read_text()) for name in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def panels() -> list[tuple[str, str]]:
    """Every panel's name and query."""
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    return [
        (f"{board['title']}, {panel['title']}", target["expr"])
        for board in boards
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def names(expression: str) -> set[str]:
    """The series that an expression reads, without the endings of histograms."""
    found = set(NAME.findall(NOT_NAMES.sub(" ", expression))) - WORDS
    return {re.sub(r"_(total|bucket|count|sum)$", "", name) for name in found if not name.startswith(ELSEWHERE)}


def run(*command: str) -> None:
    done = subprocess.run(command, cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.prometheus
def test_prometheus_understands_rules_and_settings() -> None:
    run("promtool", "check", "rules", *RULES)
    run("promtool", "check", "config", "--syntax-only", "prometheus.yml")
    run("amtool", "check-config", "alertmanager.yml")


@pytest.mark.prometheus
def test_every_alert_fires_past_its_threshold_and_not_before() -> None:
    run("promtool", "test", "rules", "rules.test.yml")

    tested = yaml.safe_load((DEPLOY / "prometheus" / "rules.test.yml").read_text())["tests"]
    fired = {case["alertname"] for test in tested for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in rules() if "alert" in rule}


def test_every_rules_file_is_mounted_and_alertmanager_named() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())

    assert sorted(config["rule_files"]) == sorted(path.name for path in (DEPLOY / "prometheus").glob("*.rules.yml"))
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]


def test_every_alert_has_a_severity_and_a_section_of_the_runbook() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "runbook.md").read_text()
    anchors = {heading.lower().replace(" ", "-") for heading in re.findall(r"^## (.+)$", text, re.MULTILINE)}

    for rule in (rule for rule in rules() if "alert" in rule):
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert (page, anchor in anchors) == ("docs/runbook.md", True), rule["alert"]


@pytest.mark.django_db
def test_rules_and_dashboards_ask_only_for_what_the_hub_tells() -> None:
    told = {family.name for family in text_string_to_metric_families(metering.exposition().decode())}
    recorded = {rule["record"] for rule in rules() if "record" in rule}

    for name, expression in [*panels(), *((rule.get("alert", ""), rule["expr"]) for rule in rules())]:
        assert not names(expression) - told - recorded, name


@contextmanager
def prometheus(directory: Path, target: str) -> Iterator[str]:
    """A real one that scrapes a hub every second; answers its address."""
    for name in RULES:
        shutil.copy(DEPLOY / "prometheus" / name, directory)
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "evaluation_interval": "1s"}
    del config["alerting"]
    (hub,) = (job for job in config["scrape_configs"] if job["job_name"] == "hub")
    del hub["authorization"]  # from this machine no token is needed
    config["scrape_configs"] = [hub | {"static_configs": [{"targets": [target]}]}]
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(shutil.which("prometheus")), f"--config.file={directory}/prometheus.yml"]
    command += [f"--storage.tsdb.path={directory}/data", f"--web.listen-address=127.0.0.1:{port}"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=follow_parent(9))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def ask(address: str, expression: str) -> list[Any]:
    """What an instant query answers; raises when Prometheus does not understand it."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=120) as answer:  # noqa: S310 - our own
        found: list[Any] = json.load(answer)["data"]["result"]
        return found


def live(address: str) -> None:
    """Let there be something of each kind to tell: a node with limits and samples, ended jobs, requests, a backup."""
    node = NodeFactory(name="alpha", memory_mb=4096, cpu_percent=400, disk_mb=9000, agent_seen_at=timezone.now())
    PoolFactory(node=node, name="games", size=10)
    PoolFactory(
        node=node,
        name="teams",
        kind="load_balancer",
        first_ip="10.0.0.1",
        last_ip="10.0.0.9",
        first_port=None,
        last_port=None,
    )
    rq_queue(DEFAULT_QUEUE).enqueue("hub.jobs.nobody_runs_this")
    Beat.objects.create(name="scheduler", at=timezone.now())
    told = dict.fromkeys(("cpu_share", "memory_share", "memory_bytes", "disk_share", "load"), 10.0)
    store.store([Reading("node:alpha", timezone.now(), told).line()])
    columns = [1] * len(own_figures.BUCKETS) + [2.5]
    for kind, verb in (("server", "create"), ("instance", "create")):
        labels = {"node": "alpha", "kind": kind, "verb": verb, "outcome": "done"}
        keep("operations", own_figures.bucket_rows("operation_seconds", labels, 1, columns))
        job = {"queue": "hub-node-alpha", "job": f"{kind}.{verb}"}
        keep("operations", [("jobs", job | {"outcome": outcome}, 1) for outcome in ("done", "failed")])
    rows = own_figures.bucket_rows("device_deployments", {"status": "succeeded"}, 1, columns)
    keep("device_deployments", rows)
    BackupReport.objects.create(kind="base", is_good=True, bytes=1)
    for path in (f"/api/v1/devices/{uuid.uuid4()}/heartbeat", SUBMIT, "/api/v1/auth/login"):
        call = HTTPConnection(address.removeprefix("http://"), timeout=120)
        call.request("POST", path, "{}", {"Content-Type": "application/json"})
        assert call.getresponse().status in (400, 401)
        call.close()
    metering.errors_total.labels("KeyError", "tests").inc()
    metering.security_events.labels("login_failed").inc()


def keep(source: str, rows: Iterable[tallies.Row]) -> None:
    for name, labels, value in rows:
        tallies.add(source, name, labels, value)


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_every_query_of_the_dashboards_finds_something_on_a_prometheus_that_scrapes_the_hub(
    live_server: Any, tmp_path: Path
) -> None:
    live(live_server.url)
    with prometheus(tmp_path, live_server.url.removeprefix("http://")) as address:

        def is_scraped() -> bool:
            try:
                return int(ask(address, 'sum_over_time(up{job="hub"}[1m])')[0]["value"][1]) >= 3
            except (OSError, IndexError):
                return False

        wait_until(is_scraped, what="three scrapes")
        empty = [name for name, expression in panels() if not ask(address, expression) and not may_be_empty(expression)]
        empty_queues()
        assert empty == []
        assert ask(address, 'jobs_total{job="server.create",outcome="failed"}'), "the hub's own label was renamed"
        assert ask(address, "redis_up")[0]["value"][1] == "1"


def may_be_empty(expression: str) -> bool:
    """What only a cluster or a receiver of WAL tells, what leaves zeros out, and what wants a minute of scrapes."""
    return re.search("kube_|backup_wal_|changes| > 0$", expression) is not None


def test_what_may_be_empty_says_so_to_who_looks_at_it() -> None:
    boards = [json.loads(path.read_text()) for path in DASHBOARDS]
    for panel in (panel for board in boards for panel in board["panels"]):
        if any(may_be_empty(target["expr"]) for target in panel["targets"]):
            assert panel["description"], panel["title"]


def test_dashboards_are_those_that_were_asked_for_d85() -> None:
    boards = {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}

    assert boards.keys() == {"system", "application", "provisioning", "scaling", "devices", "challenges"}
    assert len({board["uid"] for board in boards.values()}) == len(boards)
    titles = {name: {panel["title"] for panel in board["panels"]} for name, board in boards.items()}
    assert titles["system"] >= {"Processor of machines", "Memory of machines", "Disk of machines"}
    assert titles["application"] >= {"Requests a second", "Duration", "Failing", "Top routes"}
    assert titles["scaling"] >= {
        "Replicas, wanted and there",
        "Scaling events in an hour",
        "Promised of what nodes have",
    }
    for name, board in boards.items():
        ids = [panel["id"] for panel in board["panels"]]
        assert len({*ids}) == len(ids), name


SHARED = (
    "servers|instances|devices|deployments|jobs|beat|agent|engine|allocated|available|pool|node|machine|redis|backup"
)


def test_what_every_web_process_tells_alike_is_counted_once() -> None:
    """Three processes tell the same rows: added up they would be three times as many."""
    for name, expression in panels():
        if re.search(rf"\b({SHARED})\w*(?=[\[{{\s)])", expression) and "histogram_quantile" not in expression:
            assert re.search(r"\b(max|min)\b", expression), name
