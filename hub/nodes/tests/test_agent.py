"""What an agent does before it has any children."""

from __future__ import annotations

import sys

import pytest

from hub.nodes.agent import Agent

from .factories import NodeFactory

pytestmark = pytest.mark.django_db


def test_a_clusters_client_is_imported_before_the_children_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)  # whoever imports it now fails
    clusters, others = NodeFactory(engine="kubernetes").name, NodeFactory().name

    with pytest.raises(ImportError, match=r"kubernetes\.client"):
        Agent(clusters, workers=0).preload()
    Agent(others, workers=0).preload()


def test_an_agent_starts_before_its_node_is_made() -> None:
    Agent("not-there-yet", workers=0).preload()
