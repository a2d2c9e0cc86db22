"""Forms of servers: they check shape and turn people's units into the database's; the services decide."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Count, OuterRef, Q, Subquery
from django.db.models.functions import Coalesce

from accounts.models import User
from accounts.permissions import can
from hub.nodes.choices import AddressState
from hub.nodes.models import Address, Region
from hub.pages.forms import SeenMixin

from . import variables
from .choices import PortProtocol, VariableKind
from .models import GameServer, Template, TemplateVariable

MIB_PER_GIB = 1024
MB_PER_GB = 1000
PREFIX = "value_"


def region_cards(template: Template) -> list[dict[str, Any]]:
    """Regions as cards: how many nodes could run this template there, and how many addresses are free."""
    suited = Q(nodes__is_enabled=True, nodes__is_draining=False, nodes__engine__in=template.engines)
    free = (
        Address.objects.filter(
            node__region=OuterRef("pk"), state=AddressState.FREE, pool__is_public=True, pool__is_enabled=True
        )
        .order_by()
        .values("node__region")
        .annotate(number=Count("pk"))
        .values("number")
    )
    regions = Region.objects.filter(is_enabled=True).annotate(
        node_count=Count("nodes", filter=suited), free_count=Coalesce(Subquery(free), 0)
    )
    return [
        {"slug": row.slug, "name": row.name, "nodes": row.node_count, "free": row.free_count, "region": row}
        for row in regions
    ]


class LimitsForm(forms.Form):
    """Memory in GiB, disk in GB, processor in cores."""

    field_names = {"memory_mb": "memory", "disk_mb": "disk", "cpu_percent": "cpu"}

    memory = forms.FloatField(label="Memory, GiB", min_value=0.25)
    disk = forms.FloatField(label="Disk, GB", min_value=0.1)
    cpu = forms.FloatField(label="Processor, cores", min_value=0.05)

    def __init__(self, *args: Any, template: Template, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.template = template
        for name, per_unit, step in (("memory", MIB_PER_GIB, "0.5"), ("disk", MB_PER_GB, "1"), ("cpu", 100, "0.1")):
            column = next(column for column, own in LimitsForm.field_names.items() if own == name)
            bounds = {
                "min": _number(getattr(template, f"min_{column}") / per_unit),
                "max": _number(getattr(template, f"max_{column}") / per_unit),
            }
            self.fields[name].widget.attrs.update(bounds, step=step)
            self.fields[name].validators += [MinValueValidator(bounds["min"]), MaxValueValidator(bounds["max"])]
            self.fields[name].initial = _number(getattr(template, f"default_{column}") / per_unit)

    @staticmethod
    def of_server(server: GameServer) -> dict[str, Any]:
        return {
            "memory": _number(server.memory_mb / MIB_PER_GIB),
            "disk": _number(server.disk_mb / MB_PER_GB),
            "cpu": _number(server.cpu_percent / 100),
        }

    def limits(self) -> dict[str, int]:
        """In the database's units."""
        return {
            "memory_mb": round(self.cleaned_data["memory"] * MIB_PER_GIB),
            "disk_mb": round(self.cleaned_data["disk"] * MB_PER_GB),
            "cpu_percent": round(self.cleaned_data["cpu"] * 100),
        }


class ResizeForm(SeenMixin, LimitsForm):
    """The limits of a server that exists; those that were not changed stay as they are by then."""

    def limits(self) -> dict[str, int]:
        changed = self.changes()
        return {column: value for column, value in super().limits().items() if self.field_names[column] in changed}


class VariablesMixin:
    """The settings that a template offers, as fields."""

    fields: dict[str, forms.Field]
    cleaned_data: dict[str, Any]

    def add_variables(self, offered: Iterable[TemplateVariable], *, may_edit_all: bool, now: dict[str, str]) -> None:
        for variable in offered:
            if (variable.is_visible and variable.is_editable) or may_edit_all:
                self.fields[PREFIX + variable.key] = variable_field(variable, now)

    def values(self) -> dict[str, Any]:
        """What was filled in; an empty secret is one that the hub makes or keeps."""
        return {
            name.removeprefix(PREFIX): _plain(value)
            for name, value in self.cleaned_data.items()
            if name.startswith(PREFIX) and not (value == "" and isinstance(self.fields[name], SecretField))
        }


class SecretField(forms.CharField):
    """A secret: written, never shown back."""

    widget = forms.PasswordInput(attrs={"autocomplete": "new-password"})


