"""Charts in a real browser: they move while a server is loaded, change their range, and rest while nobody looks."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Page, expect

from accounts.tests.factories import PASSWORD, UserFactory
from monitoring import store
from monitoring.measure import Reading
from servers.models import GameServer
from servers.tests.factories import make_node, make_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SIX_HOURS = timedelta(hours=6)
HIDE = """is_hidden => {
    Object.defineProperty(document, "hidden", { get: () => is_hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def load(server: GameServer, percent: float, *, ago: int = 0) -> None:
    """What the node's sampler would have stored."""
    at = timezone.now() - timedelta(seconds=ago)
    store.store([Reading(f"server:{server.pk}", at, {"cpu_percent": percent}).line()])
    connection.close()


def span_of(url: str) -> timedelta:
    """How long a time a query of the charts asks for."""
    start, end = (parse_qs(urlsplit(url).query)[name][0] for name in ("from", "to"))
    return datetime.fromisoformat(end) - datetime.fromisoformat(start)


def test_charts_follow_change_their_range_and_rest_while_hidden(page: Page, live_server: Any) -> None:
    cache.clear()
    server = make_server(owner=UserFactory(username="tendai"), node=make_node(name="harare-1"))
    load(server, 5, ago=60)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/metrics/query" in request.url else None)
    page.clock.install()
    page.goto(f"{live_server.url}/accounts/login/?next={server.get_absolute_url()}/charts")
    page.get_by_label("User name or e-mail").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    now = page.locator("[data-chart^=cpu_percent] [data-now]")
    expect(now).to_have_text("5.0 %")
    page.evaluate("window.isTheSamePage = true")

    load(server, 95)
    page.clock.fast_forward(11_000)

    expect(now).to_have_text("95.0 %")
    assert page.evaluate("window.isTheSamePage")

    page.evaluate(HIDE, True)
    seen = len(asked)
    load(server, 45)
    for _ in range(3):
        page.clock.fast_forward(30_000)
    assert (len(asked), now.inner_text()) == (seen, "95.0 %")

    page.evaluate(HIDE, False)
    expect(now).to_have_text(re.compile(r"^(45|70)\.0 %$"))  # perhaps in one bucket with the one before

    with page.expect_request(lambda request: "/metrics/query" in request.url and span_of(request.url) == SIX_HOURS):
        page.get_by_role("navigation", name="Range").get_by_role("link", name="6 h").click()
    expect(page).to_have_url(re.compile(r"range=6h"))
    expect(now).to_have_text(re.compile(r"^\d+\.\d %$"))
    expect(page.get_by_role("link", name="6 h")).to_have_attribute("aria-current", "true")


def test_values_a_minute_apart_make_a_line_a_silence_a_gap_and_a_lone_value_a_dot(page: Page, live_server: Any) -> None:
    server = make_server(owner=UserFactory(username="tendai"), node=make_node(name="harare-1"))
    for ago in (*range(60, 1200, 60), *range(2400, 3000, 60), 3500):
        load(server, 50, ago=ago)
    page.goto(f"{live_server.url}/accounts/login/?next={server.get_absolute_url()}/charts%3Frange%3D1h")
    page.get_by_label("User name or e-mail").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.locator("[data-chart^=cpu_percent] [data-now]")).to_have_text("50.0 %")

    gaps, dots = page.evaluate(
        """() => {
            const [group] = window.hubCharts.values();
            const { plot } = group.frames.find((frame) => frame.figure.dataset.chart.startsWith("cpu_percent"));
            const known = [...plot.data[1].keys()].filter((at) => plot.data[1][at] !== null);
            const { _paths, points } = plot.series[1];
            return [_paths.gaps.length, points.filter(plot, 1).map((at) => known.indexOf(at))];
        }"""
    )

    assert (gaps, dots) == (2, [0])
