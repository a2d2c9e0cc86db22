"""Whatever a dead worker left in the row and in the engine, the next one can go on from there."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest
from django.utils import timezone

from hub.engines.base import State
from hub.engines.fake import FakeEngine
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Node, Operation
from hub.nodes.reconcile import reconcile
from servers.models import GameServer

from .conftest import Games
from .factories import make_server

pytestmark = pytest.mark.django_db

S, D = ObservedStatus, DesiredStatus
GENERATION = 3
HELD = ("nothing", "created", "running", "running older", "exited", "exited older", "paused")
GOALS = {D.RUNNING: S.RUNNING, D.STOPPED: S.STOPPED, D.DELETED: S.DELETED}


def is_possible(desired: str, observed: str, held: str) -> bool:
    """A start of what is stopped or has failed begins as queued; a delete is never taken back."""
    if desired == D.RUNNING:
        return observed not in (S.STOPPED, S.DELETING) and not (observed == S.FAILED and held != "running")
    return desired == D.DELETED or observed != S.DELETING


CASES = [
    case
    for case in itertools.product(D.values, [status for status in S.values if status != S.DELETED], HELD)
    if is_possible(*case)
]


@pytest.fixture
def server(node: Node, engine: FakeEngine, games: Games) -> GameServer:
    server = make_server(node=node)
    reconcile(GameServer, server.pk, engine=engine)
    return server


def leave(server: GameServer, engine: FakeEngine, *, held: str, **row: Any) -> None:
    """Put row and engine into a state that some killed worker may have left."""
    GameServer.objects.filter(pk=server.pk).update(generation=GENERATION, **row)
    workload = engine.state.workloads[server.engine_name]
    generation = GENERATION - held.endswith("older")
    state = State(held.removesuffix(" older")) if held != "nothing" else State.EXITED
    code = 1 if state == State.EXITED else None
    workload.spec = replace(workload.spec, generation=generation)
    workload.observation = replace(
        workload.observation, generation=generation, state=state, exit_code=code, started_at=timezone.now()
    )
    if held == "nothing":
        engine.lose(server.engine_name)


def resume(server: GameServer, engine: FakeEngine) -> None:
    """Whoever paused it outside the hub lets it go on."""
    workload = engine.state.workloads.get(server.engine_name)
    if workload and workload.observation.state == State.PAUSED:
        workload.observation = replace(workload.observation, state=State.RUNNING)


@pytest.mark.parametrize(("desired", "observed", "held"), CASES)
def test_every_state_that_may_be_found_leads_to_what_was_asked(
    server: GameServer, engine: FakeEngine, desired: str, observed: str, held: str
) -> None:
    leave(server, engine, held=held, desired_status=desired, observed_status=observed)

    for turn in range(4):
        if turn == 1:
            resume(server, engine)
        GameServer.objects.update(restart_after=None)
        reconcile(GameServer, server.pk, engine=engine)

    server.refresh_from_db()
    assert server.observed_status == GOALS[D(desired)], server.status_reason
    assert server.lease_token is None
    assert not Operation.objects.open().exists()
