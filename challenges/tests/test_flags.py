"""Flags: each team's own, compared in constant time, planted and never shown."""

from __future__ import annotations

import time

import pytest

from challenges import flags
from challenges.models import Challenge, Flag

from .factories import ChallengeFactory, ContainerFactory, EventFactory, FlagFactory, TeamFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def flag() -> Flag:
    return FlagFactory(kind="team", content="crypto-TRI{flag_placeholder}")


def test_each_team_and_event_has_its_own_flag_and_keeps_it(flag: Flag) -> None:
    one, other, event = TeamFactory(), TeamFactory(), EventFactory()

    values = {flags.flag_for(flag, one, event), flags.flag_for(flag, other, event), flags.flag_for(flag, one)}

    assert len(values) == 3
    assert flags.flag_for(Flag.objects.get(pk=flag.pk), one, event) in values
    assert all(value.startswith("crypto-TRI{") and value.endswith("}") and len(value) == 36 for value in values)


def test_flag_of_a_team_depends_on_the_secret_of_the_challenge(flag: Flag) -> None:
    team = TeamFactory()
    before = flags.flag_for(flag, team)

    flag.challenge.flag_secret = flags.new_secret()

    assert flags.flag_for(flag, team) != before


def test_answer_of_another_team_is_wrong(flag: Flag) -> None:
    one, other, event = TeamFactory(), TeamFactory(), EventFactory()
    answer = flags.flag_for(flag, one, event)

    assert flags.find([flag], answer, one, event) == flag
    assert flags.find([flag], answer, other, event) is None


@pytest.mark.parametrize(
    ("kind", "content", "answer", "is_right"),
    [
        ("static", "flag{Right}", " flag{Right}\n", True),
        ("static", "flag{Right}", "flag{right}", False),
        ("insensitive", "flag{Right}", "FLAG{rIGHT}", True),
        ("insensitive", "flag{straße}", "FLAG{STRASSE}", True),
        ("regex", r"flag\{\d+\}", "flag{42}", True),
        ("regex", r"flag\{\d+\}", "flag{42} or so", False),
        ("static", "x", "", False),
        ("regex", ".*", "a" * 501, False),
    ],
)
def test_answers_are_compared_by_kind(kind: str, content: str, answer: str, is_right: bool) -> None:
    flag = FlagFactory(kind=kind, content=content)

    assert (flags.find([flag], answer, TeamFactory()) is not None) is is_right


def test_an_expression_that_comes_to_no_end_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    flag = FlagFactory(kind="regex", content=r"(a|aa)+")
    begun = time.monotonic()

    found = flags.find([flag], f"{'a' * 499}?", TeamFactory())

    assert found is None
    assert time.monotonic() - begun < 60
    assert "did not come to an end" in caplog.text
    assert "(a|aa)" not in caplog.text


def test_planted_goes_where_it_is_wanted_and_does_not_show_itself() -> None:
    container = ContainerFactory(challenge__flag="")
    challenge = container.challenge
    FlagFactory(challenge=challenge, name="one", kind="team", content="x{flag_placeholder}", plant_env="FLAG")
    FlagFactory(challenge=challenge, name="two", content="still", plant_path="/flag.txt", container=container)
    FlagFactory(challenge=challenge, name="three", content="not planted")
    team = TeamFactory()

    found = flags.planted(challenge, team)

    assert [(each.container, each.env, each.path) for each in found] == [("web", "FLAG", ""), ("web", "", "/flag.txt")]
    assert found[1].value == "still"
    assert "still" not in repr(found)


def test_answers_and_secrets_are_sealed_in_the_database(flag: Flag) -> None:
    stored = Flag.objects.filter(pk=flag.pk).values_list("content", flat=True).get()
    secret = Challenge.objects.values_list("flag_secret", flat=True).get(pk=flag.challenge_id)

    assert "crypto" not in stored.sealed
    assert str(stored) == str(secret) == "••••••••"


def test_challenge_factory_has_one_right_answer() -> None:
    assert [flag.content.reveal() for flag in ChallengeFactory().flags.all()] == ["flag{right}"]
