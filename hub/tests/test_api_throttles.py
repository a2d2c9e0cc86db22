"""How often the API may be asked."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.cache import caches

from accounts.tests.factories import token_for
from hub import context
from hub.api import throttles
from hub.testing import api_client

pytestmark = pytest.mark.django_db

URL = "/api/v1/regions"
cache: Any = caches["default"]


@pytest.fixture(autouse=True)
def _fresh(settings: Any, clock: SimpleNamespace) -> Iterator[None]:
    settings.HUB_API_RATES = {"anonymous": 3, "user": 5}
    cache.clear()
    yield
    cache.clear()
    cache.local.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands 10 s into a minute until a test moves it."""
    now = SimpleNamespace(at=1_800_000_010.0)
    monkeypatch.setattr(throttles, "time", SimpleNamespace(time=lambda: now.at))
    return now


def test_answer_says_where_one_stands(person: Callable[..., Any], clock: SimpleNamespace) -> None:
    response = api_client(person("ada")).get(URL)

    assert {name: response[name] for name in response.headers if name.startswith("RateLimit")} == {
        "RateLimit-Limit": "5",
        "RateLimit-Remaining": "4",
        "RateLimit-Reset": "50",
    }


def test_one_too_many_is_a_problem_that_says_when_to_come_back(
    person: Callable[..., Any], clock: SimpleNamespace
) -> None:
    client = api_client(person("ada"))

    answers = [client.get(URL) for _ in range(6)]

    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert (answers[-1]["Retry-After"], answers[-1].json()["code"]) == ("50", "too_many_requests")
    assert answers[-1]["RateLimit-Remaining"] == "0"


def test_next_minute_begins_anew(person: Callable[..., Any], clock: SimpleNamespace) -> None:
    client = api_client(person("ada"))
    for _ in range(6):
        client.get(URL)

    clock.at += 60

    assert client.get(URL).status_code == 200


def asks(view: Any, user: Any, times: int) -> list[bool]:
    """Whether so many requests to a view are let through."""
    request: Any = SimpleNamespace(user=user, method="POST")
    return [throttles.RateLimit().allow_request(request, view) for _ in range(times)]


def test_token_has_a_limit_of_its_own_within_its_account(settings: Any, person: Callable[..., Any]) -> None:
    settings.HUB_API_RATES = {"user": 5, "token": 2}
    ada = person("ada")
    first, second = (token_for(ada, name=name)[1] for name in ("first", "second"))

    by_first = [api_client(first).get(URL) for _ in range(3)]
    by_second = [api_client(second).get(URL) for _ in range(3)]

    assert [answer.status_code for answer in by_first] == [200, 200, 429]
    assert [answer["RateLimit-Limit"] for answer in by_first] == ["2"] * 3
    assert [answer.status_code for answer in by_second] == [200, 200, 429]  # the account's sixth
    assert by_second[1]["RateLimit-Remaining"] == "0"


def test_device_is_counted_in_its_own_class(settings: Any) -> None:
    settings.HUB_API_RATES = {"user": 0, "device": 2}
    one, other = (SimpleNamespace(pk=pk, is_authenticated=True, rate_class="device") for pk in (1, 2))

    assert asks(SimpleNamespace(), one, 3) == [True, True, False]
    assert asks(SimpleNamespace(), other, 1) == [True]


def test_uploads_are_counted_beside_other_requests(settings: Any) -> None:
    settings.HUB_API_RATES = {"user": 9, "upload": 2}
    ada = SimpleNamespace(pk=1, is_authenticated=True)
    begin, part = (SimpleNamespace(rate_classes={"create": "upload"}, action=name) for name in ("create", "append"))

    assert asks(begin, ada, 3) == [True, True, False]
    assert asks(part, ada, 6) == [True] * 6
    assert asks(part, ada, 1) == [False]  # the tenth of all


def test_accounts_do_not_share_a_limit(person: Callable[..., Any], clock: SimpleNamespace) -> None:
    ada = api_client(person("ada"))
    for _ in range(6):
        ada.get(URL)

    assert api_client(person("bob")).get(URL)["RateLimit-Remaining"] == "4"


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token hub_guess"}])
def test_who_is_not_logged_in_is_counted_by_address_before_he_is_refused(
    clock: SimpleNamespace, headers: dict[str, str]
) -> None:
    statuses = [api_client().get(URL, headers=headers, REMOTE_ADDR="203.0.113.7").status_code for _ in range(4)]

    assert statuses == [401, 401, 401, 429]
    assert api_client().get(URL, REMOTE_ADDR="203.0.113.8").status_code == 401


def test_addresses_of_one_ipv6_network_are_one_asker(clock: SimpleNamespace) -> None:
    statuses = [api_client().get(URL, REMOTE_ADDR=f"2001:db8::{number}").status_code for number in range(4)]

    assert statuses == [401, 401, 401, 429]


def test_listed_networks_have_no_limit(settings: Any, person: Callable[..., Any]) -> None:
    settings.HUB_API_UNLIMITED = [ip_network("127.0.0.0/8")]
    client = api_client(person("ada"))

    answers = [client.get(URL) for _ in range(7)]

    assert {answer.status_code for answer in answers} == {200}
    assert "RateLimit-Limit" not in answers[0]


def test_no_limit_is_possible(settings: Any, person: Callable[..., Any]) -> None:
    settings.HUB_API_RATES = {"anonymous": 0, "user": 0}

    assert "RateLimit-Limit" not in api_client(person("ada")).get(URL)


def test_process_limits_by_itself_while_redis_is_away(
    person: Callable[..., Any], clock: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "away_until", time.monotonic() + 60)
    client = api_client(person("ada"))

    assert [client.get(URL).status_code for _ in range(6)] == [200] * 5 + [429]


def test_counters_are_forgotten(clock: SimpleNamespace) -> None:
    throttles.count("user", "7")

    assert 0 < cache._client.ttl(cache.make_key(f"rate:user:7:{int(clock.at // 60)}")) <= 120


def test_counting_costs_little() -> None:
    """At most 0.3 ms."""
    request: Any = SimpleNamespace(user=SimpleNamespace(pk=1, is_authenticated=True))
    with context.use(context.Context(ip="203.0.113.9")):
        throttles.RateLimit().allow_request(request, None)  # type: ignore[arg-type]  # asks nothing of the view
        spent = []
        for _ in range(5):
            began = time.thread_time()
            for _ in range(100):
                throttles.RateLimit().allow_request(request, None)  # type: ignore[arg-type]  # as above
            spent.append((time.thread_time() - began) / 100)

    assert min(spent) < 0.0003
