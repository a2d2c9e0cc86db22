"""Make a team, join it by its code, leave it, lead it; ban it."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.models import AuditEntry, User
from accounts.permissions import can, require
from challenges.choices import JOIN_CODE_ALPHABET, JOIN_CODE_LENGTH, OVER
from challenges.instances import expiry
from challenges.models import Event, Instance, Membership, Team
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound, TooMany
from hub.nodes.models import Region

from .common import assign, clean, told

if TYPE_CHECKING:
    from accounts.actors import Asker

CODE_ATTEMPTS = 10
WRONG_CODES, WRONG_CODES_WITHIN = 10, timedelta(minutes=10)
CHANGEABLE = frozenset({"name", "description", "region", "max_members", "is_locked"})


def team_of(user: Any) -> Team | None:
    """The team with others that somebody is in."""
    return Team.objects.of(user).filter(is_personal=False).select_related("region", "captain").first()


def create_team(*, actor: Any, **values: Any) -> Team:
    """Make a team and lead it. Whoever is in one already has to leave it first."""
    require(actor, "teams.create")
    team = Team(captain=actor, region=values.pop("region", None) or _home(actor), **values)
    with transaction.atomic():
        _lock_user(actor.pk)
        _refuse_second(actor)
        team.join_code = _new_code()
        clean(team, exclude={"captain"}, with_constraints=False)
        _store(team)
        Membership.objects.create(team=team, user=actor)
        audit.record(actor, "team.created", team)
    return team


def update_team(team: Team, *, actor: Asker, **changes: Any) -> Team:
    """Rename, describe, resize, lock or move a team to another region."""
    require(actor, "teams.change", team)
    if unknown := set(changes) - CHANGEABLE:
        raise Invalid("This cannot be changed.", field=sorted(unknown)[0])
    with transaction.atomic():
        locked = lock_team(team)
        _refuse_banned(locked, actor)
        if "region" in changes and changes["region"] != locked.region:
            _refuse_other_region(locked, actor)
        before = assign(locked, changes)
        clean(locked, exclude={"captain"}, with_constraints=False)
        if locked.memberships.count() > locked.max_members:
            raise Invalid("More people than that are in the team.", field="max_members")
        _store(locked)
        audit.record(actor, "team.changed", locked, **audit.changes(told(before), told(changes)))
    return locked


def rotate_code(team: Team, *, actor: Asker) -> Team:
    """Make another join code; the old one opens nothing from then on."""
    require(actor, "teams.change", team)
    with transaction.atomic():
        locked = lock_team(team)
        _refuse_banned(locked, actor)
        locked.join_code = _new_code()
        locked.save(update_fields=["join_code"])
        audit.record(actor, "team.code_rotated", locked)
    return locked


def join_team(code: str, *, actor: Any) -> Team:
    """Join the team that has this code. Wrong codes are counted: a person has few of them."""
    require(actor, "teams.create")
    found = _try_code(code, actor)
    if found is None:
        raise NotFound("No team has this code. Codes change: ask the captain for the present one.", field="code")
    with transaction.atomic():
        _lock_user(actor.pk)
        team = lock_team(found)
        if team.memberships.filter(user=actor).exists():
            raise Conflict("You are in this team.", code="already_member")
        _refuse_second(actor)
        _refuse_banned(team, actor)
        if team.join_code != found.join_code:
            raise NotFound("The code has just been changed.", field="code")
        refuse_newcomers(team)
        Membership.objects.create(team=team, user=actor)
        audit.record(actor, "team.joined", team)
    return team


def _try_code(code: str, actor: Any) -> Team | None:
    """Look for a code; a wrong one is noted. The person's row is held, so that codes tried at once are all counted."""
    with transaction.atomic():
        _lock_user(actor.pk)
        wrong = AuditEntry.objects.filter(
            action="team.code_wrong", actor_id=str(actor.pk), at__gt=timezone.now() - WRONG_CODES_WITHIN
        )
        if wrong.count() >= WRONG_CODES:
            raise TooMany("Too many wrong codes. Ask the captain, and wait.", retry_after=600, code="too_many_codes")
        found = find_by_code(code)
        if found is None:
            audit.record(actor, "team.code_wrong")
    return found


