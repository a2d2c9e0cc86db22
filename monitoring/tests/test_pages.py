"""Pages: charts, the fleet, the table that says the same, and sparklines."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.tests.factories import UserFactory
from hub.testing import assert_constant_queries
from monitoring import store
from monitoring.measure import Reading
from monitoring.sparklines import last_hour, sparkline
from servers.models import GameServer
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def server() -> GameServer:
    made = make_server()
    measure(f"server:{made.pk}")
    measure(f"node:{made.node.name}")
    return made


def measure(subject: str) -> None:
    at = timezone.now() - timedelta(seconds=20)
    store.store([Reading(subject, at, {"cpu_percent": 42.0, "memory_bytes": 2.0**30}).line()])


def client_of(role: str) -> Client:
    client = Client()
    client.force_login(UserFactory(role=role))
    return client


def test_fleet_shows_top_consumers_and_agents(server: GameServer):
    page = client_of("Viewer").get(reverse("monitoring:fleet")).content.decode()

    assert f'>{server.name}</a><span class="k-num k-small">42.0 %' in page
    assert "1.0 GiB" in page
    assert "Last samples" in page


def test_overview_charts_the_nodes_for_those_who_may_see_them(server: GameServer):
    viewer, player = (client_of(role).get("/").content.decode() for role in ("Viewer", "Player"))

    assert f"subject=node%3A{server.node.name}&amp;metric=cpu_share" in viewer
    assert "data-charts" not in player


def test_refreshed_overview_leaves_its_charts_alone(server: GameServer):
    headers = {"HX-Request": "true", "HX-Target": "overview"}

    assert "data-charts" not in client_of("Viewer").get("/", headers=headers).content.decode()


def test_fleet_is_not_for_players(server: GameServer):
    assert client_of("Player").get(reverse("monitoring:fleet")).status_code == 403


def test_fleet_costs_the_same_with_more_servers(server: GameServer):
    client = client_of("Admin")

    def more() -> None:
        for _ in range(3):
            measure(f"server:{make_server(owner=server.owner, node=server.node).pk}")

    assert_constant_queries(lambda: client.get(reverse("monitoring:fleet")), more)


def test_table_says_what_the_charts_show(server: GameServer):
    client = Client()
    client.force_login(server.owner)

    page = client.get(reverse("monitoring:table"), {"subject": f"server:{server.pk}", "range": "15m"}).content.decode()

    assert page.count("42.0 %") >= 4
    assert "Last 15 min, means of" in page


def test_table_and_comparison_follow_who_may_see_the_subject(server: GameServer):
    client = client_of("Player")

    for name in ("table", "compare"):
        assert client.get(reverse(f"monitoring:{name}"), {"subject": f"server:{server.pk}"}).status_code == 404


def test_range_stands_in_the_links_and_keeps_the_rest(server: GameServer):
    client = Client()
    client.force_login(server.owner)

    page = client.get(reverse("servers:server_charts", args=[server.pk]), {"range": "6h", "x": "1"}).content.decode()

    assert '<a href="?range=6h&amp;x=1" aria-current="true">6 h</a>' in page or (
        '<a href="?x=1&amp;range=6h" aria-current="true">6 h</a>' in page
    )
    assert "format=csv" in page


def test_own_range_is_read_in_the_zone_of_the_person(server: GameServer):
    server.owner.timezone = "Africa/Harare"
    server.owner.save()
    client = Client()
    client.force_login(server.owner)

    asked = {"from": "2026-03-01T12:00", "to": "2026-03-01T13:00"}
    page = client.get(reverse("servers:server_charts", args=[server.pk]), asked).content.decode()

    assert 'data-from="2026-03-01T12:00:00+02:00"' in page
    assert "data-follow" not in page


def test_sparkline_breaks_at_a_gap():
    drawn = sparkline([1.0, 2.0, None, 4.0], "CPU", "percent")

    assert 'd="M0.0 17.5 L24.0 12.0 M72.0 1.0"' in drawn
    assert "at most 4.0 % in the last hour" in drawn


def test_sparkline_of_nothing_is_a_dotted_line():
    drawn = sparkline([None, None], "CPU", "percent")

    assert "k-off" in drawn
    assert "not measured" in drawn


def test_sparklines_of_many_are_read_at_once_and_kept_for_a_while(server: GameServer):
    now = timezone.now()
    key, other = f"node:{server.node.name}", f"server:{uuid.uuid4()}"
    times = [(now - timedelta(minutes=each), each) for each in (10, 20)]
    store.store([Reading(key, at, {"cpu_percent": 4.0 * each}).line() for at, each in times])

    drawn = last_hour([key, other], "cpu_percent")
    with CaptureQueriesContext(connection) as asked:
        again = last_hour([key, other], "cpu_percent")

    assert "at most 80.0 % in the last hour" in drawn[key]
    assert "not measured" in drawn[other]
    assert (again, len(asked)) == (drawn, 0)
