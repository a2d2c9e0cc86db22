"""Regions, nodes, address pools, addresses, the queue for them, operations; what agents are asked and have found."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from hub.secrets import EncryptedTextField

from .choices import OPEN_OPERATIONS, AddressState, EngineKind, OperationStatus, PoolKind, ReportKind, TaskVerb
from .querysets import (
    AddressQuerySet,
    NodeQuerySet,
    OperationQuerySet,
    PoolQuerySet,
    RegionQuerySet,
    ReportQuerySet,
    TaskQuerySet,
)

PORT_VALIDATORS = [MinValueValidator(1024), MaxValueValidator(65535)]
AGENT_SILENT_AFTER_SECONDS = 60
OVERCOMMITTED = {"memory", "cpu", "disk"}
MOST_OVERCOMMIT = 100
LOAD_BALANCER_REST_SECONDS = 300
"""A team's stale browser tab or script must not land on the next team's instance."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Region(models.Model):
    """Where nodes stand, as players choose it."""

    slug = models.SlugField(max_length=40, unique=True)
    name = models.CharField(max_length=80, unique=True)
    position = models.PositiveSmallIntegerField(default=0)
    is_enabled = models.BooleanField(default=True)

    objects = RegionQuerySet.as_manager()

    class Meta:
        ordering = ["position", "name"]

    def __str__(self) -> str:
        return self.name


class Node(models.Model):
    """A machine or cluster that runs workloads, served by its own agent."""

    name = models.SlugField(max_length=40, unique=True)
    region = models.ForeignKey(Region, on_delete=models.PROTECT, related_name="nodes")
    engine = models.CharField(max_length=20, choices=EngineKind.choices)
    options = models.JSONField(default=dict, blank=True, help_text="Settings of the engine on this node; no secrets.")
    credentials = EncryptedTextField(purpose="node.credentials", blank=True, default="")
    is_enabled = models.BooleanField(default=True)
    is_draining = models.BooleanField(default=False, help_text="Takes no new workloads; those it has go on.")

    memory_mb = models.PositiveIntegerField(default=0, help_text="0: not limited by the hub.")
    cpu_percent = models.PositiveIntegerField(default=0, help_text="100 for each core. 0: not limited by the hub.")
    disk_mb = models.PositiveIntegerField(default=0, help_text="0: not limited by the hub.")
    overcommit = models.JSONField(default=dict, blank=True, help_text='Factors such as {"cpu": 4}; 1 where not named.')

    agent_seen_at = models.DateTimeField(null=True, blank=True)
    agent_version = models.CharField(max_length=40, blank=True)
    agent_facts = models.JSONField(default=dict, blank=True)
    engine_error = models.TextField(blank=True, help_text="Why the engine does not answer; empty when it does.")
    engine_checked_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = NodeQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("nodes:node_detail", args=[self.name])

    @property
    def region_slug(self) -> str:
        return self.region.slug

    @property
    def is_agent_alive(self) -> bool:
        """Whether the agent was heard of within the last minute."""
        if self.agent_seen_at is None:
            return False
        return (timezone.now() - self.agent_seen_at).total_seconds() < AGENT_SILENT_AFTER_SECONDS

    def clean(self) -> None:
        if not isinstance(self.options, dict):
            raise ValidationError({"options": "Options are an object."})
        if not isinstance(self.overcommit, dict) or set(self.overcommit) - OVERCOMMITTED:
            raise ValidationError({"overcommit": f"Name factors for {', '.join(sorted(OVERCOMMITTED))} only."})
        if not all(_is_number(factor) and 0 < factor <= MOST_OVERCOMMIT for factor in self.overcommit.values()):
            raise ValidationError({"overcommit": f"A factor is a number above 0, at most {MOST_OVERCOMMIT}."})

    def capacity(self, resource: str) -> int | None:
        """What may be promised of `memory_mb`, `cpu_percent` or `disk_mb`; None for no limit."""
        total = getattr(self, resource)
        factor = float(self.overcommit.get(resource.split("_")[0], 1))
        return int(total * factor) if total else None


