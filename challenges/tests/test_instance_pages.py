"""Pages and API of instances: a team's box, the organisers' board, the ledger; each for those who may."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import flags, services
from challenges.models import Challenge, Event, Instance
from challenges.services import instance_fleet
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict
from hub.testing import api_client, assert_constant_queries

from .arena import Arena, make_arena, runnable

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _engine() -> Iterator[None]:
    FakeEngine.reset()
    yield
    FakeEngine.reset()


@pytest.fixture
def arena() -> Arena:
    return make_arena()


def signed_in(user: Any) -> Client:
    client = Client()
    client.force_login(user)
    return client


def panel_url(arena: Arena, challenge: Any) -> str:
    return reverse("challenges:instance_panel", args=[arena.event.slug, challenge.slug])


def test_box_launches_and_shows_lines_to_copy_and_the_end(arena: Arena):
    challenge = runnable(arena.event)
    client, url = signed_in(arena.teams[0].captain), panel_url(arena, challenge)
    before = client.get(url).content.decode()

    client.post(url, {"verb": "launch"})
    arena.work()
    page = client.get(url).content.decode()

    assert "Nothing of it runs" in before
    assert "http://192.168.250.100:8080/" in page
    assert "data-copy" in page
    assert "ends" in page
    assert flags.flag_for(challenge.flags.get(), arena.teams[0], arena.event) not in page


def test_pause_keeps_the_address_until_it_is_launched_again(arena: Arena):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    client, url = signed_in(arena.teams[0].captain), panel_url(arena, challenge)

    client.post(url, {"verb": "pause"})
    arena.work()
    paused = arena.fresh(instance)
    page = client.get(url).content.decode()

    assert (paused.observed_status, paused.connections[0].ip) == ("stopped", "192.168.250.100")
    assert ("instance-launch" in page, "instance-pause" in page) == (True, False)


def test_box_names_no_challenge_before_the_event_begins(arena: Arena):
    challenge = runnable(arena.event)
    Event.objects.update(starts_at=timezone.now() + timedelta(hours=1))

    refused = signed_in(arena.teams[0].captain).get(panel_url(arena, challenge))

    assert (refused.status_code, challenge.name in refused.content.decode()) == (409, False)


def test_box_is_a_fragment_that_says_when_nothing_has_changed(arena: Arena):
    challenge = runnable(arena.event)
    arena.launch(arena.teams[0], challenge)
    arena.work()
    client, url = signed_in(arena.teams[0].captain), panel_url(arena, challenge)
    asks = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "instance"}

    first = client.get(url, **asks)
    again = client.get(url, **asks, HTTP_IF_NONE_MATCH=first["ETag"])
    posted = client.post(url, {"verb": "stop"}, **asks)

    assert first.content.decode().lstrip().startswith('<div id="instance"')
    assert again.status_code == 304
    assert "Deleting" in posted.content.decode()


def test_refusal_is_said_in_the_box(arena: Arena):
    challenge = runnable(arena.event)
    arena.launch(arena.teams[0], challenge)
    arena.work()
    client, url = signed_in(arena.teams[0].captain), panel_url(arena, challenge)

    answer = client.post(url, {"verb": "extend"}, HTTP_HX_REQUEST="true", HTTP_HX_TARGET="instance")

    assert "It can be extended once less than" in answer.content.decode()


@pytest.mark.parametrize("name", ["instance_detail", "instance_log"])
def test_other_team_finds_nothing(arena: Arena, name: str):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    url = reverse(f"challenges:{name}", args=[instance.pk])

    assert signed_in(arena.teams[0].captain).get(url).status_code == 200
    assert signed_in(arena.teams[1].captain).get(url).status_code == 404
    assert signed_in(UserFactory(role="Viewer")).get(url).status_code == 200


def test_author_launches_a_test_copy_as_any_team_and_again_after_a_stop(arena: Arena):
    challenge, team = runnable(), arena.teams[0]
    client, url = signed_in(UserFactory(role="Operator")), reverse("challenges:challenge_test", args=[challenge.slug])

    wrong = client.post(url, {"team": "nobody"}, follow=True).content.decode()
    made = client.post(url, {"team": team.name.upper()})
    copy = Instance.objects.get()
    services.stop_instance(copy, actor=UserFactory(role="Admin"), remove=False)
    client.post(made["Location"], {"verb": "launch"})

    assert "There is no team nobody." in wrong
    assert (made["Location"], copy.event, copy.team) == (copy.get_absolute_url(), None, team)
    assert arena.fresh(copy).desired_status == "running"
    assert team.name in client.get(reverse("challenges:challenge_detail", args=[challenge.slug])).content.decode()
    assert signed_in(team.captain).get(copy.get_absolute_url()).status_code == 404
    assert signed_in(team.captain).post(url, {"team": team.name}).status_code == 404


def test_viewer_sees_no_buttons_and_his_posts_change_nothing(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    client, url = signed_in(UserFactory(role="Viewer")), reverse("challenges:instance_detail", args=[instance.pk])

    client.post(url, {"verb": "stop"})

    assert "instance-stop" not in client.get(url).content.decode()
    assert arena.fresh(instance).desired_status == "running"


def test_board_shows_who_has_what_where_and_acts_on_the_ticked(arena: Arena):
    made = [arena.launch(team, runnable(arena.event)) for team in arena.teams]
    arena.work()
    client = signed_in(UserFactory(role="Operator"))

    board = client.get(reverse("challenges:instance_list"), {"event": arena.event.slug}).content.decode()
    results = client.post(reverse("challenges:instance_bulk"), {"verb": "stop", "ids": [str(one.pk) for one in made]})

    assert all(text in board for one in made for text in (one.team.name, one.connections[0].line))
    assert "Deploy for all teams" in board
    assert "Stop: 2 of 2 done" in results.content.decode()
    assert not Instance.objects.wanted().exists()


def test_board_costs_the_same_however_many_there_are(arena: Arena):
    arena.launch(arena.teams[0], runnable(arena.event))
    client = signed_in(UserFactory(role="Admin"))

    def look() -> None:
        client.get(reverse("challenges:instance_list"))

    assert_constant_queries(look, lambda: arena.launch(arena.teams[1], runnable(arena.event)))


def test_box_warns_before_the_end(arena: Arena):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()
    client, url = signed_in(arena.teams[0].captain), panel_url(arena, challenge)
    before = client.get(url).content.decode()

    soon = timezone.now() + timedelta(minutes=arena.event.warn_minutes - 1)
    Instance.objects.filter(pk=instance.pk).update(expires_at=soon)

    assert "It ends soon." not in before
    assert "It ends soon.</b><p>Extend it, or save" in client.get(url).content.decode()


def test_warning_does_not_advise_what_the_event_refuses(arena: Arena):
    challenge = runnable(arena.event)
    instance = arena.launch(arena.teams[0], challenge)
    arena.work()

    Event.objects.filter(pk=arena.event.pk).update(max_extensions=0)
    Instance.objects.filter(pk=instance.pk).update(expires_at=timezone.now() + timedelta(minutes=1))
    page = signed_in(arena.teams[0].captain).get(panel_url(arena, challenge)).content.decode()

    assert "It ends soon.</b><p>This event gives no more time. Save what" in page
    Instance.objects.filter(pk=instance.pk).update(expires_at=timezone.now())
    page = signed_in(arena.teams[0].captain).get(panel_url(arena, challenge)).content.decode()
    assert "its time is over" in page
    assert "It ends soon." not in page


def test_kill_all_asks_for_the_phrase(arena: Arena):
    arena.launch(arena.teams[0], runnable(arena.event))
    client, url = (
        signed_in(UserFactory(role="Operator")),
        reverse("challenges:instance_kill_all", args=[arena.event.slug]),
    )

    refused = client.post(url, {"typed": "yes"})
    left = Instance.objects.wanted().count()
    client.post(url, {"typed": f"kill {arena.event.slug}"})

    assert (refused.status_code, left, Instance.objects.wanted().count()) == (422, 1, 0)
    assert signed_in(arena.teams[0].captain).get(url).status_code == 403


def test_kill_all_tells_how_many_go_and_which_do_not(arena: Arena, monkeypatch: pytest.MonkeyPatch):
    challenge = runnable(arena.event)
    one, other = (arena.launch(team, challenge) for team in arena.teams[:2])
    end = instance_fleet._end

    def refuses_one(instance: Instance, *args: Any) -> bool:
        if instance.pk == one.pk:
            raise Conflict("Somebody is at it.")
        return end(instance, *args)

    monkeypatch.setattr(instance_fleet, "_end", refuses_one)
    url, phrase = reverse("challenges:instance_kill_all", args=[arena.event.slug]), f"kill {arena.event.slug}"
    operator = UserFactory(role="Operator")

    page = signed_in(operator).post(url, {"typed": phrase}, follow=True).content.decode()
    asked = {"event": arena.event.slug, "phrase": phrase}
    again = api_client(operator).post("/api/v1/instances/kill-all", asked, format="json").json()

    assert f"1 instance asked to end. 1 could not be: {one} (Somebody is at it.)" in page
    assert [entry["status"] for entry in again] == [409]
    told = AuditEntry.objects.filter(action="event.instances_killed").order_by("id").values_list("data", flat=True)
    assert list(told) == [{"instances": 1, "failed": 1}, {"instances": 0, "failed": 1}]
    assert not Instance.objects.wanted().filter(pk=other.pk).exists()


def test_deploy_for_all_tells_of_each_team(arena: Arena):
    challenge = runnable(arena.event)
    client = signed_in(UserFactory(role="Operator"))

    url = reverse("challenges:instance_deploy", args=[arena.event.slug])
    asked = client.post(url, {"challenge": challenge.slug})
    before = client.get(asked["Location"]).content.decode()
    arena.event.participations.filter(team=arena.teams[0]).update(banned_at=timezone.now())
    run = arena.deploy(challenge, actor=UserFactory(role="Operator"))
    part = client.get(asked["Location"], headers={"HX-Request": "true", "HX-Target": "deploy-run"}).content.decode()

    assert "0 of 2 launched" in before
    assert "every 2s" in before
    assert asked["Location"] == run.get_absolute_url()
    assert "1 of 2 launched, 1 refused" in part
    assert "The team is banned." in part
    assert "hx-get" not in part
    assert "1 of 2</a>" in client.get(f"/instances/?event={arena.event.slug}").content.decode()


def test_ledger_names_the_team_of_each_address_and_who_waits():
    arena = make_arena(addresses=1)
    has_it = arena.launch(arena.teams[0], runnable(arena.event))
    waiting = arena.launch(arena.teams[1], runnable(arena.event))
    url = reverse("challenges:address_ledger")

    viewer, asks = signed_in(UserFactory(role="Viewer")), {"HX-Request": "true", "HX-Target": "books"}
    page = viewer.get(url).content.decode()
    (book,) = api_client(UserFactory(role="Viewer")).get("/api/v1/instances/ledger").json()
    part = viewer.get(url, headers=asks)
    same = viewer.get(url, headers={**asks, "If-None-Match": part["ETag"]})
    services.stop_instance(waiting, actor=arena.teams[1].captain)
    arena.work()
    after = viewer.get(url, headers={**asks, "If-None-Match": part["ETag"]})

    assert (same.status_code, after.status_code) == (304, 200)
    assert "0 waiting" in after.content.decode()
    assert "0 free, 1 leased, 0 resting, 0 blocked, 1 waiting" in page
    assert arena.teams[0].name in page
    assert waiting.name in page
    told = [(line["ip"], line["state"], line["team"], line["instances"]) for line in book["addresses"]]
    assert told == [("192.168.250.100", "leased", arena.teams[0].name, [str(has_it.pk)])]
    assert book["queue"] == [str(waiting.pk)]
    assert signed_in(arena.teams[0].captain).get(url).status_code == 403


class TestApi:
    def test_second_launch_answers_the_same_with_200(self, arena: Arena):
        challenge = runnable(arena.event)
        client = api_client(arena.teams[0].captain)
        body = {"event": arena.event.slug, "challenge": challenge.slug}

        first = client.post("/api/v1/instances", body, format="json")
        second = client.post("/api/v1/instances", body, format="json")

        assert (first.status_code, second.status_code) == (201, 200)
        assert first.json()["instance"]["id"] == second.json()["instance"]["id"]
        assert second.json()["operation"] is None

    @pytest.mark.parametrize("wrong", [{"event": "no"}, {"challenge": "no"}, {"team": 2_000_000_000}])
    def test_what_the_body_names_and_is_not_there_is_told_by_its_field(self, arena: Arena, wrong: dict[str, Any]):
        client, body = api_client(UserFactory(role="Operator")), {"event": arena.event.slug, "team": arena.teams[0].pk}
        body["challenge"] = runnable(arena.event).slug

        answer = client.post("/api/v1/instances", {**body, **wrong}, format="json")

        assert (answer.status_code, list(answer.json()["fields"])) == (400, list(wrong))

    def test_answer_has_lines_and_place_and_no_flag(self):
        arena = make_arena(addresses=1)
        challenge = runnable(arena.event)
        arena.launch(arena.teams[0], challenge)
        waiting = arena.launch(arena.teams[1], challenge)
        arena.work()

        runs = api_client(arena.teams[0].captain).get("/api/v1/instances").json()["results"][0]
        waits = api_client(arena.teams[1].captain).get(f"/api/v1/instances/{waiting.pk}").json()

        assert runs["connections"][0]["line"] == "http://192.168.250.100:8080/"
        assert (waits["status"], waits["place_in_queue"], waits["connections"]) == ("queued", 1, [])
        assert "crypto-TRI" not in str(runs)

    def test_test_copy_is_one_for_each_team_and_no_draft_has_any(self, arena: Arena):
        challenge, client = runnable(), api_client(UserFactory(role="Operator"))
        url = f"/api/v1/challenges/{challenge.slug}/test-copy"

        answers = [client.post(url, {"team": arena.teams[0].pk}, format="json") for _ in range(2)]
        unknown = client.post(url, {"team": 2_000_000_000}, format="json")
        Challenge.objects.update(state="draft")
        draft = client.post(url, {"team": arena.teams[1].pk}, format="json")

        assert [answer.status_code for answer in answers] == [201, 200]
        assert answers[0].json()["instance"]["id"] == answers[1].json()["instance"]["id"]
        assert answers[0].json()["instance"]["event"] is None
        assert (unknown.status_code, list(unknown.json()["fields"])) == (400, ["team"])
        assert (draft.status_code, draft.json()["code"]) == (409, "not_in_test")

    def test_player_sees_no_other_teams_instance_nor_the_books(self, arena: Arena):
        """P56 and P57: access and statistics of others stay others'."""
        instance = arena.launch(arena.teams[0], runnable(arena.event))
        client = api_client(arena.teams[1].captain)

        assert client.get(f"/api/v1/instances/{instance.pk}").status_code == 404
        assert client.get("/api/v1/instances").json()["results"] == []
        assert client.get("/api/v1/instances/ledger").status_code == 403
        assert client.post(f"/api/v1/instances/{instance.pk}/stop", {}, format="json").status_code == 404

    def test_forced_launch_makes_anew_what_runs(self, arena: Arena):
        challenge = runnable(arena.event)
        instance = arena.launch(arena.teams[0], challenge)
        arena.work()
        body = {"event": arena.event.slug, "challenge": challenge.slug, "team": arena.teams[0].pk, "force": True}

        answer = api_client(UserFactory(role="Operator")).post("/api/v1/instances", body, format="json")

        assert (answer.status_code, answer.json()["operation"]["verb"]) == (200, "redeploy")
        assert arena.fresh(instance).generation == 2

    def test_verbs_answer_with_an_operation(self, arena: Arena):
        instance = arena.launch(arena.teams[0], runnable(arena.event))
        arena.work()
        client = api_client(arena.teams[0].captain)
        url = f"/api/v1/instances/{instance.pk}"

        reset = client.post(f"{url}/reset", {"kind": "restart"}, format="json")
        early = client.post(f"{url}/extend", {}, format="json")
        log = client.get(f"{url}/log")
        stop = client.post(f"{url}/stop", {}, format="json")

        assert (reset.status_code, reset.json()["operation"]["verb"]) == (202, "reset")
        assert (early.status_code, early.json()["code"]) == (409, "not_now")
        assert log.json() == {"text": "", "captured_at": None}
        assert (stop.status_code, stop.json()["instance"]["desired_status"]) == (202, "deleted")

    def test_organisers_deploy_act_on_many_and_kill_all(self, arena: Arena):
        challenge = runnable(arena.event)
        client = api_client(UserFactory(role="Operator"))
        body = {"event": arena.event.slug, "challenge": challenge.slug}

        deployed = client.post("/api/v1/instances/deploy", body, format="json")
        services.carry_out_deploy(deployed.json()["id"])
        run = client.get(deployed["Location"]).json()
        ids = [str(pk) for pk in Instance.objects.values_list("pk", flat=True)]
        arena.work()
        many = client.post("/api/v1/instances/bulk", {"verb": "extend", "ids": ids, "minutes": 5}, format="json")
        wrong = client.post("/api/v1/instances/kill-all", {"event": arena.event.slug, "phrase": "kill"}, format="json")
        right = client.post(
            "/api/v1/instances/kill-all",
            {"event": arena.event.slug, "phrase": f"kill {arena.event.slug}"},
            format="json",
        )

        assert (deployed.status_code, deployed.json()["total"], deployed.json()["finished_at"]) == (202, 2, None)
        assert [(row["name"], row["status"]) for row in run["results"]] == [(team.name, 202) for team in arena.teams]
        assert api_client(arena.teams[0].captain).get(deployed["Location"]).status_code == 403
        assert [row["error"] for row in many.json()] == [None, None]
        assert (wrong.status_code, list(wrong.json()["fields"])) == (400, ["phrase"])
        assert len(right.json()) == 2
        assert client.get("/api/v1/instances/ledger").json()[0]["leased"] == 2
        assert (
            api_client(arena.teams[0].captain).post("/api/v1/instances/deploy", body, format="json").status_code == 403
        )


