"""What people at browsers feel: the first page in Chromium, and a crowd that polls while one clicks.

Against gunicorn as the hub starts it. The crowd is paced: each poll has its due time, and its latency counts from then,
so a server that falls behind is not asked less. The one who asks shares the machine's cores with the server.
"""

from __future__ import annotations

import http.client
import random
import shutil
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import local
from typing import Any

from django.db import connection

from servers.models import GameServer

from .api import reader
from .create_server import PORT, gunicorn
from .harness import Figure, benchmark

VIEWERS = 200
EVERY_SECONDS = 5.0
SECONDS = 30.0
WARM_UP_SECONDS = 5.0
ASKING_THREADS = 48
VISITS = 5
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
PAINTED = """() => new Promise(done => new PerformanceObserver(list => done(list.getEntries().at(-1).startTime))
    .observe({type: "largest-contentful-paint", buffered: true}))"""


class Viewer:
    """A person with a page open: half of them a list, half a server; each remembers the tag of what he was shown."""

    def __init__(self, number: int, cookie: str, server: GameServer) -> None:
        on_list = number % 2 == 0
        self.path = "/servers/" if on_list else f"/servers/{server.pk}/head"
        target = "list" if on_list else "server-head"
        self.headers = {"Cookie": cookie, "HX-Request": "true", "HX-Target": target}

    def poll(self, due: float, connections: local) -> tuple[float, int]:
        """Seconds from the due time to the answer, and its status."""
        client: http.client.HTTPConnection | None = getattr(connections, "client", None)
        if client is None:
            client = connections.client = http.client.HTTPConnection("localhost", PORT, timeout=30)
        try:
            client.request("GET", self.path, headers=self.headers)
            answer = client.getresponse()
        except (http.client.RemoteDisconnected, ConnectionResetError):  # idle for longer than the server keeps one
            client.close()
            client.request("GET", self.path, headers=self.headers)
            answer = client.getresponse()
        answer.read()
        if tag := answer.getheader("ETag"):
            self.headers["If-None-Match"] = tag
        return time.perf_counter() - due, answer.status


@benchmark
def viewers() -> Iterator[Figure]:
    """200 people who poll every 5 s, while a server changes its state every second."""
    cookie, servers = reader().by_session["Cookie"], list(GameServer.objects.all()[:VIEWERS])
    crowd = [Viewer(number, cookie, servers[number % len(servers)]) for number in range(VIEWERS)]
    with gunicorn():
        _crowd(crowd, WARM_UP_SECONDS, servers)
        answers = _crowd(crowd, SECONDS, servers)
    wrong = {status for _, status in answers} - {200, 304}
    if wrong:
        raise RuntimeError(f"Polls were answered {wrong}")
    times = sorted(seconds * 1000 for seconds, _ in answers)
    unchanged = sum(status == 304 for _, status in answers) / len(answers)
    name = f"{VIEWERS} viewers polling every {EVERY_SECONDS:g} s ({unchanged:.0%} without news), 95th percentile"
    yield Figure(name, times[int(len(times) * 0.95)], "ms", 100, spread=(statistics.median(times), times[-1]))


def _crowd(crowd: list[Viewer], seconds: float, servers: list[GameServer]) -> list[tuple[float, int]]:
    """Let everybody poll at his due times; answers are latencies and statuses."""
    connections, pace = local(), EVERY_SECONDS / len(crowd)
    polls, changed_at = [], 0.0
    with ThreadPoolExecutor(ASKING_THREADS) as pool:
        start = time.perf_counter()
        for turn in range(int(seconds / pace)):
            due = start + turn * pace
            time.sleep(max(0.0, due - time.perf_counter()))
            polls.append(pool.submit(crowd[turn % len(crowd)].poll, due, connections))
            if due - changed_at > 1:
                changed_at = due
                _change(random.choice(servers), turn)
        return [poll.result() for poll in polls]


def _change(server: GameServer, turn: int) -> None:
    GameServer.objects.filter(pk=server.pk).update(facts={"players": turn, "max_players": 20_000})


@benchmark
def first_page() -> Iterator[Figure]:
    """The overview in a browser that has nothing in its cache: bytes over the wire, and the largest paint."""
    if not CHROMIUM:
        raise RuntimeError("Chromium is needed; it is called chromium in Debian.")
    session = reader().by_session["Cookie"].split("sessionid=")[1].split(";")[0]
    connection.close()
    with gunicorn():
        visits = [_visit(session) for _ in range(VISITS)]
    paints = sorted(paint for _, paint in visits)
    yield Figure("first page, over the wire", visits[0][0] / 1000, "KB", 200)
    paint = statistics.median(paints)
    yield Figure("first page, largest contentful paint on loopback", paint, "ms", 1000, spread=(paints[0], paints[-1]))


def _visit(session: str) -> tuple[float, float]:
    """Bytes and milliseconds of one first visit."""
    from playwright.sync_api import sync_playwright

    sizes: list[float] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.add_cookies([{"name": "sessionid", "value": session, "url": f"http://localhost:{PORT}"}])
        page = context.new_page()
        protocol = context.new_cdp_session(page)
        protocol.send("Network.enable")
        protocol.on("Network.loadingFinished", lambda told: sizes.append(told["encodedDataLength"]))
        page.goto(f"http://localhost:{PORT}/", wait_until="networkidle")
        if "login" in page.url:
            raise RuntimeError("The session was not accepted.")
        paint: Any = page.evaluate(PAINTED)
        browser.close()
    return sum(sizes), float(paint)