def find_by_code(code: str) -> Team | None:
    """The team that a join code opens."""
    return Team.objects.filter(join_code=code.strip().upper(), is_personal=False).first()


def refuse_newcomers(team: Team) -> None:
    """Refuse when a team takes nobody, or nobody more."""
    if team.is_locked:
        raise Conflict("The team takes nobody now.", code="team_locked")
    _refuse_crowd(team)


def _refuse_crowd(team: Team) -> None:
    """A team is as large as it says, and as the events allow that it takes part in and that are not over."""
    members = team.memberships.count()
    if members >= team.max_members:
        raise LimitReached("The team is full.", code="team_full")
    for event in Event.objects.filter(participations__team=team, max_team_size__lte=members):
        if event.state not in OVER:
            text = f"{event.name}, which the team takes part in, allows {event.max_team_size} people."
            raise LimitReached(text, code="team_full")


def leave_team(team: Team, *, actor: Any) -> None:
    """Leave a team. Its captain hands it over first; the last one out takes it along, unless it has played."""
    with transaction.atomic():
        locked = lock_team(team)
        membership = locked.memberships.filter(user=actor).first()
        if membership is None or locked.is_personal:
            raise NotFound("You are not in this team.")
        _refuse_escape(locked, actor)
        if locked.captain_id == actor.pk:
            if locked.memberships.exclude(user=actor).exists():
                raise Conflict("Hand the team over to somebody first.", code="captain_leaves")
            _delete(locked, actor)
            return
        membership.delete()
        audit.record(actor, "team.left", locked)


def kick_member(team: Team, user: User, *, actor: Asker) -> None:
    """Take somebody out of a team, and change the code he knows."""
    require(actor, "teams.change", team)
    with transaction.atomic():
        locked = lock_team(team)
        _refuse_escape(locked, actor)
        if user.pk == locked.captain_id:
            raise Conflict("This is the captain. Hand the team over first.", code="captain_leaves")
        if not locked.memberships.filter(user=user).delete()[0]:
            raise NotFound("This person is not in the team.", field="user")
        locked.join_code = _new_code()
        locked.save(update_fields=["join_code"])
        audit.record(actor, "team.kicked", locked, member=user.username)


def hand_over(team: Team, user: User, *, actor: Asker) -> Team:
    """Make another member the captain."""
    require(actor, "teams.change", team)
    with transaction.atomic():
        locked = lock_team(team)
        _refuse_banned(locked, actor)
        if locked.is_personal or not locked.memberships.filter(user=user).exists():
            raise NotFound("This person is not in the team.", field="user")
        before = locked.captain.username
        locked.captain = user
        locked.save(update_fields=["captain"])
        audit.record(actor, "team.handed_over", locked, before={"captain": before}, after={"captain": user.username})
    return locked


def move_member(user: User, team: Team, *, actor: Asker) -> None:
    """Put somebody into another team; staff only, and never a captain."""
    require(actor, "teams.moderate", team)
    with transaction.atomic():
        _lock_user(user.pk)
        old = Membership.objects.filter(user=user, is_personal=False).select_related("team__region").first()
        if old is not None:
            require(actor, "teams.moderate", old.team)
            if old.team.captain_id == user.pk:
                raise Conflict("A captain is not moved. Let him hand his team over first.", code="captain_leaves")
        locked = lock_team(team)
        if locked.is_personal:
            raise Conflict("Nobody joins a personal team.", code="personal_team")
        if old is not None and old.team_id == locked.pk:
            return
        _refuse_crowd(locked)
        if old is not None:
            old.delete()
        Membership.objects.create(team=locked, user=user)
        audit.record(actor, "team.member_moved", locked, member=user.username, before=old.team.name if old else "")


def ban_team(team: Team, *, actor: Asker, reason: str) -> Team:
    """Let a team play nowhere until it is unbanned; what it runs goes."""
    require(actor, "teams.moderate", team)
    if not reason.strip():
        raise Invalid("Say why: the team reads it.", field="reason")
    with transaction.atomic():
        locked = lock_team(team)
        if not locked.is_banned:
            locked.banned_at, locked.ban_reason = timezone.now(), reason.strip()[:300]
            locked.save(update_fields=["banned_at", "ban_reason"])
            audit.record(actor, "team.banned", locked, reason=locked.ban_reason)
            copies = Instance.objects.filter(team=locked, event__isnull=False)
            expiry.end_all(copies, actor=actor, verb="expire", reason="The team is banned.")
    return locked


