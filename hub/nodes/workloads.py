"""The abstract Workload: what was asked, what was seen, and what each kind must tell `reconcile` about itself."""

from __future__ import annotations

import uuid
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.core.validators import MinValueValidator
from django.db import connection, models
from django.db.models import Q

from accounts.permissions import sees_all
from hub.engines.base import Engine, Limits, Observation, PortBinding, WorkloadSpec, workload_name

from .choices import AdminState, DesiredStatus, ObservedStatus, PoolKind
from .models import Address, Node, Operation
from .querysets import WorkloadQuerySet


@dataclass(frozen=True)
class PortRequest:
    """A port a workload needs. Private ones are reached by the agent only.

    Of a load balancer it is `number`, if that is free, on the address that `lessee` has (its own unless others share
    it); the address is leased with the first port on it. Of subnets it is one of them.
    """

    name: str
    is_public: bool = True
    kind: str = PoolKind.HOST_PORTS
    number: int | None = None
    lessee: uuid.UUID | None = None


@dataclass(frozen=True)
class Health:
    """What a workload's own protocol said: `detail` is for people, `facts` (players, version) is kept on the row."""

    is_ok: bool
    detail: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


class Workload(models.Model):
    """Something that runs on a node.

    `desired_status` and `generation` are the wish; only `reconcile` writes what was seen.
    """

    kind: str
    """Short name in engine names, labels and queues, such as `server`."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=64)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="+")
    memory_mb = models.PositiveIntegerField(validators=[MinValueValidator(16)])
    cpu_percent = models.PositiveIntegerField(default=100, validators=[MinValueValidator(5)])
    disk_mb = models.PositiveIntegerField(validators=[MinValueValidator(16)])

    desired_status = models.CharField(max_length=10, choices=DesiredStatus.choices, default=DesiredStatus.RUNNING)
    admin_state = models.CharField(max_length=12, choices=AdminState.choices, default=AdminState.NONE, blank=True)
    generation = models.PositiveIntegerField(default=1)
    is_kill_wanted = models.BooleanField(default=False)

    observed_status = models.CharField(max_length=12, choices=ObservedStatus.choices, default=ObservedStatus.QUEUED)
    observed_at = models.DateTimeField(null=True, blank=True)
    status_reason = models.TextField(blank=True)
    progress_percent = models.PositiveSmallIntegerField(null=True, blank=True)
    exit_code = models.IntegerField(null=True, blank=True)
    oom_killed = models.BooleanField(default=False)
    image_digest = models.CharField(max_length=100, blank=True)
    image_pinned = models.CharField(
        max_length=600,
        blank=True,
        db_default="",
        help_text="The very image of its last launch; a launch that nobody has asked for takes it again.",
    )
    facts = models.JSONField(default=dict, blank=True)

    started_at = models.DateTimeField(null=True, blank=True)
    ready_deadline_at = models.DateTimeField(null=True, blank=True)
    stop_deadline_at = models.DateTimeField(null=True, blank=True)
    health_misses = models.PositiveSmallIntegerField(default=0)
    restart_count = models.PositiveIntegerField(default=0, help_text="Crashes since `restart_window_at`.")
    restart_window_at = models.DateTimeField(null=True, blank=True)
    crash_times = ArrayField(
        models.DateTimeField(),
        default=list,
        db_default=[],
        blank=True,
        editable=False,
        help_text="The crashes that `restart_count` counts, newest first: those of the hour before the last one.",
    )
    restart_after = models.DateTimeField(null=True, blank=True)

    next_check_at = models.DateTimeField(null=True, blank=True)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)

    pull_seconds: float | None = None
    """How long whoever takes its step may pull images; None: as long as that takes. No column: it is his, not ours."""
    pull_silent_seconds: float | None = None
    """How long he waits while nothing of an image comes."""
    is_handed_over = False
    """Either time is over: a job shall pull the rest."""

    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = WorkloadQuerySet.as_manager()

    class Meta:
        abstract = True
        ordering = ["-created_at"]
        indexes = [
            models.Index(
                fields=["node", "next_check_at"],
                name="%(class)s_due",
                condition=~Q(observed_status=ObservedStatus.DELETED),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def engine_name(self) -> str:
        """The deterministic name on every engine."""
        return workload_name(self.kind, self.id)

    @property
    def region_slug(self) -> str:
        return self.node.region.slug

    @property
    def is_deleted(self) -> bool:
        return self.observed_status == ObservedStatus.DELETED

    def limits(self) -> Limits:
        return Limits(memory_mb=self.memory_mb, cpu_percent=self.cpu_percent, disk_mb=self.disk_mb)

    def addresses(self) -> models.QuerySet[Address]:
        """Leased addresses, public ones first."""
        return Address.objects.held_by(self.pk).select_related("pool").order_by("-pool__is_public", "id")

    # What each kind tells about itself --------------------------------------------------------------------------

    stop_grace_seconds: int = 30
    ready_timeout_seconds: int = 120
    related_in_steps: tuple[str, ...] = ()
    parts_in_steps: tuple[str, ...] = ()
    """What a step reads beside the row: fetched along with it, instead of one by one again and again."""

    @abstractmethod
    def ports_wanted(self) -> Sequence[PortRequest]:
        """The ports to lease before a launch."""

    @abstractmethod
    def build_spec(self, addresses: Sequence[Address], engine: Engine) -> WorkloadSpec:
        """Everything the engine needs, secrets included."""

    @abstractmethod
    def check_health(self, engine: Engine, observation: Observation) -> Health:
        """Ask the workload by its own protocol. Bounded in time; never raises for a workload that does not answer."""

    def prepare_launch(self) -> None:
        """Called before a launch is specified: make and store what it lacks."""

    def begin_launch(self, engine: Engine) -> dict[str, Any]:
        """Called right before the engine starts it; the fields returned are stored with the launch."""
        return {}

    def after_end(self, engine: Engine, observation: Observation) -> None:
        """Called when a run was seen to have ended, perhaps more than once: keep what a later launch would replace."""

    @classmethod
    def node_facts(cls) -> dict[str, Any]:
        """What placement wants to know about a node's machine; runs there, and becomes part of `agent_facts`."""
        return {}

    @classmethod
    def images_wanted(cls) -> dict[str, list[str]]:
        """Images that workloads of this kind are or will be made from, each with who says so, for people."""
        return {}

    @classmethod
    def serve_watchers(cls, node: Node, engine: Engine) -> None:
        """Called about twice a second: bring those who watch a workload of this node what is new, such as its log."""

    def begin_stop(self, engine: Engine, observation: Observation) -> None:
        """Ask the running workload to end in the way that suits it, and return at once."""
        engine.stop(self.engine_name)