def test_overview_counts_instances_and_names_what_is_not_well(arena: Arena):
    challenge = runnable(arena.event)
    first, second = arena.teams[:2]
    for team in (first, second):
        arena.launch(team, challenge)
    arena.work()
    broken = Instance.objects.get(team=second)
    Instance.objects.filter(pk=broken.pk).update(observed_status="crashed", status_reason="Out of memory.")

    organiser, player, stranger = (
        signed_in(user).get(reverse("overview")).content.decode()
        for user in (UserFactory(role="Admin"), first.captain, UserFactory(role="Player"))
    )

    for page in (organiser, player):
        assert "Challenge instances" in page
    assert "of 2 running" in organiser
    assert f"{challenge.name} of {second.name}" in organiser
    assert "Crashed. Out of memory." in organiser
    assert "of 1 running" in player
    assert second.name not in player
    assert "Challenge instances" not in stranger


def test_pages_of_events_warn_once_of_an_end_and_again_when_it_was_put_off(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    arena.work()
    mate, stranger = signed_in(arena.teams[0].captain), signed_in(arena.teams[1].captain)
    ask = {"HTTP_HX_REQUEST": "true", "HTTP_HX_TARGET": "news"}

    def warnings(client: Client) -> int:
        text = client.get("/announcements/news", **ask).content.decode()
        way = f'<a href="{instance.get_absolute_url()}">Show</a>'
        return len(re.findall(rf"{instance.challenge.name} ends in \d min\. {way}", text))

    before = warnings(mate)
    Instance.objects.filter(pk=instance.pk).update(expires_at=timezone.now() + timedelta(minutes=2))
    told = [warnings(mate), warnings(mate), warnings(stranger)]
    Instance.objects.filter(pk=instance.pk).update(expires_at=timezone.now() + timedelta(minutes=3))

    assert before == 0
    assert told == [1, 0, 0]
    assert warnings(mate) == 1
    assert services.ending_soon(arena.teams[1].captain) == []


def test_list_of_instances_is_304_until_something_changes(arena: Arena):
    instance = arena.launch(arena.teams[0], runnable(arena.event))
    client, url = signed_in(UserFactory(role="Admin")), reverse("challenges:instance_list")
    ask = {"HX-Request": "true", "HX-Target": "list"}

    first = client.get(url, headers=ask)
    same = client.get(url, headers={**ask, "If-None-Match": first["ETag"]})
    Instance.objects.filter(pk=instance.pk).update(observed_status="failed")
    changed = client.get(url, headers={**ask, "If-None-Match": first["ETag"]})

    assert [each.status_code for each in (first, same, changed)] == [200, 304, 200]


def test_board_shows_the_state_of_ones_own_instances_and_how_the_team_stands(arena: Arena):
    first, second = runnable(arena.event), runnable(arena.event)
    Challenge.objects.filter(pk=first.pk).update(name="Leaky shop", category="web")
    Challenge.objects.filter(pk=second.pk).update(name="Stack of plates", category="pwn")
    team, other = arena.teams[:2]
    arena.launch(team, first)
    arena.launch(other, second)
    arena.work()
    url = reverse("challenges:play_board", args=[arena.event.slug])
    client = signed_in(team.captain)

    page = client.get(url).content.decode()
    with_instance = client.get(url, {"show": "instance"}).content.decode()
    pwn = client.get(url, {"category": "pwn"}).content.decode()

    assert page.count("k-live-i") == 1
    assert "192.168.250.100" in page
    assert f"of {len(arena.teams)}</span>" in page
    assert "Stack of plates" in page
    assert "Stack of plates" not in with_instance
    assert "Leaky shop" in with_instance
    assert "0 of 1 solved" in pwn
    assert '<span class="k-t">Leaky shop' not in pwn
