"""`manage.py teardown`: what it asks of the engine, and what it says when it cannot."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command

from hub.engines.base import EngineError, Reason
from hub.engines.fake import FakeEngine

from .factories import NodeFactory

pytestmark = pytest.mark.django_db


def test_engine_is_asked_to_take_everything_away(monkeypatch):
    node = NodeFactory()
    torn: list[str] = []
    monkeypatch.setattr(FakeEngine, "teardown", lambda engine: torn.append(engine.node))
    out = io.StringIO()

    call_command("teardown", "--node", node.name, stdout=out)

    assert torn == [node.name]
    assert node.name in out.getvalue()


def test_engine_that_refuses_is_quoted(monkeypatch):
    def refuse(engine: FakeEngine) -> None:
        raise EngineError("There are workloads on this node.", reason=Reason.REFUSED, permanent=True)

    monkeypatch.setattr(FakeEngine, "teardown", refuse)
    with pytest.raises(CommandError, match="There are workloads on this node"):
        call_command("teardown", "--node", NodeFactory().name)


def test_unknown_node_is_named():
    with pytest.raises(CommandError, match="no node 'moon'"):
        call_command("teardown", "--node", "moon")
