"""Limits that two requests reach at the same moment, on real connections."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.cache import cache
from django.db import connections
from rest_framework.test import APIClient

from accounts import audit, audit_chain, jwt, services, tokens
from accounts.actors import SYSTEM
from accounts.models import ApiToken, AuditEntry, AuditSeal, TokenFamily, User
from hub.exceptions import HubError

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(*calls: Callable[[], object]) -> list[str]:
    """Run each call in a thread and connection of its own, all let go together; answers "ok" or the refusal's code."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], object]) -> str:
        try:
            barrier.wait(60)
            call()
        except HubError as refusal:
            return refusal.code
        else:
            return "ok"
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return sorted(pool.map(run, calls))


@pytest.mark.parametrize("attempt", range(3))
def test_two_admins_demoting_each_other_leave_one(attempt):
    first, second = UserFactory(role="Admin"), UserFactory(role="Admin")

    results = at_once(
        lambda: services.set_role(User.objects.get(pk=second.pk), "Player", actor=first),
        lambda: services.set_role(User.objects.get(pk=first.pk), "Player", actor=second),
    )

    assert User.objects.in_role("Admin").able().count() == 1
    assert results in (["last_admin", "ok"], ["not_allowed", "ok"])


def test_three_ways_to_lose_the_last_admin_at_once_leave_one():
    people = [UserFactory(role="Admin") for _ in range(3)]

    at_once(
        lambda: services.set_role(people[0], "Viewer", actor=SYSTEM),
        lambda: services.suspend_user(people[1], reason="x", actor=SYSTEM),
        lambda: services.deactivate_user(people[2], actor=SYSTEM),
    )

    assert User.objects.in_role("Admin").able().count() == 1


def test_the_same_email_in_two_cases_at_once_is_stored_once():
    results = at_once(
        *(
            lambda name=name, email=email: services.create_user(name, actor=SYSTEM, email=email, password=PASSWORD)
            for name, email in (("one", "same@example.org"), ("two", "SAME@example.org"))
        )
    )

    assert results == ["invalid", "ok"]


def test_number_of_tokens_holds_when_many_are_made_at_once(monkeypatch):
    monkeypatch.setattr(tokens, "TOKENS_PER_USER", 3)
    owner = UserFactory()

    results = at_once(*(lambda n=n: tokens.create_token(owner, name=f"n{n}", actor=SYSTEM) for n in range(6)))

    assert results == ["limit_reached"] * 3 + ["ok"] * 3
    assert ApiToken.objects.count() == 3


def test_a_token_rotated_twice_at_once_is_replaced_once():
    owner = UserFactory()
    token, _ = tokens.create_token(owner, name="ci", actor=SYSTEM)

    results = at_once(*(lambda: tokens.rotate_token(token, actor=SYSTEM) for _ in range(2)))

    assert results == ["conflict", "ok"]
    assert ApiToken.objects.count() == 1


def test_sealers_and_writers_at_once_leave_a_whole_chain():
    def write() -> None:
        for _ in range(20):
            audit.record(SYSTEM, "thing.happened")

    at_once(write, write, audit_chain.seal, audit_chain.seal, write)
    audit_chain.seal()

    assert not AuditEntry.objects.unsealed().exists()
    assert sum(AuditSeal.objects.values_list("entry_count", flat=True)) == 60
    assert audit_chain.verify() == []


def test_refresh_token_used_twice_at_once_yields_one_winner():
    pair = jwt.log_in(UserFactory())

    results = at_once(*[lambda: jwt.refresh(pair.refresh)] * 4)

    assert results == ["invalid_token"] * 3 + ["ok"]
    assert TokenFamily.objects.get().revoked_at is not None


@pytest.mark.slow
def test_fifty_wrong_logins_at_once_lock_once_exactly_at_the_limit():
    user = UserFactory(username="owner")
    cache.clear()

    def guess(number: int) -> int:
        body = {"username": "owner", "password": "wrong"}
        try:
            return APIClient().post("/api/v1/auth/login", body, REMOTE_ADDR=f"10.0.{number}.1").status_code
        finally:
            connections.close_all()

    def fifty() -> list[int]:
        with ThreadPoolExecutor(10) as pool:
            return sorted(pool.map(guess, range(50)))

    first = fifty()
    cache.delete_many([f"lockout:{user.pk}", f"lockout:end:{user.pk}"])  # as time does
    second = fifty()

    assert first == second == [401] * 5 + [429] * 45
    locks = AuditEntry.objects.filter(action="login.locked").order_by("id")
    assert [entry.data["minutes"] for entry in locks] == [15, 30]
    assert AuditEntry.objects.filter(action="user.login_failed").count() == 10
