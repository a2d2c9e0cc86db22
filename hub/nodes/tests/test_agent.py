"""What an agent does before it has any children."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from hub.engines.kubernetes import KubernetesEngine
from hub.nodes import agent
from hub.nodes.agent import Agent

from .factories import NodeFactory

pytestmark = pytest.mark.django_db


def test_a_clusters_client_is_imported_before_the_children_are_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.client", None)  # whoever imports it now fails
    clusters, others = NodeFactory(engine="kubernetes").name, NodeFactory().name

    with pytest.raises(ImportError, match=r"kubernetes\.client"):
        Agent(clusters, workers=0).preload()
    Agent(others, workers=0).preload()


def test_what_a_node_needs_that_came_after_its_agent_is_loaded_and_its_workers_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded, told, sweeping, working = [], [], 4711, 4712
    monkeypatch.setattr(KubernetesEngine, "preload", lambda: loaded.append("client"))
    monkeypatch.setattr(agent, "_hang_up", lambda: None)  # the test's connection is meant to last
    monkeypatch.setattr(os, "waitpid", lambda pid, _: (pid, 0) if pid == sweeping else (0, 0))
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    early = Agent("not-there-yet", workers=1)
    early.preload()
    NodeFactory(name="not-there-yet", engine="kubernetes")
    for child in early.children:
        child.pid = {"sweep": sweeping, "worker-0": working}.get(child.name, 0)

    early._reap()  # whoever sweeps has ended, because the node is there

    assert (loaded, told) == (["client"], [(working, signal.SIGTERM)])


def test_whoever_sweeps_makes_room_when_the_node_comes_after_its_agent() -> None:
    NodeFactory(name="late")

    Agent("late", workers=0)._sweep_loop()  # and would not end otherwise
