"""What the hub stands on fails: Redis, PostgreSQL, its own agent and web. What was asked comes true nevertheless."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.core.management import call_command
from rq import Queue
from rq.registry import FailedJobRegistry

from accounts.tests.factories import token_for
from hub import jobs
from hub.jobs import node_queue, rq_queue
from hub.nodes.models import Operation
from hub.testing import empty_queues, wait_until
from servers.models import GameServer
from servers.services import delete_server, stop_server

from .faults import House, free_range, lasting_complaints, open_house, recover, work
from .outages import Program, Programs, database_at, forget_connections, is_alive, own_service, redis_at
from .test_late_workers import wait_for_transaction

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATIENCE = 60.0


@pytest.fixture
def house() -> Iterator[House]:
    empty_queues()
    with open_house(env={"SAMPLE_MODE": "slow_start:0.5"}) as house:
        yield house


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    try:
        programs.end()
    finally:
        print(programs.logs())


def queue_of(house: House) -> Queue:
    return rq_queue(node_queue(house.node.name))


def settle(house: House) -> None:
    wait_until(house.is_settled, PATIENCE, pause=0.1, what="what was asked")


def several(house: House, count: int = 4) -> list[GameServer]:
    return [house.create(f"arena {number}") for number in range(count)]


# --- Redis --------------------------------------------------------------------------------------------------------


def test_launches_queued_in_a_flushed_redis_happen_nevertheless(house: House, programs: Programs) -> None:
    several(house)
    assert queue_of(house).count == 4

    queue_of(house).connection.flushall()
    programs.agent(house.node)
    settle(house)

    assert lasting_complaints(house) == []


def test_workers_go_on_after_redis_was_flushed_below_them(house: House, programs: Programs) -> None:
    first = house.create("first")
    programs.agent(house.node, is_sweeping=False)
    wait_until(lambda: house.programs(first), PATIENCE, what="the first program")

    queue_of(house).connection.flushall()
    second = house.create("second")

    wait_until(lambda: house.programs(second), PATIENCE, what="the second program")
    wait_until(lambda: queue_of(house).count == 0, PATIENCE, what="an empty queue")


def test_without_redis_wishes_are_stored_and_the_sweep_fulfils_them(
    house: House, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_service("valkey") as valkey, redis_at(valkey.embedded.redis_url, monkeypatch):
        agent = programs.agent(house.node)
        valkey.crash()

        first, second = several(house, 2)
        settle(house)
        stop_server(first, actor=house.owner)
        settle(house)

        assert lasting_complaints(house) == []
        valkey.start()
        delete_server(second, actor=house.owner)
        settle(house)
        wait_until(lambda: queue_of(house).count == 0, PATIENCE, what="the workers' return")
        assert lasting_complaints(house) == []
        assert agent.process.poll() is None


# --- The agent ----------------------------------------------------------------------------------------------------


def test_agent_killed_in_the_middle_of_launches_and_started_again(house: House, programs: Programs) -> None:
    several(house)
    agent = programs.agent(house.node, workers=2)
    wait_until(lambda: any(house.programs(server) for server in GameServer.objects.all()), PATIENCE, what="a program")

    orphans = agent.kill()
    wait_until(lambda: not any(map(is_alive, orphans)), what="the end of the agent's children")
    programs.agent(house.node, workers=2)
    settle(house)

    assert orphans
    assert lasting_complaints(house) == []


def test_agent_takes_its_work_horses_with_it(house: House, programs: Programs) -> None:
    house.create()
    agent = programs.agent(house.node, is_sweeping=False, HUB_FAILPOINT="reconcile.before_ensure=sleep:300")
    wait_until(lambda: GameServer.objects.filter(lease_token__isnull=False).exists(), PATIENCE, what="the lease")

    orphans = agent.kill()

    assert len(orphans) == 3  # the worker, its work-horse and the sampler
    wait_until(lambda: not any(map(is_alive, orphans)), what="the end of the agent's children")


def test_running_servers_outlive_their_agent(house: House, programs: Programs) -> None:
    server = house.create()
    agent = programs.agent(house.node)
    settle(house)
    before = house.programs(server)

    agent.kill()
    programs.agent(house.node)
    stop_server(server, actor=house.owner)
    wait_until(lambda: Operation.objects.filter(verb="stop", status="done").exists(), PATIENCE, what="the stop")

    assert len(before) == 1
    assert lasting_complaints(house) == []


def test_killed_work_horse_costs_only_time(house: House, programs: Programs) -> None:
    house.create()
    agent = programs.agent(house.node, is_sweeping=False, HUB_FAILPOINT="reconcile.before_ensure=sleep:300")
    wait_until(lambda: GameServer.objects.filter(lease_token__isnull=False).exists(), PATIENCE, what="the lease")

    horse = work_horse(agent)
    horse.kill()
    wait_until(lambda: not is_alive(horse), what="its end")
    worker_lives = [is_alive(child) for child in agent.below()]
    agent.kill_all()
    recover(house)

    assert worker_lives == [True, True]  # the worker and the sampler
    assert lasting_complaints(house) == []


def work_horse(agent: Program) -> psutil.Process:
    """The process that runs the job: the child of the agent's only worker."""
    (horse,) = [child for child in agent.below() if child.ppid() != agent.process.pid]
    return horse


