"""What a team does with its own copy of a challenge: launch, extend, reset, stop; and organisers with every team's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import IntegrityError, transaction
from django.db.models import prefetch_related_objects
from django.db.models.functions import Now
from django.utils import timezone

from accounts import audit
from accounts.permissions import can, require
from challenges.choices import ChallengeState, EventStatus
from challenges.instances import expiry, launching
from challenges.models import Challenge, Event, EventChallenge, Instance, InstanceLog, Participation, Team
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed, NotFound
from hub.nodes import leases, operations, placement
from hub.nodes.choices import DesiredStatus, EngineKind, ObservedStatus, PoolKind
from hub.nodes.models import Node, Operation, Region

from .play import open_entry

if TYPE_CHECKING:
    from accounts.actors import Asker
    from challenges.instances.querysets import InstanceQuerySet

S, D = ObservedStatus, DesiredStatus
IMAGE_ENGINES: Final = frozenset({EngineKind.DOCKER, EngineKind.KUBERNETES, EngineKind.FAKE})
RESETS: Final = ("redeploy", "restart")
BROKEN: Final = (S.FAILED, S.CRASHED, S.LOST)
NEVER_TOLD: Final = "There is no such challenge."


@dataclass(frozen=True)
class Launched:
    """What a click on Launch came to; without an operation it ran already, or is on its way."""

    instance: Instance
    operation: Operation | None
    is_new: bool


def launch_instance(
    event: Event, slug: str, *, actor: Asker, team: Team | None = None, force: bool = False
) -> Launched:
    """Have an instance: the one there is, or a new one. However often it is asked, a team has one of each challenge.

    Organisers launch for a team that they name. `force` has one that runs made anew.
    """
    require(actor, "instances.create")
    if team is not None:
        require(actor, "events.change", event)
    with transaction.atomic():
        participation = _hold_participation(event, actor, team)
        entry = _entry_for(event, participation, slug, is_organiser=team is not None)
        found = _find(event, entry.challenge, participation.team)
        if found is not None:
            operation = _wake(found, actor=actor, force=force)
            return Launched(_whole(found), operation, is_new=False)
        _refuse_too_many(event, participation.team, entry)
        made, operation = _make(event, entry.challenge, participation.team, actor)
    return Launched(made, operation, is_new=True)


def launch_test(challenge: Challenge, *, actor: Asker, team: Team) -> Launched:
    """Have an organiser's own copy with the flags of any team, before the challenge is in an event."""
    require(actor, "challenges.change", challenge)
    if not challenge.is_container or challenge.state == ChallengeState.DRAFT:
        raise Conflict("Only a challenge in test that has containers can be launched.", code="not_in_test")
    with transaction.atomic():
        Challenge.objects.select_for_update(no_key=True).only("pk").get(pk=challenge.pk)
        found = _find(None, challenge, team)
        if found is not None:
            return Launched(_whole(found), _wake(found, actor=actor, force=False), is_new=False)
        made, operation = _make(None, challenge, team, actor)
    return Launched(made, operation, is_new=True)


def extend_instance(instance: Instance, *, actor: Asker, minutes: int | None = None) -> Instance:
    """Give it more time by the rules of its event; organisers give what they name, up to the event's end."""
    require(actor, "instances.extend", instance)
    if minutes is not None:
        _require_organiser(actor, instance)
        if not 1 <= minutes <= 24 * 60:
            raise Invalid("Between a minute and a day.", field="minutes")
    with transaction.atomic():
        locked = _lock(instance)
        _refuse_banned(locked, actor)
        if reason := refusal_to_extend(locked, by_rules=minutes is None):
            raise Conflict(reason, code="not_now")
        step = minutes or (locked.event.extend_minutes if locked.event else launching.TEST_MINUTES)
        assert locked.expires_at is not None  # noqa: S101 - refused above
        end = locked.expires_at + timedelta(minutes=step)
        locked.expires_at = min(end, locked.event.ends_at) if locked.event else end
        locked.last_extended_by = str(actor)[:150]
        locked.extensions += minutes is None
        locked.save(update_fields=["expires_at", "last_extended_by", "extensions"])
        audit.record(actor, "instance.extended", locked, minutes=step)
    return _whole(locked)


