"""A cache that people can log in without."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings
from django.core.cache import caches
from django.test import Client

from hub.cache import PatientRedisCache
from hub.testing import wait_until

NOWHERE = "unix:///nowhere/valkey.sock?db=0"
PARAMS: dict[str, Any] = settings.CACHES["default"]


@pytest.fixture
def away() -> Iterator[PatientRedisCache]:
    cache = PatientRedisCache(NOWHERE, PARAMS)
    yield cache
    cache.local.clear()


@pytest.fixture
def cache() -> Iterator[PatientRedisCache]:
    cache = PatientRedisCache(PARAMS["LOCATION"], PARAMS)
    yield cache
    cache.clear()
    cache.local.clear()


def test_redis_holds_what_is_cached(cache: PatientRedisCache) -> None:
    cache.set("a", [1, 2])

    assert caches["default"].get("a") == [1, 2]
    assert cache.local.get("a") is None


def test_process_counts_for_itself_while_redis_is_away(away: PatientRedisCache) -> None:
    assert away.add("lock", 1, timeout=5) is True
    assert away.add("lock", 1, timeout=5) is False
    away.set("hits", 1)

    assert away.incr("hits") == 2
    assert away.get_many(["hits", "none"]) == {"hits": 2}
    assert away.delete("hits")


def test_away_is_logged_once_and_costs_little(away: PatientRedisCache, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()

    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            away.get("a")

    assert len(caplog.records) == 1
    assert time.monotonic() - began < 1


def test_redis_is_asked_again(cache: PatientRedisCache) -> None:
    cache.away_until = time.monotonic() + 0.05
    cache.set("a", "local")
    assert cache.local.get("a") == "local"

    wait_until(lambda: cache.get("a") is None)


def test_connections_have_short_timeouts() -> None:
    assert PARAMS["OPTIONS"]["socket_timeout"] <= 2


@pytest.mark.django_db
def test_one_can_log_in_and_is_limited_without_redis(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    default: Any = caches["default"]
    monkeypatch.setattr(default, "away_until", time.monotonic() + 60)

    answers = [client.post("/accounts/login/", {"login": "ada", "password": "wrong"}).status_code for _ in range(40)]

    default.local.clear()
    assert answers[0] == 200
    assert 429 in answers or b"Too many" in client.post("/accounts/login/", {"login": "ada", "password": "x"}).content
