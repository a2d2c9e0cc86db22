"""A team's own copy of a challenge: a workload with an end, and the newest part of its output."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from challenges.instances import expiry, launching
from challenges.instances.connections import Connection, connections_of
from challenges.instances.querysets import InstanceLogQuerySet, InstanceQuerySet
from hub.engines.base import Engine, Observation, WorkloadSpec
from hub.nodes.choices import ObservedStatus
from hub.nodes.models import Address, Node
from hub.nodes.workloads import Health, PortRequest, Workload

from .content import Challenge, ChallengeContainer
from .events import Event
from .teams import Team


class Instance(Workload):
    """What one team has of a challenge in an event. Without an event it is an organiser's test copy.

    Its time begins with its first launch, so nobody loses any in the queue.
    """

    kind = "instance"

    event = models.ForeignKey(Event, null=True, blank=True, on_delete=models.PROTECT, related_name="instances")
    challenge = models.ForeignKey(Challenge, on_delete=models.PROTECT, related_name="instances")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="instances")
    launched_by = models.CharField(max_length=150)
    expires_at = models.DateTimeField(null=True, blank=True, help_text="Empty until it is launched.")
    extensions = models.PositiveSmallIntegerField(default=0)
    last_extended_by = models.CharField(max_length=150, blank=True)
    last_reset_by = models.CharField(max_length=150, blank=True)
    last_reset_at = models.DateTimeField(null=True, blank=True)
    is_fresh_wanted = models.BooleanField(default=False, help_text="Its next launch begins from nothing.")
    end_reason = models.CharField(max_length=200, blank=True)

    objects = InstanceQuerySet.as_manager()  # type: ignore[misc]  # mypy sees a class variable in the base

    class Meta(Workload.Meta):
        verbose_name = "instance"
        constraints = [
            models.UniqueConstraint(
                fields=["event", "challenge", "team"],
                condition=~Q(observed_status=ObservedStatus.DELETED),
                nulls_distinct=False,
                name="one_live_instance",
            ),
        ]
        indexes = [
            *Workload.Meta.indexes,
            models.Index(
                fields=["expires_at"], name="instance_expiry", condition=~Q(observed_status=ObservedStatus.DELETED)
            ),
            models.Index(fields=["-created_at"], name="instance_newest"),
        ]

    def get_absolute_url(self) -> str:
        return reverse("challenges:instance_detail", args=[self.pk])

    @property
    def main(self) -> ChallengeContainer | None:
        """The container that everything hangs on."""
        return next((container for container in self.challenge.containers.all() if container.is_main), None)

    @property
    def lessee(self) -> uuid.UUID:
        """Who has its address: its team in this event, or it alone."""
        return launching.lessee_of(self)

    @property
    def connections(self) -> list[Connection]:
        """How its team reaches it, one line for each public port that has its address."""
        return connections_of(self)

    @property
    def warns_at(self) -> datetime | None:
        """From when on its team is told that it will end."""
        minutes = self.event.warn_minutes if self.event else 5
        return self.expires_at - timedelta(minutes=minutes) if self.expires_at else None

    @property
    def is_about_to_end(self) -> bool:
        return self.warns_at is not None and timezone.now() >= self.warns_at

    @property
    def is_over(self) -> bool:
        """Whether its time has passed; its node's agent ends it within moments."""
        return self.expires_at is not None and timezone.now() >= self.expires_at

    @property
    def minutes_left(self) -> int:
        """As people are told; one at least."""
        left = self.expires_at - timezone.now() if self.expires_at else timedelta()
        return max(1, round(left / timedelta(minutes=1)))

    @property
    def measured_key(self) -> str:
        """The key of its measurements."""
        return f"{self.kind}:{self.pk}"

    # What reconcile asks of every kind of workload --------------------------------------------------------------

    stop_grace_seconds = 5
    related_in_steps = ("event", "challenge", "team")
    parts_in_steps = ("challenge__containers__ports",)

    @property
    def ready_timeout_seconds(self) -> int:  # type: ignore[override]  # an attribute of the base; the author decides
        return self.main.ready_timeout_seconds if self.main else 120

    def ports_wanted(self) -> Sequence[PortRequest]:
        return launching.ports_wanted(self)

    def build_spec(self, addresses: Sequence[Address], engine: Engine) -> WorkloadSpec:
        return launching.build_spec(self, addresses, engine)

    def begin_launch(self, engine: Engine) -> dict[str, Any]:
        return launching.begin_launch(self, engine)

    def check_health(self, engine: Engine, observation: Observation) -> Health:
        return launching.check_health(self, engine, observation)

    def after_end(self, engine: Engine, observation: Observation) -> None:
        InstanceLog.objects.keep(self, launching.newest_output(engine, self.engine_name))

    @classmethod
    def images_wanted(cls) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        rows = ChallengeContainer.objects.order_by("challenge__name", "id").values_list("image", "challenge__name")
        for image, name in rows:
            found.setdefault(image, []).append(f"challenge {name}")
        return found

    @classmethod
    def serve_watchers(cls, node: Node, engine: Engine) -> None:
        """Bring output that somebody looks at; end what has had its time, so that no scheduler is needed for that."""
        expiry.expire_due(cls, node)
        for log in InstanceLog.objects.wanted().filter(instance__node=node).select_related("instance"):
            InstanceLog.objects.keep(log.instance, launching.newest_output(engine, log.instance.engine_name))


class InstanceLog(models.Model):
    """The newest part of an instance's output, flags masked, as its node's agent last brought it."""

    instance = models.OneToOneField(Instance, on_delete=models.CASCADE, primary_key=True, related_name="stored_log")
    text = models.TextField(blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)
    wanted_until = models.DateTimeField(null=True, blank=True)

    objects = InstanceLogQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["wanted_until"], name="instance_log_wanted")]

    def __str__(self) -> str:
        return f"log of {self.instance_id}"
