"""Redis is really stopped: people log in, wrong passwords are still limited, and health says so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache, caches
from django.test import Client
from django.urls import reverse
from redis.exceptions import RedisError

from hub import health
from hub.testing import api_client
from servers.tests.outages import Service, own_service, redis_at

from .factories import PASSWORD, UserFactory

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.django_db]


@pytest.fixture
def valkey(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    with own_service("valkey") as service:
        # Before the other address is patched in: taking this back drops a layer of settings, and what lies on it.
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": service.embedded.redis_url}}
        with redis_at(service.embedded.redis_url, monkeypatch):
            health._redis.cache_clear()
            cache.clear()
            yield service
    health._redis.cache_clear()
    store: Any = caches["default"]
    store.local.clear()


def log_in(name: str, password: str = PASSWORD) -> int:
    return Client().post(reverse("account_login"), {"login": name, "password": password}).status_code


def test_login_works_and_is_limited_while_redis_is_stopped(valkey: Service) -> None:
    for name in ("ada", "bob"):
        UserFactory(username=name)
    with_redis = (log_in("ada"), health.check_redis().state)

    valkey.crash()
    client = Client()
    page = client.post(reverse("account_login"), {"login": "ada", "password": PASSWORD})
    program = api_client().post("/api/v1/auth/login", {"username": "ada", "password": PASSWORD}, format="json")
    wrong = [log_in("bob", "wrong") for _ in range(6)]
    locked, other = log_in("bob"), log_in("ada")

    assert with_redis == (302, health.OK)
    assert (page.status_code, page["Location"]) == (302, reverse("overview"))
    assert client.get(reverse("overview")).status_code == 200
    assert program.status_code == 200
    assert 302 not in wrong
    assert (locked != 302, other) == (True, 302)
    with pytest.raises(RedisError):
        health.check_redis()
    found = {each.name: each for each in health.report(["redis"]).results}
    assert (found["redis"].state, found["redis"].weight) == (health.DOWN, health.DEGRADED)

    valkey.start()
    assert health.check_redis().state == health.OK
    assert log_in("ada") == 302
