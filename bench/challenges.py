"""What an event costs: an answer, the board of challenges, the scoreboard, a launch; and a crowd while answers come.

One event with 60 challenges and 1,000 teams that have solved some of them, asked through the whole stack by a player's
token. CPU is of the web process alone: PostgreSQL and Redis have their own.
"""

from __future__ import annotations

import http.client
import json
import random
import statistics
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import cache, partial
from threading import local
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.cache import cache as kept
from django.db import connection
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import User
from accounts.roles import PLAYER
from accounts.tokens import create_token
from challenges import flags, services
from challenges.models import (
    Challenge,
    ChallengeContainer,
    ChallengePort,
    Event,
    EventChallenge,
    Flag,
    Instance,
    Membership,
    Participation,
    ScoreEvent,
    Submission,
    Team,
)
from hub.nodes import leases
from hub.nodes.choices import PoolKind
from hub.nodes.models import AddressPool, Node, Region
from hub.nodes.sweep import tick

from .create_server import PORT, gunicorn
from .harness import Figure, benchmark
from .wsgi import ask, figure

CHALLENGES, TEAMS, SOLVES_OF_A_TEAM = 60, 1_000, 10
HIGH = 1_000_000
WATCHERS, WATCH_EVERY_SECONDS, ANSWERS_A_MINUTE = 200, 5.0, 1_000
PLAYERS = 100
WARM_UP_SECONDS, SECONDS = 5.0, 30.0
ASKING_THREADS = 48
LAUNCHES = 50


class Contest:
    """A running event, its teams and what they have solved; `players` are tokens of captains."""

    def __init__(self) -> None:
        settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, HIGH)
        self.name = uuid.uuid4().hex[:8]
        self.node = self._node()
        self.event = self._event()
        self.entries = [self._entry(number) for number in range(CHALLENGES)]
        captains = self._people()
        self.teams = Team.objects.bulk_create(
            Team(name=f"{self.name} {number}", captain=captain) for number, captain in enumerate(captains)
        )
        Membership.objects.bulk_create(Membership(team=team, user=team.captain) for team in self.teams)
        Participation.objects.bulk_create(Participation(event=self.event, team=team) for team in self.teams)
        self._solve()
        with connection.cursor() as cursor:
            cursor.execute("VACUUM ANALYZE")
        self.players = [create_token(captain, name="bench", actor=SYSTEM)[1] for captain in captains[:PLAYERS]]
        # The last challenge, which nobody has solved.
        self.answer_path = f"/api/v1/event-challenges/{self.entries[-1].pk}/submit"

    def _node(self) -> Node:
        region, _ = Region.objects.get_or_create(slug="bench", name="Bench")
        node = Node.objects.create(name=f"bench-{self.name}", region=region, engine="fake")
        block = random.randrange(1, 250)
        ips = {"first_ip": f"10.99.{block}.1", "last_ip": f"10.99.{block}.200"}
        leases.fill_pool(AddressPool.objects.create(node=node, name="lb", kind=PoolKind.LOAD_BALANCER, **ips))
        return node

    def _event(self) -> Event:
        now = timezone.now()
        return Event.objects.create(
            name=f"Bench {self.name}",
            slug=f"bench-{self.name}",
            description="A day of puzzles.",
            is_public=True,
            status="running",
            starts_at=now - timedelta(hours=1),
            ends_at=now + timedelta(hours=7),
            submissions_per_minute=30_000,
            node=self.node,
            region=self.node.region,
        )

    def _entry(self, number: int) -> EventChallenge:
        challenge = Challenge.objects.create(
            name=f"{self.name} {number}",
            slug=f"{self.name}-{number}",
            description="Find what is **hidden**.",
            category=("web", "pwn", "crypto")[number % 3],
            kind="container" if number == 0 else "static",
            state="published",
            scoring="logarithmic",
            points=500,
            minimum_points=100,
            decay=40,
            flag_secret=flags.new_secret(),
        )
        Flag.objects.create(challenge=challenge, content=f"flag{{{number}}}")
        if number == 0:
            container = ChallengeContainer.objects.create(
                challenge=challenge, name="web", image="kutanga/sample", health_kind="none"
            )
            ChallengePort.objects.create(container=container, name="web", number=8080)
        return EventChallenge.objects.create(event=self.event, challenge=challenge, position=number)

    def _people(self) -> list[User]:
        names = [f"bench-{self.name}-{number}" for number in range(TEAMS)]
        people = User.objects.bulk_create(User(username=name, email=f"{name}@example.org") for name in names)
        player = Group.objects.get(name=PLAYER)
        User.groups.through.objects.bulk_create(User.groups.through(user=one, group=player) for one in people)
        return people

    def _solve(self) -> None:
        chance = random.Random(1)
        solves = []
        for place, team in enumerate(self.teams):
            for entry in chance.sample(self.entries[:-1], SOLVES_OF_A_TEAM):
                at = timezone.now() - timedelta(seconds=3_000 - place)
                solve = ScoreEvent(event=self.event, team=team, kind="solve", entry=entry, completes=True)
                solve.user_name, solve.created_at = team.captain.username, at
                solves.append(solve)
        ScoreEvent.objects.bulk_create(solves)

    def ask(self, method: str, path: str, token: str, body: dict[str, Any] | None = None) -> bytes:
        """One request through the WSGI application."""
        content = json.dumps(body).encode() if body is not None else b""
        return ask(method, path, {"Authorization": f"Token {token}"}, content)[1]

    def answer_wrongly(self) -> None:
        answer = self.ask("POST", self.answer_path, self.players[0], {"answer": "flag{no}"})
        if b'"incorrect"' not in answer:
            raise RuntimeError(answer.decode())