def refusal_to_extend(instance: Instance, *, by_rules: bool = True) -> str:
    """Why it gets no more time now, or ""."""
    event = instance.event
    if instance.desired_status == D.DELETED:
        return "It is being removed."
    if instance.expires_at is None:
        return "Its time has not begun."
    if instance.expires_at <= timezone.now():
        return "Its time is over."
    if event is None or not by_rules:
        return "The event ends then." if event and instance.expires_at >= event.ends_at else ""
    if instance.expires_at >= event.ends_at:
        return "The event ends then."
    if event.max_extensions is not None and instance.extensions >= event.max_extensions:
        told = f"It was extended {instance.extensions} times, which is all that this event allows."
        return told if instance.extensions else "This event gives no more time."
    opens = instance.expires_at - timedelta(minutes=event.extend_window_minutes)
    if timezone.now() < opens:
        return f"It can be extended once less than {event.extend_window_minutes} minutes are left."
    return ""


def reset_instance(instance: Instance, *, actor: Asker, kind: str = "redeploy") -> Operation:
    """Begin it anew with the same flag, address and time left.

    `redeploy` makes all of it again from what the challenge says now; `restart` ends its programs and starts them from
    the very image they had.
    """
    require(actor, "instances.control", instance)
    if kind not in RESETS:
        raise Invalid(f"Reset by {' or '.join(RESETS)}.", field="kind")
    with transaction.atomic():
        locked = _lock(instance)
        if locked.desired_status == D.DELETED:
            raise Conflict("It is being removed.", code="not_now")
        _refuse_banned(locked, actor)
        _refuse_paused(locked, actor)
        operation = _begin_again(locked, actor=actor, verb="reset", is_fresh=kind == "redeploy")
        audit.record(actor, "instance.reset", locked, kind=kind)
    return operation


def stop_instance(instance: Instance, *, actor: Asker, remove: bool = True, reason: str = "") -> Operation | None:
    """End it: with removal its address is given up; without, it can be launched again until its time is over."""
    require(actor, "instances.control", instance)
    with transaction.atomic():
        locked = _lock(instance)
        if locked.desired_status == D.DELETED or (not remove and locked.desired_status == D.STOPPED):
            return None
        if remove:
            return expiry.end(locked, actor=actor, verb="delete", reason=reason or f"Stopped by {actor}.")
        operation = operations.wish(locked, verb="stop", actor=actor, desired=D.STOPPED)
        audit.record(actor, "instance.stopped", locked)
    return operation


def read_log(instance: Instance, *, actor: Asker) -> InstanceLog:
    """The output stored last, with its time; the agent brings newer output for the next half minute."""
    require(actor, "instances.view", instance)
    return InstanceLog.objects.want(instance)


def instance_of(event: Event, challenge: Challenge, team: Team) -> Instance | None:
    """What a team has of a challenge, or None."""
    rows = Instance.objects.alive().with_details()
    return rows.filter(event=event, challenge=challenge, team=team).first()


def ending_soon(user: Any) -> list[Instance]:
    """What a person's teams have running that is about to end."""
    rows = Instance.objects.visible_to(user).wanted().filter(team__memberships__user=user.pk, expires_at__gt=Now())
    rows = rows.select_related("event", "challenge").order_by("expires_at").distinct()
    return [instance for instance in rows if instance.is_about_to_end and not instance.is_over]


# --- Steps --------------------------------------------------------------------------------------------------------


