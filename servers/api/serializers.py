"""The shape of servers and templates in the API. Services decide what may be done; no secret is ever here."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from operator import attrgetter
from typing import Any, ClassVar

from django.utils.functional import cached_property
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.permissions import can
from hub.api.bulk import BulkErrorSerializer, ids_field
from hub.api.shapes import represent
from hub.nodes.api.serializers import OperationSerializer
from hub.nodes.choices import AdminState, DesiredStatus, ObservedStatus
from servers import services
from servers.choices import NAME_LENGTHS, PortProtocol
from servers.listed import ListedServer
from servers.models import GameServer, ServerLog, Template, TemplateTrial, TemplateVariable
from servers.services.state import VERBS

LIMITS = ("memory_mb", "disk_mb", "cpu_percent")


class VariableSerializer(serializers.ModelSerializer[TemplateVariable]):
    """A setting that a template offers."""

    choices = serializers.ListField(child=serializers.CharField(), required=False)

    class Meta:
        model = TemplateVariable
        fields: ClassVar[tuple[str, ...]] = (
            "key",
            "label",
            "help_text",
            "kind",
            "default",
            "minimum",
            "maximum",
            "choices",
            "pattern",
            "is_required",
            "is_visible",
            "is_editable",
        )


class PortSerializer(serializers.Serializer[Any]):
    """A named port of a template."""

    name = serializers.CharField()
    is_public = serializers.BooleanField()
    protocol = serializers.ChoiceField(choices=PortProtocol.choices)


class BoundsSerializer(serializers.Serializer[Any]):
    """Least, usual and most of one limit."""

    min = serializers.IntegerField()
    default = serializers.IntegerField()
    max = serializers.IntegerField()


class TemplateLimitsSerializer(serializers.Serializer[Any]):
    """The limits a server of this template may have."""

    memory_mb = BoundsSerializer()
    disk_mb = BoundsSerializer()
    cpu_percent = BoundsSerializer()


class TemplateSerializer(serializers.ModelSerializer[Template]):
    """A template as everybody may see it."""

    engines = serializers.SerializerMethodField()
    ports = PortSerializer(many=True, source="named_ports", read_only=True)
    limits = serializers.SerializerMethodField()
    variables = serializers.SerializerMethodField()

    class Meta:
        model = Template
        fields: ClassVar[tuple[str, ...]] = (
            "slug",
            "name",
            "game",
            "description",
            "icon",
            "version",
            "is_published",
            "engines",
            "ports",
            "limits",
            "variables",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_engines(self, template: Template) -> list[str]:
        return sorted(template.engines - {"fake"})

    @extend_schema_field(TemplateLimitsSerializer)
    def get_limits(self, template: Template) -> dict[str, dict[str, int]]:
        return {
            name: {word: getattr(template, f"{word}_{name}") for word in ("min", "default", "max")} for name in LIMITS
        }

    @extend_schema_field(VariableSerializer(many=True))
    def get_variables(self, template: Template) -> list[dict[str, Any]]:
        shown = [variable for variable in template.variables.all() if variable.is_visible]
        answer: list[dict[str, Any]] = VariableSerializer(shown, many=True).data  # type: ignore[assignment]
        return answer


class TemplateDefinitionSerializer(serializers.ModelSerializer[Template]):
    """All of a template, for those who write them. A list of variables replaces those that were there."""

    variables = VariableSerializer(many=True, required=False)

    class Meta:
        model = Template
        exclude: ClassVar[tuple[str, ...]] = ("id",)
        read_only_fields: ClassVar[tuple[str, ...]] = ("version", "is_customized", "created_at", "updated_at")

    def get_fields(self) -> dict[str, Any]:
        """A slug stands in addresses and scripts, so it stays."""
        fields = super().get_fields()
        fields["slug"].read_only = self.instance is not None
        return fields


class TrialSerializer(serializers.ModelSerializer[TemplateTrial]):
    """A trial start of a template: a short-lived server, and whether it became ready."""

    template = serializers.SlugField(source="template.slug", read_only=True)

    class Meta:
        model = TemplateTrial
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "template",
            "server",
            "status",
            "reason",
            "output",
            "ready_seconds",
            "actor_name",
            "created_at",
            "ended_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields


class ServerAddressSerializer(serializers.Serializer[Any]):
    """A leased address."""

    name = serializers.CharField()
    ip = serializers.CharField()
    port = serializers.IntegerField()
    is_public = serializers.BooleanField()


class ServerTemplateSerializer(serializers.ModelSerializer[Template]):
    """The template a server is made from, in short."""

    class Meta:
        model = Template
        fields: ClassVar[tuple[str, ...]] = ("slug", "name", "game", "icon")


class RememberedFields(serializers.ModelSerializer[GameServer]):
    """Derives its fields from the model once per class and copies them: that is most of answering with one object."""

    _derived: ClassVar[dict[type, dict[str, serializers.Field[Any, Any, Any, Any]]]] = {}

    def get_fields(self) -> dict[str, Any]:
        if type(self) not in self._derived:
            self._derived[type(self)] = super().get_fields()
        return deepcopy(self._derived[type(self)])


class ServerSerializer(RememberedFields):
    """A server in lists. Its address is null while it waits for one; `status_reason` then says at which place."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    template = ServerTemplateSerializer(read_only=True)
    region = serializers.CharField(source="region_slug", read_only=True)
    node = serializers.CharField(source="node.name", read_only=True)
    status = serializers.ChoiceField(choices=ObservedStatus.choices, source="observed_status", read_only=True)
    desired_status = serializers.ChoiceField(choices=DesiredStatus.choices, read_only=True)
    admin_state = serializers.ChoiceField(choices=AdminState.choices, read_only=True)
    address = serializers.SerializerMethodField()
    addresses = ServerAddressSerializer(many=True, source="leased_addresses", read_only=True)
    needs_restart = serializers.BooleanField(read_only=True)

    class Meta:
        model = GameServer
        fields: ClassVar[tuple[str, ...]] = (
            "id",
            "name",
            "description",
            "owner",
            "template",
            "region",
            "node",
            "status",
            "desired_status",
            "admin_state",
            "status_reason",
            "progress_percent",
            "address",
            "addresses",
            "memory_mb",
            "disk_mb",
            "cpu_percent",
            "facts",
            "needs_restart",
            "started_at",
            "observed_at",
            "created_at",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_address(self, server: GameServer) -> str | None:
        return None if server.address is None else str(server.address)

    def to_representation(self, server: GameServer | ListedServer) -> dict[str, Any]:
        """A row of a list has everything under its own name; asking field by field takes six times as long."""
        if isinstance(server, ListedServer):
            return self._row(server)
        return represent(self, server)

    @cached_property
    def _row(self) -> Callable[[ListedServer], dict[str, Any]]:
        is_narrowed = "fields" in self.__dict__  # `?fields=` has taken some away
        names = tuple(self.fields) if is_narrowed else self.Meta.fields
        if len(names) < 2:  # for one name an attrgetter answers the bare value
            return lambda row: {name: getattr(row, name) for name in names}
        values = attrgetter(*names)
        return lambda row: dict(zip(names, values(row), strict=True))


class ServerDetailSerializer(ServerSerializer):
    """One server with its settings and with what may be done now (`actions`: "" or the reason why not)."""

    values = serializers.SerializerMethodField()
    actions = serializers.SerializerMethodField()

    class Meta(ServerSerializer.Meta):
        fields: ClassVar[tuple[str, ...]] = (
            *ServerSerializer.Meta.fields,
            "values",
            "published_ports",
            "image_digest",
            "generation",
            "exit_code",
            "oom_killed",
            "restart_count",
            "suspension_reason",
            "actions",
        )
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    @extend_schema_field(serializers.DictField(child=serializers.CharField()))
    def get_values(self, server: GameServer) -> dict[str, str]:
        user = self.context["request"].user
        if can(user, "templates.change"):
            return dict(server.values)
        visible = {variable.key for variable in server.template.variables.all() if variable.is_visible}
        return {key: value for key, value in server.values.items() if key in visible}

    @extend_schema_field(
        {"type": "object", "properties": {verb: {"type": "string"} for verb in VERBS}, "required": list(VERBS)}
    )
    def get_actions(self, server: GameServer) -> dict[str, str]:
        return services.allowed_actions(server, self.context["request"].user)


class LimitsSerializer(serializers.Serializer[Any]):
    """Memory, disk and CPU; where missing, as the template has it."""

    memory_mb = serializers.IntegerField(required=False)
    disk_mb = serializers.IntegerField(required=False)
    cpu_percent = serializers.IntegerField(required=False, help_text="100 for each core.")


class ServerPreviewRequestSerializer(LimitsSerializer):
    """What a server would be made from."""

    template = serializers.SlugField()
    region = serializers.SlugField(required=False, help_text="Missing: the one you prefer, see your profile.")
    values = serializers.DictField(child=serializers.JSONField(), required=False, help_text="Variables by their key.")
    published_ports = serializers.ListField(
        child=serializers.CharField(max_length=20), required=False, max_length=20, help_text="Private ports to publish."
    )
    owner = serializers.CharField(required=False, help_text="Username; for those who may create for others.")


class ServerCreateSerializer(ServerPreviewRequestSerializer):
    """A new server."""

    name = serializers.CharField(min_length=NAME_LENGTHS[0], max_length=NAME_LENGTHS[1])
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)