@cache
def contest() -> Contest:
    """Made once for all benchmarks of this module."""
    return Contest()


@benchmark
def event_reads() -> Iterator[Figure]:
    """A wrong answer, the board and the scoreboard."""
    here = contest()
    event, token = f"/api/v1/events/{here.event.slug}", here.players[0]
    if len(json.loads(here.ask("GET", f"{event}/board", token))) != CHALLENGES:
        raise RuntimeError("The board does not show all challenges.")
    if len(json.loads(here.ask("GET", f"{event}/scoreboard", token))["standings"]) != TEAMS:
        raise RuntimeError("The scoreboard does not show all teams.")
    yield figure("POST of a wrong answer", 6, here.answer_wrongly)
    yield figure(f"GET of the board of {CHALLENGES} challenges", 8, partial(here.ask, "GET", f"{event}/board", token))
    board = partial(here.ask, "GET", f"{event}/scoreboard", token)
    yield figure(f"GET of the scoreboard of {TEAMS:,} teams", 10, board)

    def anew() -> None:
        kept.clear()
        board()

    yield figure(f"GET of the scoreboard of {TEAMS:,} teams, computed anew", 30, anew)


@benchmark
def launches() -> Iterator[Figure]:
    """50 teams launch at once, then the agent brings them all up. The engine is the fake one, which costs nothing."""
    here = contest()
    slug = here.entries[0].challenge.slug
    Instance.objects.filter(event=here.event).delete()
    start = time.perf_counter()
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(_launch, here.event, slug, team) for team in here.teams[:LAUNCHES]]
        for one in asked:
            one.result()
    rows = Instance.objects.filter(event=here.event)
    deadline = time.monotonic() + 120
    while rows.exclude(observed_status="running").exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"Not all of them run: {rows.exclude(observed_status='running')[0].status_reason}")
        tick(here.node)
    spent = (time.perf_counter() - start) * 1000 / LAUNCHES
    yield Figure(f"{LAUNCHES} launches at once, wall time of hub and database for each", spent, "ms", 150)


def _launch(event: Event, slug: str, team: Team) -> None:
    try:
        services.launch_instance(event, slug, actor=team.captain)
    finally:
        connection.close()


@benchmark
def answers_before_a_crowd() -> Iterator[Figure]:
    """1,000 answers a minute while 200 people watch the scoreboard; each is due at its time, and late from then on."""
    here = contest()
    Submission.objects.filter(participation__event=here.event).delete()
    with gunicorn():
        _crowd(here, WARM_UP_SECONDS)
        answers, looks = _crowd(here, SECONDS)
    name = f"{ANSWERS_A_MINUTE:,} answers a minute with {WATCHERS} watching the scoreboard"
    for label, times in (("an answer", answers), ("a look", looks)):
        times.sort()
        worst = (statistics.median(times), times[-1])
        yield Figure(f"{name}: {label}, 95th percentile", times[int(len(times) * 0.95)], "ms", 100, spread=worst)


def _crowd(here: Contest, seconds: float) -> tuple[list[float], list[float]]:
    """Milliseconds of each answer and each look, from the moment at which it was due."""
    connections = local()
    looks = [
        (turn * WATCH_EVERY_SECONDS / WATCHERS, turn) for turn in range(int(seconds * WATCHERS / WATCH_EVERY_SECONDS))
    ]
    pace = 60 / ANSWERS_A_MINUTE
    answers = [(turn * pace, turn) for turn in range(int(seconds / pace))]
    work = sorted([(due, "GET", turn) for due, turn in looks] + [(due, "POST", turn) for due, turn in answers])
    scoreboard = f"/api/v1/events/{here.event.slug}/scoreboard"
    asked: list[tuple[str, Future[float]]] = []
    with ThreadPoolExecutor(ASKING_THREADS) as pool:
        start = time.perf_counter()
        for due, method, turn in work:
            time.sleep(max(0.0, start + due - time.perf_counter()))
            path = scoreboard if method == "GET" else here.answer_path
            token = here.players[turn % PLAYERS]
            asked.append((method, pool.submit(_over_http, connections, method, path, token, start + due)))
        done = [(method, one.result()) for method, one in asked]
    return [taken for method, taken in done if method == "POST"], [taken for method, taken in done if method == "GET"]


def _over_http(connections: local, method: str, path: str, token: str, due: float) -> float:
    headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
    body = json.dumps({"answer": "flag{no}"}) if method == "POST" else None
    for last in (False, True):
        client = getattr(connections, "client", None)
        if client is None:
            client = connections.client = http.client.HTTPConnection("localhost", PORT, timeout=30)
        try:
            client.request(method, path, body, headers)
            answer = client.getresponse()
            answer.read()
        except (http.client.RemoteDisconnected, ConnectionResetError):  # idle for longer than the server keeps one
            client.close()
            if last:
                raise
            continue
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status}")
        break
    return (time.perf_counter() - due) * 1000
