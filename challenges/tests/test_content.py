"""Challenges: made, completed, published, and granted what is dangerous."""

from __future__ import annotations

from typing import Any

import pytest

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import flags, services
from challenges.models import Challenge, EventChallenge
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from .factories import ChallengeFactory, ContainerFactory, EntryFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db
WEB = {"name": "web", "image": "nginx:1", "ports": [{"name": "http", "number": 80, "protocol": "http"}]}
DATABASE = {"name": "db", "image": "postgres:18", "is_main": False, "ports": [{"name": "sql", "number": 5432}]}
FLAG = {"name": "flag", "kind": "team", "content": "crypto-TRI{flag_placeholder}", "plant_env": "FLAG"}


@pytest.fixture
def operator() -> Any:
    return UserFactory(role="Operator")


def create(actor: Any, **values: Any) -> Challenge:
    return services.create_challenge(
        actor=actor, **{"name": "Leaky shop", "description": "Find the leak.", "flags": [FLAG], **values}
    )


def test_challenge_is_made_whole_as_a_draft(operator: Any) -> None:
    made = create(operator, kind="container", containers=[WEB, DATABASE], hints=[{"content": "Look.", "cost": 5}])

    assert (made.slug, made.state, bool(made.flag_secret)) == ("leaky-shop", "draft", True)
    assert list(made.containers.values_list("name", "is_main")) == [("web", True), ("db", False)]
    assert made.containers.get(name="web").ports.get().number == 80
    assert made.flags.get().content.reveal() == FLAG["content"]
    assert made.hints.get().cost == 5


@pytest.mark.parametrize("role", ["Player", "Viewer"])
def test_library_is_changed_by_staff_only(role: str) -> None:
    challenge = ChallengeFactory()
    actor = UserFactory(role=role)

    for call in (
        lambda: create(actor),
        lambda: services.update_challenge(challenge, actor=actor, points=5),
        lambda: services.delete_challenge(challenge, actor=actor),
        lambda: services.set_state(challenge, "test", actor=actor),
        lambda: services.grant_powers(challenge, actor=actor),
    ):
        with pytest.raises((NotAllowed, NotFound)):
            call()


def test_audit_tells_no_answer(operator: Any) -> None:
    made = create(operator, flags=[{"name": "flag", "content": "flag{very secret}"}])
    services.update_challenge(made, actor=operator, flags=[{"name": "flag", "content": "flag{more secret}"}])

    assert "secret}" not in str(list(AuditEntry.objects.values()))


def test_changed_flags_keep_their_rows_and_what_is_not_said_again(operator: Any) -> None:
    made = create(operator)
    before = made.flags.get()

    services.update_challenge(made, actor=operator, flags=[{"name": "flag", "kind": "team", "plant_path": "/flag"}])

    after = made.flags.get()
    assert (after.pk, after.content.reveal(), after.plant_path) == (before.pk, FLAG["content"], "/flag")


