"""What locust reads: people by what they do. Each has an account and a token of his own, and so limits of his own."""

from __future__ import annotations

import itertools
import json
import os
import random
import time
from pathlib import Path
from typing import Any

from locust import FastHttpUser, LoadTestShape, constant_throughput, events, task

from bench.load.shapes import SHAPES

PLAN: dict[str, Any] = json.loads(Path(os.environ["LOAD_PLAN"]).read_text())
SHAPE = SHAPES[PLAN["shape"]]
_next = itertools.count()


class Curve(LoadTestShape):
    """The chosen shape; over when its time is, or when enough was asked."""

    def tick(self) -> tuple[int, float] | None:
        asked = self.runner.stats.total.num_requests if self.runner else 0
        people = SHAPE.people(self.get_run_time(), PLAN["scale"])
        if people is None or (SHAPE.requests and asked >= SHAPE.requests * PLAN["scale"]):
            return None
        return people, max(people, 10)


class Person(FastHttpUser):
    """Somebody with a browser and a token; accounts are given out in turn."""

    abstract = True
    host = PLAN["host"]

    def on_start(self) -> None:
        self.account = PLAN["accounts"][next(_next) % len(PLAN["accounts"])]
        self.by_token = {"Authorization": f"Token {self.account['token']}"}
        self.by_session = {"Cookie": f"{PLAN['cookie']}={self.account['session']}"}

    def see(self, path: str, name: str = "") -> None:
        self.client.get(path, headers=self.by_session, name=name or path, allow_redirects=False)

    def ask(self, path: str, name: str = "") -> None:
        self.client.get(path, headers=self.by_token, name=name or path)


class Reader(Person):
    """Pages and API, mixed as the seed mixes: home, health, API, one thing; and now and then something new."""

    abstract = SHAPE.work not in ("mixed", "paced")
    if SHAPE.work == "paced":
        wait_time = constant_throughput(1)

    @task(3)
    def home(self) -> None:
        self.see("/")

    @task(3)
    def servers(self) -> None:
        self.see("/servers/")

    @task(2)
    def health(self) -> None:
        self.client.get("/health/live")

    @task(4)
    def listed(self) -> None:
        self.ask("/api/v1/servers?limit=20")

    @task(2)
    def templates(self) -> None:
        self.ask("/api/v1/templates")

    @task(1)
    def wrong(self) -> None:
        """What is not there is answered with 404, and that is a success."""
        with self.client.get(
            f"/api/v1/servers/{random.getrandbits(32):08x}-0000-4000-8000-000000000000",
            headers=self.by_token,
            name="/api/v1/servers/(unknown)",
            catch_response=True,
        ) as answer:
            if answer.status_code == 404:
                answer.success()

    @task(1)
    def change(self) -> None:
        mark = {"description": f"at {random.random()}"}
        path = f"/api/v1/servers/{PLAN['server']}"
        owner = {"Authorization": f"Token {PLAN['owner']}"}
        self.client.patch(path, json=mark, headers=owner, name="PATCH /api/v1/servers/{id}")


class Paced(Person):
    """Somebody who asks every `PACE` seconds on average: a hundred people do not click in step."""

    abstract = True
    PACE = 5.0

    def wait_time(self) -> float:
        return random.uniform(0, 2 * self.PACE)

    def on_start(self) -> None:
        super().on_start()
        time.sleep(self.wait_time())


class Viewer(Paced):
    """Somebody who looks at a page every five seconds."""

    abstract = SHAPE.work != "pages"

    @task
    def look(self) -> None:
        self.see(random.choice(("/", "/servers/", "/events/")))


class Player(Paced):
    """One of a hundred who together send a thousand API requests a minute; `make bench` measures real answers."""

    abstract = SHAPE.work != "api"
    PACE = 6.0

    @task
    def events(self) -> None:
        self.ask("/api/v1/events")


class Probe(Person):
    """An orchestrator without patience."""

    abstract = SHAPE.work != "live"

    @task
    def live(self) -> None:
        self.client.get("/health/live")


@events.quitting.add_listener
def tell(environment: Any, **_: Any) -> None:
    """Write down what was measured; every failure is counted, none ends the run."""
    total = environment.stats.total
    seconds = max(0.001, (total.last_request_timestamp or 0) - total.start_time)
    told = {
        "requests": total.num_requests,
        "failures": total.num_failures,
        "rate": total.num_requests / seconds,
        "success": 1 - total.fail_ratio if total.num_requests else 0.0,
        "mean": total.avg_response_time,
        "p50": total.get_response_time_percentile(0.5),
        "p95": total.get_response_time_percentile(0.95),
        "p99": total.get_response_time_percentile(0.99),
        "errors": [
            f"{each.method} {each.name}: {each.error} ({each.occurrences})"
            for each in environment.stats.errors.values()
        ],
    }
    Path(PLAN["result"]).write_text(json.dumps(told))
    environment.process_exit_code = 0