class ServerUpdateSerializer(LimitsSerializer):
    """Changes of a server; those that do not fit are refused together."""

    name = serializers.CharField(min_length=NAME_LENGTHS[0], max_length=NAME_LENGTHS[1], required=False)
    description = serializers.CharField(max_length=300, required=False, allow_blank=True)
    values = serializers.DictField(child=serializers.JSONField(), required=False, help_text="Variables by their key.")


class QuotaLeftSerializer(serializers.Serializer[Any]):
    """What would be left; null is unlimited."""

    servers = serializers.IntegerField(allow_null=True)
    memory_mb = serializers.IntegerField(allow_null=True)
    cpu_percent = serializers.IntegerField(allow_null=True)
    disk_mb = serializers.IntegerField(allow_null=True)


class ProblemSerializer(serializers.Serializer[Any]):
    """Why it could not be created."""

    code = serializers.CharField()
    detail = serializers.CharField(source="message")
    field = serializers.CharField()


class PreviewSerializer(serializers.Serializer[Any]):
    """Where a server would probably be; nothing is reserved."""

    region = serializers.CharField(source="region.slug")
    node = serializers.CharField(source="node.name", default=None, allow_null=True)
    address = serializers.SerializerMethodField()
    place_in_queue = serializers.IntegerField(allow_null=True)
    quota_left = QuotaLeftSerializer(allow_null=True)
    problem = ProblemSerializer(allow_null=True)

    def get_address(self, preview: services.Preview) -> str | None:
        return None if preview.address is None else str(preview.address)


