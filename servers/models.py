"""Templates with their variables, game servers, and the newest part of their logs."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower, Now
from django.urls import reverse

from hub.engines.base import Engine, Observation, WorkloadSpec
from hub.nodes import images
from hub.nodes.choices import LIVE, OPEN_OPERATIONS, AdminState, EngineKind, ObservedStatus, OperationStatus
from hub.nodes.models import Address, Node
from hub.nodes.workloads import Health, PortRequest, Workload
from hub.secrets import EncryptedTextField

from . import consoles, health, launching, logs, stopping, template_rules
from .addresses import ServerAddress, rows_held_by
from .choices import (
    CPU_PERCENT_BOUNDS,
    DISK_MB_BOUNDS,
    IMAGE_ENGINES,
    LOCAL_REGISTRY,
    MEMORY_MB_BOUNDS,
    ConsoleKind,
    ReadinessKind,
    StopKind,
    TrialStatus,
    VariableKind,
)
from .ports import TemplatePort, parse_ports
from .querysets import ConsoleCommandQuerySet, GameServerQuerySet, ServerLogQuerySet, TemplateQuerySet


def _limit(default: int, bounds: tuple[int, int]) -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(
        default=default, validators=[MinValueValidator(bounds[0]), MaxValueValidator(bounds[1])]
    )


class Template(models.Model):
    """What a server can be made from: the game, how to run it on each engine, its settings, limits and manners.

    Programs of the process engine run on the node itself, so templates with a command for it are the Admin's alone.
    """

    slug = models.SlugField(max_length=50, unique=True)
    name = models.CharField(max_length=80)
    game = models.CharField(max_length=80)
    description = models.TextField(blank=True)
    icon = models.CharField(max_length=40, default="server", help_text="Name in the icon sprite.")
    is_published = models.BooleanField(default=False, help_text="Offered to everybody; else only to those who edit.")
    needs_isolation = models.BooleanField(
        default=False, help_text="Refuse engines that do not keep strangers apart, such as the process engine."
    )

    process_command = models.JSONField(
        default=list, blank=True, help_text="Program and arguments on the process engine; empty: does not run there."
    )
    process_program = models.CharField(
        max_length=200, blank=True, help_text="Program that must be installed on the node, when the command is a shell."
    )
    image = models.CharField(max_length=200, blank=True, help_text="Container image; empty: no containers.")
    image_command = models.JSONField(default=list, blank=True, help_text="Empty: what the image says.")
    env = models.JSONField(default=dict, blank=True, help_text="Environment, with placeholders such as {{MEMORY_MB}}.")
    ports = models.JSONField(default=list, help_text="Named ports, the one for players first.")
    data_path = models.CharField(
        max_length=200, blank=True, default="/data", help_text="Where its data appears in a container; empty for none."
    )

    default_memory_mb = _limit(2048, MEMORY_MB_BOUNDS)
    min_memory_mb = _limit(MEMORY_MB_BOUNDS[0], MEMORY_MB_BOUNDS)
    max_memory_mb = _limit(MEMORY_MB_BOUNDS[1], MEMORY_MB_BOUNDS)
    default_disk_mb = _limit(10_000, DISK_MB_BOUNDS)
    min_disk_mb = _limit(DISK_MB_BOUNDS[0], DISK_MB_BOUNDS)
    max_disk_mb = _limit(DISK_MB_BOUNDS[1], DISK_MB_BOUNDS)
    default_cpu_percent = _limit(100, CPU_PERCENT_BOUNDS)
    min_cpu_percent = _limit(CPU_PERCENT_BOUNDS[0], CPU_PERCENT_BOUNDS)
    max_cpu_percent = _limit(CPU_PERCENT_BOUNDS[1], CPU_PERCENT_BOUNDS)

    stop_kind = models.CharField(max_length=10, choices=StopKind.choices, default=StopKind.SIGNAL)
    stop_value = models.CharField(max_length=200, default="SIGTERM", help_text="The signal, line or command.")
    stop_grace_seconds = models.PositiveSmallIntegerField(default=30, help_text="Then it is killed.")
    readiness_kind = models.CharField(max_length=10, choices=ReadinessKind.choices, default=ReadinessKind.TCP)
    readiness_port = models.CharField(max_length=20, blank=True, help_text="Name of a port; empty: the first one.")
    readiness_pattern = models.CharField(max_length=200, blank=True, help_text="What the line in the log must hold.")
    ready_timeout_seconds = models.PositiveSmallIntegerField(default=120)

    version = models.PositiveIntegerField(default=0, help_text="That of the catalogue's file; 0: made here.")
    is_customized = models.BooleanField(default=False, help_text="Edited here: the catalogue leaves it alone.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = TemplateQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("servers:template_detail", args=[self.slug])

    def clean(self) -> None:
        template_rules.clean_template(self)

    @cached_property
    def named_ports(self) -> list[TemplatePort]:
        """The ports as dataclasses, the one for players first."""
        return parse_ports(self.ports)

    @property
    def engines(self) -> frozenset[str]:
        """Kinds of engine that can run it."""
        by_image = IMAGE_ENGINES if self.image else frozenset[EngineKind]()
        return frozenset(by_image | ({EngineKind.PROCESS} if self.process_command else set()))

    def stored_variables(self) -> list[TemplateVariable]:
        """Its variables; none while it is not stored."""
        return [] if self._state.adding else list(self.variables.all())

    def runs_on(self, node: Node) -> bool:
        """Whether the node has the program or the image it needs, as far as its agent has told.

        An image that no registry has must be there already.
        """
        if node.engine in IMAGE_ENGINES and self.image.startswith(LOCAL_REGISTRY):
            return not images.is_missing(node, self.image)
        if node.engine != EngineKind.PROCESS or not self.process_program:
            return True
        return bool(node.agent_facts.get("programs", {}).get(self.process_program, True))

    def port(self, name: str) -> TemplatePort | None:
        return next((port for port in self.named_ports if port.name == name), None)

    @property
    def checked_port(self) -> TemplatePort | None:
        """The port that tells whether a server is well."""
        return self.port(self.readiness_port) if self.readiness_port else next(iter(self.named_ports), None)

    @property
    def console_port(self) -> TemplatePort | None:
        """The port of its remote console, if it has one."""
        return next((port for port in self.named_ports if port.is_console), None)

    @property
    def console_kind(self) -> str:
        """How its servers take commands: by a remote console, else by a line as it stops them; "" for not at all."""
        if self.console_port is not None:
            return self.console_port.protocol
        return ConsoleKind.STDIN if self.stop_kind == StopKind.CONSOLE else ""


class TemplateVariable(models.Model):
    """One setting that a template offers; its key is the environment variable that the server reads."""

    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="variables")
    key = models.CharField(max_length=40)
    label = models.CharField(max_length=80)
    help_text = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=10, choices=VariableKind.choices, default=VariableKind.TEXT)
    default = models.CharField(max_length=500, blank=True)
    minimum = models.IntegerField(null=True, blank=True, help_text="Smallest number, or least length of a text.")
    maximum = models.IntegerField(null=True, blank=True, help_text="Largest number, or greatest length of a text.")
    choices = models.JSONField(default=list, blank=True)
    pattern = models.CharField(max_length=200, blank=True, help_text="Regular expression that a whole text must match.")
    is_required = models.BooleanField(default=False)
    is_visible = models.BooleanField(default=True, help_text="Shown to the owner of a server.")
    is_editable = models.BooleanField(default=True, help_text="Set by the owner; else by those who edit templates.")
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["template", "position", "id"]
        constraints = [models.UniqueConstraint(fields=["template", "key"], name="template_variable_once")]

    def __str__(self) -> str:
        return self.key

    def clean(self) -> None:
        template_rules.clean_variable(self)

    @property
    def is_secret(self) -> bool:
        return self.kind == VariableKind.SECRET


class GameServer(Workload):
    """A player's server: what it is made from, its settings and its secrets."""

    kind = "server"

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="game_servers")
    template = models.ForeignKey(Template, on_delete=models.PROTECT, related_name="servers")
    description = models.CharField(max_length=300, blank=True)
    values = models.JSONField(default=dict, blank=True, help_text="Settings that are not secret.")
    secret_values = EncryptedTextField(purpose="server.secret_values", blank=True, default="")
    rcon_password = EncryptedTextField(purpose="server.rcon_password", blank=True, default="")
    # Of the same purpose: a launch copies what is sealed.
    running_rcon_password = EncryptedTextField(purpose="server.rcon_password", blank=True, default="", db_default="")
    is_console_refused = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="What runs has refused the password of its console: it is not asked again.",
    )
    published_ports = models.JSONField(
        default=list, blank=True, help_text="Ports that are not public by themselves and that the owner has published."
    )
    suspension_reason = models.CharField(max_length=300, blank=True)
    config_version = models.PositiveIntegerField(default=1, help_text="Rises with every change of the settings.")
    running_config_version = models.PositiveIntegerField(null=True, blank=True, editable=False)
    log_cursor = models.CharField(max_length=100, blank=True, editable=False, help_text="Where this run's log begins.")

    objects = GameServerQuerySet.as_manager()  # type: ignore[misc]  # mypy sees a class variable in the base

    address_rows: list[dict[str, Any]]  # set by GameServerQuerySet.with_details

    class Meta(Workload.Meta):
        verbose_name = "server"
        constraints = [
            models.UniqueConstraint(
                "owner",
                Lower("name"),
                condition=~Q(observed_status=ObservedStatus.DELETED),
                name="server_name_once_per_owner",
            ),
        ]
        indexes = [
            *Workload.Meta.indexes,
            models.Index(fields=["owner", "-created_at"], name="server_owner_created"),
            models.Index(fields=["-created_at"], name="server_newest"),
        ]

    def get_absolute_url(self) -> str:
        return reverse("servers:server_detail", args=[self.pk])

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        self.__dict__.pop("address_rows", None)
        super().refresh_from_db(*args, **kwargs)

    @property
    def leased_addresses(self) -> list[ServerAddress]:
        """Its addresses, public ones first; without a query when fetched `with_details`."""
        if not hasattr(self, "address_rows"):
            self.address_rows = rows_held_by(self.pk)
        return [ServerAddress(**row) for row in self.address_rows]

    @property
    def address(self) -> ServerAddress | None:
        """Where players connect; None while it waits for an address."""
        primary = next(iter(self.template.named_ports), None)
        public = [address for address in self.leased_addresses if address.is_public]
        return next((address for address in public if primary and address.name == primary.name), None)

    @property
    def needs_restart(self) -> bool:
        """Whether it runs with older settings than those stored."""
        return self.observed_status in LIVE and self.running_config_version not in (None, self.config_version)

    @property
    def console_password(self) -> str:
        """What the console of this run takes: new passwords count from the next start on."""
        return (self.running_rcon_password or self.rcon_password).reveal()

    def note_refused_console(self) -> None:
        """Remember for the rest of this run that its console does not take the hub's password."""
        self.is_console_refused = True
        GameServer.objects.filter(pk=self.pk, generation=self.generation).update(is_console_refused=True)

    @property
    def measured_key(self) -> str:
        """The key of its measurements."""
        return f"{self.kind}:{self.pk}"

    @property
    def is_suspended(self) -> bool:
        return self.admin_state == AdminState.SUSPENDED

    # What reconcile asks of every kind of workload --------------------------------------------------------------

    @property
    def stop_grace_seconds(self) -> int:  # type: ignore[override]  # an attribute of the base; the template decides
        return self.template.stop_grace_seconds

    @property
    def ready_timeout_seconds(self) -> int:  # type: ignore[override]  # as above
        return self.template.ready_timeout_seconds

    def ports_wanted(self) -> Sequence[PortRequest]:
        return launching.ports_wanted(self)

    def build_spec(self, addresses: Sequence[Address], engine: Engine) -> WorkloadSpec:
        return launching.build_spec(self, addresses, engine)

    def prepare_launch(self) -> None:
        launching.make_missing_secrets(self)

    def begin_launch(self, engine: Engine) -> dict[str, Any]:
        return {
            "running_config_version": self.config_version,
            "running_rcon_password": self.rcon_password,
            "is_console_refused": False,
            "log_cursor": logs.end_of(engine, self.engine_name),
        }

    def check_health(self, engine: Engine, observation: Observation) -> Health:
        return health.check(self, engine, observation)

    def begin_stop(self, engine: Engine, observation: Observation) -> None:
        stopping.begin_stop(self, engine, observation)

    def after_end(self, engine: Engine, observation: Observation) -> None:
        ServerLog.objects.keep(self, logs.newest(engine, self.engine_name))

    @classmethod
    def node_facts(cls) -> dict[str, Any]:
        named = Template.objects.exclude(process_program="").values_list("process_program", flat=True)
        return {"programs": {program: shutil.which(program) is not None for program in named.distinct().order_by()}}

    @classmethod
    def images_wanted(cls) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for image, name in Template.objects.exclude(image="").values_list("image", "name"):
            found.setdefault(image, []).append(f"template {name}")
        return found

    @classmethod
    def serve_watchers(cls, node: Node, engine: Engine) -> None:
        for log in ServerLog.objects.wanted().filter(server__node=node).select_related("server"):
            ServerLog.objects.keep(log.server, logs.newest(engine, log.server.engine_name))
        consoles.take_up(ConsoleCommand.objects.all(), node, engine)


