"""How long accounts are locked, and what forgets it."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from accounts import lockout, services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry

from .factories import PASSWORD

pytestmark = pytest.mark.django_db

DAY = 24 * 60 * 60


@pytest.fixture(autouse=True)
def _no_counters() -> None:
    cache.clear()


def fail(name: str, times: int = 5) -> None:
    for _ in range(times):
        lockout.failed(name, lockout.begin(name))


def pass_time(name: str) -> None:
    """What the cache does at the end of a lock."""
    cache.delete_many([f"lockout:{name}", f"lockout:end:{name}"])


def lasts(key: str) -> int:
    """How long the cache keeps it."""
    store: Any = cache
    return int(store._client.ttl(store.make_and_validate_key(key)))


def refused(name: str) -> int:
    """For how long one more attempt is told to wait."""
    with pytest.raises(lockout.LockedOut) as refusal:
        lockout.begin(name)
    return refusal.value.retry_after


@pytest.mark.parametrize(("number", "minutes"), [(1, 15), (2, 30), (3, 60), (7, 960), (8, 1440), (9, 1440), (99, 1440)])
def test_each_lock_is_twice_the_one_before_and_none_longer_than_a_day(number, minutes):
    assert lockout.lock_seconds(number) == minutes * 60


@pytest.mark.parametrize("name", ["7", "code:7", "a1b2c3"])
def test_further_locks_are_longer_and_say_so(name):
    for seconds in (900, 1800, 3600):
        fail(name)

        assert seconds - 5 <= refused(name) <= seconds
        assert seconds - 5 <= lasts(f"lockout:{name}") <= seconds
        assert seconds + DAY - 5 <= lasts(f"lockout:locks:{name}") <= seconds + DAY
        pass_time(name)


def test_lock_is_not_made_longer_by_who_goes_on_guessing():
    fail("7")
    for _ in range(20):
        refused("7")

    assert cache.get("lockout:locks:7") == 1


def test_a_day_without_a_lock_forgets_the_locks():
    fail("7")
    pass_time("7")
    cache.delete("lockout:locks:7")
    fail("7")

    assert refused("7") <= 900


def test_attempts_that_expire_while_the_last_password_is_looked_at_lock_all_the_same():
    fail("7", times=4)
    number = lockout.begin("7")
    cache.delete("lockout:7")
    lockout.failed("7", number)

    assert refused("7") > 895


def test_unlocking_forgets_the_locks_too(owner, admin):
    names = [str(owner.pk), f"code:{owner.pk}"]
    for name in names * 2:
        fail(name)
        pass_time(name)
    fail(names[1])
    locked = lockout.seconds_locked(owner)

    lockout.unlock(owner, actor=admin)

    assert 3590 < locked <= 3600
    assert lockout.seconds_locked(owner) == 0
    for name in names:
        fail(name)
        assert refused(name) <= 900


def test_new_password_forgets_the_locks_of_passwords_and_not_those_of_codes(owner):
    for name in (str(owner.pk), f"code:{owner.pk}"):
        fail(name)

    services.reset_password(owner, password="a new long phrase", actor=SYSTEM)

    assert lockout.begin(str(owner.pk)) == 1
    assert refused(f"code:{owner.pk}") > 895


def test_lock_of_codes_is_audited_at_its_owner(owner):
    fail(f"code:{owner.pk}")

    assert AuditEntry.objects.get(action="login.locked").target_name == "owner"


def test_page_of_a_person_says_how_long_he_is_locked(client, owner, admin):
    for _ in range(4):
        fail(str(owner.pk))
        pass_time(str(owner.pk))
    fail(str(owner.pk))
    client.force_login(admin)

    assert "Locked for 4 hours" in client.get(f"/users/{owner.pk}").content.decode()


def test_second_lock_is_the_same_at_both_doors(owner):
    fail(str(owner.pk))
    pass_time(str(owner.pk))
    fail(str(owner.pk))

    page = Client().post("/accounts/login/", {"login": "owner", "password": PASSWORD})
    body = {"username": "owner", "password": PASSWORD}
    answer = Client().post("/api/v1/auth/login", body, content_type="application/json")

    assert "Try again in 30 minutes." in page.content.decode()
    assert (answer.status_code, answer.json()["detail"][-24:]) == (429, "Try again in 30 minutes.")
    assert 1790 < int(answer["Retry-After"]) <= 1800


def test_crowded_address_is_told_to_wait_a_minute(owner):
    for number in range(11):
        body = {"username": f"name{number}", "password": "wrong"}
        answer = Client().post("/api/v1/auth/login", body, content_type="application/json", REMOTE_ADDR="192.0.2.9")

    assert (answer.status_code, answer["Retry-After"]) == (429, "60")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 minute"), (60, "1 minute"), (61, "2 minutes"), (900, "15 minutes"), (7_200, "2 hours"), (DAY, "24 hours")],
)
def test_waits_in_words(seconds, words):
    assert lockout.in_words(seconds) == words
