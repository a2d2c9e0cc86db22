"""The node agent: a supervisor without threads whose children are RQ workers, the sweep loop and the sampler.

Children are forked from the loaded parent, before it has opened any connection, so that they share its memory; each
opens its own. A child that dies is started again; when the parent dies (even by SIGKILL) the kernel ends the
children. Redis down: the workers wait, the sweep loop goes on from PostgreSQL alone. PostgreSQL down: everybody waits
and tries again.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import django_rq
import psutil
from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, connections
from django.db.models.functions import Now
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer

from hub import alive
from hub.engines import engine_class
from hub.engines.base import Engine, EngineError
from hub.jobs import DEFAULT_QUEUE, node_queue, rq_queue

from . import chores, janitor
from .engines import engine_for
from .models import Node
from .sweep import sweep, tick
from .workloads import workload_models

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.4
BEAT_SECONDS = 10
FIRST_RESTART_SECONDS, LONGEST_RESTART_SECONDS = 0.5, 30.0
STOP_SECONDS = 20.0
PR_SET_PDEATHSIG = 1
SWEEP, WORKER = "sweep", "worker-"


_more_children: dict[str, Callable[[str], None]] = {}


def register_child(name: str, run: Callable[[str], None]) -> None:
    """Give every agent one more child; apps do this in `AppConfig.ready`. It is called with the node's name."""
    _more_children[name] = run


class NodeWorker(Worker):
    """An rq worker whose work-horse does not outlive it: with its agent killed, nobody would know of that one."""

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        _die_with(self.own_pid)
        super().main_work_horse(job, queue)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        self.own_pid = os.getpid()
        super().fork_work_horse(job, queue)


@dataclass
class Child:
    """One child process: what it runs, and when it may be started again after a fall."""

    name: str
    run: Callable[[], None]
    pid: int = 0
    started: float = 0.0
    wait: float = FIRST_RESTART_SECONDS
    not_before: float = 0.0