class PowerAnswerSerializer(serializers.Serializer[Any]):
    """The server, and the operation whose fate can be followed; null when nothing had to be done."""

    server = ServerSerializer()
    operation = OperationSerializer(allow_null=True)


class ServerBulkSerializer(serializers.Serializer[Any]):
    """One verb for many servers."""

    verb = serializers.ChoiceField(choices=list(services.POWERS))
    ids = ids_field(serializers.UUIDField())


class ServerBulkResultSerializer(serializers.Serializer[Any]):
    """What came of it for one server: the status and body that a request for it alone would have had."""

    id = serializers.UUIDField()
    status = serializers.IntegerField()
    operation = OperationSerializer(allow_null=True)
    error = BulkErrorSerializer(allow_null=True)


class MovePortSerializer(serializers.Serializer[Any]):
    """Which port, and why."""

    port_name = serializers.CharField(max_length=20)
    reason = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")


class PublishPortSerializer(serializers.Serializer[Any]):
    """Which port of the template."""

    port_name = serializers.CharField(max_length=20)


class ServerSuspensionSerializer(serializers.Serializer[Any]):
    """Why; its owner reads it."""

    reason = serializers.CharField(max_length=300)


class CredentialsSerializer(serializers.Serializer[Any]):
    """Passwords in the clear. Never cached, never stored by the hub in this form."""

    panel_url = serializers.CharField()
    rcon_host = serializers.CharField()
    rcon_port = serializers.IntegerField(allow_null=True)
    rcon_password = serializers.CharField()
    secret_values = serializers.DictField(child=serializers.CharField())
    setup_instructions = serializers.ListField(child=serializers.CharField())


class LogSerializer(serializers.ModelSerializer[ServerLog]):
    """The newest output, at most 64 KiB, as the node's agent brought it at `captured_at`."""

    class Meta:
        model = ServerLog
        fields: ClassVar[tuple[str, ...]] = ("text", "captured_at")
        read_only_fields: ClassVar[tuple[str, ...]] = fields
