"""POST /api/v1/servers through the whole stack: token, permission, quota, lease and audit, without and with a key.

Nothing is switched off; only the limits are high enough that nobody meets them: creations an hour, requests a minute
and the owners' quotas.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth.models import Group

from accounts.actors import SYSTEM
from accounts.models import Quota, User
from accounts.roles import PLAYER
from accounts.tokens import create_token
from hub.jobs import node_queue, rq_queue
from hub.launcher.processes import follow_parent, wait_until
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, Node, Operation
from servers.catalogue import sync_catalogue
from servers.models import GameServer

from .harness import Figure, benchmark, cpu_figure, cpu_ms, median_of
from .lease import make_pool
from .wsgi import ask

OWNERS = 40
REQUESTS = 200
BACKGROUND = 200
HIGH = 1_000_000
PORT = 18_431
ROUNDS = 5


class Bench:
    """A node with room and 40 owners with a token each, asked in turn."""

    def __init__(self, *, with_key: bool = False) -> None:
        self.with_key = with_key
        settings.HUB_CREATES_PER_HOUR = HIGH
        settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, HIGH)
        sync_catalogue()
        self.node = make_pool().node
        Node.objects.filter(pk=self.node.pk).update(memory_mb=HIGH * 100, cpu_percent=HIGH * 10, disk_mb=HIGH * 1000)
        tokens = [self._owner(number) for number in range(OWNERS)]
        self.turns = zip(itertools.count(), itertools.cycle(tokens))
        self.name = uuid.uuid4().hex[:8]
        for _ in range(BACKGROUND):
            self.create()

    def _owner(self, number: int) -> str:
        user = User.objects.create(username=f"bench-{uuid.uuid4().hex[:8]}", email=f"{uuid.uuid4().hex}@example.org")
        user.groups.add(Group.objects.get(name=PLAYER))
        Quota.objects.create(user=user, servers=HIGH, memory_mb=HIGH * 100, cpu_percent=HIGH * 10, disk_mb=HIGH * 1000)
        return create_token(user, name="bench", actor=SYSTEM)[1]

    def request(self) -> tuple[bytes, dict[str, str]]:
        """The next body and headers."""
        number, token = next(self.turns)
        body = {
            "name": f"arena {self.name} {number}",
            "template": "sample",
            "region": self.node.region.slug,
            "memory_mb": 2048,
            "disk_mb": 10_000,
            "values": {"MOTD": "Measured"},
        }
        headers = {"Authorization": f"Token {token}"}
        if self.with_key:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        return json.dumps(body).encode(), headers

    def create(self) -> None:
        """One request, in this process."""
        body, headers = self.request()
        ask("POST", "/api/v1/servers", headers, body, wanted=201)

    def tidy(self) -> None:
        """Forget what a round made, so that each finds the same: a node with 200 servers, five of each owner."""
        kept = GameServer.objects.filter(node=self.node).order_by("created_at").values("pk")[:BACKGROUND]
        gone = list(
            GameServer.objects.exclude(pk__in=list(kept.values_list("pk", flat=True))).values_list("pk", flat=True)
        )
        Address.objects.filter(holder__in=gone).update(state=AddressState.FREE, holder=None)
        Operation.objects.filter(workload_id__in=gone).delete()
        GameServer.objects.filter(pk__in=gone).delete()
        rq_queue(node_queue(self.node.name)).empty()


@benchmark
def create_server_cpu() -> Iterator[Figure]:
    """CPU of the web process for one creation; PostgreSQL and Redis are other processes."""
    for with_key, budget in ((False, 5.0), (True, 6.0)):
        bench = Bench(with_key=with_key)

        def measure(bench: Bench = bench) -> float:
            bench.tidy()
            return cpu_ms(bench.create, REQUESTS)

        name = "POST /api/v1/servers, CPU of the web process" + (", with an Idempotency-Key" if with_key else "")
        yield cpu_figure(name, budget, measure)


@benchmark
def create_server_latency() -> Iterator[Figure]:
    """One client after the other over HTTP to gunicorn as the hub starts it, the median of each round."""
    bench = Bench()
    with gunicorn():
        client = http.client.HTTPConnection("localhost", PORT, timeout=10)

        def once() -> float:
            body, headers = bench.request()
            start = time.perf_counter()
            client.request("POST", "/api/v1/servers", body, {**headers, "Content-Type": "application/json"})
            answer = client.getresponse()
            text = answer.read()
            seconds = time.perf_counter() - start
            if answer.status != 201:
                raise RuntimeError(f"{answer.status}: {text.decode()}")
            return seconds * 1000

        def measure() -> float:
            bench.tidy()
            return statistics.median(once() for _ in range(REQUESTS))

        measure()
        ours, spread = median_of(measure, ROUNDS)
    yield Figure("POST /api/v1/servers over HTTP, sequential median", ours, "ms", 10.0, spread=spread)


@contextmanager
def gunicorn() -> Iterator[None]:
    """The web server with the launcher's settings."""
    command = [sys.executable, "-m", "gunicorn", "hub.wsgi", "--bind", f"127.0.0.1:{PORT}", "--no-control-socket"]
    command += ["--worker-class", "gthread", "--workers", "2", "--threads", "4"]
    limits = {"HUB_CREATES_PER_HOUR": str(HIGH), "HUB_API_RATE_USER": str(HIGH), "HUB_LOG_LEVEL": "ERROR"}
    server = subprocess.Popen(command, env={**os.environ, **limits}, preexec_fn=follow_parent(15))
    try:
        if not wait_until(_answers, 30, give_up=lambda: server.poll() is not None):
            raise RuntimeError("gunicorn did not start")
        yield
    finally:
        server.terminate()
        server.wait()


def _answers() -> bool:
    client = http.client.HTTPConnection("localhost", PORT, timeout=2)
    try:
        client.request("GET", "/health/live")
        return client.getresponse().status == 200
    except OSError:
        return False
    finally:
        client.close()