class Agent:
    """Starts the children, restarts the fallen, and stops all on SIGTERM or SIGINT."""

    def __init__(self, node_name: str, *, workers: int) -> None:
        self.node_name = node_name
        self.is_stopping = self.is_preloaded = False
        self.engine: Engine | None = None  # of the sweep loop, for when the database does not answer
        self.next_reaping = 0.0
        self.children = [Child(f"{WORKER}{n}", self._worker) for n in range(workers)]
        self.children.append(Child(SWEEP, self._sweep_loop))
        self.children += [Child(name, partial(run, node_name)) for name, run in _more_children.items()]

    def run(self) -> None:
        """Serve the node until told to stop."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        self.preload()
        _hang_up()
        while not self.is_stopping:
            for child in self.children:
                if not child.pid and time.monotonic() >= child.not_before:
                    self._start(child)
            self._reap()
            time.sleep(0.2)
        self._end_children()

    def preload(self) -> None:
        """Import what the node's engine needs before any child is forked, or each job does so anew."""
        try:
            kind = Node.objects.values_list("engine", flat=True).get(name=self.node_name)
        except (Node.DoesNotExist, DatabaseError, OSError):
            return  # the child that sweeps waits for it, and ends once it is there
        engine_class(kind).preload()
        self.is_preloaded = True

    def _preload_late(self) -> None:
        """The node has come: have what its engine needs, and workers that are forked from here once they are idle."""
        self.preload()
        _hang_up()
        for child in self.children:
            if self.is_preloaded and child.pid and child.name.startswith(WORKER):
                os.kill(child.pid, signal.SIGTERM)

    def _stop(self, *_: Any) -> None:
        self.is_stopping = True

    def _start(self, child: Child) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            child.pid, child.started = pid, time.monotonic()
            return
        code = 1
        try:
            _die_with(parent)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            child.run()
            code = 0
        except KeyboardInterrupt:
            code = 0
        except BaseException:
            logger.exception("agent child %s failed", child.name)
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        for child in self.children:
            if child.pid and (ended := os.waitpid(child.pid, os.WNOHANG))[0]:
                lived = time.monotonic() - child.started
                if child.name == SWEEP and ended[1] == 0 and not self.is_preloaded:
                    self._preload_late()
                child.wait = FIRST_RESTART_SECONDS if lived > 60 else min(child.wait * 2, LONGEST_RESTART_SECONDS)
                child.pid, child.not_before = 0, time.monotonic() + child.wait
                logger.warning("agent child %s ended after %.0f s; again in %.1f s", child.name, lived, child.wait)

    def _end_children(self) -> None:
        """Ask every child to finish what it is doing, then kill."""
        for child in self.children:
            if child.pid:
                os.kill(child.pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(child.pid for child in self.children):
            for child in self.children:
                if child.pid and os.waitpid(child.pid, os.WNOHANG)[0]:
                    child.pid = 0
                elif child.pid and time.monotonic() > deadline:
                    os.kill(child.pid, signal.SIGKILL)
            time.sleep(0.05)

    def _worker(self) -> None:
        queues = [rq_queue(node_queue(self.node_name)), rq_queue(DEFAULT_QUEUE)]
        NodeWorker(queues, connection=django_rq.get_connection(DEFAULT_QUEUE), serializer=JSONSerializer).work(
            with_scheduler=False, logging_level="WARNING"
        )

    def _sweep_loop(self) -> None:
        """Ticks, sweeps and beats; a database that is away is waited for, and so is the node.

        Ends when that has come after the agent, which then loads what the node's engine needs.
        """
        next_sweep = next_beat = next_look = next_lists = 0.0
        while True:
            now = time.monotonic()
            alive.sign(settings.HUB_ALIVE)
            try:
                node = Node.objects.select_related("region").get(name=self.node_name)
                if not self.is_preloaded:
                    return
                if now >= next_beat:
                    beat(node)
                    next_beat = now + BEAT_SECONDS
                if now >= next_sweep:
                    sweep(node)
                    next_sweep = now + settings.HUB_SWEEP_SECONDS
                tick(node)
                self.engine = engine_for(node)
                chores.take_up(node)
                if now >= next_look:
                    chores.look_around(node, with_lists=now >= next_lists)
                    next_look = now + chores.LOOK_SECONDS
                    next_lists = now + chores.LIST_SECONDS if now >= next_lists else next_lists
            except Node.DoesNotExist:
                logger.warning("there is no node %s; waiting for it", self.node_name)
                time.sleep(5)
            except EngineError as error:
                logger.warning("engine of %s: %s", self.node_name, error)
                time.sleep(2)
            except (DatabaseError, OSError) as error:
                self.without_database(error)
                connections.close_all()
                time.sleep(2)
            close_old_connections()
            time.sleep(TICK_SECONDS)

    def without_database(self, error: Exception) -> None:
        """Say so, and end what by its own labels is over: nobody else would, however long this lasts."""
        logger.warning("sweep of %s waits: %s", self.node_name, error)
        if self.engine is None or time.monotonic() < self.next_reaping:
            return
        self.next_reaping = time.monotonic() + settings.HUB_SWEEP_SECONDS
        try:
            janitor.reap_expired(self.engine)
        except EngineError as trouble:
            logger.warning("janitor of %s: %s", self.node_name, trouble)


def _hang_up() -> None:
    """Children must not share what their parent holds of PostgreSQL."""
    connections.close_all()
    connection.close_pool()  # type: ignore[attr-defined]


def beat(node: Node) -> None:
    """Tell the hub that this node's agent lives, and what it sees of its machine."""
    facts = {
        "host": socket.gethostname(),
        "cpu_count": psutil.cpu_count() or 0,
        "memory_mb": psutil.virtual_memory().total // 2**20,
        "ips": sorted(
            address.address
            for addresses in psutil.net_if_addrs().values()
            for address in addresses
            if address.family in (socket.AF_INET, socket.AF_INET6) and "%" not in address.address
        ),
        "boot_time": int(psutil.boot_time()),
        "ephemeral_ports": _ephemeral_ports(),
        "limits": _limits(node),
    }
    for model in workload_models():
        facts |= model.node_facts()
    Node.objects.filter(pk=node.pk).update(agent_seen_at=Now(), agent_version=settings.VERSION, agent_facts=facts)


def _limits(node: Node) -> dict[str, str]:
    """How each limit is kept here; what the engine declares while it does not answer."""
    try:
        limits = engine_for(node).limits()
    except EngineError:
        limits = engine_class(node.engine).capabilities.limits
    return {name: str(kept) for name, kept in limits.items()}


def _ephemeral_ports() -> list[int]:
    try:
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except (OSError, ValueError):
        return []


def _die_with(parent: int) -> None:
    """Have the kernel end this process when its parent dies."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