class ServerForm(VariablesMixin, LimitsForm):
    """A new server."""

    name = forms.CharField(min_length=3, max_length=32, help_text="3–32 characters, unique among your servers.")
    description = forms.CharField(max_length=300, required=False)
    region = forms.ModelChoiceField(queryset=Region.objects.filter(is_enabled=True), to_field_name="slug")

    def __init__(self, *args: Any, template: Template, user: User, **kwargs: Any) -> None:
        super().__init__(*args, template=template, **kwargs)
        offered = list(template.variables.all())
        self.add_variables(offered, may_edit_all=can(user, "templates.change"), now={})
        self.field_names = {**LimitsForm.field_names, **{f"values.{v.key}": PREFIX + v.key for v in offered}}
        optional = [port for port in template.named_ports if not port.is_public]
        if optional:
            self.fields["published_ports"] = forms.MultipleChoiceField(
                choices=[(port.name, f"{port.name} ({PortProtocol(port.protocol).label})") for port in optional],
                required=False,
                widget=forms.CheckboxSelectMultiple,
                label="Open to everybody",
                help_text="The hub reaches these ports anyway. Open one only to use a client of your own.",
            )
        if can(user, "servers.create_any"):
            self.fields["owner"] = forms.ModelChoiceField(
                queryset=User.objects.able(),
                to_field_name="username",
                required=False,
                widget=forms.TextInput(attrs={"placeholder": user.username, "autocapitalize": "none"}),
                help_text="User name. Empty: yourself.",
            )

    def asked(self) -> dict[str, Any]:
        """The arguments that `create_server` and `preview_server` both take."""
        asked = {"template": self.template, "region": self.cleaned_data["region"], "values": self.values()}
        published = self.cleaned_data.get("published_ports", ())
        return {**asked, **self.limits(), "published_ports": published, "owner": self.cleaned_data.get("owner")}

    @property
    def variable_fields(self) -> list[Any]:
        return [self[name] for name in self.fields if name.startswith(PREFIX)]


class VariablesForm(VariablesMixin, SeenMixin, forms.Form):
    """The settings of a server that exists; those that were not changed stay as they are by then."""

    def __init__(self, *args: Any, server: GameServer, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        offered = list(server.template.variables.all())
        self.add_variables(offered, may_edit_all=can(user, "templates.change"), now=dict(server.values))
        self.field_names = {f"values.{variable.key}": PREFIX + variable.key for variable in offered}
        self.carry_initial()

    def values(self) -> dict[str, Any]:
        changed = {name.removeprefix(PREFIX) for name in self.changes()}
        return {key: value for key, value in super().values().items() if key in changed}


class RenameForm(SeenMixin, forms.Form):
    """Name and description."""

    name = forms.CharField(min_length=3, max_length=32)
    description = forms.CharField(max_length=300, required=False)


def variable_field(variable: TemplateVariable, now: dict[str, str]) -> forms.Field:
    """The field of one variable; `now` holds the values of a server that exists."""
    shared: dict[str, Any] = {
        "label": variable.label,
        "help_text": variable.help_text,
        "required": variable.is_required,
        "initial": now.get(variable.key, variable.default),
    }
    match variable.kind:
        case VariableKind.INTEGER:
            return forms.IntegerField(min_value=variable.minimum, max_value=variable.maximum, **shared)
        case VariableKind.BOOLEAN:
            is_on = variables.WORDS.get(str(shared["initial"]).lower()) == variables.TRUE
            return forms.BooleanField(**{**shared, "required": False, "initial": is_on})
        case VariableKind.CHOICE:
            blank = [] if variable.is_required else [("", "–")]
            return forms.ChoiceField(choices=blank + [(choice, choice) for choice in variable.choices], **shared)
        case VariableKind.SECRET:
            hint = "Empty: one is made." if not now else "Empty: it stays as it is."
            help_text = f"{variable.help_text} {hint}".strip()
            return SecretField(**{**shared, "required": False, "initial": "", "help_text": help_text})
        case _:
            return forms.CharField(max_length=variable.maximum or variables.LONGEST_TEXT, **shared)


def _plain(value: Any) -> Any:
    return "" if value is None else value


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else round(value, 2)


class CommandForm(forms.Form):
    """One line for a console; nothing is stripped but what surrounds it."""

    text = forms.CharField(label="Command", max_length=1000)
