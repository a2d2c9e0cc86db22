"""PACSTAR's 42 tests of events (seed P105), asked of this hub over its API."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.tests.factories import PASSWORD, UserFactory
from challenges.models import Event, EventChallenge, Participation
from hub.nodes.tests.factories import RegionFactory
from hub.testing import api_client

from .factories import ChallengeFactory, EntryFactory, EventFactory, FlagFactory, HintFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db

API = "/api/v1"


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


@pytest.fixture
def master() -> APIClient:
    return api_client(UserFactory(role="Admin", username="master"))


@pytest.fixture
def organiser() -> APIClient:
    return api_client(UserFactory(role="Operator"))


@pytest.fixture
def player(mine: Participation) -> APIClient:
    return api_client(mine.team.captain)


def body(**changes: Any) -> dict[str, Any]:
    begin = timezone.now() + timedelta(hours=1)
    times = {"starts_at": begin.isoformat(), "ends_at": (begin + timedelta(hours=8)).isoformat()}
    return {"name": "Winter cup", "description": "A day of puzzles.", "is_public": True, **times, **changes}


def state_of(client: APIClient, event: str) -> str:
    return str(client.get(f"{API}/events/{event}").json()["state"])


def move(client: APIClient, event: str, verb: str, **values: Any) -> int:
    return int(client.post(f"{API}/events/{event}/{verb}", values).status_code)


def answer(client: APIClient, entry: EventChallenge, text: str) -> Any:
    return client.post(f"{API}/event-challenges/{entry.pk}/submit", {"answer": text})


# --- Health: 2 ----------------------------------------------------------------------------------------------------


def test_p105_health_01_answers() -> None:
    assert APIClient().get("/health").status_code == 200


def test_p105_health_02_description_of_the_api_knows_events() -> None:
    told = APIClient().get(f"{API}/schema?format=json")

    assert told.status_code == 200
    assert "/api/v1/events/{slug}/scoreboard" in told.json()["paths"]


# --- Authentication: 4 --------------------------------------------------------------------------------------------


def test_p105_authentication_03_right_password_gives_tokens(master: APIClient) -> None:
    told = APIClient().post(f"{API}/auth/login", {"username": "master", "password": PASSWORD}).json()

    assert {"access", "refresh"} <= set(told)


def test_p105_authentication_04_wrong_password_gives_none(master: APIClient) -> None:
    told = APIClient().post(f"{API}/auth/login", {"username": "master", "password": "no"})

    assert told.status_code in (400, 401)
    assert "access" not in told.json()


def test_p105_authentication_05_nobody_sees_no_events() -> None:
    assert APIClient().get(f"{API}/events").status_code == 401


def test_p105_authentication_06_made_up_token_is_refused() -> None:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION="Bearer made.up.token")

    assert client.get(f"{API}/events").status_code == 401


# --- Make, read, change, delete: 7 --------------------------------------------------------------------------------


def test_p105_crud_07_master_makes_a_scheduled_event(master: APIClient) -> None:
    made = master.post(f"{API}/events", body())

    assert (made.status_code, made.json()["state"]) == (201, "scheduled")


def test_p105_crud_08_organiser_makes_a_draft(organiser: APIClient) -> None:
    made = organiser.post(f"{API}/events", body())

    assert (made.status_code, made.json()["state"]) == (201, "draft")


def test_p105_crud_09_player_makes_none() -> None:
    assert api_client(UserFactory()).post(f"{API}/events", body()).status_code == 403


def test_p105_crud_10_end_before_the_start_is_refused(master: APIClient) -> None:
    refused = master.post(f"{API}/events", body(ends_at=timezone.now().isoformat()))

    assert refused.status_code == 400
    assert list(refused.json()["fields"]) == ["ends_at"]


def test_p105_crud_11_event_is_read_and_listed(master: APIClient) -> None:
    slug = master.post(f"{API}/events", body()).json()["slug"]

    assert master.get(f"{API}/events/{slug}").json()["name"] == "Winter cup"
    assert [row["slug"] for row in master.get(f"{API}/events").json()["results"]] == [slug]


def test_p105_crud_12_event_is_changed(master: APIClient) -> None:
    slug = master.post(f"{API}/events", body()).json()["slug"]

    changed = master.patch(f"{API}/events/{slug}", {"max_participants": 12})

    assert (changed.status_code, changed.json()["max_participants"]) == (200, 12)


def test_p105_crud_13_event_is_deleted(master: APIClient) -> None:
    slug = master.post(f"{API}/events", body()).json()["slug"]

    assert master.delete(f"{API}/events/{slug}").status_code == 204
    assert master.get(f"{API}/events/{slug}").status_code == 404


# --- Life: 6 ------------------------------------------------------------------------------------------------------


def test_p105_lifecycle_14_draft_is_submitted_and_approved(master: APIClient, organiser: APIClient) -> None:
    slug = organiser.post(f"{API}/events", body()).json()["slug"]

    moves = [move(organiser, slug, "submit"), move(organiser, slug, "approve"), move(master, slug, "approve")]

    assert (moves, state_of(master, slug)) == ([200, 403, 200], "scheduled")


def test_p105_lifecycle_15_draft_is_rejected_with_a_reason(master: APIClient, organiser: APIClient) -> None:
    slug = organiser.post(f"{API}/events", body()).json()["slug"]
    move(organiser, slug, "submit")

    assert move(master, slug, "reject", reason="No hints yet.") == 200
    assert (state_of(master, slug), Event.objects.get().status_reason) == ("rejected", "No hints yet.")


def test_p105_lifecycle_16_event_is_started_before_its_time(master: APIClient) -> None:
    slug = master.post(f"{API}/events", body()).json()["slug"]

    assert (move(master, slug, "start"), state_of(master, slug)) == (200, "running")


def test_p105_lifecycle_17_event_is_paused_and_resumed(master: APIClient, entry: EventChallenge) -> None:
    slug = entry.event.slug

    seen = [(move(master, slug, verb), state_of(master, slug)) for verb in ("pause", "resume")]

    assert seen == [(200, "paused"), (200, "running")]


def test_p105_lifecycle_18_event_is_ended(master: APIClient, entry: EventChallenge) -> None:
    assert (move(master, entry.event.slug, "end"), state_of(master, entry.event.slug)) == (200, "completed")


def test_p105_lifecycle_19_clock_starts_and_ends_it_without_a_scheduler(master: APIClient) -> None:
    slug = master.post(f"{API}/events", body()).json()["slug"]
    states = []
    for begin, end in ((-1, 1), (-2, -1)):
        times = {"starts_at": timezone.now() + timedelta(hours=begin), "ends_at": timezone.now() + timedelta(hours=end)}
        Event.objects.update(**times)
        states.append(state_of(master, slug))

    assert states == ["running", "completed"]


# --- Registration: 5 ----------------------------------------------------------------------------------------------


def test_p105_registration_20_one_member_enters_for_all() -> None:
    mate = UserFactory()
    team, event = TeamFactory(members=[mate]), EventFactory()

    assert move(api_client(mate), event.slug, "enter") == 200
    assert event.participations.get().team == team


def test_p105_registration_21_again_changes_nothing(mine: Participation, player: APIClient) -> None:
    assert move(player, mine.event.slug, "enter") == 200
    assert mine.event.participations.count() == 1


def test_p105_registration_22_without_a_team_nobody_enters() -> None:
    refused = api_client(UserFactory()).post(f"{API}/events/{EventFactory().slug}/enter")

    assert refused.status_code == 409


def test_p105_registration_23_full_event_takes_nobody() -> None:
    event = EventFactory(max_participants=1)
    participate(event)

    refused = api_client(TeamFactory().captain).post(f"{API}/events/{event.slug}/enter")

    assert refused.json()["code"] == "event_full"


def test_p105_registration_24_event_of_another_region_is_not_there() -> None:
    event = EventFactory(is_public=False, region=RegionFactory())

    assert move(api_client(TeamFactory().captain), event.slug, "enter") == 404


# --- What is seen: 4 ----------------------------------------------------------------------------------------------


def test_p105_visibility_25_hidden_challenge_is_not_on_the_board(entry: EventChallenge, player: APIClient) -> None:
    EntryFactory(event=entry.event, visibility="hidden")

    assert [card["entry_id"] for card in player.get(f"{API}/events/{entry.event.slug}/board").json()] == [entry.pk]


def test_p105_visibility_26_challenge_is_hidden_while_it_runs(
    master: APIClient, entry: EventChallenge, player: APIClient
) -> None:
    master.patch(f"{API}/event-challenges/{entry.pk}", {"visibility": "hidden"})

    assert player.get(f"{API}/event-challenges/{entry.pk}").status_code == 404
    assert player.get(f"{API}/events/{entry.event.slug}/board").json() == []


def test_p105_visibility_27_locked_one_shows_category_and_value_only(entry: EventChallenge, player: APIClient) -> None:
    locked = EntryFactory(event=entry.event, position=1, challenge__category="crypto")
    locked.requires.add(entry)

    card = player.get(f"{API}/events/{entry.event.slug}/board").json()[1]

    assert (card["is_locked"], card["name"], card["category"], card["points"]) == (True, "Locked", "crypto", 100)


def test_p105_visibility_28_event_overrides_points_and_order(entry: EventChallenge, player: APIClient) -> None:
    EntryFactory(event=entry.event, points_override=500, position=0)
    EventChallenge.objects.filter(pk=entry.pk).update(position=1)

    board = player.get(f"{API}/events/{entry.event.slug}/board").json()

    assert [card["points"] for card in board] == [500, 100]


# --- Answers: 6 ---------------------------------------------------------------------------------------------------


def test_p105_flags_29_right_answer_scores(entry: EventChallenge, player: APIClient) -> None:
    told = answer(player, entry, "flag{right}").json()

    assert (told["outcome"], told["is_first_blood"]) == ("correct", True)
    assert player.get(f"{API}/events/{entry.event.slug}/score").json()["total"] == 100


def test_p105_flags_30_wrong_answer_tells_the_attempts_left(entry: EventChallenge, player: APIClient) -> None:
    EventChallenge.objects.update(max_attempts=3)

    told = answer(player, entry, "no").json()

    assert (told["outcome"], told["attempts_remaining"]) == ("incorrect", 2)


def test_p105_flags_31_solved_is_solved_once(entry: EventChallenge, player: APIClient) -> None:
    outcomes = [answer(player, entry, "flag{right}").json()["outcome"] for _ in range(2)]

    assert outcomes == ["correct", "already_solved"]
    assert player.get(f"{API}/events/{entry.event.slug}/score").json()["total"] == 100


def test_p105_flags_32_attempts_run_out(entry: EventChallenge, player: APIClient) -> None:
    EventChallenge.objects.update(max_attempts=1)
    answer(player, entry, "no")

    assert answer(player, entry, "flag{right}").json()["outcome"] == "max_attempts_reached"


def test_p105_flags_33_several_flags_share_the_points(entry: EventChallenge, player: APIClient) -> None:
    entry.challenge.flag_logic = "all"
    entry.challenge.save()
    FlagFactory(challenge=entry.challenge, content="flag{second}")

    outcomes = [answer(player, entry, text).json()["outcome"] for text in ("flag{right}", "flag{second}")]

    assert outcomes == ["partial", "correct"]
    lines = player.get(f"{API}/events/{entry.event.slug}/score").json()["lines"]
    assert [line["points"] for line in lines if line["points"]] == [50, 50]


def test_p105_flags_34_hint_costs_once(entry: EventChallenge, player: APIClient) -> None:
    hint = HintFactory(challenge=entry.challenge, cost=30)
    path = f"{API}/event-challenges/{entry.pk}/hint"
    poor = player.post(path, {"hint": hint.pk})
    answer(player, entry, "flag{right}")

    codes = [player.post(path, {"hint": hint.pk}).status_code for _ in range(2)]

    assert (poor.json()["code"], codes) == ("too_few_points", [200, 200])
    assert player.get(f"{API}/events/{entry.event.slug}/score").json()["total"] == 70


# --- Statistics: 3 ------------------------------------------------------------------------------------------------


def test_p105_statistics_35_scoreboard_by_points_then_time(entry: EventChallenge, mine: Participation) -> None:
    rest = [participate(entry.event) for _ in range(2)]
    for team in (rest[0], mine):
        answer(api_client(team.team.captain), entry, "flag{right}")

    board = api_client(mine.team.captain).get(f"{API}/events/{entry.event.slug}/scoreboard").json()["standings"]

    wanted = [rest[0].team.name, mine.team.name, rest[1].team.name]
    assert [(row["place"], row["team"]) for row in board] == list(enumerate(wanted, 1))


def test_p105_statistics_36_statistics_and_scoreboard_agree(entry: EventChallenge, player: APIClient) -> None:
    """P97: what the board counts as solves is what gives the points."""
    answer(player, entry, "flag{right}")

    (card,) = player.get(f"{API}/events/{entry.event.slug}/board").json()
    (row,) = player.get(f"{API}/events/{entry.event.slug}/scoreboard").json()["standings"]

    assert (card["solves"], row["solves"], card["points"], row["points"]) == (1, 1, 100, 100)


def test_p105_statistics_37_other_teams_lines_are_not_told(entry: EventChallenge, player: APIClient) -> None:
    other = participate(entry.event)
    answer(api_client(other.team.captain), entry, "flag{right}")

    assert player.get(f"{API}/events/{entry.event.slug}/score").json() == {"total": 0, "lines": []}


# --- Challenges on offer: 2 ---------------------------------------------------------------------------------------


def test_p105_available_38_published_challenges_are_offered_once(master: APIClient) -> None:
    event, challenge = EventFactory(), ChallengeFactory()
    asked = {"event": event.slug, "challenge": challenge.slug}

    codes = [master.post(f"{API}/event-challenges", asked).status_code for _ in range(2)]

    assert codes[0] == 201
    assert codes[1] in (400, 409)


def test_p105_available_39_library_is_not_the_players() -> None:
    ChallengeFactory()

    assert api_client(UserFactory()).get(f"{API}/challenges").status_code == 403


# --- Errors: 2 ----------------------------------------------------------------------------------------------------


def test_p105_errors_40_unknown_event_is_a_404(master: APIClient) -> None:
    assert master.get(f"{API}/events/no-such").status_code == 404
    assert move(master, "no-such", "start") == 404
    assert master.get(f"{API}/events/no-such/board").status_code == 404


def test_p105_errors_41_illegal_move_says_so(master: APIClient, entry: EventChallenge) -> None:
    refused = master.post(f"{API}/events/{entry.event.slug}/resume")

    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert state_of(master, entry.event.slug) == "running"


# --- All of it: 1 -------------------------------------------------------------------------------------------------


def test_p105_summary_42_event_from_draft_to_its_end(master: APIClient, organiser: APIClient) -> None:
    slug = organiser.post(f"{API}/events", body()).json()["slug"]
    challenge = ChallengeFactory()
    offered = master.post(f"{API}/event-challenges", {"event": slug, "challenge": challenge.slug}).json()
    entry = EventChallenge.objects.get(pk=offered["id"])
    assert [move(organiser, slug, "submit"), move(master, slug, "approve")] == [200, 200]
    captain = api_client(TeamFactory().captain)
    assert [move(captain, slug, "enter"), answer(captain, entry, "flag{right}").status_code] == [200, 404]

    assert move(master, slug, "start") == 200
    assert answer(captain, entry, "flag{right}").json()["outcome"] == "correct"
    assert move(master, slug, "end") == 200

    assert answer(captain, entry, "flag{right}").json()["code"] == "event_not_running"
    assert captain.get(f"{API}/events/{slug}/scoreboard").json()["standings"][0]["points"] == 100
