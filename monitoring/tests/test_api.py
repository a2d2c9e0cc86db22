"""The metrics API: a range follows who may see its subject; integrators may store what they measured."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.tests.factories import UserFactory
from hub.jobs import node_queue, rq_queue
from hub.testing import api_client, empty_queues, run_commit_hooks
from monitoring import events, store
from monitoring.measure import Reading
from servers.models import GameServer
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db
QUERY = "/api/v1/metrics/query"


@pytest.fixture
def server() -> GameServer:
    made = make_server()
    now = timezone.now()
    store.store(
        [Reading(f"server:{made.pk}", now - timedelta(seconds=10 * n), {"cpu_percent": 50.0}).line() for n in range(6)]
    )
    return made


def ask(who: Any, server: GameServer, **more: Any) -> Any:
    return api_client(who).get(QUERY, {"subject": f"server:{server.pk}", "metric": "cpu_percent", **more})


def test_owner_reads_his_server_with_its_limit_and_events(server: GameServer):
    events.record(f"server:{server.pk}", "crashed", "out of memory", at=timezone.now() - timedelta(seconds=5))

    answer = ask(server.owner, server, points=60).json()

    (series,) = answer["series"]
    assert set(series["mean"]) == {50.0, None}
    assert series["limit"] == server.cpu_percent
    assert answer["events"][0]["text"] == "out of memory"


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 200), ("Viewer", 200), ("Player", 404)])
def test_others_see_it_when_they_see_the_server(server: GameServer, role: str, status: int):
    assert ask(UserFactory(role=role), server).status_code == status


def test_nobody_reads_nothing(server: GameServer):
    assert ask(None, server).status_code == 401


def test_player_does_not_see_nodes(server: GameServer):
    answer = api_client(server.owner).get(QUERY, {"subject": f"node:{server.node.name}", "metric": "load"})

    assert answer.status_code == 404


def test_range_as_csv_has_a_line_for_each_bucket_with_something_in_it(server: GameServer):
    answer = ask(server.owner, server, points=60, format="csv")

    lines = answer.content.decode().splitlines()
    assert lines[0] == "time,subject,name,metric,unit,min,mean,max"
    assert len(lines) in (2, 3)
    assert answer["Content-Disposition"] == 'attachment; filename="metrics.csv"'


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"metric": "secrets"}, "metric.0"),
        ({"subject": "server"}, "subject.0"),
        ({"points": 100_000}, "points"),
        ({"from": "yesterday"}, "from"),
    ],
)
def test_bad_question_names_the_field(server: GameServer, changes: dict[str, Any], field: str):
    answer = ask(server.owner, server, **changes)

    assert answer.status_code == 400
    assert field in answer.json()["fields"]


def test_series_tell_what_is_measured(server: GameServer):
    answer = api_client(server.owner).get("/api/v1/metrics/series", {"subject": f"server:{server.pk}"})

    assert answer.json() == [{"subject": f"server:{server.pk}", "name": server.name, "metrics": ["cpu_percent"]}]


def test_integrator_stores_what_he_measured(server: GameServer):
    operator = UserFactory(role="Operator")
    body = {"subject": f"server:{server.pk}", "samples": [{"players": 17}, {"players": 19, "cpu_percent": 12.5}]}

    answer = api_client(operator).post("/api/v1/metrics/samples", body)
    read = api_client(operator).get(QUERY, {"subject": body["subject"], "metric": "players", "step": 3600}).json()

    assert (answer.status_code, answer.json()) == (201, {"stored": 2})
    assert [value for value in read["series"][0]["mean"] if value is not None] == [18]


@pytest.mark.parametrize("sample", [{}, {"players": 1, "at": "2001-01-01T00:00:00Z"}, {"players": -1}])
def test_sample_that_makes_no_sense_is_refused(server: GameServer, sample: dict[str, Any]):
    body = {"subject": f"server:{server.pk}", "samples": [sample]}

    assert api_client(UserFactory(role="Admin")).post("/api/v1/metrics/samples", body).status_code == 400


def test_player_stores_nothing(server: GameServer):
    body = {"subject": f"server:{server.pk}", "samples": [{"players": 17}]}

    assert api_client(server.owner).post("/api/v1/metrics/samples", body).status_code == 403


def test_measuring_now_is_work_for_the_nodes_agent(server: GameServer):
    run_commit_hooks()
    empty_queues()

    answer = api_client(UserFactory(role="Operator")).post("/api/v1/metrics/sample", {"node": server.node.name})
    run_commit_hooks()

    queue = rq_queue(node_queue(server.node.name))
    assert answer.status_code == 202
    assert [job.args[0] for job in queue.jobs] == ["monitoring.jobs.sample_node"]
