"""The API of challenges: each role's rights stand in hub/tests/permissions.txt, here is what it answers."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from rest_framework.test import APIClient

from accounts.tests.factories import UserFactory
from challenges.models import Challenge, Event, EventChallenge, Flag, Participation, Team
from hub.nodes.tests.factories import RegionFactory

from .factories import ChallengeFactory, EntryFactory, EventFactory, HintFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh() -> None:
    cache.clear()


def client_of(user: Any) -> APIClient:
    client = APIClient()
    client.force_authenticate(user)
    return client


@pytest.fixture
def admin() -> APIClient:
    return client_of(UserFactory(role="Admin"))


def test_team_from_making_to_leaving() -> None:
    captain, friend = client_of(UserFactory()), UserFactory()
    made = captain.post("/api/v1/teams", {"name": "Owls"}).json()

    joined = client_of(friend).post("/api/v1/teams/join", {"code": made["join_code"]}).json()
    kicked = captain.post(f"/api/v1/teams/{made['id']}/kick", {"username": friend.username}).json()

    assert joined["members"] == [made["captain"], friend.username]
    assert kicked["members"] == [made["captain"]]
    assert kicked["join_code"] != made["join_code"]
    assert client_of(friend).get(f"/api/v1/teams/{made['id']}").status_code == 404


def test_join_code_is_not_shown_to_those_who_only_watch() -> None:
    team = TeamFactory()

    shown = client_of(UserFactory(role="Viewer")).get(f"/api/v1/teams/{team.pk}").json()

    assert (shown["name"], shown["join_code"]) == (team.name, None)


def test_challenge_is_made_without_ever_telling_its_flags(admin: APIClient) -> None:
    body = {
        "name": "Leaky shop",
        "description": "Find the leak.",
        "kind": "container",
        "containers": [{"name": "web", "image": "nginx:1", "ports": [{"name": "http", "number": 80}]}],
        "flags": [{"name": "flag", "content": "flag{very secret}", "container": "web", "plant_env": "FLAG"}],
    }

    made = admin.post("/api/v1/challenges", body)
    changed = admin.patch("/api/v1/challenges/leaky-shop", {"flags": [{"name": "flag", "content": "flag{other}"}]})

    assert (made.status_code, changed.status_code) == (201, 200)
    assert made.json()["containers"][0]["ports"][0]["number"] == 80
    assert made.json()["flags"] == [
        {
            "id": Flag.objects.get().pk,
            "name": "flag",
            "kind": "static",
            "container": "web",
            "plant_env": "FLAG",
            "plant_path": "",
        }
    ]
    assert "secret}" not in made.content.decode()
    assert "other}" not in changed.content.decode()
    assert Flag.objects.get().content.reveal() == "flag{other}"


def test_state_moves_by_its_table(admin: APIClient) -> None:
    challenge = ChallengeFactory(state="draft")

    refused = admin.post(f"/api/v1/challenges/{challenge.slug}/state", {"state": "published"})
    moved = admin.post(f"/api/v1/challenges/{challenge.slug}/state", {"state": "test"})

    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert moved.json()["state"] == Challenge.objects.get().state == "test"


def test_event_from_its_making_to_its_end(admin: APIClient) -> None:
    body = {"name": "Night", "description": "A night of puzzles.", "is_public": True}
    made = admin.post(
        "/api/v1/events", {**body, "starts_at": "2030-01-01T00:00Z", "ends_at": "2030-01-02T00:00Z"}
    ).json()
    player = client_of(TeamFactory().captain)

    entered = player.post("/api/v1/events/night/enter")
    states = [
        admin.post(f"/api/v1/events/night/{verb}").json().get("state") for verb in ("start", "pause", "resume", "end")
    ]

    assert made["state"] == "scheduled"
    assert entered.status_code == 200
    assert states == ["running", "paused", "running", "completed"]
    assert player.post("/api/v1/events/night/withdraw").json()["code"] == "event_begun"


def test_answer_hint_board_and_scores(entry: EventChallenge, mine: Participation) -> None:
    hint = HintFactory(challenge=entry.challenge, content="Look below.", cost=10)
    player, path = client_of(mine.team.captain), f"/api/v1/event-challenges/{entry.pk}"
    before = player.get(path).json()

    wrong = player.post(f"{path}/submit", {"answer": "no"}).json()
    right = player.post(f"{path}/submit", {"answer": "flag{right}"}).json()
    taken = player.post(f"{path}/hint", {"hint": hint.pk}).json()

    assert before["hints"][0]["content"] is None
    assert (wrong["outcome"], right["outcome"], right["is_first_blood"]) == ("incorrect", "correct", True)
    assert taken["hints"][0]["content"] == "Look below."
    assert player.get(f"/api/v1/events/{entry.event.slug}/board").json()[0]["is_solved"] is True
    score = player.get(f"/api/v1/events/{entry.event.slug}/score").json()
    assert [line["points"] for line in score["lines"]] == [100, 0, -10]
    standings = player.get(f"/api/v1/events/{entry.event.slug}/scoreboard").json()["standings"]
    assert [(each["place"], each["team"], each["points"]) for each in standings] == [(1, mine.team.name, 90)]


def test_stranger_to_an_event_sees_none_of_its_challenges(entry: EventChallenge) -> None:
    stranger = client_of(TeamFactory().captain)

    answers = [
        stranger.get(f"/api/v1/event-challenges/{entry.pk}"),
        stranger.post(f"/api/v1/event-challenges/{entry.pk}/submit", {"answer": "flag{right}"}),
        stranger.get(f"/api/v1/events/{entry.event.slug}/board"),
        stranger.get(f"/api/v1/events/{entry.event.slug}/score"),
    ]

    assert [answer.status_code for answer in answers] == [404, 404, 404, 404]


def test_locked_and_hidden_challenges_are_not_there(entry: EventChallenge, mine: Participation) -> None:
    locked = EntryFactory(event=entry.event)
    locked.requires.add(entry)
    hidden = EntryFactory(event=entry.event, visibility="hidden")
    player = client_of(mine.team.captain)

    assert player.get(f"/api/v1/event-challenges/{locked.pk}").status_code == 404
    assert player.get(f"/api/v1/event-challenges/{hidden.pk}").status_code == 404
    player.post(f"/api/v1/event-challenges/{entry.pk}/submit", {"answer": "flag{right}"})
    assert player.get(f"/api/v1/event-challenges/{locked.pk}").status_code == 200


def test_challenge_names_its_first_solvers_until_the_freeze(entry: EventChallenge, mine: Participation) -> None:
    player, path = client_of(mine.team.captain), f"/api/v1/event-challenges/{entry.pk}"
    player.post(f"{path}/submit", {"answer": "flag{right}"})

    told = player.get(path).json()["first_solvers"]
    Event.objects.update(freeze_at=entry.event.starts_at)

    assert [each["team"] for each in told] == [mine.team.name]
    assert player.get(path).json()["first_solvers"] == []


def test_too_fast_is_a_429_that_says_when(entry: EventChallenge, mine: Participation) -> None:
    entry.event.submissions_per_minute = 1
    entry.event.save()
    player, path = client_of(mine.team.captain), f"/api/v1/event-challenges/{entry.pk}/submit"
    player.post(path, {"answer": "no"})

    answer = player.post(path, {"answer": "flag{right}"})

    assert (answer.status_code, answer.json()["code"], answer["Retry-After"]) == (429, "too_fast", "60")


def test_administrator_of_an_event_bans_its_teams_and_no_more(entry: EventChallenge, mine: Participation) -> None:
    other = participate(entry.event)
    entry.event.administrator = mine.team.captain
    entry.event.save()
    person, path = client_of(mine.team.captain), f"/api/v1/events/{entry.event.slug}"

    banned = person.post(f"{path}/ban-team", {"team": other.team_id, "reason": "Shared flags"})

    assert banned.json()["is_banned"] is True
    assert len(person.get(f"{path}/teams").json()) == 2
    assert person.post(f"{path}/award", {"team": other.team_id, "points": 5, "reason": "x"}).status_code == 403
    assert client_of(other.team.captain).get(f"{path}/teams").status_code == 403


def test_organisers_offer_and_lock_challenges(admin: APIClient) -> None:
    event, first, second = EventFactory(), ChallengeFactory(), ChallengeFactory()
    one = admin.post("/api/v1/event-challenges", {"event": event.slug, "challenge": first.slug}).json()

    two = admin.post(
        "/api/v1/event-challenges", {"event": event.slug, "challenge": second.slug, "requires": [one["id"]]}
    ).json()
    circle = admin.patch(f"/api/v1/event-challenges/{one['id']}", {"requires": [two["id"]]})

    assert two["requires"] == [one["id"]]
    assert circle.status_code == 400
    assert list(circle.json()["fields"]) == ["requires"]


def test_announcement_is_read_once(admin: APIClient, mine: Participation) -> None:
    told = admin.post("/api/v1/announcements", {"event": mine.event.slug, "title": "Tea", "message": "Now."}).json()
    player = client_of(mine.team.captain)

    before = player.get("/api/v1/announcements").json()["results"]
    player.post(f"/api/v1/announcements/{told['id']}/read")

    assert [each["is_read"] for each in before] == [False]
    assert player.get(f"/api/v1/announcements/{told['id']}").json()["is_read"] is True
    assert client_of(UserFactory()).get("/api/v1/announcements").json()["count"] == 0


def test_lists_cost_a_constant_number_of_queries(django_assert_max_num_queries: Any, admin: APIClient) -> None:
    for _ in range(4):
        EntryFactory()
        TeamFactory()

    for noun in ("challenges", "event-challenges", "events", "teams"):
        with django_assert_max_num_queries(9):
            assert admin.get(f"/api/v1/{noun}").status_code == 200


def test_board_of_many_costs_few_queries(
    django_assert_max_num_queries: Any, entry: EventChallenge, mine: Participation
) -> None:
    for _ in range(9):
        EntryFactory(event=entry.event)
    player = client_of(mine.team.captain)

    with django_assert_max_num_queries(10):
        assert len(player.get(f"/api/v1/events/{entry.event.slug}/board").json()) == 10
    assert Team.objects.count() == 1


def test_organisers_are_named_and_taken_out(admin: APIClient) -> None:
    event, ada = EventFactory(), UserFactory(username="ada", role="Operator")
    UserFactory(username="player")
    path = f"/api/v1/events/{event.slug}/organisers"

    made = admin.put(path, {"usernames": ["ada"]}).json()
    refused = [admin.put(path, {"usernames": [name]}).status_code for name in ("player", "nobody")]
    seen = client_of(ada).get(path).json()

    assert made == seen == {"usernames": ["ada"]}
    assert refused == [400, 400]
    assert admin.put(path, {"usernames": []}).json() == {"usernames": []}


def test_files_of_a_challenge_come_and_go(
    admin: APIClient, entry: EventChallenge, mine: Participation, settings: Any, tmp_path: Any
) -> None:
    settings.HUB_CHALLENGE_FILES = tmp_path
    path = f"/api/v1/challenges/{entry.challenge.slug}"

    made = admin.post(f"{path}/files", {"file": SimpleUploadedFile("a.zip", b"abc")}, format="multipart")
    again = admin.post(f"{path}/files", {"file": SimpleUploadedFile("a.zip", b"abc")}, format="multipart")
    there = f"/api/v1/event-challenges/{entry.pk}/files/{made.json()['id']}"
    answer: Any = client_of(mine.team.captain).get(there, headers={"Accept": "application/octet-stream"})
    stranger = client_of(TeamFactory().captain).get(there)
    (fetched,) = admin.get(f"{path}/downloads").json()
    shown = admin.get(path).json()["files"]

    assert (made.status_code, made.json()["size_bytes"], again.status_code) == (201, 3, 409)
    assert (b"".join(answer.streaming_content), stranger.status_code) == (b"abc", 404)
    assert answer["Content-Disposition"] == 'attachment; filename="a.zip"'
    assert (fetched["file"], fetched["event"], fetched["team"]) == ("a.zip", entry.event.slug, mine.team.name)
    assert [each["name"] for each in shown] == ["a.zip"]
    assert admin.delete(f"{path}/files/{made.json()['id']}").status_code == 204
    assert admin.delete(f"{path}/files/{made.json()['id']}").status_code == 404


def test_hint_is_known_by_its_id_when_another_is_taken_out(admin: APIClient) -> None:
    challenge = ChallengeFactory()
    first, second = (HintFactory(challenge=challenge, content=text, position=n) for n, text in enumerate("ab"))
    path = f"/api/v1/challenges/{challenge.slug}"
    hints = admin.get(path).json()["hints"]

    twice = admin.patch(path, {"hints": [hints[1], hints[1]]})
    admin.patch(path, {"hints": [hints[1]]})

    assert ([each["id"] for each in hints], twice.status_code) == ([first.pk, second.pk], 400)
    assert list(challenge.hints.values_list("pk", "content")) == [(second.pk, "b")]


def test_scores_over_time_stand_still_with_the_board(entry: EventChallenge, mine: Participation) -> None:
    player = client_of(mine.team.captain)
    path = f"/api/v1/events/{entry.event.slug}/history"
    player.post(f"/api/v1/event-challenges/{entry.pk}/submit", {"answer": "flag{right}"})

    (line,) = player.get(path).json()
    Event.objects.update(freeze_at=entry.event.starts_at)
    (frozen,) = player.get(path).json()

    assert (line["team"], line["place"], [step["points"] for step in line["steps"]]) == (mine.team.name, 1, [100, 100])
    assert frozen["steps"] == []


def test_unread_announcements_are_counted(admin: APIClient) -> None:
    player = client_of(UserFactory())
    told = admin.post("/api/v1/announcements", {"title": "Tea", "message": "Now."}).json()
    before = player.get("/api/v1/announcements/unread").json()
    player.post(f"/api/v1/announcements/{told['id']}/read")

    assert (before, player.get("/api/v1/announcements/unread").json()) == ({"unread_count": 1}, {"unread_count": 0})


def test_answers_are_told_to_those_who_look_after_the_event(
    admin: APIClient, entry: EventChallenge, mine: Participation
) -> None:
    player = client_of(mine.team.captain)
    for answer in ("flag{wrong one}", "flag{right}"):
        player.post(f"/api/v1/event-challenges/{entry.pk}/submit", {"answer": answer})
    elsewhere = client_of(UserFactory(role="Operator", regions=[RegionFactory().slug]))

    told = admin.get("/api/v1/submissions", {"event": entry.event.slug, "team": mine.team.pk})
    wrong = admin.get("/api/v1/submissions?outcome=incorrect").json()["results"]

    assert [each["outcome"] for each in told.json()["results"]] == ["correct", "incorrect"]
    assert [(each["attempt"], each["user_name"]) for each in wrong] == [(1, mine.team.captain.username)]
    assert b"flag{" not in told.content
    assert player.get("/api/v1/submissions").status_code == 403
    assert elsewhere.get("/api/v1/submissions").json()["results"] == []
    assert elsewhere.get(f"/api/v1/submissions/{wrong[0]['id']}").status_code == 404