def _hold_participation(event: Event, actor: Any, team: Team | None) -> Participation:
    """The participation under whose lock its instances are counted; refused when the team may not play now."""
    rows = Participation.objects.select_for_update(no_key=True, of=("self",)).select_related("team").filter(event=event)
    found = rows.filter(team=team).first() if team is not None else rows.of(actor).first()
    if found is None:
        raise NotAllowed("Enter the event first.", code="not_registered")
    if found.is_banned:
        raise NotAllowed("The team is banned.", code="team_banned")
    state = event.state
    if state == EventStatus.PAUSED and team is None:
        raise Conflict("The event is paused.", code="event_paused")
    if state not in (EventStatus.RUNNING, EventStatus.PAUSED) and not (team and state == EventStatus.SCHEDULED):
        raise Conflict("The event does not run now.", code="event_not_running")
    return found


def _entry_for(event: Event, participation: Participation, slug: str, *, is_organiser: bool) -> Any:
    """The challenge as the event offers it: organisers may launch what the team does not see yet."""
    if is_organiser:
        entry = event.entries.select_related("challenge").filter(challenge__slug=slug).first()
        if entry is None:
            raise NotFound(NEVER_TOLD)
    else:
        entry = open_entry(event, participation, slug)
    if not entry.challenge.is_container:
        raise Conflict("This challenge has nothing to launch.", code="nothing_to_launch")
    prefetch_related_objects([entry.challenge], "containers__ports")
    return entry


def _find(event: Event | None, challenge: Challenge, team: Team) -> Instance | None:
    rows = Instance.objects.select_for_update(no_key=True, of=("self",)).alive()
    return rows.filter(event=event, challenge=challenge, team=team).select_related("node__region", "event").first()


def _wake(instance: Instance, *, actor: Asker, force: bool) -> Operation | None:
    """What launching means for one that is there already."""
    if instance.desired_status == D.DELETED:
        raise Conflict("The last one is still being removed. Try again in a moment.", code="being_removed")
    if force:
        return _begin_again(instance, actor=actor, verb="redeploy", is_fresh=True)
    if instance.desired_status == D.RUNNING and instance.observed_status not in BROKEN:
        return None
    operation = operations.wish(instance, verb="start", actor=actor, desired=D.RUNNING)
    audit.record(actor, "instance.started", instance)
    return operation


def _begin_again(instance: Instance, *, actor: Asker, verb: str, is_fresh: bool) -> Operation:
    """Wish it running at a new generation; one that is not fresh keeps its image."""
    image = instance.image_pinned
    operation = operations.wish(instance, verb=verb, actor=actor, desired=D.RUNNING)
    instance.is_fresh_wanted = is_fresh
    instance.image_pinned = "" if is_fresh else image
    instance.last_reset_by, instance.last_reset_at = str(actor)[:150], timezone.now()
    instance.save(update_fields=["is_fresh_wanted", "image_pinned", "last_reset_by", "last_reset_at"])
    return operation


def _refuse_too_many(event: Event, team: Team, entry: EventChallenge) -> None:
    """Count under locks: those of the team under its participation's, those of all under the event's.

    What organisers launch of a challenge that the team does not see yet takes none of its places.
    """
    own = Instance.objects.wanted().filter(event=event, team=team)
    if own.count() >= event.max_instances_per_team and _takes_last_place(event, team, entry, own):
        raise LimitReached(
            f"A team may have {event.max_instances_per_team} at once. Stop one first.", code="team_limit"
        )
    if event.max_instances is None:
        return
    Event.objects.select_for_update(no_key=True).only("pk").get(pk=event.pk)
    if Instance.objects.wanted().filter(event=event).count() >= event.max_instances:
        raise LimitReached("The event has no room for another instance now. Try again later.", code="event_limit")


def _takes_last_place(event: Event, team: Team, entry: EventChallenge, own: InstanceQuerySet) -> bool:
    """Whether the team sees the challenge, and has all its places of such that it sees."""
    seen = EventChallenge.objects.filter(event=event).open_to(team)
    shown = own.filter(challenge__in=seen.order_by().values("challenge"))
    return seen.filter(pk=entry.pk).exists() and shown.count() >= event.max_instances_per_team


