"""Named filters of templates and game servers."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import OuterRef, Q
from django.db.models.functions import JSONObject, Now

from accounts.permissions import can, reaches_any, region_limit
from hub.nodes.choices import BROKEN, OPEN_OPERATIONS, AddressState, DesiredStatus, OperationStatus
from hub.nodes.models import Address
from hub.nodes.querysets import WorkloadQuerySet

if TYPE_CHECKING:
    from .models import ConsoleCommand, GameServer, ServerLog, Template  # noqa: F401 - base classes name them as strings

WATCHED_SECONDS = 30
FRESH_SECONDS = 1.5
BEGIN_SECONDS, FINISH_SECONDS = 5, 8
"""How long a command for a console may wait for its agent, and the agent may take over it."""


class TemplateQuerySet(models.QuerySet["Template"]):
    """Filters of templates."""

    def published(self) -> TemplateQuerySet:
        return self.filter(is_published=True)

    def visible_to(self, user: Any) -> TemplateQuerySet:
        """The catalogue is public; what is not published is seen by those who may change templates."""
        return self if can(user, "templates.change") else self.published()

    def with_variables(self) -> TemplateQuerySet:
        """Fetch the variables along, in their order."""
        return self.prefetch_related("variables")


class GameServerQuerySet(WorkloadQuerySet):
    """Filters of game servers."""

    def visible_to(self, user: Any) -> GameServerQuerySet:
        """One's own, and those of others where the role and its regions reach."""
        if not can(user, "servers.view"):
            return self.none()
        own = Q(owner=getattr(user, "pk", None))
        if not reaches_any(user, "servers.view"):
            return self.filter(own)
        regions = region_limit(user)
        return self if regions is None else self.filter(own | Q(node__region__slug__in=regions))

    def owned_by(self, user: Any) -> GameServerQuerySet:
        return self.filter(owner=user)

    def broken(self) -> GameServerQuerySet:
        """Meant to run and not well."""
        return self.alive().filter(desired_status=DesiredStatus.RUNNING, observed_status__in=BROKEN)

    def alive(self) -> GameServerQuerySet:
        return super().alive()  # type: ignore[return-value]  # the same class; the base does not know it

    def with_details(self) -> GameServerQuerySet:
        """Fetch what lists show, addresses included, in one query."""
        return self.select_related("owner", "template", "node__region").with_addresses()

    def with_addresses(self) -> GameServerQuerySet:
        """Add the leased addresses, public ones first."""
        held = Address.objects.filter(holder=OuterRef("pk"), state=AddressState.LEASED)
        rows = held.order_by("-pool__is_public", "id").values(
            row=JSONObject(name="port_name", ip="ip", port="port", is_public="pool__is_public")
        )
        return self.annotate(address_rows=ArraySubquery(rows))


class ServerLogQuerySet(models.QuerySet["ServerLog"]):
    """Stored output of servers."""

    def wanted(self) -> ServerLogQuerySet:
        """Those that somebody looks at and that were not brought within the last moments."""
        stale = Q(captured_at=None) | Q(captured_at__lt=Now() - timedelta(seconds=FRESH_SECONDS))
        return self.filter(stale, wanted_until__gt=Now())

    def keep(self, server: GameServer, text: str | None) -> None:
        """Store what the agent read, its 64 KiB only when they changed; None keeps what is there."""
        if text is None:
            return
        stored = self.filter(server=server)
        changed = stored.exclude(text=text).update(text=text, captured_at=Now())
        if not changed and not stored.update(captured_at=Now()):
            self.update_or_create(server=server, defaults={"text": text, "captured_at": Now()})

    def want(self, server: GameServer, *, seconds: int = WATCHED_SECONDS) -> ServerLog:
        """Ask the server's agent to bring its output for a while; answers what is stored."""
        until = Now() + timedelta(seconds=seconds)
        self.update_or_create(server=server, defaults={"wanted_until": until})
        return self.get(server=server)


class ConsoleCommandQuerySet(models.QuerySet["ConsoleCommand"]):
    """Commands for consoles: begun in time or never, so that none comes late to somebody who has given up."""

    def open(self) -> ConsoleCommandQuerySet:
        return self.filter(status__in=OPEN_OPERATIONS)

    def waiting(self, *, seconds: float = 0) -> ConsoleCommandQuerySet:
        """Those that an agent may still begin, asked at least so many seconds ago."""
        begin, end = Now() - timedelta(seconds=BEGIN_SECONDS), Now() - timedelta(seconds=seconds)
        return self.filter(status=OperationStatus.QUEUED, created_at__gt=begin, created_at__lte=end)

    def claim(self, pk: Any) -> ConsoleCommand | None:
        """Begin one, or None when somebody has or its time is over."""
        begun = self.waiting().filter(pk=pk).update(status=OperationStatus.RUNNING, begun_at=Now())
        details = "server__template", "server__node__region"
        return self.select_related(*details).get(pk=pk) if begun else None

    def finish(self, pk: Any, **fate: Any) -> None:
        """Store the fate of one that was begun and not given up."""
        self.filter(pk=pk, status=OperationStatus.RUNNING).update(finished_at=Now(), **fate)

    def give_up(self) -> None:
        """Settle those whose time is over: not sent, or sent and never heard of again."""
        failed = {"status": OperationStatus.FAILED, "finished_at": Now()}
        late = Now() - timedelta(seconds=BEGIN_SECONDS)
        self.filter(status=OperationStatus.QUEUED, created_at__lte=late).update(
            **failed, error_code="agent_silent", error="The node's agent does not answer; the command was not sent."
        )
        lost = Now() - timedelta(seconds=FINISH_SECONDS)
        self.filter(status=OperationStatus.RUNNING, begun_at__lte=lost).update(
            **failed,
            error_code="agent_lost",
            error="The node's agent ended over it; whether the server ran the command is not known.",
        )