# --- The web ------------------------------------------------------------------------------------------------------


def post_server(port: int, token: str, house: House, key: str) -> tuple[int, dict[str, str], Any]:
    """Create a server over HTTP; status 0 when the connection broke."""
    body = {
        "name": "arena",
        "template": house.template.slug,
        "region": house.node.region.slug,
        "memory_mb": 1024,
        "disk_mb": 5000,
    }
    headers = {"Authorization": f"Token {token}", "Idempotency-Key": key, "Content-Type": "application/json"}
    client = http.client.HTTPConnection("localhost", port, timeout=120)
    try:
        client.request("POST", "/api/v1/servers", json.dumps(body), headers)
        answer = client.getresponse()
        return answer.status, dict(answer.getheaders()), json.loads(answer.read())
    except (OSError, http.client.HTTPException):
        return 0, {}, None
    finally:
        client.close()


def kill_web_during_post(house: House, programs: Programs, port: int, token: str, failpoint: str) -> None:
    web = programs.web(port, HUB_FAILPOINT=f"{failpoint}=sleep:300")
    answers: list[int] = []
    client = threading.Thread(target=lambda: answers.append(post_server(port, token, house, "again")[0]))
    client.start()
    if failpoint == "operations.before_commit":
        wait_for_transaction()
    else:
        wait_until(GameServer.objects.exists, PATIENCE, what="the commit")
    web.kill_all()
    client.join()
    assert answers == [0]


@pytest.mark.parametrize("failpoint", ["operations.before_commit", "jobs.before_send"])
def test_repeated_post_after_the_web_was_killed_gives_one_server(
    house: House, programs: Programs, failpoint: str
) -> None:
    port = free_range(1)
    _, token = token_for(house.owner)
    kill_web_during_post(house, programs, port, token, failpoint)
    programs.web(port)

    answers = [post_server(port, token, house, "again") for _ in range(2)]
    work(house.node, house.is_settled)

    assert [status for status, _, _ in answers] == [201, 201]
    assert answers[0][2]["id"] == answers[1][2]["id"] == str(GameServer.objects.get().pk)
    assert answers[1][1]["Idempotency-Replayed"] == "true"
    assert lasting_complaints(house) == []


# --- PostgreSQL ---------------------------------------------------------------------------------------------------


def test_postgresql_crashes_and_returns_below_a_running_agent(
    programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_service("postgres") as postgres:
        postgres.embedded.create_database()
        with database_at(postgres.embedded.database_url, monkeypatch):
            call_command("migrate", verbosity=0)
            empty_queues()
            with open_house() as house:
                first = house.create("first")
                agent = programs.agent(house.node)
                settle(house)
                before = house.programs(first)

                postgres.crash()
                still_there = house.programs(first)
                postgres.start()
                forget_connections()
                second = house.create("second")
                settle(house)
                stop_server(first, actor=house.owner)
                settle(house)

                assert before == still_there
                assert len(house.programs(second)) == 1
                assert lasting_complaints(house) == []
                assert agent.process.poll() is None
                programs.end()


# --- Another version ----------------------------------------------------------------------------------------------


def test_wishes_of_a_newer_web_come_true_below_an_older_agent(
    house: House, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its jobs name a function that this agent does not have, or say more than it takes. They are kept as failed for
    people to see, the sweep finds the work, and the worker goes on.
    """
    programs.agent(house.node)
    send = jobs._send
    newer = iter([lambda path, args: (f"{path}_of_tomorrow", args), lambda path, args: (path, (*args, "more"))])

    def send_newer(path: str, args: tuple[Any, ...], queue: str, request_id: str) -> None:
        send(*next(newer)(path, args), queue, request_id)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_send", send_newer)
        several(house, 2)
    settle(house)
    failed = FailedJobRegistry(queue=queue_of(house))
    wait_until(lambda: failed.get_job_count() == 2, PATIENCE, what="the jobs that cannot be done")
    house.create("arena of today")
    settle(house)

    assert failed.get_job_count() == 2
    assert lasting_complaints(house) == []
