"""Named filters of nodes, addresses and operations."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Count, Q
from django.db.models.functions import Now

from accounts.permissions import can

from . import clocks
from .choices import OPEN_OPERATIONS, AddressState, ObservedStatus, OperationStatus


class RegionQuerySet(models.QuerySet[Any]):
    """Filters of regions."""

    def visible_to(self, user: Any) -> RegionQuerySet:
        return self if can(user, "regions.view") else self.none()


class NodeQuerySet(models.QuerySet[Any]):
    """Filters of nodes."""

    def visible_to(self, user: Any) -> NodeQuerySet:
        return self if can(user, "nodes.view") else self.none()

    def accepting(self) -> NodeQuerySet:
        """Nodes that may be given new workloads."""
        return self.filter(is_enabled=True, is_draining=False, region__is_enabled=True)


class PoolQuerySet(models.QuerySet[Any]):
    """Filters of address pools."""

    def visible_to(self, user: Any) -> PoolQuerySet:
        return self if can(user, "pools.view") else self.none()

    def with_counts(self) -> PoolQuerySet:
        """Add how many addresses are free, leased, quarantined and blocked."""
        return self.annotate(
            **{f"{state}_count": Count("addresses", filter=Q(addresses__state=state)) for state in AddressState.values}
        )


class AddressQuerySet(models.QuerySet[Any]):
    """Filters of addresses."""

    def visible_to(self, user: Any) -> AddressQuerySet:
        return self if can(user, "addresses.view") else self.none()

    def held_by(self, holder: Any) -> AddressQuerySet:
        return self.filter(holder=holder, state=AddressState.LEASED)

    def rested(self) -> AddressQuerySet:
        """Quarantined addresses whose rest is over."""
        return self.filter(state=AddressState.QUARANTINED, rest_until__lte=Now())


class OperationQuerySet(models.QuerySet[Any]):
    """Filters of operations."""

    def open(self) -> OperationQuerySet:
        return self.filter(status__in=OPEN_OPERATIONS)


class WorkloadQuerySet(models.QuerySet[Any]):
    """Filters every kind of workload has."""

    def visible_to(self, user: Any) -> WorkloadQuerySet:
        """What this user may see; each kind says for itself."""
        raise NotImplementedError

    def alive(self) -> WorkloadQuerySet:
        """All that are not deleted, or not deleted yet."""
        return self.exclude(observed_status=ObservedStatus.DELETED)

    def due(self) -> WorkloadQuerySet:
        """Rows that asked to be looked at by now and are not being looked at."""
        is_due = clocks.over("next_check_at", farthest_seconds=clocks.FARTHEST_CHECK_SECONDS)
        return self.alive().filter(clocks.free_lease(), is_due)


class TaskQuerySet(models.QuerySet[Any]):
    """Filters of what agents are asked."""

    def visible_to(self, user: Any) -> TaskQuerySet:
        return self if can(user, "nodes.view") else self.none()

    def open(self) -> TaskQuerySet:
        return self.filter(status__in=OPEN_OPERATIONS)

    def takeable(self) -> TaskQuerySet:
        """Those that nobody is at: not begun yet, or begun by a worker that has died."""
        return self.filter(Q(status=OperationStatus.QUEUED) | Q(status=OperationStatus.RUNNING, lease_until__lt=Now()))


class ReportQuerySet(models.QuerySet[Any]):
    """Filters of what agents have found."""

    def visible_to(self, user: Any) -> ReportQuerySet:
        return self if can(user, "nodes.view") else self.none()