def test_a_flag_that_is_renamed_stays_the_same_flag(operator: Any) -> None:
    made = create(operator, flags=[FLAG, {"name": "second", "content": "flag{two}"}])
    first, second = made.flags.all()
    team = TeamFactory()
    before = flags.flag_for(first, team)

    rows = [{"id": first.pk, "name": "second", "kind": "team"}, {"id": second.pk, "name": "flag"}]
    services.update_challenge(made, actor=operator, flags=rows)
    swapped = {flag.pk: flag for flag in made.flags.all()}
    services.update_challenge(made, actor=operator, flags=[{"id": first.pk, "name": "one"}, {**FLAG, "name": "flag"}])
    renamed, new = made.flags.all()

    assert [swapped[flag.pk].name for flag in (first, second)] == ["second", "flag"]
    assert (renamed.pk, renamed.name, flags.flag_for(renamed, team)) == (first.pk, "one", before)
    assert flags.flag_for(new, team) != before


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "ab"}, "name"),
        ({"description": "short"}, "description"),
        ({"flags": [{"name": "a", "content": ""}]}, "flags.0.content"),
        ({"flags": [FLAG, FLAG]}, "flags"),
        ({"containers": [WEB, {**WEB, "name": "b"}]}, "containers"),
        ({"containers": [{**WEB, "env": {"a b": "c"}}]}, "containers.0.env"),
        ({"containers": [{**WEB, "ports": [{"name": "a", "number": 0}]}]}, "containers.0.ports.0.number"),
        ({"flags": [{**FLAG, "container": "nowhere"}]}, "flags.0.container"),
        ({"scoring": "linear"}, "decay"),
        ({"tags": ["x" * 41]}, "tags"),
    ],
)
def test_what_is_wrong_is_named_by_its_field_and_nothing_is_stored(
    operator: Any, values: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        create(operator, **values)

    assert refused.value.field == field
    if "." in field:
        assert AuditEntry.objects.filter(action="challenge.created").count() == 0


def test_states_go_from_draft_over_test_to_published(operator: Any) -> None:
    made = create(operator)
    with pytest.raises(Conflict):
        services.set_state(made, "published", actor=operator)

    services.set_state(made, "test", actor=operator)

    assert services.set_state(made, "published", actor=operator).state == "published"


def test_what_cannot_be_solved_or_run_is_not_tested(operator: Any) -> None:
    without = create(operator, flags=[])
    empty = create(operator, name="Empty", kind="container")

    with pytest.raises(Invalid) as no_flag:
        services.set_state(without, "test", actor=operator)
    with pytest.raises(Invalid) as no_container:
        services.set_state(empty, "test", actor=operator)

    assert (no_flag.value.field, no_container.value.field) == ("flags", "containers")


def test_published_challenge_does_not_lose_its_last_flag(operator: Any) -> None:
    challenge = ChallengeFactory()

    with pytest.raises(Invalid):
        services.update_challenge(challenge, actor=operator, flags=[])

    assert challenge.flags.count() == 1


@pytest.mark.parametrize(
    ("change", "stays"),
    [
        ({}, True),
        ({"env": {"LD_PRELOAD": "/tmp/own.so"}}, False),
        ({"command": ["sh", "-c", "id"]}, False),
        ({"writable_paths": ["/etc"]}, False),
        ({"ports": []}, False),
    ],
)
def test_grant_is_for_what_runs_and_nothing_else(operator: Any, change: dict[str, Any], stays: bool) -> None:
    container = ContainerFactory(capabilities=["NET_ADMIN"])
    challenge = services.grant_powers(container.challenge, actor=UserFactory(role="Admin"))
    row = {
        "name": container.name,
        "image": container.image,
        "ports": list(container.ports.values("name", "number", "protocol", "is_public")),
    }

    services.update_challenge(challenge, actor=operator, containers=[{**row, **change}])

    assert Challenge.objects.get(pk=challenge.pk).has_powers is stays


def test_sidecar_asks_for_no_powers(operator: Any) -> None:
    challenge = ContainerFactory().challenge

    with pytest.raises(Invalid, match="sidecar"):
        services.update_challenge(
            challenge,
            actor=operator,
            containers=[
                {"name": "web", "image": "kutanga/web"},
                {"name": "db", "image": "kutanga/db", "is_main": False, "capabilities": ["NET_ADMIN"]},
            ],
        )


def test_powers_are_an_admins_grant_that_a_change_takes_back(operator: Any) -> None:
    admin = UserFactory(role="Admin")
    container = ContainerFactory(capabilities=["NET_ADMIN"])
    challenge = container.challenge
    with pytest.raises(NotAllowed):
        services.grant_powers(challenge, actor=operator)

    granted = services.grant_powers(challenge, actor=admin)
    same = services.update_challenge(challenge, actor=operator, points=200)
    changed = services.update_challenge(
        challenge, actor=operator, containers=[{"name": "web", "image": "other", "capabilities": ["NET_ADMIN"]}]
    )

    assert (granted.has_powers, granted.powers_granted_by) == (True, admin)
    assert same.has_powers
    assert not changed.has_powers
    assert not Challenge.objects.get(pk=challenge.pk).has_powers


def test_nothing_is_granted_where_nothing_is_asked() -> None:
    with pytest.raises(Conflict):
        services.grant_powers(ContainerFactory().challenge, actor=UserFactory(role="Admin"))


def test_offered_challenge_stays(operator: Any) -> None:
    entry = EntryFactory()

    with pytest.raises(Conflict):
        services.delete_challenge(entry.challenge, actor=operator)
    services.delete_challenge(ChallengeFactory(), actor=operator)

    assert Challenge.objects.get() == entry.challenge


def test_entries_are_the_organisers_and_offered_once(operator: Any) -> None:
    entry = EntryFactory()
    with pytest.raises(NotAllowed):
        services.add_entry(entry.event, ChallengeFactory(), actor=UserFactory())
    with pytest.raises(Conflict):
        services.add_entry(entry.event, entry.challenge, actor=operator)

    added = services.add_entry(entry.event, ChallengeFactory(), actor=operator, points_override=5, requires=[entry])

    assert (added.base_points, added.position, list(added.requires.all())) == (5, 1, [entry])


def test_prerequisites_do_not_run_in_a_circle(operator: Any) -> None:
    first = EntryFactory()
    second, third = EntryFactory(event=first.event), EntryFactory(event=first.event)
    services.update_entry(second, actor=operator, requires=[first])
    services.update_entry(third, actor=operator, requires=[second])

    with pytest.raises(Invalid, match="itself"):
        services.update_entry(first, actor=operator, requires=[third])
    with pytest.raises(Invalid, match="same event"):
        services.update_entry(first, actor=operator, requires=[EntryFactory()])

    assert not first.requires.exists()


def test_played_entry_is_hidden_not_removed(operator: Any) -> None:
    entry = EntryFactory()
    team = TeamFactory()
    participate(entry.event, team)
    services.submit_answer(entry.event, entry.challenge.slug, actor=team.captain, answer="no")

    with pytest.raises(Conflict, match="Hide it"):
        services.remove_entry(entry, actor=operator)
    services.update_entry(entry, actor=operator, visibility="hidden")
    services.remove_entry(EntryFactory(event=entry.event), actor=operator)

    assert EventChallenge.objects.get().visibility == "hidden"
