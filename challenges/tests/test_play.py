"""Answers, hints, files, boards and scores."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import flags, scoring, services
from challenges.models import Event, EventChallenge, FileDownload, Participation, ScoreEvent, Submission
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound, TooMany

from .factories import ChallengeFactory, EntryFactory, EventFactory, FlagFactory, HintFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


@pytest.fixture
def entry() -> EventChallenge:
    return EntryFactory()


@pytest.fixture
def mine(entry: EventChallenge) -> Participation:
    return participate(entry.event)


def answer(entry: EventChallenge, participation: Participation, text: str = "flag{right}") -> services.Answered:
    return services.submit_answer(
        entry.event, entry.challenge.slug, actor=participation.team.captain, answer=text, user_agent="test"
    )


def total(participation: Participation) -> int:
    return scoring.score_of(Participation.objects.select_related("event", "team").get(pk=participation.pk))


def test_right_answer_solves_once_and_counts_once(entry: EventChallenge, mine: Participation) -> None:
    first, second = answer(entry, mine), answer(entry, mine)

    assert (first.outcome, first.is_first_blood, second.outcome) == ("correct", True, "already_solved")
    assert total(mine) == 100
    assert AuditEntry.objects.get(action="challenge.solved").data["is_first"] is True


def test_second_team_solves_without_first_blood(entry: EventChallenge, mine: Participation) -> None:
    entry.challenge.first_blood_bonus = 20
    entry.challenge.save()
    other = participate(entry.event)

    outcomes = [answer(entry, mine), answer(entry, other)]

    assert [each.is_first_blood for each in outcomes] == [True, False]
    assert [total(mine), total(other)] == [120, 100]


def test_wrong_answers_are_counted_and_run_out_without_a_hint_at_the_truth(
    entry: EventChallenge, mine: Participation
) -> None:
    entry.max_attempts = 2
    entry.save()

    left = [answer(entry, mine, "no").attempts_remaining, answer(entry, mine, "nope").attempts_remaining]
    last = answer(entry, mine)

    assert (left, last.outcome) == ([1, 0], "max_attempts_reached")
    assert list(Submission.objects.order_by("id").values_list("attempt", flat=True)) == [1, 2, 0]
    assert not ScoreEvent.objects.exists()


def test_submissions_keep_who_and_whence_and_seal_what(entry: EventChallenge, mine: Participation) -> None:
    answer(entry, mine, "something secret")

    row = Submission.objects.get()
    assert (row.user_name, row.user_agent, row.outcome) == (mine.team.captain.username, "test", "incorrect")
    assert "secret" not in row.answer.sealed
    assert row.answer.reveal() == "something secret"


def test_too_many_answers_in_a_minute_are_refused_exactly(entry: EventChallenge, mine: Participation) -> None:
    entry.event.submissions_per_minute = 3
    entry.event.save()
    for _ in range(3):
        answer(entry, mine, "no")

    with pytest.raises(TooMany):
        answer(entry, mine)

    assert Submission.objects.count() == 3


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"status": "paused"}, "event_paused"),
        ({"starts_at": timezone.now() + HOUR}, "event_not_running"),
        ({"ends_at": timezone.now() - timedelta(minutes=1)}, "event_not_running"),
    ],
)
def test_answers_need_a_running_event(values: dict[str, Any], code: str) -> None:
    entry = EntryFactory(event=EventFactory(**values))

    with pytest.raises(Conflict) as refused:
        answer(entry, participate(entry.event))

    assert refused.value.code == code


def test_stranger_banned_team_and_viewer_answer_nothing(entry: EventChallenge, mine: Participation) -> None:
    slug = entry.challenge.slug
    with pytest.raises(NotAllowed, match="Enter the event"):
        services.submit_answer(entry.event, slug, actor=UserFactory(), answer="x")
    with pytest.raises(NotAllowed):
        services.submit_answer(entry.event, slug, actor=UserFactory(role="Viewer"), answer="x")
    services.ban_from_event(mine, actor=UserFactory(role="Admin"), reason="Shared flags")
    with pytest.raises(NotAllowed, match="Shared flags"):
        answer(entry, mine)


@pytest.mark.parametrize("text", ["", "  ", "x" * 501])
def test_answer_has_a_length(entry: EventChallenge, mine: Participation, text: str) -> None:
    with pytest.raises(Invalid):
        answer(entry, mine, text)


@pytest.mark.parametrize(
    "values",
    [
        {"visibility": "hidden"},
        {"release_at": timezone.now() + HOUR},
        {"challenge__state": "test"},
        {"challenge__state": "draft"},
    ],
)
def test_what_is_not_shown_is_not_there(values: dict[str, Any]) -> None:
    entry = EntryFactory(**values)
    mine = participate(entry.event)

    with pytest.raises(NotFound):
        answer(entry, mine)
    assert services.cards(entry.event, mine) == []


def test_challenge_of_chosen_teams_is_not_there_for_others(entry: EventChallenge, mine: Participation) -> None:
    other = participate(entry.event)
    entry.allowed_teams.add(mine.team)

    assert len(services.cards(entry.event, mine)) == 1
    assert services.cards(entry.event, other) == []
    with pytest.raises(NotFound):
        answer(entry, other)


def test_locked_challenge_opens_with_what_it_builds_on(entry: EventChallenge, mine: Participation) -> None:
    locked = EntryFactory(event=entry.event, challenge__name="Secret door")
    locked.requires.add(entry)
    with pytest.raises(Conflict) as refused:
        answer(locked, mine)
    before = services.cards(entry.event, mine)[1]

    answer(entry, mine)

    assert refused.value.code == "locked"
    assert (before.is_locked, before.name, before.slug, before.points) == (True, "Locked", "", 100)
    assert (before.solves, before.attempts_remaining) == (0, None)
    assert services.cards(entry.event, mine)[1].name == "Secret door"
    assert answer(locked, mine).outcome == "correct"


def test_several_flags_all_needed_share_the_points(mine: Participation, entry: EventChallenge) -> None:
    challenge = ChallengeFactory(flag="", flag_logic="all", points=100)
    for name in ("one", "two", "three"):
        FlagFactory(challenge=challenge, name=name, content=name)
    several = EntryFactory(event=entry.event, challenge=challenge)

    outcomes = [answer(several, mine, text).outcome for text in ("one", "one", "three", "two")]

    assert outcomes == ["partial", "already_solved", "partial", "correct"]
    assert total(mine) == 99
    assert ScoreEvent.objects.filter(completes=True).count() == 1


def test_flags_that_were_found_stay_found_under_a_new_name(mine: Participation, entry: EventChallenge) -> None:
    challenge = ChallengeFactory(flag="", flag_logic="all", points=100)
    one, two = (FlagFactory(challenge=challenge, name=name, content=name) for name in ("one", "two"))
    several = EntryFactory(event=entry.event, challenge=challenge)
    first = answer(several, mine, "one")
    rows = [{"id": two.pk, "name": "two"}, {"id": one.pk, "name": "renamed"}]
    services.update_challenge(challenge, actor=SYSTEM, flags=rows)

    assert (first.outcome, answer(several, mine, "one").outcome) == ("partial", "already_solved")
    assert answer(several, mine, "two").outcome == "correct"


def test_several_flags_any_one_solves_for_all_points(mine: Participation, entry: EventChallenge) -> None:
    challenge = ChallengeFactory(flag="one")
    FlagFactory(challenge=challenge, content="two")
    several = EntryFactory(event=entry.event, challenge=challenge)

    assert [answer(several, mine, text).outcome for text in ("two", "one")] == ["correct", "already_solved"]
    assert total(mine) == 100


def test_flag_of_another_team_is_wrong(entry: EventChallenge, mine: Participation) -> None:
    challenge = ChallengeFactory(flag="")
    flag = FlagFactory(challenge=challenge, kind="team", content="x{flag_placeholder}")
    own = EntryFactory(event=entry.event, challenge=challenge)
    other = participate(entry.event)

    assert answer(own, mine, flags.flag_for(flag, other.team, entry.event)).outcome == "incorrect"
    assert answer(own, mine, flags.flag_for(flag, mine.team, entry.event)).outcome == "correct"


@pytest.mark.parametrize(
    ("scoring_kind", "decay", "solves", "worth"),
    [
        ("static", 0, 10, 500),
        ("linear", 50, 1, 500),
        ("linear", 50, 3, 400),
        ("linear", 50, 100, 100),
        ("logarithmic", 10, 1, 500),
        ("logarithmic", 10, 6, 400),
        ("logarithmic", 10, 11, 100),
        ("logarithmic", 10, 50, 100),
    ],
)
def test_value_follows_the_solves(scoring_kind: str, decay: int, solves: int, worth: int) -> None:
    assert scoring.value(scoring_kind, 500, 100, decay, solves) == worth


def test_value_falls_to_the_very_least() -> None:
    """Worked out in whole numbers: with fractions this one stood at 2."""
    assert scoring.value("logarithmic", 100, 1, 7, 8) == 1


def test_preview_curve_never_rises() -> None:
    points = scoring.curve("logarithmic", 500, 100, 20)

    assert points == sorted(points, reverse=True)
    assert (points[0], points[-1]) == (500, 100)


def test_equal_points_are_ordered_by_solves_then_by_time(entry: EventChallenge, mine: Participation) -> None:
    half = [EntryFactory(event=entry.event, challenge__points=50) for _ in range(2)]
    late, two, nothing = participate(entry.event), participate(entry.event), participate(entry.event)
    answer(entry, mine)
    answer(entry, late)
    for each in half:
        answer(each, two)

    board = scoring.standings(entry.event, scoring.FAR)

    assert [each.team_id for each in board] == [each.team_id for each in (two, mine, late, nothing)]
    assert [(each.place, each.points, each.solves) for each in board] == [
        (1, 100, 2),
        (2, 100, 1),
        (3, 100, 1),
        (4, 0, 0),
    ]


def test_frozen_board_stands_still_under_dynamic_scoring() -> None:
    challenge = ChallengeFactory(points=500, minimum_points=100, scoring="linear", decay=50)
    entry = EntryFactory(challenge=challenge)
    mine, other, third = (participate(entry.event) for _ in range(3))
    answer(entry, mine)
    answer(entry, other)
    entry.event.freeze_at = timezone.now()
    entry.event.save()
    before = scoring.board(entry.event)

    answer(entry, third)

    assert [
        (each.team_id, each.points) for each in scoring.standings(entry.event, scoring.seen_until(entry.event))
    ] == [(each.team_id, each.points) for each in before]
    assert services.cards(entry.event, mine)[0].points == 450
    assert [total(mine), total(third)] == [450, 400]
    live = scoring.board(entry.event, is_live=True)
    assert {each.points for each in live} == {400}


def test_a_frozen_board_does_not_tell_who_was_first() -> None:
    """Neither at once nor line by line: it would say whether anybody else has solved it during the freeze."""
    challenge = ChallengeFactory(points=100, first_blood_bonus=50)
    entry = EntryFactory(challenge=challenge)
    event = entry.event
    early = EntryFactory(event=event, challenge=ChallengeFactory(points=10, first_blood_bonus=5))
    mine, other = participate(event), participate(event)
    answer(early, mine)
    event.freeze_at = timezone.now()
    event.save()

    told = [answer(entry, each) for each in (mine, other)]
    frozen = [total(mine), total(other)]
    Event.objects.filter(pk=event.pk).update(status="completed")
    over = [total(mine), total(other)]

    assert [(each.outcome, each.message, each.is_first_blood) for each in told] == [("correct", "Right.", None)] * 2
    assert frozen == [115, 100]
    assert over == [165, 100]


def test_a_hidden_bonus_buys_no_hint() -> None:
    """What a team may spend would tell it too."""
    challenge = ChallengeFactory(points=100, first_blood_bonus=50)
    entry = EntryFactory(challenge=challenge)
    hint = HintFactory(challenge=challenge, cost=120)
    mine = participate(entry.event)
    entry.event.freeze_at = timezone.now()
    entry.event.save()
    answer(entry, mine)

    with pytest.raises(Conflict, match="you have 100"):
        services.unlock_hint(entry.event, challenge.slug, hint.pk, actor=mine.team.captain)


def test_freeze_ends_with_the_event() -> None:
    event = EventFactory(status="completed", freeze_at=timezone.now() - HOUR)

    assert scoring.seen_until(event) == scoring.FAR


def test_banned_teams_solves_count_for_nobody_until_it_is_unbanned() -> None:
    challenge = ChallengeFactory(points=500, scoring="linear", decay=50)
    entry, admin = EntryFactory(challenge=challenge), UserFactory(role="Admin")
    mine, other = participate(entry.event), participate(entry.event)
    answer(entry, mine)
    answer(entry, other)

    services.ban_from_event(other, actor=admin, reason="Shared flags")
    banned = scoring.standings(entry.event, scoring.FAR)
    services.unban_from_event(other, actor=admin)

    assert [(each.team_id, each.points) for each in banned] == [(mine.team_id, 500)]
    assert [each.points for each in scoring.standings(entry.event, scoring.FAR)] == [450, 450]


def test_hint_costs_once_for_the_team_and_needs_the_points(entry: EventChallenge, mine: Participation) -> None:
    hint = HintFactory(challenge=entry.challenge, cost=30)
    slug, captain = entry.challenge.slug, mine.team.captain
    with pytest.raises(Conflict) as refused:
        services.unlock_hint(entry.event, slug, hint.pk, actor=captain)
    services.award_points(mine, actor=UserFactory(role="Admin"), points=50, reason="A fine question")

    for _ in range(2):
        assert services.unlock_hint(entry.event, slug, hint.pk, actor=captain) == hint

    assert refused.value.code == "too_few_points"
    assert [(line.kind, line.points, line.total) for line in scoring.lines(mine)] == [
        ("Award", 50, 50),
        ("Hint", -30, 20),
    ]


def test_hint_needs_a_running_event_and_an_entry(entry: EventChallenge, mine: Participation) -> None:
    hint = HintFactory(challenge=entry.challenge)
    with pytest.raises(NotAllowed):
        services.unlock_hint(entry.event, entry.challenge.slug, hint.pk, actor=UserFactory())
    with pytest.raises(NotFound):
        services.unlock_hint(entry.event, entry.challenge.slug, HintFactory().pk, actor=mine.team.captain)
    entry.event.status = "paused"
    entry.event.save()

    with pytest.raises(Conflict):
        services.unlock_hint(entry.event, entry.challenge.slug, hint.pk, actor=mine.team.captain)


def test_award_is_the_organisers(mine: Participation) -> None:
    with pytest.raises(NotAllowed):
        services.award_points(mine, actor=mine.team.captain, points=5, reason="Me")
    with pytest.raises(Invalid):
        services.award_points(mine, actor=UserFactory(role="Admin"), points=0, reason="Nothing")


def test_file_has_a_checksum_and_each_download_is_noted(
    entry: EventChallenge, mine: Participation, settings: Any, tmp_path: Any
) -> None:
    settings.HUB_CHALLENGE_FILES = tmp_path
    admin = UserFactory(role="Admin")
    file = services.add_file(entry.challenge, ContentFile(b"abc", name="../evil/notes.txt"), actor=admin)

    fetched = services.fetch_file(entry.event, entry.challenge.slug, file.pk, actor=mine.team.captain)

    assert (fetched.name, fetched.size_bytes, fetched.sha256[:8]) == ("notes.txt", 3, "ba7816bf")
    assert fetched.content.read() == b"abc"
    assert FileDownload.objects.get().team == mine.team
    with pytest.raises(NotFound):
        services.fetch_file(entry.event, entry.challenge.slug, file.pk, actor=UserFactory())


def test_file_too_large_or_named_twice_is_refused(entry: EventChallenge, settings: Any, tmp_path: Any) -> None:
    settings.HUB_CHALLENGE_FILES, settings.HUB_CHALLENGE_FILE_MB = tmp_path, 1
    admin = UserFactory(role="Admin")
    services.add_file(entry.challenge, ContentFile(b"abc", name="a"), actor=admin)

    with pytest.raises(Invalid, match="1 MB"):
        services.add_file(entry.challenge, ContentFile(b"x" * (1024 * 1024 + 1), name="b"), actor=admin)
    with pytest.raises(Conflict):
        services.add_file(entry.challenge, ContentFile(b"abc", name="a"), actor=admin)
    with pytest.raises(NotAllowed):
        services.add_file(entry.challenge, ContentFile(b"abc", name="c"), actor=UserFactory(role="Viewer"))


def test_removed_file_leaves_the_disk_once_that_is_certain(
    entry: EventChallenge, settings: Any, tmp_path: Any, django_capture_on_commit_callbacks: Any
) -> None:
    settings.HUB_CHALLENGE_FILES = tmp_path
    admin = UserFactory(role="Admin")
    file = services.add_file(entry.challenge, ContentFile(b"abc", name="a"), actor=admin)

    with django_capture_on_commit_callbacks(execute=True):
        services.remove_file(file, actor=admin)

    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_board_is_closed_before_the_start_and_open_after_the_end() -> None:
    early = EntryFactory(event=EventFactory(starts_at=timezone.now() + HOUR))
    over = EntryFactory(event=EventFactory(status="completed"))

    with pytest.raises(Conflict):
        services.cards(early.event, participate(early.event))
    assert len(services.cards(over.event, participate(over.event))) == 1


def test_team_of_one_event_sees_nothing_of_another(mine: Participation) -> None:
    other = EntryFactory()

    with pytest.raises(NotAllowed):
        answer(other, mine)
    assert services.participation_of(other.event, mine.team.captain) is None
    assert TeamFactory._meta.model.objects.visible_to(mine.team.captain).get() == mine.team
