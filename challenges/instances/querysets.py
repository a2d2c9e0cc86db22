"""Named filters of instances and their output."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib.postgres.expressions import ArraySubquery
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from accounts.permissions import can, reaches_any, region_limit
from hub.nodes.choices import BROKEN, DesiredStatus, ObservedStatus
from hub.nodes.querysets import WorkloadQuerySet

from .connections import address_rows

if TYPE_CHECKING:
    from challenges.models import Instance, InstanceLog

WATCHED_SECONDS = 30
FRESH_SECONDS = 1.5
FAILED_MINUTES = 15
"""How long a failed instance stays, so that its team reads why and may try again."""


class InstanceQuerySet(WorkloadQuerySet):
    """Filters of instances."""

    def visible_to(self, user: Any) -> InstanceQuerySet:
        """Those of one's team and of the events one organises, and others where the role and its regions reach.

        What organisers launch for a team before it may see the challenge shows when the challenge does.
        """
        if not can(user, "instances.view"):
            return self.none()
        # By keys: a team has many members, and each would show its instance once more.
        teams = self.model._meta.get_field("team").related_model._default_manager.filter(memberships__user=user.pk)
        entries = apps.get_model("challenges", "EventChallenge").objects.visible_to(user).order_by()
        seen = entries.filter(event=OuterRef("event"), challenge=OuterRef("challenge"))
        own = Q(Exists(seen), team__in=teams.order_by().values("pk"))
        if not reaches_any(user, "instances.view"):
            return self.filter(own)
        events = self.model._meta.get_field("event").related_model._default_manager.filter(organisers=user.pk)
        regions = region_limit(user)
        if regions is None:
            return self
        return self.filter(own | Q(event__in=events.order_by().values("pk")) | Q(node__region__slug__in=regions))

    def alive(self) -> InstanceQuerySet:
        return super().alive()  # type: ignore[return-value]  # the same class; the base does not know it

    def wanted(self) -> InstanceQuerySet:
        """Those that nobody has ended."""
        return self.alive().exclude(desired_status=DesiredStatus.DELETED)

    def broken(self) -> InstanceQuerySet:
        """Meant to run and not well."""
        return self.alive().filter(desired_status=DesiredStatus.RUNNING, observed_status__in=BROKEN)

    def with_details(self) -> InstanceQuerySet:
        """Fetch along what pages and answers show."""
        rows = self.select_related("event", "challenge", "team", "node__region")
        rows = rows.annotate(address_rows=ArraySubquery(address_rows(OuterRef("pk"))))
        return rows.prefetch_related("challenge__containers__ports")

    def past_end(self) -> InstanceQuerySet:
        """Those whose time is over and that nobody has ended yet."""
        over = Q(expires_at__lte=Now()) | Q(event__ends_at__lte=Now())
        return self.wanted().filter(over)

    def given_up(self) -> InstanceQuerySet:
        """Those that failed and that nobody has tried again for a while: they only hold a place and an address."""
        failed = self.wanted().filter(desired_status=DesiredStatus.RUNNING, observed_status=ObservedStatus.FAILED)
        return failed.filter(observed_at__lt=Now() - timedelta(minutes=FAILED_MINUTES))

    def last_end(self, event: Any, challenge: str, user: Any) -> Instance | None:
        """The instance of a challenge that ended last for somebody's team, if that was within the hour."""
        rows = self.filter(event=event, challenge__slug=challenge, team__memberships__user=user.pk)
        return rows.filter(deleted_at__gt=Now() - timedelta(hours=1)).order_by("-deleted_at").first()


class InstanceLogQuerySet(models.QuerySet["InstanceLog"]):
    """Stored output of instances."""

    def wanted(self) -> InstanceLogQuerySet:
        """Those that somebody looks at and that were not brought within the last moments."""
        stale = Q(captured_at=None) | Q(captured_at__lt=Now() - timedelta(seconds=FRESH_SECONDS))
        return self.filter(stale, wanted_until__gt=Now())

    def keep(self, instance: Instance, text: str | None) -> None:
        """Store what the agent read; None keeps what is there."""
        if text is not None:
            self.update_or_create(instance=instance, defaults={"text": text, "captured_at": Now()})

    def want(self, instance: Instance) -> InstanceLog:
        """Ask the agent to bring the output for a while; answers what is stored."""
        until = Now() + timedelta(seconds=WATCHED_SECONDS)
        self.update_or_create(instance=instance, defaults={"wanted_until": until})
        return self.get(instance=instance)