def _make(event: Event | None, challenge: Challenge, team: Team, actor: Asker) -> tuple[Instance, Operation]:
    containers = list(challenge.containers.all())
    if not containers:
        raise Conflict("This challenge has nothing to launch.", code="nothing_to_launch")
    if challenge.wants_powers and not challenge.has_powers:
        raise Conflict("An Admin has not granted what the challenge's containers ask for.", code="not_granted")
    demand = {
        name: sum(getattr(container, name) for container in containers)
        for name in ("memory_mb", "cpu_percent", "disk_mb")
    }
    node = _choose_node(event, challenge, demand)
    made = Instance(
        name=f"{challenge.name[:30]} · {team.name[:30]}",
        event=event,
        challenge=challenge,
        team=team,
        node=node,
        launched_by=str(actor)[:150],
        next_check_at=timezone.now(),
        **demand,
    )
    _lease(made)
    try:
        with transaction.atomic():
            made.save(force_insert=True)
    except IntegrityError:
        raise Conflict("Somebody has launched it this moment.", code="exists") from None
    operation = operations.record(made, verb="create", actor=actor)
    audit.record(actor, "instance.launched", made, event=str(event or "test"), team=team.name, node=node.name)
    return made, operation


def _choose_node(event: Event | None, challenge: Challenge, demand: dict[str, int]) -> Node:
    """The event's own node; else the least used of its region, or of any region, that can run the challenge."""

    def accepts(node: Node) -> bool:
        if challenge.wants_powers and not node.options.get("allow_grants"):
            return False
        return node.pools.filter(kind=PoolKind.LOAD_BALANCER, is_enabled=True).exists()

    if event is not None and event.node is not None:
        if not accepts(event.node):
            raise Conflict("The event's node has no addresses for this challenge.", code="no_node")
        if placement.shortage(event.node, demand, lock=True):
            raise LimitReached("The event's node is full. Try again later.", code="node_full")
        return event.node
    regions = [event.region] if event is not None and event.region else list(Region.objects.filter(is_enabled=True))
    refusal: Exception | None = None
    for region in regions:
        try:
            return placement.choose_node(
                region=region, engines=IMAGE_ENGINES, demand=demand, needs_isolation=True, accepts=accepts
            )
        except LimitReached as error:
            refusal = error
        except Invalid:
            continue
    if refusal is not None:
        raise LimitReached("All nodes for challenges are full. Try again later.", code="region_full")
    raise Conflict("There is no node with addresses that can run this challenge. Tell the organisers.", code="no_node")


def _lease(made: Instance) -> None:
    """Its address, or a place in the line for one."""
    wanted = made.ports_wanted()
    if wanted and leases.lease_ports(node=made.node, holder=made.pk, wanted=wanted) is None:
        leases.queue_for_ports(made, wanted)
        made.status_reason = leases.waiting_reason(made.pk)


def _lock(instance: Instance) -> Instance:
    rows = Instance.objects.select_for_update(no_key=True, of=("self",)).alive()
    found = rows.select_related("event", "challenge", "team", "node__region").filter(pk=instance.pk).first()
    if found is None:
        raise NotFound("It is gone.")
    return found


def _whole(instance: Instance) -> Instance:
    return Instance.objects.with_details().get(pk=instance.pk)


def _require_organiser(actor: Asker, instance: Instance) -> None:
    if not is_organiser(actor, instance):
        raise NotAllowed("Only organisers name the minutes.")


def is_organiser(actor: Asker, instance: Instance) -> bool:
    """Whether the actor looks after this instance, beyond those of his own team."""
    if can(actor, "instances.extend_any", instance):
        return True
    return instance.event is not None and can(actor, "events.change", instance.event)


def _refuse_banned(instance: Instance, actor: Asker) -> None:
    """What a banned team still has ends within moments; until then it can do nothing with it."""
    if instance.event is None or is_organiser(actor, instance):
        return
    if not instance.event.participations.playing().filter(team=instance.team_id).exists():
        raise NotAllowed("The team is banned.", code="team_banned")


def _refuse_paused(instance: Instance, actor: Asker) -> None:
    if instance.event is not None and instance.event.state == EventStatus.PAUSED and not is_organiser(actor, instance):
        raise Conflict("The event is paused.", code="event_paused")