class ServerLog(models.Model):
    """The newest part of a server's output, secrets masked, as its node's agent last brought it.

    It does so while somebody looks, and whenever a run ends, because the next launch may replace the output.
    """

    server = models.OneToOneField(GameServer, on_delete=models.CASCADE, primary_key=True, related_name="stored_log")
    text = models.TextField(blank=True)
    captured_at = models.DateTimeField(null=True, blank=True)
    wanted_until = models.DateTimeField(null=True, blank=True)

    objects = ServerLogQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["wanted_until"], name="server_log_wanted")]

    def __str__(self) -> str:
        return f"log of {self.server_id}"


class TemplateTrial(models.Model):
    """A short-lived server that was started to see whether a template works, and what came of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    template = models.ForeignKey(Template, on_delete=models.CASCADE, related_name="trials")
    server = models.ForeignKey(GameServer, on_delete=models.CASCADE, related_name="+")
    actor_name = models.CharField(max_length=150)
    status = models.CharField(max_length=8, choices=TrialStatus.choices, default=TrialStatus.RUNNING)
    reason = models.TextField(blank=True, help_text="Why it failed, in the words of the server.")
    output = models.TextField(blank=True, help_text="The end of what it wrote when it failed.")
    ready_seconds = models.FloatField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["template"], condition=Q(status=TrialStatus.RUNNING), name="one_open_trial_per_template"
            ),
        ]

    def __str__(self) -> str:
        return f"trial of {self.template}"

    @property
    def is_open(self) -> bool:
        return self.status == TrialStatus.RUNNING


class ConsoleCommand(models.Model):
    """A command for a server's console, sent once or never, and what came back; kept for a day, sealed.

    `error_code` is stable for programs, `error` a sentence for people.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.ForeignKey(GameServer, on_delete=models.CASCADE, related_name="console_commands")
    actor_name = models.CharField(max_length=150)
    kind = models.CharField(max_length=5, choices=ConsoleKind.choices)
    status = models.CharField(max_length=10, choices=OperationStatus.choices, default=OperationStatus.QUEUED)
    text = EncryptedTextField(purpose="console.text")
    answer = EncryptedTextField(purpose="console.answer", blank=True, default="")
    is_cut = models.BooleanField(default=False, help_text="The answer was longer than what is kept.")
    error = models.CharField(max_length=300, blank=True)
    error_code = models.CharField(max_length=30, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    begun_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ConsoleCommandQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["server", "-created_at"], name="console_command_newest")]

    def __str__(self) -> str:
        return f"command for {self.server_id}"

    @property
    def is_open(self) -> bool:
        return self.status in OPEN_OPERATIONS
