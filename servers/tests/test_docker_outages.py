"""PostgreSQL, Redis and the clock fail while containers are being launched by a running agent."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from hub.jobs import node_queue, rq_queue
from hub.nodes import reconcile, steps
from hub.nodes.sweep import sweep
from hub.testing import empty_queues, wait_until
from servers.models import GameServer

from .docker_house import DockerHouse, open_docker_house
from .faults import ending_of, in_child, work
from .outages import Programs, database_at, forget_connections, own_service, redis_at

pytestmark = [
    pytest.mark.docker,
    pytest.mark.slow,
    pytest.mark.chaos,
    pytest.mark.django_db(transaction=True),
]

PATIENCE = 120.0
# Between the container and its start, long enough for a service to go and come.
MIDDLE = {"HUB_FAILPOINT": "docker.ensure.after_create=sleep:3"}


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    try:
        programs.end()
    finally:
        print(programs.logs())


def settle(house: DockerHouse) -> None:
    wait_until(lambda: house.is_settled() and not house.complaints(), PATIENCE, pause=0.2, what="what was asked")


def is_in_the_middle(house: DockerHouse) -> bool:
    """Whether a container was made and has not been started."""
    return any(container["State"] == "created" for container in house.containers())


def test_redis_restarted_in_the_middle_of_a_launch(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        own_service("valkey") as valkey,
        redis_at(valkey.embedded.redis_url, monkeypatch),
        open_docker_house() as house,
    ):
        programs.agent(house.node, **MIDDLE)
        first = house.create("first")
        wait_until(lambda: is_in_the_middle(house), PATIENCE, what="a container that was made")

        valkey.crash()
        second = house.create("second")
        valkey.start()
        settle(house)

        assert {house.container(server)["State"]["Status"] for server in (first, second)} == {"running"}
        assert len(house.containers()) == 2
        wait_until(lambda: rq_queue(node_queue(house.node.name)).count == 0, PATIENCE, what="the workers' return")
        programs.end()


def test_postgresql_restarted_in_the_middle_of_a_launch(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_service("postgres") as postgres:
        postgres.embedded.create_database()
        with database_at(postgres.embedded.database_url, monkeypatch):
            call_command("migrate", verbosity=0)
            empty_queues()
            with open_docker_house() as house:
                agent = programs.agent(house.node, **MIDDLE)
                server = house.create()
                wait_until(lambda: is_in_the_middle(house), PATIENCE, what="a container that was made")

                postgres.crash()
                postgres.start()
                forget_connections()
                settle(house)
                server.refresh_from_db()

                assert len(house.containers()) == 1
                assert server.restart_count == 0
                assert len(server.addresses()) == 1
                assert agent.process.poll() is None
                programs.end()


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1)], ids=["back", "forward"])
def test_clock_is_set_while_an_agent_dies_in_the_middle_of_a_launch(
    monkeypatch: pytest.MonkeyPatch, step: timedelta
) -> None:
    """What a step leaves is a database whose moments all lie elsewhere; the lease of the dead among them."""
    monkeypatch.setattr(steps, "LEASE_SECONDS", 60)
    with open_docker_house() as house:
        running = house.create("running")
        work(house.node, house.is_settled, seconds=PATIENCE)
        server = house.create("launched")
        child = in_child(lambda: reconcile.reconcile(GameServer, server.pk), failpoint="docker.ensure.after_create")
        assert ending_of(child, PATIENCE) < 0

        names = ("lease_until", "next_check_at", "ready_deadline_at", "observed_at", "started_at")
        GameServer.objects.update(**{name: F(name) - step for name in names})
        if step > timedelta(0):
            assert GameServer.objects.filter(lease_until__lt=timezone.now()).exists()
        sweep(house.node)
        work(house.node, house.is_settled, seconds=PATIENCE)

        running.refresh_from_db()
        assert house.complaints() == []
        assert len(house.containers()) == 2
        assert running.restart_count == 0
