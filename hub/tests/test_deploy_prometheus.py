"""What deploy/ gives to Prometheus and Grafana: understood by them, firing when it should, asking for what is there."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from prometheus_client.parser import text_string_to_metric_families

from hub import metering
from hub.launcher.processes import follow_parent
from hub.testing import wait_until

DEPLOY = Path(settings.BASE_DIR) / "deploy"
RULES = ("hub.rules.yml", "kubernetes.rules.yml")
DASHBOARDS = sorted((DEPLOY / "grafana").glob("*.json"))
ELSEWHERE = ("up", "container_", "kube_")  # what Prometheus itself and a cluster's exporters tell
NOT_NAMES = re.compile(r'\{[^}]*\}|"[^"]*"|\b(by|without|on)\s*\([^)]*\)|\[\w+\]')
NAME = re.compile(r"\b[a-z][a-z0-9_:]*\b(?!\s*\()")
WORDS = {"and", "or", "by", "sum", "max", "histogram_quantile"}


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
    config["scrape_configs"] = [{"job_name": "hub", "static_configs": [{"targets": [target]}]}]
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
    with urllib.request.urlopen(f"{address}/api/v1/query?{query}", timeout=10) as answer:  # noqa: S310 - our own
        found: list[Any] = json.load(answer)["data"]["result"]
        return found


@pytest.mark.prometheus
@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_every_query_of_the_dashboards_runs_on_a_prometheus_that_scrapes_the_hub(
    live_server: Any, tmp_path: Path
) -> None:
    with prometheus(tmp_path, live_server.url.removeprefix("http://")) as address:

        def is_scraped() -> bool:
            try:
                return [row["value"][1] for row in ask(address, 'up{job="hub"}')] == ["1"]
            except OSError:
                return False

        wait_until(is_scraped, 30, what="the first scrape")
        for name, expression in panels():
            assert isinstance(ask(address, expression), list), name
        assert ask(address, "redis_up")[0]["value"][1] == "1"
