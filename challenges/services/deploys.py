"""Launch a challenge for every team of an event: asked for in a moment, carried out by a worker, told team by team."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.actors import SYSTEM
from accounts.models import User
from accounts.permissions import require
from challenges.models import DeployRun, Event, EventChallenge, Team
from hub import bulk, jobs
from hub.exceptions import NotFound

from .events import lock_event
from .instances import NEVER_TOLD, launch_instance

if TYPE_CHECKING:
    from accounts.actors import Asker

AT_ONCE: Final = 10
LEASE: Final = timedelta(minutes=2)
QUEUE_TIME: Final = timedelta(seconds=30)
ASKED: Final = 202


def deploy_for_all(event: Event, slug: str, *, actor: Asker, force: bool = False) -> DeployRun:
    """Ask for it; answers the run that tells how far it is: the one there is, while one that asks for the same goes on.

    Some hundred teams take longer than a proxy waits, so a worker launches. What fails for one team is told there, and
    the others go on.
    """
    require(actor, "events.change", event)
    with transaction.atomic():
        locked = lock_event(event)
        entry = EventChallenge.objects.filter(event=locked, challenge__slug=slug).select_related("challenge").first()
        if entry is None:
            raise NotFound(NEVER_TOLD)
        same = DeployRun.objects.open().filter(event=locked, challenge=entry.challenge, is_forced=force).first()
        if same is not None:
            return same
        run = DeployRun.objects.create(
            event=locked,
            challenge=entry.challenge,
            is_forced=force,
            actor=actor if isinstance(actor, User) else None,
            actor_name=str(actor)[:150],
            waiting=list(_teams(locked, entry).order_by("pk").values_list("pk", flat=True)),
        )
        audit.record(actor, "event.deployed_for_all", locked, challenge=slug, teams=run.total, forced=force)
        jobs.enqueue("challenges.jobs.carry_out_deploy", str(run.pk))
    return run


def carry_out_deploy(pk: Any) -> None:
    """Launch for the teams that wait, a few at a time. Twice at once is harmless: one of both has the lease."""
    token = uuid.uuid4()
    while (run := _claim(pk, token)) is not None:
        _launch_some(run, token)


def resume_deploys() -> int:
    """Take up runs whose job was lost or whose worker died; says how many."""
    left = DeployRun.objects.free().filter(created_at__lt=Now() - QUEUE_TIME)
    found = list(left.order_by("created_at").values_list("pk", flat=True))
    for pk in found:
        carry_out_deploy(pk)
    return len(found)


def _teams(event: Event, entry: EventChallenge) -> Any:
    teams = Team.objects.filter(participations__event=event, participations__banned_at=None, banned_at=None)
    allowed = list(entry.allowed_teams.values_list("pk", flat=True))
    return teams.filter(pk__in=allowed) if allowed else teams


def _claim(pk: Any, token: uuid.UUID) -> DeployRun | None:
    """The run as it is now, event and rights of its actor included; None when it is done or somebody else's."""
    rows = DeployRun.objects.filter(pk=pk)
    mine = rows.free() | rows.open().filter(lease_token=token)
    if not mine.update(lease_token=token, lease_until=Now() + LEASE):
        return None
    return rows.select_related("event__region", "event__node", "challenge", "actor").get()


def _launch_some(run: DeployRun, token: uuid.UUID) -> None:
    """Who asked was allowed to; a person who has left since has his wish carried out by the hub."""
    turn, waiting = run.waiting[:AT_ONCE], run.waiting[AT_ONCE:]
    actor, slug = run.actor or SYSTEM, run.challenge.slug
    results = bulk.for_keys(
        turn,
        Team.objects.all(),
        lambda team: launch_instance(run.event, slug, actor=actor, team=team, force=run.is_forced),
    )
    told = run.results + [_told(result) for result in results]
    done = {} if waiting else {"finished_at": Now()}
    DeployRun.objects.filter(pk=run.pk, lease_token=token).update(waiting=waiting, results=told, **done)


def _told(result: bulk.Result[Team]) -> dict[str, Any]:
    problem = result.problem
    return {
        "team": result.key,
        "name": str(result.row or ""),
        "status": problem.status if problem else ASKED,
        "error": {"code": problem.code, "detail": problem.detail} if problem else None,
    }