def unban_team(team: Team, *, actor: Asker) -> Team:
    """Let a team play again; its score is what it was."""
    require(actor, "teams.moderate", team)
    with transaction.atomic():
        locked = lock_team(team)
        if locked.is_banned:
            locked.banned_at, locked.ban_reason = None, ""
            locked.save(update_fields=["banned_at", "ban_reason"])
            audit.record(actor, "team.unbanned", locked)
    return locked


def delete_team(team: Team, *, actor: Asker) -> None:
    """Remove a team that has played nowhere; its members are free then."""
    require(actor, "teams.change", team)
    with transaction.atomic():
        locked = lock_team(team)
        _refuse_banned(locked, actor)
        _delete(locked, actor)


def personal_team(user: Any) -> Team:
    """The team of somebody who plays for himself, made when first needed."""
    found = Team.objects.filter(captain=user, is_personal=True).first()
    if found is not None:
        return found
    with transaction.atomic():
        _lock_user(user.pk)
        team, is_new = Team.objects.get_or_create(
            captain=user,
            is_personal=True,
            defaults={"name": user.username[:50], "max_members": 1, "region": _home(user)},
        )
        if is_new:
            Membership.objects.create(team=team, user=user, is_personal=True)
    return team


def _home(user: Any) -> Any:
    slug = getattr(user, "region_preference", "")
    return Region.objects.filter(slug=slug).first() if slug else None


def _lock_user(pk: Any) -> None:
    """Always before the team: whoever joins twice at once waits here."""
    User.objects.select_for_update(no_key=True).only("pk").get(pk=pk)


def lock_team(team: Team) -> Team:
    """The team's row, held for this transaction."""
    locked = Team.objects.select_for_update(no_key=True, of=("self",)).filter(pk=team.pk).first()
    if locked is None:
        raise NotFound("There is no such team.")
    return locked


def _new_code() -> str:
    for _ in range(CODE_ATTEMPTS):
        code = "".join(secrets.choice(JOIN_CODE_ALPHABET) for _ in range(JOIN_CODE_LENGTH))
        if not Team.objects.filter(join_code=code).exists():
            return code
    raise Conflict("No free code was found. Try again.", code="no_code")


def _store(team: Team) -> None:
    """Two at once may choose the same name: the database decides."""
    try:
        with transaction.atomic():
            team.save()
    except IntegrityError:
        raise Invalid("Another team has this name.", field="name") from None


def _refuse_second(user: Any) -> None:
    if Membership.objects.filter(user=user, is_personal=False).exists():
        raise Conflict("You are in a team. Leave it first.", code="in_a_team")


def _refuse_banned(team: Team, actor: Any) -> None:
    """A banned team is out of its members' hands; those who may ban may still change it."""
    if team.is_banned and not can(actor, "teams.moderate", team):
        raise NotAllowed(f"The team is banned: {team.ban_reason}", code="team_banned")


def _refuse_escape(team: Team, actor: Any) -> None:
    """Nobody leaves a team that is banned, or banned from an event that is not over: he would play on in another."""
    _refuse_banned(team, actor)
    if can(actor, "teams.moderate", team):
        return
    for each in team.participations.filter(banned_at__isnull=False).select_related("event"):
        if each.event.state not in OVER:
            raise NotAllowed(f"The team is banned from {each.event.name}: {each.ban_reason}", code="team_banned")


def _refuse_other_region(team: Team, actor: Any) -> None:
    """A team that has entered an event stays in its region until that is over; staff may still move it."""
    if can(actor, "teams.moderate", team):
        return
    for event in Event.objects.filter(participations__team=team):
        if event.state not in OVER:
            text = f"The team takes part in {event.name}; until it is over the region stays."
            raise Conflict(text, code="region_fixed")


def _delete(team: Team, actor: Asker) -> None:
    """Delete a team that has played nowhere, with the test copies that organisers had in its name."""
    if team.participations.exists() or team.score_events.exists():
        raise Conflict("The team has taken part in an event; its results stay.", code="team_has_played")
    expiry.forget_copies(Instance.objects.filter(team=team))
    audit.record(actor, "team.deleted", team)
    team.delete()
