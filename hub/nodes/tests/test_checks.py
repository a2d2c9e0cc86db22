"""Health of agents: a silent one or a dead engine degrades, and is named."""

from __future__ import annotations

import pytest
from django.utils import timezone

from hub.health import DEGRADED, OK
from hub.nodes.checks import check_agents

from .factories import NodeFactory

pytestmark = pytest.mark.django_db


def test_all_is_well_when_every_agent_was_heard() -> None:
    NodeFactory(agent_seen_at=timezone.now())

    assert check_agents().state == OK


def test_silent_agent_degrades_and_is_named() -> None:
    NodeFactory(name="attic", agent_seen_at=None)

    finding = check_agents()

    assert (finding.state, finding.detail) == (DEGRADED, "silent: attic")


def test_engine_that_is_down_is_told_apart_from_a_silent_agent() -> None:
    NodeFactory(name="attic", agent_seen_at=timezone.now(), engine_error="Docker does not answer.")

    assert check_agents().detail == "engine down: attic"


def test_disabled_nodes_do_not_count() -> None:
    NodeFactory(is_enabled=False)

    assert check_agents().state == OK
