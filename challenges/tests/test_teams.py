"""Teams: made, joined by code, led, left, banned."""

from __future__ import annotations

import pytest

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from challenges import services
from challenges.models import Membership, Team
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound, TooMany
from hub.nodes.tests.factories import RegionFactory

from .factories import EventFactory, TeamFactory, participate

pytestmark = pytest.mark.django_db


def test_who_makes_a_team_leads_it_in_his_region() -> None:
    region = RegionFactory()
    user = UserFactory(region_preference=region.slug)

    team = services.create_team(actor=user, name="Owls")

    assert (team.captain, team.region, services.team_of(user)) == (user, region, team)
    assert len(team.join_code or "") == 6
    assert AuditEntry.objects.filter(action="team.created", target_id=str(team.pk)).exists()


def test_one_team_per_person_and_one_name_per_team() -> None:
    team = TeamFactory(name="Owls")

    with pytest.raises(Conflict, match="Leave it first"):
        services.create_team(actor=team.captain, name="Foxes")
    with pytest.raises(Invalid, match="name"):
        services.create_team(actor=UserFactory(), name="OWLS")


def test_viewer_makes_no_team() -> None:
    with pytest.raises(NotAllowed):
        services.create_team(actor=UserFactory(role="Viewer"), name="Owls")


def test_joins_by_the_code_in_any_case() -> None:
    team, user = TeamFactory(join_code="ABC234"), UserFactory()

    services.join_team(" abc234 ", actor=user)

    assert services.team_of(user) == team


@pytest.mark.parametrize(
    ("values", "error", "code"),
    [
        ({"is_locked": True}, Conflict, "team_locked"),
        ({"max_members": 1}, LimitReached, "team_full"),
        ({"banned_at": "2026-01-01T00:00Z", "ban_reason": "x"}, NotAllowed, "team_banned"),
    ],
)
def test_team_that_takes_nobody(values: dict[str, object], error: type[Exception], code: str) -> None:
    TeamFactory(join_code="ABC234", **values)

    with pytest.raises(error) as refused:
        services.join_team("ABC234", actor=UserFactory())

    assert refused.value.code == code  # type: ignore[attr-defined]
    assert Membership.objects.count() == 1


def test_member_joins_neither_again_nor_a_second() -> None:
    team, other = TeamFactory(), TeamFactory()

    with pytest.raises(Conflict, match="in this team"):
        services.join_team(team.join_code, actor=team.captain)
    with pytest.raises(Conflict, match="Leave it first"):
        services.join_team(other.join_code, actor=team.captain)


def test_wrong_codes_run_out() -> None:
    team, user = TeamFactory(), UserFactory()
    for _ in range(10):
        with pytest.raises(NotFound):
            services.join_team("WRONG1", actor=user)

    with pytest.raises(TooMany):
        services.join_team(team.join_code, actor=user)


def test_rotated_code_opens_nothing_and_never_enters_the_audit_trail() -> None:
    team = TeamFactory(join_code="ABC234")

    fresh = services.rotate_code(team, actor=team.captain)

    with pytest.raises(NotFound):
        services.join_team("ABC234", actor=UserFactory())
    services.join_team(fresh.join_code or "", actor=UserFactory())
    assert not [entry for entry in AuditEntry.objects.all() if (fresh.join_code or "") in str(entry.data)]


@pytest.mark.parametrize("verb", ["rotate_code", "update_team", "kick_member", "hand_over", "delete_team"])
def test_what_is_the_captains_is_refused_to_members_and_strangers(verb: str) -> None:
    member = UserFactory()
    team = TeamFactory(members=[member])
    arguments = {"kick_member": [member], "hand_over": [member]}.get(verb, [])
    values = {"name": "Foxes"} if verb == "update_team" else {}

    for actor in (member, UserFactory(), UserFactory(role="Viewer")):
        with pytest.raises((NotAllowed, NotFound)):
            getattr(services, verb)(team, *arguments, actor=actor, **values)


def test_captain_hands_over_before_he_leaves() -> None:
    member = UserFactory()
    team = TeamFactory(members=[member])

    with pytest.raises(Conflict, match="Hand the team over"):
        services.leave_team(team, actor=team.captain)
    services.hand_over(team, member, actor=team.captain)
    services.leave_team(team, actor=team.captain)

    assert list(team.memberships.values_list("user", flat=True)) == [member.pk]
    assert Team.objects.get().captain == member


