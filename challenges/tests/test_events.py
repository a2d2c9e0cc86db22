"""Events: who makes and moves them, who enters, and what the clock does."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import services
from challenges.choices import EVENT_TRANSITIONS, EventStatus
from challenges.models import Announcement, Event, Participation
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound
from hub.nodes.tests.factories import RegionFactory

from .factories import EventFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db
HOUR = timedelta(hours=1)


def times(starts: timedelta = HOUR, ends: timedelta = 2 * HOUR) -> dict[str, Any]:
    now = timezone.now()
    return {"starts_at": now + starts, "ends_at": now + ends}


def create(actor: Any, **values: Any) -> Event:
    return services.create_event(
        actor=actor, **{"name": "Night of flags", "description": "A night of puzzles.", **times(), **values}
    )


@pytest.fixture
def admin() -> Any:
    return UserFactory(role="Admin")


def test_operator_makes_a_draft_and_an_admin_schedules(admin: Any) -> None:
    draft = create(UserFactory(role="Operator"))
    ready = create(admin, name="Second")
    running = create(admin, name="Third", **times(-HOUR))

    assert [draft.status, ready.status, running.status] == ["draft", "scheduled", "running"]
    assert draft.slug == "night-of-flags"


@pytest.mark.parametrize("role", ["Player", "Viewer"])
def test_others_make_none(role: str) -> None:
    with pytest.raises(NotAllowed):
        create(UserFactory(role=role))


def test_operator_of_regions_makes_events_there_only() -> None:
    here = RegionFactory()
    operator = UserFactory(role="Operator", regions=[here.slug])

    assert create(operator, region=here).region == here
    with pytest.raises(NotAllowed):
        create(operator, name="Elsewhere", region=RegionFactory(slug="moon", name="Moon"))
    with pytest.raises(NotAllowed):
        create(operator, name="Everywhere")


def test_draft_is_submitted_rejected_submitted_again_and_approved(admin: Any) -> None:
    operator = UserFactory(role="Operator")
    event = create(operator)
    with pytest.raises(NotAllowed):
        services.approve_event(services.submit_for_approval(event, actor=operator), actor=operator)

    rejected = services.reject_event(event, actor=admin, reason="Too short")
    services.submit_for_approval(rejected, actor=operator)
    approved = services.approve_event(event, actor=admin)

    assert (rejected.status, rejected.status_reason, approved.status) == ("rejected", "Too short", "scheduled")
    actions = AuditEntry.objects.filter(target_kind="event").order_by("id").values_list("action", flat=True)
    assert list(actions) == ["event.created", "event.submitted", "event.rejected", "event.submitted", "event.approved"]


MOVES = {
    "submit_for_approval": {"draft", "rejected"},
    "approve_event": {"pending_approval", "draft"},
    "reject_event": {"pending_approval"},
    "start_event": {"approved", "scheduled"},
    "pause_event": {"running"},
    "resume_event": {"paused"},
    "end_event": {"running", "paused"},
    "cancel_event": {"draft", "pending_approval", "approved", "rejected", "scheduled"},
}


@pytest.mark.parametrize("verb", MOVES)
@pytest.mark.parametrize("status", EventStatus.values)
def test_each_move_from_each_state_is_done_or_refused(verb: str, status: str, admin: Any) -> None:
    begun = status in ("running", "paused", "completed")
    event = EventFactory(status=status, **times(-HOUR if begun else HOUR))
    reason = {"reason": "Because"} if verb in ("reject_event", "cancel_event") else {}

    if status in MOVES[verb]:
        moved = getattr(services, verb)(event, actor=admin, **reason)
        assert EVENT_TRANSITIONS.allows(event.state, moved.status)
        assert Event.objects.get().status == moved.status != status
    else:
        with pytest.raises(Conflict):
            getattr(services, verb)(event, actor=admin, **reason)
        assert Event.objects.get().status == status


@pytest.mark.parametrize("verb", MOVES)
def test_moves_are_for_those_who_may_change_events(verb: str) -> None:
    event = EventFactory()
    reason = {"reason": "Because"} if verb in ("reject_event", "cancel_event") else {}

    for actor in (UserFactory(), UserFactory(role="Viewer"), UserFactory(role="Operator", regions=["elsewhere"])):
        with pytest.raises((NotAllowed, NotFound)):
            getattr(services, verb)(event, actor=actor, **reason)


def test_organiser_runs_his_event_outside_his_regions() -> None:
    operator = UserFactory(role="Operator", regions=["elsewhere"])
    event = EventFactory()
    event.organisers.add(operator)

    assert services.pause_event(event, actor=operator).status == "paused"


def test_started_early_begins_now_and_tells_its_teams(admin: Any) -> None:
    event = EventFactory(**times())

    started = services.start_event(event, actor=admin)

    assert started.is_running
    assert started.starts_at <= timezone.now()
    assert Announcement.objects.get().event == event


def test_clock_starts_and_ends_events_and_each_is_told_once() -> None:
    due, over = EventFactory(), EventFactory(status="running", **times(-2 * HOUR, -HOUR))
    paused = EventFactory(status="paused", **times(-2 * HOUR, -HOUR))
    EventFactory(status="draft")

    assert [services.settle_events(), services.settle_events()] == [3, 0]

    assert Event.objects.get(pk=due.pk).status == "running"
    assert set(Event.objects.exclude(ended_at=None).values_list("pk", "status")) == {
        (over.pk, "completed"), (paused.pk, "completed"),
    }  # fmt: skip
    assert Announcement.objects.get().event == due


def test_end_that_failed_is_carried_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    EventFactory(status="completed", **times(-2 * HOUR, -HOUR))
    end_all = mock.Mock(side_effect=[RuntimeError, None])
    monkeypatch.setattr("challenges.services.events.expiry.end_all", end_all)

    with pytest.raises(RuntimeError):
        services.settle_events()
    services.settle_events()
    services.settle_events()

    assert end_all.call_count == 2


def test_what_would_be_unfair_stays_once_it_has_begun(admin: Any) -> None:
    event = EventFactory()

    with pytest.raises(Conflict, match="has begun"):
        services.update_event(event, actor=admin, starts_at=timezone.now() + HOUR)
    changed = services.update_event(event, actor=admin, ends_at=event.ends_at + HOUR, submissions_per_minute=5)

    assert changed.submissions_per_minute == 5


def test_team_enters_once_for_all_its_members() -> None:
    member = UserFactory()
    team, event = TeamFactory(members=[member]), EventFactory(**times())

    first = services.register(event, actor=team.captain)
    second = services.register(event, actor=member)

    assert first == second
    assert Participation.objects.get().team == team
    assert AuditEntry.objects.filter(action="event.entered").count() == 1


def test_people_enter_for_themselves_where_the_event_says_so() -> None:
    team = TeamFactory()

    entered = services.register(EventFactory(participation="user_based"), actor=team.captain)

    assert entered.team.is_personal
    assert entered.team.captain == team.captain


@pytest.mark.parametrize(
    ("values", "error", "code"),
    [
        ({"status": "draft"}, Conflict, "registration_closed"),
        ({"status": "paused"}, Conflict, "registration_closed"),
        ({"status": "completed"}, Conflict, "registration_closed"),
        ({"max_participants": 1}, LimitReached, "event_full"),
        ({"max_team_size": 1}, LimitReached, "team_too_large"),
        ({"is_public": False, "region": "other"}, NotAllowed, "other_region"),
    ],
)
def test_entry_that_is_refused(values: dict[str, Any], error: type[Exception], code: str) -> None:
    if "region" in values:
        values = {**values, "region": RegionFactory()}
    event = EventFactory(**values)
    participate(event)
    team = TeamFactory(members=[UserFactory()])

    with pytest.raises(error) as refused:
        services.register(event, actor=team.captain)

    assert refused.value.code == code  # type: ignore[attr-defined]
    assert event.participations.count() == 1


def test_teamless_and_banned_do_not_enter() -> None:
    banned = TeamFactory(banned_at=timezone.now(), ban_reason="Shared flags")

    with pytest.raises(Conflict, match="Join or make a team"):
        services.register(EventFactory(), actor=UserFactory())
    with pytest.raises(NotAllowed, match="Shared flags"):
        services.register(EventFactory(), actor=banned.captain)


def test_captain_withdraws_before_the_start_only() -> None:
    member = UserFactory()
    team = TeamFactory(members=[member])
    event, begun = EventFactory(**times()), EventFactory()
    for each in (event, begun):
        participate(each, team)

    with pytest.raises(NotAllowed):
        services.withdraw(event, actor=member)
    services.withdraw(event, actor=team.captain)
    with pytest.raises(Conflict):
        services.withdraw(begun, actor=team.captain)

    assert list(Participation.objects.values_list("event", flat=True)) == [begun.pk]


def test_ban_is_not_shaken_off_by_entering_again() -> None:
    event, member = EventFactory(**times()), UserFactory()
    banned = participate(event, TeamFactory(members=[member]))
    Participation.objects.filter(pk=banned.pk).update(banned_at=timezone.now(), ban_reason="Shared flags")

    with pytest.raises(NotAllowed, match="Shared flags"):
        services.withdraw(event, actor=banned.team.captain)
    with pytest.raises(NotAllowed, match="Shared flags"):  # nor with another team
        services.leave_team(banned.team, actor=member)
    with pytest.raises(NotAllowed, match="Shared flags"):
        services.kick_member(banned.team, member, actor=banned.team.captain)

    assert Participation.objects.get(pk=banned.pk).is_banned
    type(event).objects.update(status="completed")
    services.leave_team(banned.team, actor=member)


def test_administrator_who_is_banned_or_has_left_looks_after_nothing(admin: Any) -> None:
    event, member = EventFactory(), UserFactory()
    own, other = participate(event, TeamFactory(members=[member])), participate(event)
    services.set_administrator(event, member, actor=admin)
    services.ban_from_event(own, actor=admin, reason="Shared flags")
    own, other = (Participation.objects.select_related("event").get(pk=each.pk) for each in (own, other))

    with pytest.raises(NotAllowed):
        services.unban_from_event(own, actor=member)
    services.unban_from_event(own, actor=admin)
    services.leave_team(own.team, actor=member)
    with pytest.raises(NotAllowed):
        services.ban_from_event(other, actor=member, reason="x")


def test_rejected_event_is_changed_and_over_ones_are_not(admin: Any) -> None:
    rejected, cancelled = EventFactory(status=EventStatus.REJECTED), EventFactory(status=EventStatus.CANCELLED)

    services.update_event(rejected, actor=admin, description="Another night.")
    with pytest.raises(Conflict, match="over"):
        services.update_event(cancelled, actor=admin, description="Another night.")

    assert Event.objects.get(pk=rejected.pk).description == "Another night."


def test_cancelled_event_stays_in_sight_of_the_teams_that_had_entered() -> None:
    event = EventFactory(status=EventStatus.CANCELLED, is_public=True)
    team = participate(event).team

    assert list(Event.objects.visible_to(team.captain)) == [event]
    assert not Event.objects.visible_to(UserFactory()).exists()


def test_operator_of_regions_reads_what_is_told_there_and_everywhere() -> None:
    here, there = RegionFactory(), RegionFactory(slug="moon", name="Moon")
    told = {
        "everywhere": Announcement.objects.create(title="everywhere", message="x"),
        "here": Announcement.objects.create(title="here", message="x", region=here),
        "there": Announcement.objects.create(title="there", message="x", region=there),
        "secret": Announcement.objects.create(
            title="secret", message="x", event=EventFactory(region=there, is_public=False)
        ),
    }

    seen = Announcement.objects.visible_to(UserFactory(role="Operator", regions=[here.slug]))

    assert {each.title for each in seen} == {"everywhere", "here"}
    assert set(Announcement.objects.visible_to(UserFactory(role="Admin"))) == set(told.values())


def test_administrator_is_a_participant_and_looks_after_the_teams_only(admin: Any) -> None:
    event, other = EventFactory(), EventFactory()
    one, two = participate(event), participate(event)
    elsewhere = participate(other)
    with pytest.raises(Invalid):
        services.set_administrator(event, elsewhere.team.captain, actor=admin)

    services.set_administrator(event, one.team.captain, actor=admin)
    person = one.team.captain
    two.event.refresh_from_db()
    services.ban_from_event(two, actor=person, reason="Shared flags")

    two.refresh_from_db()
    assert two.is_banned
    assert services.unban_from_event(two, actor=person).banned_at is None
    with pytest.raises(NotAllowed):
        services.ban_from_event(elsewhere, actor=person, reason="x")
    with pytest.raises(NotAllowed):
        services.pause_event(Event.objects.get(pk=event.pk), actor=person)


def test_participants_see_what_is_announced_and_open_to_them() -> None:
    here, there = RegionFactory(), RegionFactory(slug="moon", name="Moon")
    user = UserFactory(region_preference=here.slug)
    seen = [EventFactory(), EventFactory(is_public=False, region=here), EventFactory(is_public=False)]
    hidden = [EventFactory(status="draft"), EventFactory(is_public=False, region=there)]

    assert set(Event.objects.visible_to(user)) == set(seen)
    assert set(Event.objects.visible_to(UserFactory(role="Viewer"))) == {*seen, *hidden}
    assert set(Event.objects.visible_to(UserFactory(role="Operator", regions=[here.slug]))) == set(seen)
    assert set(Event.objects.visible_to(UserFactory(role="Operator", regions=[there.slug]))) == {
        seen[0],
        seen[2],
        hidden[1],
    }


def test_event_with_teams_is_cancelled_not_deleted(admin: Any) -> None:
    event = EventFactory(**times())
    participate(event)

    with pytest.raises(Conflict):
        services.delete_event(event, actor=admin)
    services.delete_event(EventFactory(), actor=admin)

    assert Event.objects.get() == event


def test_announcements_reach_those_they_are_for(admin: Any) -> None:
    event, inside, outside = EventFactory(), TeamFactory(), UserFactory()
    participate(event, inside)
    services.announce(actor=admin, event=event, title="In it", message="Hello")
    everybody = services.announce(actor=admin, title="All", message="Hello")
    with pytest.raises(NotAllowed):
        services.announce(actor=UserFactory(role="Operator"), title="All", message="Hello")
    with pytest.raises(NotAllowed):
        services.announce(actor=inside.captain, event=event, title="Me", message="Hello")

    assert [each.title for each in services.newest_for(inside.captain)] == ["All", "In it"]
    assert services.unread_count(outside) == 1
    services.mark_read(everybody, actor=outside)
    services.mark_read(everybody, actor=outside)
    assert services.unread_count(outside) == 0


def test_withdrawn_announcement_is_gone(admin: Any) -> None:
    told = services.announce(actor=admin, title="All", message="Hello")

    with pytest.raises(NotAllowed):
        services.withdraw_announcement(told, actor=UserFactory())
    services.withdraw_announcement(told, actor=admin)

    assert not Announcement.objects.exists()


def test_unknown_event_is_not_found(admin: Any) -> None:
    event = EventFactory()
    Event.objects.all().delete()

    with pytest.raises(NotFound):
        services.pause_event(event, actor=admin)


def test_a_start_is_told_to_all_whom_the_event_is_open_to() -> None:
    here, there = RegionFactory(slug="here"), RegionFactory(slug="there")
    EventFactory(region=here, is_public=False, status=EventStatus.SCHEDULED, **times(-HOUR, HOUR))
    services.settle_events()

    told = [services.unread_count(UserFactory(region_preference=region.slug)) for region in (here, there)]

    assert told == [1, 0]