class AddressPool(models.Model):
    """Addresses of one kind on one node; its rows are made with it, so a lease only ever picks a row."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="pools")
    name = models.SlugField(max_length=40)
    kind = models.CharField(max_length=20, choices=PoolKind.choices, default=PoolKind.HOST_PORTS)
    is_public = models.BooleanField(default=True, help_text="Off for ports that only the node's agent reaches.")
    is_enabled = models.BooleanField(default=True)
    first_ip = models.GenericIPAddressField(help_text="The address of the ports, or the first of a range.")
    last_ip = models.GenericIPAddressField(null=True, blank=True, help_text="End of a range of addresses.")
    first_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_VALIDATORS)
    last_port = models.PositiveIntegerField(null=True, blank=True, validators=PORT_VALIDATORS)
    excluded_ports = models.JSONField(default=list, blank=True)
    prefix_length = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Size of each subnet, such as 29."
    )
    quarantine_seconds = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: the hub's default.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = PoolQuerySet.as_manager()

    class Meta:
        ordering = ["node__name", "name"]
        constraints = [models.UniqueConstraint(fields=["node", "name"], name="pool_name_per_node")]

    def __str__(self) -> str:
        return f"{self.node.name}/{self.name}"

    def get_absolute_url(self) -> str:
        return reverse("nodes:pool_detail", args=[self.pk])

    @property
    def rest_seconds(self) -> int:
        if self.quarantine_seconds is not None:
            return self.quarantine_seconds
        if self.kind == PoolKind.LOAD_BALANCER:
            return LOAD_BALANCER_REST_SECONDS
        return int(settings.HUB_QUARANTINE_SECONDS)

    def clean(self) -> None:
        ports = self.excluded_ports
        if not isinstance(ports, list) or not all(
            isinstance(port, int) and not isinstance(port, bool) for port in ports
        ):
            raise ValidationError({"excluded_ports": "Ports are whole numbers in a list."})
        if self.kind == PoolKind.HOST_PORTS:
            if self.first_port is None or self.last_port is None:
                raise ValidationError({"first_port": "A pool of ports needs its first and last port."})
            if self.first_port > self.last_port:
                raise ValidationError({"last_port": "The last port is below the first."})
        elif self.kind == PoolKind.SUBNETS and not self.prefix_length:
            raise ValidationError({"prefix_length": "A pool of subnets needs the size of each."})


class Address(models.Model):
    """One port, IP or subnet that can be leased. The row is the reservation; the bind on the node is the proof."""

    pool = models.ForeignKey(AddressPool, on_delete=models.CASCADE, related_name="addresses")
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="addresses")
    ip = models.GenericIPAddressField()
    port = models.PositiveIntegerField(null=True, blank=True)
    state = models.CharField(max_length=12, choices=AddressState.choices, default=AddressState.FREE)
    holder = models.UUIDField(null=True, blank=True)
    port_name = models.CharField(max_length=40, blank=True)
    reason = models.TextField(blank=True)
    leased_at = models.DateTimeField(null=True, blank=True)
    proven_at = models.DateTimeField(
        null=True, blank=True, help_text="When its holder was first started on it; empty: to be probed before that."
    )
    released_at = models.DateTimeField(null=True, blank=True)
    rest_until = models.DateTimeField(null=True, blank=True)

    objects = AddressQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "addresses"
        ordering = ["node", "ip", "port"]
        constraints = [
            models.UniqueConstraint(fields=["node", "ip", "port"], name="address_once_per_node", nulls_distinct=False),
            models.CheckConstraint(
                condition=Q(state=AddressState.LEASED, holder__isnull=False)
                | (~Q(state=AddressState.LEASED) & Q(holder__isnull=True)),
                name="address_holder_iff_leased",
            ),
        ]
        indexes = [
            models.Index(
                "pool",
                models.F("released_at").asc(nulls_first=True),
                "id",
                name="address_free",
                condition=Q(state=AddressState.FREE),
            ),
            models.Index(fields=["rest_until"], name="address_resting", condition=Q(state=AddressState.QUARANTINED)),
            models.Index(fields=["holder"], name="address_holder", condition=Q(holder__isnull=False)),
        ]

    def __str__(self) -> str:
        if self.port is None:
            return str(self.ip)
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


class AddressRequest(models.Model):
    """A place in the queue for an address of a node; served strictly by id, each kind of pool by itself."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="address_requests")
    pool_kind = models.CharField(max_length=20, choices=PoolKind.choices, default=PoolKind.HOST_PORTS)
    is_public = models.BooleanField(default=True)
    holder = models.UUIDField()
    holder_kind = models.CharField(max_length=20)
    port_name = models.CharField(max_length=40)
    number = models.PositiveIntegerField(null=True, blank=True, help_text="The port wished for on a whole address.")
    lessee = models.UUIDField(null=True, blank=True, help_text="Who gets the address; empty: the holder.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["holder", "port_name"], name="one_request_per_port")]
        indexes = [models.Index(fields=["node", "is_public", "id"], name="address_request_queue")]

    def __str__(self) -> str:
        return f"{self.port_name} for {self.holder}"


class Operation(models.Model):
    """A wish concerning one workload, from click to fate."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    workload_kind = models.CharField(max_length=20)
    workload_id = models.UUIDField()
    workload_name = models.CharField(max_length=80)
    node = models.ForeignKey(Node, null=True, on_delete=models.SET_NULL, related_name="operations")
    verb = models.CharField(max_length=20)
    generation = models.PositiveIntegerField()
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    request_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=12, choices=OperationStatus.choices, default=OperationStatus.QUEUED)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    pull_seconds = models.FloatField(default=0, db_default=0, help_text="What pulling images took of it.")
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["workload_id", "-created_at"], name="operation_workload"),
            models.Index(fields=["-created_at"], name="operation_newest"),
            models.Index(fields=["finished_at"], name="operation_finished"),
            models.Index(fields=["workload_id"], name="operation_open", condition=Q(status__in=OPEN_OPERATIONS)),
        ]

    def __str__(self) -> str:
        return f"{self.verb} {self.workload_name}"

    @property
    def seconds(self) -> float | None:
        """From the click to its fate."""
        return (self.finished_at - self.created_at).total_seconds() if self.finished_at else None

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_OPERATIONS


class NodeTask(models.Model):
    """What a node's agent is asked to do on its machine, apart from any wish for a workload; from click to fate.

    A task is idempotent: one whose worker died is begun again, at most `MAX_ATTEMPTS` times.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="tasks")
    verb = models.CharField(max_length=20, choices=TaskVerb.choices)
    subject = models.CharField(max_length=300, blank=True, help_text="What it is about, for people.")
    arguments = models.JSONField(default=dict, blank=True)
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    actor_name = models.CharField(max_length=150)
    request_id = models.CharField(max_length=64, blank=True)
    status = models.CharField(max_length=12, choices=OperationStatus.choices, default=OperationStatus.QUEUED)
    message = models.TextField(blank=True, help_text="How far it is; once it is over, what came of it.")
    progress_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = TaskQuerySet.as_manager()

    class Meta:
        verbose_name = "task of a node"
        verbose_name_plural = "tasks of nodes"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["node", "-created_at"], name="node_task_newest"),
            models.Index(fields=["node"], name="node_task_open", condition=Q(status__in=OPEN_OPERATIONS)),
        ]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.subject}".strip()

    @property
    def region_slug(self) -> str:
        return self.node.region.slug

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_OPERATIONS


class NodeReport(models.Model):
    """What a node's agent last found of one kind on its machine; the web process never looks there itself."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="reports")
    kind = models.CharField(max_length=10, choices=ReportKind.choices)
    rows = models.JSONField(default=list, blank=True)
    error = models.TextField(blank=True, help_text="Why the agent could not look; the rows are then older.")
    taken_at = models.DateTimeField(null=True, blank=True)

    objects = ReportQuerySet.as_manager()

    class Meta:
        verbose_name = "report of a node"
        verbose_name_plural = "reports of nodes"
        ordering = ["node", "kind"]
        constraints = [models.UniqueConstraint(fields=["node", "kind"], name="report_once_per_node")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.node.name}"

    @property
    def region_slug(self) -> str:
        return self.node.region.slug
