"""Pages of challenges: who may is in hub/tests/permissions.txt, here is what they show and do."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from challenges import services
from challenges.forms import EventForm
from challenges.models import (
    Announcement,
    Challenge,
    Event,
    EventChallenge,
    FileDownload,
    Participation,
    ScoreEvent,
    Team,
)
from hub.nodes.models import AddressPool

from .arena import make_arena, runnable
from .factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    HintFactory,
    TeamFactory,
    participate,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Any) -> None:
    settings.HUB_CHALLENGE_FILES = tmp_path
    cache.clear()


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin() -> Client:
    return browser(UserFactory(role="Admin"))


@pytest.fixture
def entry() -> EventChallenge:
    return EntryFactory(challenge__name="Leaky shop", challenge__slug="leaky-shop")


def page(client: Client, path: str, **values: Any) -> str:
    answer = client.post(path, values, follow=True) if values else client.get(path)
    assert answer.status_code == 200, (path, answer.status_code)
    return str(answer.content.decode())


def test_path_of_a_team_from_no_team_to_first_blood(entry: EventChallenge) -> None:
    client, event = browser(UserFactory(username="ada")), f"/events/{entry.event.slug}"
    assert "Join a team" in page(client, "/teams/")

    made = page(client, "/teams/new", name="Owls", max_members=5)
    entered = client.post(f"{event}/enter", follow=True).content.decode()
    board = page(client, f"{event}/play")
    wrong = page(client, f"{event}/play/leaky-shop", answer="no")
    right = page(client, f"{event}/play/leaky-shop", answer="flag{right}")

    assert str(Team.objects.get().join_code) in made
    assert "You are in." in entered
    assert "Leaky shop" in board
    assert "Not right." in wrong
    assert "you are the first" in right
    assert "Solved" in page(client, f"{event}/play")
    assert "Owls" in page(client, f"{event}/scoreboard")
    assert "Leaky shop" in page(client, f"{event}/score")


def test_page_of_a_challenge_names_the_first_who_solved_it_without_the_banned_and_those_after_the_freeze(
    entry: EventChallenge, mine: Participation
) -> None:
    event, path = entry.event, f"/events/{entry.event.slug}/play/leaky-shop"
    teams = [participate(event, TeamFactory(name=name)) for name in ("Baobabs", "Cheaters", "Latecomers")]
    for number, each in enumerate(teams):
        services.submit_answer(event, "leaky-shop", actor=each.team.captain, answer="flag{right}")
        ScoreEvent.objects.filter(team=each.team).update(
            created_at=timezone.now() - timedelta(minutes=30 - 10 * number)
        )
    Participation.objects.filter(team__name="Cheaters").update(banned_at=timezone.now())
    Event.objects.filter(pk=event.pk).update(freeze_at=timezone.now() - timedelta(minutes=15))

    text = page(browser(mine.team.captain), path)

    assert "First to solve it" in text
    assert "Baobabs" in text
    assert "Cheaters" not in text
    assert "Latecomers" not in text


def test_what_was_not_right_stays_in_the_field_of_who_sent_it(entry: EventChallenge, mine: Participation) -> None:
    entry.event.submissions_per_minute = 1
    entry.event.save()
    friend = UserFactory()
    mine.team.memberships.create(user=friend)
    client, path = browser(mine.team.captain), f"/events/{entry.event.slug}/play/leaky-shop"

    wrong = client.post(path, {"answer": 'flag{"wrong"}'})
    throttled = client.post(path, {"answer": "flag{right}"})
    later, theirs = page(client, path), page(browser(friend), path)

    assert (wrong.status_code, throttled.status_code) == (200, 422)
    assert 'value="flag{&quot;wrong&quot;}"' in wrong.content.decode()
    assert 'value="flag{right}"' in throttled.content.decode()
    assert {wrong["Cache-Control"], throttled["Cache-Control"]} == {"private, no-store"}
    assert "flag{" not in later + theirs + str(dict(client.session))


def test_second_player_joins_by_code_and_shares_the_board(mine: Participation, entry: EventChallenge) -> None:
    friend = browser(UserFactory())

    page(friend, "/teams/join", code=mine.team.join_code)

    assert "Leaky shop" in page(friend, f"/events/{entry.event.slug}/play")


def test_wrong_code_stays_in_the_form_with_the_reason() -> None:
    answer = browser(UserFactory()).post("/teams/join", {"code": "WRONG1"})

    assert answer.status_code == 422
    assert "No team has this code" in answer.content.decode()


def test_stranger_sees_neither_board_nor_challenge_nor_own_score(entry: EventChallenge) -> None:
    client, event = browser(TeamFactory().captain), f"/events/{entry.event.slug}"

    assert [client.get(f"{event}{rest}").status_code for rest in ("/play", "/play/leaky-shop", "/score")] == [404] * 3
    assert client.get(event).status_code == 200


def test_no_page_of_a_player_holds_a_flag_or_an_untaken_hint(entry: EventChallenge, mine: Participation) -> None:
    HintFactory(challenge=entry.challenge, title="Where", content="Look below the counter.", cost=5)
    client, path = browser(mine.team.captain), f"/events/{entry.event.slug}/play/leaky-shop"

    shown = page(client, path)
    refused = client.post(f"{path}/hints/{entry.challenge.hints.get().pk}", follow=True).content.decode()

    assert "flag{right}" not in shown
    assert "below the counter" not in shown + refused
    assert "costs 5 points and you have 0" in refused


def test_hint_that_was_taken_is_shown(entry: EventChallenge, mine: Participation) -> None:
    hint = HintFactory(challenge=entry.challenge, content="Look **below**.")
    path = f"/events/{entry.event.slug}/play/leaky-shop"

    shown = browser(mine.team.captain).post(f"{path}/hints/{hint.pk}", follow=True).content.decode()

    assert "<strong>below</strong>" in shown


def test_markdown_lets_no_html_and_no_script_through(entry: EventChallenge, mine: Participation) -> None:
    entry.challenge.description = "<script>alert(1)</script> [x](javascript:alert(1)) ![y](https://evil.example/p.png)"
    entry.challenge.save()

    shown = page(browser(mine.team.captain), f"/events/{entry.event.slug}/play/leaky-shop")

    assert "<script>alert" not in shown
    assert 'href="javascript' not in shown
    assert "<img" not in shown.split("k-prose")[1].split("</section>")[0]


def test_file_is_fetched_as_an_attachment_and_noted(entry: EventChallenge, mine: Participation, admin: Client) -> None:
    page(admin, "/challenges/leaky-shop/files", file=SimpleUploadedFile("shop.html", b"<script>"))
    file = entry.challenge.files.get()

    answer: Any = browser(mine.team.captain).get(f"/events/{entry.event.slug}/play/leaky-shop/files/{file.pk}")

    assert b"".join(answer.streaming_content) == b"<script>"
    assert answer["Content-Disposition"] == 'attachment; filename="shop.html"'
    assert answer["Content-Type"] == "application/octet-stream"
    assert FileDownload.objects.get().user_name == mine.team.captain.username


def test_file_is_left_to_the_proxy_once_it_is_clear_who_asks(
    entry: EventChallenge, mine: Participation, admin: Client, settings: Any
) -> None:
    settings.HUB_CHALLENGE_FILE_ACCEL = "/challenge-files-internal/"
    page(admin, "/challenges/leaky-shop/files", file=SimpleUploadedFile("größe.zip", b"PK"))
    file = entry.challenge.files.get()
    path = f"/events/{entry.event.slug}/play/leaky-shop/files/{file.pk}"

    answer: Any = browser(mine.team.captain).get(path)
    stranger: Any = browser(UserFactory()).get(path)

    assert (
        answer["X-Accel-Redirect"]
        == f"/challenge-files-internal/{entry.challenge.pk}/{file.content.name.split('/')[1]}"
    )
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.zip"
    assert (answer["Content-Type"], answer.content) == ("application/octet-stream", b"")
    assert FileDownload.objects.get().user_name == mine.team.captain.username
    assert stranger.status_code == 404
    assert "X-Accel-Redirect" not in stranger


def test_board_answers_304_until_something_changes(entry: EventChallenge, mine: Participation) -> None:
    client, path = browser(mine.team.captain), f"/events/{entry.event.slug}/play"
    headers = {"HX-Request": "true", "HX-Target": "board"}
    tag = client.get(path, headers=headers)["ETag"]

    before = client.get(path, headers={**headers, "If-None-Match": tag}).status_code
    services.submit_answer(entry.event, "leaky-shop", actor=mine.team.captain, answer="flag{right}")

    assert (before, client.get(path, headers={**headers, "If-None-Match": tag}).status_code) == (304, 200)


def test_organiser_makes_an_event_offers_a_challenge_and_runs_it(admin: Client) -> None:
    challenge = ChallengeFactory()
    values = {
        "name": "Night of flags",
        "description": "A night of puzzles.",
        "kind": "ctf",
        "participation": "team_based",
        "starts_at": "2030-01-01T10:00",
        "ends_at": "2030-01-02T10:00",
        "submissions_per_minute": 20,
        "address_policy": "team",
        "max_instances_per_team": 3,
        "instance_minutes": 60,
        "extend_minutes": 30,
        "extend_window_minutes": 15,
        "warn_minutes": 5,
    }

    page(admin, "/events/new", **values)
    page(admin, "/events/night-of-flags/challenges", challenge=challenge.slug)
    for verb in ("start", "pause", "resume"):
        admin.post(f"/events/night-of-flags/{verb}")
    page(admin, "/events/night-of-flags/announce", title="Tea", message="In the hall.", ui_type="toast")
    page(admin, "/events/night-of-flags/end", typed="Night of flags")

    event = Event.objects.get()
    assert (event.state, event.entries.count(), event.announcements.count()) == ("completed", 1, 2)


def test_wrong_event_is_refused_in_its_form(admin: Client) -> None:
    answer = admin.post("/events/new", {"name": "No"})

    assert answer.status_code == 422
    assert not Event.objects.exists()


def test_end_wants_the_name_typed(admin: Client, entry: EventChallenge) -> None:
    answer = admin.post(f"/events/{entry.event.slug}/end", {"typed": "something"})

    assert answer.status_code == 422
    assert Event.objects.get().state == "running"


def test_organiser_hides_bans_and_lets_play_on(admin: Client, entry: EventChallenge, mine: Participation) -> None:
    event = f"/events/{entry.event.slug}"

    admin.post(f"{event}/challenges/{entry.pk}/hide")
    page(admin, f"{event}/teams/{mine.team_id}/ban", reason="Shared flags")

    assert EventChallenge.objects.get().visibility == "hidden"
    assert "Shared flags" in page(browser(mine.team.captain), event)
    admin.post(f"{event}/teams/{mine.team_id}/unban")
    assert not Participation.objects.get().is_banned


def test_organiser_says_who_sees_a_challenge_from_when_on_and_after_which(
    admin: Client, entry: EventChallenge, mine: Participation
) -> None:
    other, second = participate(entry.event), EntryFactory(event=entry.event, challenge__name="Vault")
    path = f"/events/{entry.event.slug}/challenges/{second.pk}/edit"
    shown = page(admin, path)
    answers = {"visibility": "visible", "position": "1", "points_override": "70", "max_attempts": "3"}

    page(admin, path, **answers, requires=[entry.pk], allowed_teams=[mine.team_id], release_at="2026-01-02T03:04")
    cards = [services.cards(entry.event, each) for each in (mine, other)]
    circle = admin.post(f"/events/{entry.event.slug}/challenges/{entry.pk}/edit", {**answers, "requires": [second.pk]})

    assert "Leaky shop" in shown
    second.refresh_from_db()
    assert (second.points_override, second.max_attempts, second.release_at.year) == (70, 3, 2026)
    assert [[card.name for card in each] for each in cards] == [["Leaky shop", "Locked"], ["Leaky shop"]]
    assert circle.status_code == 422
    assert "build on itself" in circle.content.decode()


def test_organiser_gives_points_with_a_reason_that_the_team_reads(
    admin: Client, entry: EventChallenge, mine: Participation
) -> None:
    path = f"/events/{entry.event.slug}/teams/{mine.team_id}/award"

    empty = admin.post(path, {"points": "0", "reason": "Nothing"})
    page(admin, path, points="25", reason="Best poster")

    assert (empty.status_code, "Name a number of points." in empty.content.decode()) == (422, True)
    score = page(browser(mine.team.captain), f"/events/{entry.event.slug}/score")
    assert "Best poster" in score
    assert "25" in score


@pytest.mark.parametrize(
    ("kind", "places"), [("background", ["list"]), ("alert", ["list", "note"]), ("toast", ["list", "toast"])]
)
def test_hint_is_shown_as_its_author_wants(
    entry: EventChallenge, mine: Participation, kind: str, places: list[str]
) -> None:
    hint = HintFactory(challenge=entry.challenge, kind=kind, content="Look below.")
    path = f"/events/{entry.event.slug}/play/{entry.challenge.slug}"

    shown = browser(mine.team.captain).post(f"{path}/hints/{hint.pk}", follow=True)

    answer = shown.content.decode()
    found = {
        "list": "Look" in answer,
        "note": "k-note k-st-warn" in answer,
        "toast": any("Look below." in str(said) for said in shown.context["messages"]),
    }
    assert [place for place, is_there in found.items() if is_there] == places


def test_announcements_reach_the_pages_of_an_event_as_their_author_wants(
    entry: EventChallenge, mine: Participation, admin: Client
) -> None:
    event, client = entry.event, browser(mine.team.captain)
    ask = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "news"}
    for kind in ("toast", "alert", "background"):
        page(admin, f"/events/{event.slug}/announce", title=f"A {kind}", message="In the hall.", ui_type=kind)

    first, again = (client.get("/announcements/news", **ask) for _ in range(2))
    alert = event.announcements.get(title="A alert")
    page(client, f"/announcements/{alert.pk}/read", x="")
    read = client.get("/announcements/news", **ask).content.decode()

    assert 'hx-get="/announcements/news"' in page(client, f"/events/{event.slug}/play")
    shown = first.content.decode()
    assert [words in shown for words in ("A toast: In the hall.", "<b>A alert</b>", "A background")] == [
        True,
        True,
        False,
    ]
    assert "3 unread announcements" in shown
    assert "A toast: In the hall." not in again.content.decode()
    assert "<b>A alert</b>" in again.content.decode()
    assert "<b>A alert</b>" not in read
    assert client.get("/announcements/news").status_code == 302


@pytest.mark.parametrize("minutes", ["²", "9" * 5000, "-1", "x", ""])
def test_nonsense_in_the_place_of_minutes_is_an_answer(admin: Client, minutes: str) -> None:
    body = {"verb": "extend", "ids": ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"], "minutes": minutes}

    assert admin.post("/instances/bulk", body).status_code == 200


def test_large_file_is_taken_from_those_who_write_challenges_only(admin: Client, settings: Any, tmp_path: Any) -> None:
    settings.HUB_CHALLENGE_FILES, settings.HUB_CHALLENGE_FILE_MB = tmp_path, 4
    challenge = ChallengeFactory()
    path = f"/challenges/{challenge.slug}/files"

    def send(client: Client, megabytes: int) -> int:
        upload = SimpleUploadedFile("disk.img", b"x" * (megabytes * 2**20))
        return int(client.post(path, {"file": upload}).status_code)

    assert send(browser(UserFactory()), 3) == 413
    assert send(Client(), 3) == 413
    assert send(admin, 3) == 302
    assert send(admin, 6) == 413
    assert challenge.files.get().size_bytes == 3 * 2**20


def test_powers_are_granted_on_the_page_by_admins_only(admin: Client) -> None:
    challenge = ContainerFactory(is_privileged=True).challenge
    path = f"/challenges/{challenge.slug}/powers"

    refused = browser(UserFactory(role="Operator")).post(path).status_code
    admin.post(path, {"verb": "revoke"})
    before = Challenge.objects.get().has_powers
    admin.post(path, {"verb": "grant"})

    assert (refused, before) == (403, False)
    assert Challenge.objects.get().has_powers


def test_captain_runs_his_team(mine: Participation) -> None:
    member = UserFactory()
    team = mine.team
    services.join_team(team.join_code or "", actor=member)
    captain = browser(team.captain)

    page(captain, f"/teams/{team.pk}/edit", name="Foxes", max_members=4, is_locked="on")
    captain.post(f"/teams/{team.pk}/code")
    captain.post(f"/teams/{team.pk}/members/{member.pk}/captain")
    page(captain, f"/teams/{team.pk}/leave", sure="yes")

    fresh = Team.objects.get()
    assert (fresh.name, fresh.is_locked, fresh.captain) == ("Foxes", True, member)
    assert fresh.join_code != team.join_code
    assert fresh.memberships.count() == 1


def test_member_finds_no_power_over_the_team(mine: Participation) -> None:
    member = UserFactory()
    services.join_team(mine.team.join_code or "", actor=member)
    client = browser(member)

    assert client.get(f"/teams/{mine.team_id}/edit").status_code == 403
    assert client.post(f"/teams/{mine.team_id}/members/{mine.team.captain_id}/kick").status_code == 403
    assert client.post(f"/teams/{mine.team_id}/code").status_code == 403


def test_banned_team_reads_why(admin: Client, mine: Participation) -> None:
    page(admin, f"/teams/{mine.team_id}/ban", reason="Shared flags")

    assert "Shared flags" in page(browser(mine.team.captain), f"/teams/{mine.team_id}")
    admin.post(f"/teams/{mine.team_id}/ban")
    assert not Team.objects.get().is_banned


def test_announcements_are_read_on_their_page(entry: EventChallenge, mine: Participation, admin: Client) -> None:
    page(admin, f"/events/{entry.event.slug}/announce", title="Tea", message="In the hall.", ui_type="toast")
    client = browser(mine.team.captain)
    before = page(client, "/announcements/")

    after = client.post("/announcements/", follow=True).content.decode()

    assert "<b>Tea</b>" in before
    assert "<b>Tea</b>" not in after


def test_frozen_scoreboard_says_so_to_organisers(entry: EventChallenge, mine: Participation, admin: Client) -> None:
    entry.event.freeze_at = entry.event.starts_at
    entry.event.save()
    services.submit_answer(entry.event, "leaky-shop", actor=mine.team.captain, answer="flag{right}")

    seen = page(browser(mine.team.captain), f"/events/{entry.event.slug}/scoreboard")
    live = page(admin, f"/events/{entry.event.slug}/scoreboard")

    assert 'data-l="Points"><b>0<' in seen
    assert 'data-l="Points"><b>100<' in live
    assert "frozen scoreboard" in live
    assert '<span class="k-tag">you</span>' in seen
    assert '<span class="k-tag">you</span>' not in live


@pytest.mark.parametrize("path", ["/events/", "/teams/", "/challenges/"])
def test_lists_are_csv_too_and_cost_few_queries(path: str, admin: Client, django_assert_max_num_queries: Any) -> None:
    for _ in range(3):
        EntryFactory()
        TeamFactory()

    with django_assert_max_num_queries(16):
        admin.get(path)
    assert admin.get(path, {"csv": ""})["Content-Type"].startswith("text/csv")


def test_palette_and_empty_lists(admin: Client) -> None:
    assert "No event yet" in page(admin, "/events/")
    EventFactory(name="Needle night")

    assert "Needle night" in page(admin, "/search?q=needle")


def test_palette_finds_instances_and_pools_for_those_who_see_them(admin: Client) -> None:
    arena = make_arena()
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    pool = AddressPool.objects.get(node=arena.node)

    assert instance.get_absolute_url() in page(admin, f"/search?q={challenge.name}")
    assert pool.get_absolute_url() in page(admin, f"/search?q={pool.name}")
    assert instance.get_absolute_url() not in page(browser(UserFactory()), f"/search?q={challenge.name}")


def test_announcement_with_a_sound_rings_once(entry: EventChallenge, mine: Participation, admin: Client) -> None:
    client, ask = browser(mine.team.captain), {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "news"}
    page(admin, f"/events/{entry.event.slug}/announce", title="Tea", message="Now.", ui_type="alert", has_sound="on")

    rings = ["data-rings" in client.get("/announcements/news", **ask).content.decode() for _ in range(2)]

    assert rings == [True, False]


def test_what_changes_on_the_page_of_a_challenge_comes_by_itself(entry: EventChallenge) -> None:
    hint = HintFactory(challenge=entry.challenge, content="Look **below**.", kind="alert")
    team = participate(entry.event).team
    client, url = browser(team.captain), f"/events/{entry.event.slug}/play/leaky-shop"
    headers = {"HX-Request": "true", "HX-Target": "play-facts"}
    first = client.get(url, headers=headers)
    same = client.get(url, headers={**headers, "If-None-Match": first["ETag"]})
    services.unlock_hint(entry.event, "leaky-shop", hint.pk, actor=team.captain)
    services.submit_answer(entry.event, "leaky-shop", actor=team.captain, answer="flag{right}")

    after = client.get(url, headers={**headers, "If-None-Match": first["ETag"]})

    assert (first.status_code, same.status_code, after.status_code) == (200, 304, 200)
    text = after.content.decode()
    assert text.count("<strong>below</strong>") == 2  # in the list, and on top of the page because it is an alert
    assert ('id="play-top" hx-swap-oob' in text, "k-note" in text) == (True, True)
    assert ('id="play-head" hx-swap-oob' in text, "<span>Solved</span>" in text) == (True, True)
    assert "Your team has solved this." in text
    assert "<html" not in text


def test_everybody_is_told_on_a_page(admin: Client) -> None:
    event = EventFactory()
    operator = browser(UserFactory(role="Operator"))
    text = {"title": "Tea", "message": "In the hall.", "ui_type": "toast"}

    page(admin, "/announcements/new", **text)
    page(admin, "/announcements/new", event=event.slug, **text)
    refused = operator.post("/announcements/new", text)

    assert set(Announcement.objects.values_list("event__slug", flat=True)) == {None, event.slug}
    assert refused.status_code == 422


def test_what_was_told_is_withdrawn_by_those_who_may(admin: Client) -> None:
    event = EventFactory()
    for scope in ({}, {"event": event.slug}):
        page(admin, "/announcements/new", title="Tea", message="In the hall.", ui_type="toast", **scope)
    general, own = Announcement.objects.get(event=None), Announcement.objects.get(event=event)
    operator, player = browser(UserFactory(role="Operator")), browser(participate(event).team.captain)

    listed = [page(client, "/announcements/").count("/withdraw") for client in (admin, operator, player)]
    refused = [client.post(f"/announcements/{general.pk}/withdraw").status_code for client in (operator, player)]
    page(operator, f"/announcements/{own.pk}/withdraw", x="")

    assert (listed, refused) == ([2, 1, 0], [403, 403])
    assert Announcement.objects.get() == general


def test_organisers_are_chosen_in_the_form_of_an_event(admin: Client) -> None:
    event, ada = EventFactory(), UserFactory(username="ada", role="Operator")
    form = EventForm(instance=event)
    values = {name: form[name].value() for name in form.fields}
    moments = {name: values[name].strftime("%Y-%m-%dT%H:%M") for name in ("starts_at", "ends_at")}
    sent = {name: value for name, value in values.items() if value not in (None, False)} | moments

    page(admin, f"/events/{event.slug}/edit", **{**sent, "organisers": ["ada"]})

    assert list(event.organisers.all()) == [ada]


@pytest.mark.parametrize(
    ("state", "buttons"),
    [("draft", {"To test"}), ("test", {"Back to draft", "Publish"}), ("published", {"To test"})],
)
def test_page_of_the_library_offers_the_states_that_come_next(admin: Client, state: str, buttons: set[str]) -> None:
    challenge = ChallengeFactory(state=state)

    page = admin.get(challenge.get_absolute_url()).content.decode()

    assert set(re.findall(r'name="state" value="\w+">([^<]+)<', page)) == buttons


def test_organiser_names_and_unnames_the_administrator_of_an_event(mine: Participation, admin: Client) -> None:
    path, player = f"/events/{mine.event.slug}", mine.team.captain.username

    named = page(admin, f"{path}/administrator", username=player)
    refused = [page(admin, f"{path}/administrator", username=name) for name in (UserFactory().username, "nobody")]
    kept = Event.objects.get().administrator
    page(admin, f"{path}/administrator", username="")

    assert f'value="{player}"' in named
    assert all("This person takes no part in the event." in shown for shown in refused)
    assert (kept, Event.objects.get().administrator) == (mine.team.captain, None)


def test_event_without_teams_is_deleted_when_its_name_is_typed(admin: Client) -> None:
    event = EventFactory()
    path = f"/events/{event.slug}"
    offered = f"{path}/delete" in page(admin, path)

    asked = admin.post(f"{path}/delete", {"typed": "x"})
    admin.post(f"{path}/delete", {"typed": event.name})

    assert (offered, asked.status_code, Event.objects.count()) == (True, 422, 0)


def test_staff_moves_a_member_on_the_page_of_the_team(admin: Client) -> None:
    member = UserFactory()
    TeamFactory(members=[member])
    team = TeamFactory()

    moved = page(admin, f"/teams/{team.pk}/move", username=member.username)
    unknown = page(admin, f"/teams/{team.pk}/move", username="nobody")

    assert member.username in moved
    assert "There is nobody of this name." in unknown
    assert browser(team.captain).post(f"/teams/{team.pk}/move", {"username": "x"}).status_code == 403


def test_own_score_comes_by_itself(entry: EventChallenge, mine: Participation) -> None:
    client, path = browser(mine.team.captain), f"/events/{entry.event.slug}/score"
    headers = {"HX-Request": "true", "HX-Target": "score"}
    tag = client.get(path, headers=headers)["ETag"]

    same = client.get(path, headers={**headers, "If-None-Match": tag})
    services.submit_answer(entry.event, "leaky-shop", actor=mine.team.captain, answer="flag{right}")
    after = client.get(path, headers={**headers, "If-None-Match": tag})

    assert (same.status_code, after.status_code) == (304, 200)
    assert (": 100 points" in after.content.decode(), "<html" in after.content.decode()) == (True, False)
    assert 'id="score" data-live' in page(client, path)


def test_page_of_an_event_says_by_itself_that_it_has_begun_and_what_was_announced(
    entry: EventChallenge, mine: Participation
) -> None:
    Event.objects.update(starts_at=timezone.now() + timedelta(hours=1))
    client, url = browser(mine.team.captain), entry.event.get_absolute_url()
    piece = {"HX-Request": "true", "HX-Target": "event-facts"}

    before = client.get(url, headers=piece)
    same = client.get(url, headers={**piece, "If-None-Match": before["ETag"]})
    Event.objects.update(starts_at=timezone.now())
    Announcement.objects.create(event=entry.event, title="Pizza", message="In the hall.", author_name="tendai")
    after = client.get(url, headers={**piece, "If-None-Match": before["ETag"]})

    assert (same.status_code, after.status_code) == (304, 200)
    assert ("Withdraw" in before.content.decode(), "Withdraw" in after.content.decode()) == (True, False)
    assert all(text in after.content.decode() for text in ("Running", "Pizza", 'id="event-head" hx-swap-oob'))


def test_page_of_a_team_shows_who_joins_by_itself(mine: Participation) -> None:
    client, url = browser(mine.team.captain), mine.team.get_absolute_url()
    piece = {"HX-Request": "true", "HX-Target": "team"}

    before = client.get(url, headers=piece)
    same = client.get(url, headers={**piece, "If-None-Match": before["ETag"]})
    member = UserFactory()
    services.join_team(mine.team.join_code, actor=member)
    after = client.get(url, headers={**piece, "If-None-Match": before["ETag"]})

    assert (same.status_code, after.status_code) == (304, 200)
    assert (member.username in before.content.decode(), member.username in after.content.decode()) == (False, True)


def test_answers_are_listed_for_those_who_look_after_the_event(
    admin: Client, entry: EventChallenge, mine: Participation
) -> None:
    services.answer_entry(entry.pk, actor=mine.team.captain, answer="flag{nearly}")
    page, player = f"/events/{entry.event.slug}/submissions", browser(mine.team.captain)

    shown = admin.get(page, {"outcome": "incorrect", "q": mine.team.name}).content.decode()

    assert f'href="{page}"' in admin.get(f"/events/{entry.event.slug}").content.decode()
    assert all(words in shown for words in (mine.team.name, entry.challenge.name, "Incorrect"))
    assert "flag{nearly}" not in shown + admin.get(page, {"csv": ""}).content.decode()
    assert player.get(page).status_code == 404
    assert page not in player.get(f"/events/{entry.event.slug}").content.decode()