def workload_models() -> list[type[Workload]]:
    """Every concrete kind of workload in the project."""
    return [model for model in apps.get_models() if issubclass(model, Workload)]


def workload_model(kind: str) -> type[Workload]:
    """The model of one kind. Raises LookupError."""
    for model in workload_models():
        if model.kind == kind:
            return model
    raise LookupError(f"no workload kind {kind}")


def operations_visible_to(user: Any) -> models.QuerySet[Operation]:
    """Operations on workloads the user may see; those who see all also see what happened to workloads long gone."""
    if sees_all(user, "operations.view"):
        return Operation.objects.all()
    visible = Q(pk__in=[])
    for model in workload_models():
        visible |= Q(workload_id__in=model.objects.visible_to(user).values("pk"))
    return Operation.objects.filter(visible)


_HOLD = "SELECT FROM nodes_node WHERE id = %(node)s FOR NO KEY UPDATE"
_PROMISED = "SELECT memory_mb, cpu_percent, disk_mb FROM {} WHERE node_id = %(node)s AND observed_status <> 'deleted'"
_SUMS = "SELECT coalesce(sum(memory_mb), 0), coalesce(sum(cpu_percent), 0), coalesce(sum(disk_mb), 0) FROM ({}) rows"


def may_see_operation(actor: Any, verb: str, operation: Operation) -> bool:
    """The rule that whoever may see a workload may see what was asked of it."""
    return verb == "operations.view" and operations_visible_to(actor).filter(pk=operation.pk).exists()


def hold(node: Node) -> None:
    """Lock the node's row for this transaction, fetching nothing."""
    with connection.cursor() as cursor:
        cursor.execute(_HOLD, {"node": node.pk})


def reserved_on(node: Node, *, lock: bool = False) -> dict[str, int]:
    """What all live workloads of a node were promised: memory_mb, cpu_percent and disk_mb.

    One written statement over the tables of all kinds: every creation asks this, and composing it costs more than
    running it. With `lock` the node's row is held first, in the same round trip.
    """
    rows = " UNION ALL ".join(_PROMISED.format(model._meta.db_table) for model in workload_models())
    sums = _SUMS.format(rows)
    with connection.cursor() as cursor:
        cursor.execute(f"{_HOLD}; {sums}" if lock else sums, {"node": node.pk})
        if lock:
            cursor.nextset()
        memory_mb, cpu_percent, disk_mb = cursor.fetchone()
    return {"memory_mb": memory_mb, "cpu_percent": cpu_percent, "disk_mb": disk_mb}


def bindings(addresses: Sequence[Address], target_ports: dict[str, int] | None = None) -> list[PortBinding]:
    """Leased addresses as the engine takes them; inside the workload the port is the same unless `target_ports`
    says so.
    """
    inside = target_ports or {}
    return [
        PortBinding(
            name=address.port_name,
            ip=str(address.ip),
            port=address.port,
            target_port=inside.get(address.port_name, address.port),
            public=address.pool.is_public,
        )
        for address in addresses
        if address.port is not None
    ]