def test_last_one_takes_the_team_along_unless_it_has_played() -> None:
    team, played = TeamFactory(), TeamFactory()
    participate(EventFactory(), played)

    services.leave_team(team, actor=team.captain)
    with pytest.raises(Conflict, match="results stay"):
        services.leave_team(played, actor=played.captain)

    assert list(Team.objects.all()) == [played]


def test_kicked_member_is_out_and_does_not_know_the_code() -> None:
    member = UserFactory()
    team = TeamFactory(members=[member], join_code="ABC234")

    services.kick_member(team, member, actor=team.captain)

    assert services.team_of(member) is None
    assert Team.objects.get().join_code != "ABC234"
    with pytest.raises(Conflict):
        services.kick_member(team, team.captain, actor=team.captain)


def test_team_is_not_made_smaller_than_it_is() -> None:
    team = TeamFactory(members=[UserFactory(), UserFactory()])

    with pytest.raises(Invalid, match="More people"):
        services.update_team(team, actor=team.captain, max_members=2)


def test_team_grows_no_larger_than_its_events_allow_until_they_are_over() -> None:
    team = TeamFactory(max_members=5)
    event = participate(EventFactory(max_team_size=1), team).event
    user, admin = UserFactory(), UserFactory(role="Admin")

    with pytest.raises(LimitReached, match=event.name):
        services.join_team(team.join_code, actor=user)
    with pytest.raises(LimitReached):
        services.move_member(user, team, actor=admin)
    type(event).objects.filter(pk=event.pk).update(status="completed")

    assert services.join_team(team.join_code, actor=user) == team


def test_ban_is_the_staffs_and_ties_the_hands_of_its_members() -> None:
    member, operator = UserFactory(), UserFactory(role="Operator")
    team = TeamFactory(members=[member])
    with pytest.raises(NotAllowed):
        services.ban_team(team, actor=team.captain, reason="Himself")

    services.ban_team(team, actor=operator, reason="Shared flags")

    team.refresh_from_db()
    with pytest.raises(NotAllowed, match="Shared flags"):
        services.rotate_code(team, actor=team.captain)
    for verb in (services.kick_member, services.hand_over):
        with pytest.raises(NotAllowed, match="Shared flags"):
            verb(team, member, actor=team.captain)
    with pytest.raises(NotAllowed, match="Shared flags"):  # else he would play on in another team
        services.leave_team(team, actor=member)
    services.unban_team(team, actor=operator)
    services.rotate_code(team, actor=team.captain)


def test_operator_of_other_regions_bans_nobody_here() -> None:
    team = TeamFactory(region=RegionFactory())

    with pytest.raises(NotFound):
        services.ban_team(team, actor=UserFactory(role="Operator", regions=["elsewhere"]), reason="x")


def test_staff_moves_members_but_no_captain() -> None:
    member, operator = UserFactory(), UserFactory(role="Operator")
    old, new = TeamFactory(members=[member]), TeamFactory()

    services.move_member(member, new, actor=operator)

    assert services.team_of(member) == new
    with pytest.raises(Conflict, match="captain"):
        services.move_member(old.captain, new, actor=operator)
    with pytest.raises(NotAllowed):
        services.move_member(member, new, actor=new.captain)


def test_personal_team_is_made_once_and_nobody_joins_it() -> None:
    user = UserFactory()

    team = services.personal_team(user)

    assert services.personal_team(user) == team
    assert (team.is_personal, team.join_code, services.team_of(user)) == (True, None, None)
    with pytest.raises(Conflict):
        services.move_member(UserFactory(), team, actor=UserFactory(role="Admin"))


def test_a_team_that_has_entered_an_event_stays_in_its_region() -> None:
    here, there = RegionFactory(slug="here"), RegionFactory(slug="there")
    team = TeamFactory(region=here)
    event = participate(EventFactory(region=here), team).event

    with pytest.raises(Conflict) as refused:
        services.update_team(team, actor=team.captain, region=there)
    services.update_team(team, actor=team.captain, region=here, description="Still here.")
    services.update_team(team, actor=UserFactory(role="Admin"), region=there)
    type(event).objects.filter(pk=event.pk).update(status="completed")

    assert refused.value.code == "region_fixed"
    assert services.update_team(team, actor=team.captain, region=here).region == here
