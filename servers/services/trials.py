"""Try a template: a short-lived server by the ordinary services; what came of it is kept, the server removed."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import require
from hub.exceptions import Conflict, HubError, Invalid
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Region
from servers.choices import TrialStatus
from servers.models import GameServer, ServerLog, Template, TemplateTrial

from .creation import create_server, preview_server
from .power import delete_server
from .templates import refuse_programs

if TYPE_CHECKING:
    from accounts.models import User

logger = logging.getLogger(__name__)

OUTPUT_CHARACTERS = 4_000
LAUNCH_SECONDS = 600  # besides the time that the template gives itself to be ready: an image may have to be pulled
ENDED_BADLY = (ObservedStatus.FAILED, ObservedStatus.CRASHED, ObservedStatus.LOST, ObservedStatus.UNHEALTHY)


def try_template(template: Template, *, actor: User, region: Region | None = None) -> TemplateTrial:
    """Start a server of the template, of usual size and the actor's own, for as long as it takes to be ready."""
    require(actor, "templates.change", template)
    refuse_programs(template, actor)
    try:
        with transaction.atomic():
            server = create_server(
                actor=actor,
                name=f"trial {template.slug[:18]} {timezone.now():%H%M%S}",
                description=f"Tries the template {template.name}; is removed by itself.",
                template=template,
                region=region or _region(template, actor),
                **_usual_size(template),
            )
            trial = TemplateTrial.objects.create(template=template, server=server, actor_name=str(actor))
            audit.record(actor, "template.trial_started", template, server=str(server.pk))
    except IntegrityError:
        raise Conflict("It is being tried already.", code="trial_open") from None
    return trial


def follow_trials() -> None:
    """Note what became of the open trials. Each is looked at by itself: one that stumbles does not stop the others."""
    open_trials = TemplateTrial.objects.filter(status=TrialStatus.RUNNING)
    for trial in open_trials.select_related("template", "server__node__region", "server__owner", "server__template"):
        try:
            _follow(trial)
        except HubError as error:
            logger.warning("Trial %s could not be followed: %s", trial.pk, error)


def _follow(trial: TemplateTrial) -> None:
    server, now = trial.server, timezone.now()
    allowed = timedelta(seconds=LAUNCH_SECONDS + trial.template.ready_timeout_seconds)
    if server.observed_status == ObservedStatus.RUNNING:
        began = server.started_at or server.created_at
        seconds = max(0.0, ((server.observed_at or now) - began).total_seconds())
        _end(trial, TrialStatus.READY, ready_seconds=round(seconds, 1))
    elif DesiredStatus.DELETED in (server.desired_status, server.observed_status):
        _end(trial, TrialStatus.FAILED, reason="Its server was deleted before it was ready.")
    elif server.desired_status == DesiredStatus.STOPPED:
        _end(trial, TrialStatus.FAILED, reason="Its server was stopped before it was ready.")
    elif server.observed_status in ENDED_BADLY:
        _end(trial, TrialStatus.FAILED, reason=server.status_reason or server.get_observed_status_display())
    elif now - trial.created_at > allowed:
        waited = f"It was not ready after {int(allowed.total_seconds() // 60)} minutes."
        _end(trial, TrialStatus.FAILED, reason=f"{waited} {server.status_reason}".strip())


def _end(trial: TemplateTrial, status: TrialStatus, *, reason: str = "", ready_seconds: float | None = None) -> None:
    """Store the outcome and remove the server; whoever else ends the same trial finds nothing to do."""
    with transaction.atomic():
        stored = ServerLog.objects.filter(server=trial.server).first()
        ended = TemplateTrial.objects.filter(pk=trial.pk, status=TrialStatus.RUNNING).update(
            status=status,
            reason=reason,
            output=stored.text[-OUTPUT_CHARACTERS:] if stored and status == TrialStatus.FAILED else "",
            ready_seconds=ready_seconds,
            ended_at=timezone.now(),
        )
        if not ended:
            return
        _remove(trial.server)
        audit.record(SYSTEM, "template.trial_ended", trial.template, outcome=str(status), reason=reason)


def _remove(server: GameServer) -> None:
    if server.desired_status != DesiredStatus.DELETED:
        delete_server(server, actor=SYSTEM)


class Size(TypedDict):
    """What a server is given of its node."""

    memory_mb: int
    disk_mb: int
    cpu_percent: int


def _usual_size(template: Template) -> Size:
    return {
        "memory_mb": template.default_memory_mb,
        "disk_mb": template.default_disk_mb,
        "cpu_percent": template.default_cpu_percent,
    }


def _region(template: Template, actor: User) -> Region:
    """The first region that could run it now; when none could, the first that might, whose creation says why not."""
    suited = Region.objects.filter(
        is_enabled=True, nodes__is_enabled=True, nodes__is_draining=False, nodes__engine__in=template.engines
    ).distinct()
    asked = _usual_size(template)
    for region in suited:
        if preview_server(actor=actor, template=template, region=region, **asked).problem is None:
            return region
    found = suited.first()
    if found is None:
        raise Invalid("No node that takes servers can run this template.", field="region")
    return found
