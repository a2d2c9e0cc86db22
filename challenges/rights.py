"""What captains, members, organisers and the administrator of an event may do beyond their role."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from accounts.models import User

CAPTAIN_VERBS = frozenset({"teams.view", "teams.change"})
MEMBER_VERBS = frozenset({"teams.view"})
INSTANCE_VERBS = frozenset({"instances.view", "instances.control", "instances.extend"})
ORGANISER_VERBS = frozenset({"events.view", "events.change", "events.moderate"})
ADMINISTRATOR_VERBS = frozenset({"events.moderate", "events.reset"})


def team_rule(actor: User, verb: str, team: Any) -> bool:
    """A captain has his team; whoever is in it sees it."""
    if team.captain_id == actor.pk and verb in CAPTAIN_VERBS:
        return True
    return verb in MEMBER_VERBS and team.memberships.filter(user=actor.pk).exists()


def event_rule(actor: User, verb: str, event: Any) -> bool:
    """Organisers have the event, whatever their regions; its administrator looks after its teams.

    What is announced is seen by those it is open to, see `EventQuerySet.visible_to`.
    """
    if verb == "events.view":
        return bool(type(event)._default_manager.visible_to(actor).filter(pk=event.pk).exists())
    if verb in ADMINISTRATOR_VERBS and event.administrator_id == actor.pk:
        return bool(event.participations.playing().of(actor).exists())
    return verb in ORGANISER_VERBS and event.organisers.filter(pk=actor.pk).exists()


def instance_rule(actor: User, verb: str, instance: Any) -> bool:
    """What a team has is every member's; an event's are its organisers'. A test copy is theirs who write challenges."""
    if verb not in INSTANCE_VERBS or instance.event_id is None:
        return False
    if instance.team.memberships.filter(user=actor.pk).exists():
        return True
    return instance.event.organisers.filter(pk=actor.pk).exists()


def entry_rule(actor: User, verb: str, row: Any) -> bool:
    """What belongs to an event follows it."""
    return event_rule(actor, verb, row.event)
