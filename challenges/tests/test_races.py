"""Many at once, on a real PostgreSQL: one solve, one first blood, attempts exact, one team, one last place."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.utils import timezone

from accounts.tests.factories import UserFactory
from challenges import services
from challenges.models import Instance, Membership, ScoreEvent, Submission
from hub.engines.fake import FakeEngine
from hub.exceptions import HubError
from hub.nodes import ips, leases
from hub.nodes.models import Address, AddressRequest

from .arena import Arena, leased_ips, make_arena, runnable
from .factories import EntryFactory, EventFactory, TeamFactory, participate

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
AtOnce = Callable[..., list[Any]]


@pytest.fixture
def at_once() -> Iterator[AtOnce]:
    """Call a function in many threads at the same moment; answers what each returned, or the code of its refusal."""
    pool = connection.settings_dict["OPTIONS"]["pool"]
    before = dict(pool)
    connections.close_all()
    connection.close_pool()
    pool.update(max_size=40, timeout=60)

    def run(function: Callable[[int], Any], count: int) -> list[Any]:
        barrier = threading.Barrier(count)

        def work(number: int) -> Any:
            barrier.wait(60)
            try:
                return function(number)
            except HubError as error:
                return error.code
            finally:
                connection.close()

        with ThreadPoolExecutor(count) as threads:
            return list(threads.map(work, range(count)))

    yield run
    connections.close_all()
    connection.close_pool()
    pool.clear()
    pool.update(before)


def test_200_right_answers_are_one_solve_each_team_and_one_first_blood(at_once: AtOnce) -> None:
    entry = EntryFactory(event=EventFactory(submissions_per_minute=1000), challenge__first_blood_bonus=10)
    teams = [participate(entry.event).team for _ in range(4)]

    def answer(number: int) -> str:
        actor = teams[number % 4].captain
        return services.submit_answer(entry.event, entry.challenge.slug, actor=actor, answer="flag{right}").outcome

    outcomes = Counter(at_once(answer, 200))

    assert outcomes == {"correct": 4, "already_solved": 196}
    assert Counter(ScoreEvent.objects.values_list("kind", flat=True)) == {"solve": 4, "first_blood": 1}
    first = ScoreEvent.objects.filter(kind="solve").order_by("created_at").values_list("team", flat=True)[0]
    assert ScoreEvent.objects.get(kind="first_blood").team_id == first


def test_attempts_are_exact(at_once: AtOnce) -> None:
    entry = EntryFactory(event=EventFactory(submissions_per_minute=1000), max_attempts=7)
    captain = participate(entry.event).team.captain

    def answer(number: int) -> str:
        return services.submit_answer(entry.event, entry.challenge.slug, actor=captain, answer=f"no {number}").outcome

    assert Counter(at_once(answer, 40)) == {"incorrect": 7, "max_attempts_reached": 33}
    assert sorted(Submission.objects.filter(attempt__gt=0).values_list("attempt", flat=True)) == list(range(1, 8))


def test_rate_is_exact(at_once: AtOnce) -> None:
    entry = EntryFactory(event=EventFactory(submissions_per_minute=5))
    captain = participate(entry.event).team.captain

    def answer(number: int) -> str:
        return services.submit_answer(entry.event, entry.challenge.slug, actor=captain, answer="no").outcome

    assert Counter(at_once(answer, 30)) == {"incorrect": 5, "too_fast": 25}


def test_last_places_of_team_and_event_are_given_once(at_once: AtOnce) -> None:
    team = TeamFactory(max_members=3)
    people = [UserFactory() for _ in range(20)]
    event = EventFactory(max_participants=2)
    captains = [TeamFactory().captain for _ in range(10)]

    joined = at_once(lambda number: services.join_team(team.join_code, actor=people[number]), 20)
    entered = at_once(lambda number: services.register(event, actor=captains[number]), 10)

    assert (joined.count("team_full"), Membership.objects.filter(team=team).count()) == (18, 3)
    assert (entered.count("event_full"), event.participations.count()) == (8, 2)


def test_nobody_joins_two_teams_at_once(at_once: AtOnce) -> None:
    teams, user = [TeamFactory() for _ in range(10)], UserFactory()

    at_once(lambda number: services.join_team(teams[number].join_code, actor=user), 10)

    assert Membership.objects.filter(user=user).count() == 1


def test_wrong_codes_are_counted_exactly(at_once: AtOnce) -> None:
    user = UserFactory()

    answers = at_once(lambda _: services.join_team("WRONG1", actor=user), 20)

    assert Counter(answers) == {"not_found": 10, "too_many_codes": 10}


def test_60_teams_on_31_addresses_run_or_wait_in_order_and_rested_addresses_serve_the_queue(at_once: AtOnce) -> None:
    FakeEngine.reset()
    arena = make_arena(teams=60, rest=300)
    challenge = runnable(arena.event)

    def launch(number: int) -> Instance:
        return services.launch_instance(arena.event, challenge.slug, actor=arena.teams[number].captain).instance

    made = at_once(launch, 60)
    arena.work(4)
    running, line = Instance.objects.filter(observed_status="running"), queue_of(arena)
    ips_of_running = [arena.fresh(one).connections[0].ip for one in running]
    places = [leases.place_in_queue(pk) for pk in line]
    assert (len({one.pk for one in made}), len(ips_of_running), len(set(ips_of_running))) == (60, 31, 31)
    assert places == list(range(1, 30))
    assert leased_ips(arena.node) == sorted(ips_of_running)

    ended = list(running.order_by("created_at")[:2])
    for one in ended:
        services.stop_instance(one, actor=one.team.captain)
    arena.work(3)
    assert (ips.count(arena.node)["quarantined"], queue_of(arena)) == (2, line), "they rest, and nobody is served yet"

    Address.objects.filter(state="quarantined").update(rest_until=timezone.now() - timedelta(seconds=1))
    arena.work(4)
    assert queue_of(arena) == line[2:]
    assert {arena.fresh(one).observed_status for one in Instance.objects.filter(pk__in=line[:2])} == {"running"}
    assert ips.count(arena.node) == {"free": 0, "leased": 31, "quarantined": 0, "blocked": 0, "waiting": 27}


def queue_of(arena: Arena) -> list[Any]:
    """Who waits for an address, first come first."""
    return list(AddressRequest.objects.filter(node=arena.node).order_by("id").values_list("holder", flat=True))
