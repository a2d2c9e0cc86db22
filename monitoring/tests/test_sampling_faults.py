"""A running agent samples while PostgreSQL is stopped, and is killed itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from hub.nodes.models import Node
from hub.testing import empty_queues, wait_until
from monitoring import query
from monitoring.alerts import defaults, evaluate
from monitoring.alerts.models import Alert
from monitoring.models import Feed
from servers.tests.machine import process_node
from servers.tests.outages import Programs, database_at, forget_connections, own_service

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATIENCE = 60.0
OUTAGE_SECONDS = 8  # of a sampler that looks every second: as many looks as in 80 s of one that looks every ten


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    try:
        programs.end()
    finally:
        print(programs.logs())


def times(node: Node) -> list[datetime]:
    """When the node was measured, doubles too."""
    sql = """
        SELECT at FROM monitoring_sample JOIN monitoring_series series ON series.id = series_id
        WHERE subject = %s ORDER BY at
    """
    with connection.cursor() as cursor:
        cursor.execute(sql, [f"node:{node.name}"])
        return [at for (at,) in cursor.fetchall()]


def alerts() -> list[str]:
    return list(Alert.objects.filter(rule__slug="agent-silent").values_list("state", flat=True))


def test_postgresql_is_stopped_and_no_sample_is_lost_or_doubled(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_service("postgres") as postgres:
        postgres.embedded.create_database()
        with database_at(postgres.embedded.database_url, monkeypatch):
            call_command("migrate", verbosity=0)
            empty_queues()
            with process_node() as node:
                programs.agent(node, HUB_SAMPLE_SECONDS="1", HUB_DATA=str(tmp_path))
                wait_until(lambda: len(times(node)) >= 2, PATIENCE, pause=0.2, what="the first samples")

                stopped = timezone.now()
                postgres.crash()
                time.sleep(OUTAGE_SECONDS)
                back = timezone.now()
                postgres.start()
                forget_connections()
                after = back + timedelta(seconds=2)
                wait_until(lambda: times(node)[-1:] > [after], PATIENCE, pause=0.2, what="samples of afterwards")
                programs.end()

                found, feed = times(node), Feed.objects.get()
                unsent = list((tmp_path / "samples" / node.name).glob("[0-9]*.tsv"))
                assert len(found) == len(set(found))
                assert (len(found), feed.dropped) == (feed.sequence, 0)
                assert len(unsent) <= 1  # of the round in which the agent was ended
                assert sum(stopped < at < back for at in found) >= OUTAGE_SECONDS // 4
                assert not list(tmp_path.rglob("*.refused"))


def test_killed_agent_is_a_gap_and_an_alert_within_two_beats_that_ends_when_it_is_back(
    programs: Programs, tmp_path: Path
) -> None:
    empty_queues()
    defaults.sync_rules()
    with process_node() as node:
        began = timezone.now()
        environment = {"HUB_SAMPLE_SECONDS": "1", "HUB_DATA": str(tmp_path)}
        agent = programs.agent(node, **environment)
        wait_until(lambda: len(times(node)) >= 2, PATIENCE, pause=0.2, what="the first samples")
        agent.kill_all()
        node.refresh_from_db()
        assert node.agent_seen_at is not None
        killed, last_beat = timezone.now(), node.agent_seen_at
        time.sleep(21)  # two beats; a bucket of ten seconds in between stays empty
        evaluate.evaluate_all(last_beat + timedelta(seconds=defaults.BEATS_SECONDS - 1))
        before = alerts()
        evaluate.evaluate_all(last_beat + timedelta(seconds=defaults.BEATS_SECONDS + 1))
        silent = alerts()

        programs.agent(node, **environment)
        wait_until(lambda: times(node)[-1] > killed, PATIENCE, pause=0.2, what="samples of the new agent")
        wait_until(lambda: Node.objects.get().agent_seen_at > killed, PATIENCE, pause=0.2, what="its beat")
        evaluate.evaluate_all()

        answer = query.read([f"node:{node.name}"], ["load"], began, timezone.now(), step=10)
        (load,) = answer.series
        known = [value is not None for value in load.mean]
        assert (before, silent, alerts()) == ([], ["firing"], ["resolved"])
        assert False in known[known.index(True) : len(known) - known[::-1].index(True)]
