"""A node of this very machine: real processes, real ports, no agent; the test takes the agent's steps itself."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hub.engines.process import ProcessEngine
from hub.nodes.engines import engine_for
from hub.nodes.models import Node
from hub.nodes.reconcile import reconcile
from hub.nodes.sweep import tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from hub.testing import free_port
from servers.models import GameServer

PAUSE_SECONDS = 0.02
POOL_SIZE = 20


@contextmanager
def process_node() -> Iterator[Node]:
    """A node with the process engine in a directory of its own; as root its programs run as an unprivileged user."""
    root = Path(tempfile.mkdtemp(prefix="kutanga-servers-"))
    root.chmod(0o711)
    user = "nobody" if os.geteuid() == 0 else ""
    node = NodeFactory(engine="process", options={"root": str(root / "workloads"), "user": user})
    first = free_port()
    PoolFactory(node=node, first_port=first, size=POOL_SIZE, quarantine_seconds=0)
    PoolFactory(node=node, first_port=first + 1000, size=POOL_SIZE, quarantine_seconds=0, is_public=False)
    engine = engine_for(node)
    try:
        yield node
    finally:
        for seen in engine.list_owned():
            engine.remove(seen.name)
        shutil.rmtree(root)


def engine_of(server: GameServer) -> ProcessEngine:
    engine = engine_for(server.node)
    assert isinstance(engine, ProcessEngine)
    return engine


def settle(server: GameServer, status: str, *, timeout: float = 60.0) -> GameServer:
    """Take the agent's steps until the server is seen in a status."""
    deadline = time.monotonic() + timeout
    while True:
        tick(server.node)
        reconcile(GameServer, server.pk)
        server.refresh_from_db()
        if server.observed_status == status:
            return server
        if time.monotonic() > deadline:
            raise AssertionError(f"{server} is {server.observed_status}, not {status}: {server.status_reason}")
        time.sleep(PAUSE_SECONDS)
