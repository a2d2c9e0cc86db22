"""What a crowd looks at again and again: found by statements that are kept, counted seldom, never behind one's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from accounts.tests.factories import UserFactory
from challenges import scoring, services
from challenges.models import Event, EventChallenge, Participation
from hub.nodes.tests.factories import RegionFactory
from hub.testing import run_commit_hooks

from .factories import EntryFactory, EventFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def entry() -> EventChallenge:
    return EntryFactory(challenge__points=500, challenge__scoring="linear", challenge__decay=100)


def solve(entry: EventChallenge, participation: Participation) -> None:
    answered = services.submit_answer(
        entry.event, entry.challenge.slug, actor=participation.team.captain, answer="flag{right}"
    )
    assert answered.outcome == "correct"
    run_commit_hooks()


def look(entry: EventChallenge, participation: Participation) -> tuple[int, int, bool]:
    (card,) = services.cards(entry.event, participation)
    return card.points, card.solves, card.is_solved


def test_worth_is_counted_once_for_all_who_look(entry: EventChallenge):
    teams = [participate(entry.event) for _ in range(2)]
    look(entry, teams[0])

    with CaptureQueriesContext(connection) as asked:
        look(entry, teams[1])

    assert "minimum_points" not in str(asked.captured_queries)


def test_own_solve_is_in_the_next_look(entry: EventChallenge):
    first, second = participate(entry.event), participate(entry.event)
    looks = [look(entry, second)]

    for team in (first, second):
        solve(entry, team)
        looks.append(look(entry, team))

    assert looks == [(500, 0, False), (500, 1, True), (400, 2, True)]


def test_count_that_began_before_a_solve_is_not_shown_after_it(entry: EventChallenge, monkeypatch: pytest.MonkeyPatch):
    first, other = participate(entry.event), participate(entry.event)
    count = scoring.worths

    def slow_count(*asked: Any) -> Any:
        counted = count(*asked)
        monkeypatch.undo()
        solve(entry, first)
        return counted

    monkeypatch.setattr(scoring, "worths", slow_count)
    late = look(entry, other)

    assert (late[1], look(entry, first)[1]) == (0, 1)


def test_challenge_that_is_offered_meanwhile_is_counted_too(entry: EventChallenge):
    team = participate(entry.event)
    look(entry, team)

    EntryFactory(event=entry.event, challenge__points=50)

    assert [card.points for card in services.cards(entry.event, team)] == [500, 50]


WHO: dict[str, Callable[[Any], User]] = {
    "player": lambda region: UserFactory(),
    "player at home": lambda region: UserFactory(region_preference=region.slug),
    "viewer": lambda region: UserFactory(role="Viewer"),
    "operator": lambda region: UserFactory(role="Operator"),
    "operator of a region": lambda region: UserFactory(role="Operator", regions=[region.slug]),
    "operator of another": lambda region: UserFactory(role="Operator", regions=["moon"]),
    "admin": lambda region: UserFactory(role="Admin"),
    "nobody any more": lambda region: UserFactory(is_active=False),
}


@pytest.mark.parametrize("who", WHO)
def test_event_is_found_by_those_who_may_see_it(who: str):
    """Two people of each kind, because the second is asked with the statement that was made for the first."""
    region = RegionFactory()
    kinds: list[dict[str, Any]] = [
        {}, {"is_public": False}, {"is_public": False, "region": region}, {"status": "draft", "region": region},
    ]  # fmt: skip
    for _ in range(2):
        user = WHO[who](region)
        events = [EventFactory(**kind) for kind in kinds]
        own = [EventFactory(is_public=False, region=RegionFactory(), status=status) for status in ("draft", "running")]
        own[0].organisers.add(user)
        participate(own[1], TeamFactory(captain=user))
        for event in [*events, *own]:
            found = services.find_event(user, event.slug)
            seen = Event.objects.visible_to(user).filter(slug=event.slug).first()
            assert found == seen, event.status
            if found:
                assert (found.region_slug, found.state) == (event.region_slug, event.state)
    assert services.find_event(user, "no-such-event") is None
