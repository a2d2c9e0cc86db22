"""What a challenge is made of, as forms below its own in the admin. The service stores all of it together.

A flag's content is written and never shown: no form has it as a field of the row.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from rest_framework.exceptions import ValidationError as NotAsWanted

from hub.admin_base import SHALLOW, ShallowJSONField
from hub.exceptions import Invalid

from . import services
from .api.serializers import ContainerPortSerializer
from .models import Challenge, ChallengeContainer, ChallengeFile, Flag, Hint

Part = TypeVar("Part", bound=Model)
MAIN: Final = ""


class PartForm(forms.ModelForm):
    """One row of a list that is replaced as a whole."""

    def _post_clean(self) -> None:
        """The service checks and saves; Django's own check knows only one row at a time."""

    def row(self) -> dict[str, Any]:
        """What the service takes: columns of the row, without its keys."""
        columns = {column.name for column in self._meta.model._meta.concrete_fields} - {"id", "challenge"}
        return {name: value for name, value in self.cleaned_data.items() if name in columns}


class ContainerForm(PartForm):
    """A container with its ports."""

    ports = ShallowJSONField(
        required=False,
        initial=list,
        help_text='Such as [{"name": "web", "number": 8080, "protocol": "http", "is_public": true}].',
    )

    class Meta:
        model = ChallengeContainer
        fields = (
            "name", "is_main", "image", "command", "env", "writable_paths", "is_read_only", "memory_mb", "cpu_percent",
            "disk_mb", "pids", "capabilities", "is_privileged", "health_kind", "health_port", "health_path",
            "ready_timeout_seconds",
        )  # fmt: skip

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.instance.pk:
            self.initial["ports"] = ContainerPortSerializer(self.instance.ports.all(), many=True).data

    def clean_ports(self) -> list[Any]:
        asked = ContainerPortSerializer(data=self.cleaned_data["ports"] or [], many=True)
        try:
            asked.is_valid(raise_exception=True)
        except NotAsWanted as error:
            raise ValidationError(f"Not as it should be: {error.detail}"[:500]) from None
        return list(asked.validated_data)

    def row(self) -> dict[str, Any]:
        empty: dict[str, Any] = {"command": [], "env": {}, "writable_paths": [], "capabilities": []}
        values = super().row()
        filled = {name: values[name] or nothing for name, nothing in empty.items()}
        return {**values, **filled, "ports": self.cleaned_data["ports"]}


class FlagForm(PartForm):
    """A flag; what it is goes in and never comes out."""

    new_content = forms.CharField(
        required=False,
        max_length=500,
        label="Content",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Written, never shown. Empty: as it is.",
    )
    container_name = forms.SlugField(
        required=False, label="Container", help_text="In which it is planted, by its name; empty: the main one."
    )

    class Meta:
        model = Flag
        fields = ("name", "kind", "plant_env", "plant_path")

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        self.initial["container_name"] = self.instance.container.name if self.instance.container else MAIN

    def row(self) -> dict[str, Any]:
        asked = self.cleaned_data
        return {**super().row(), "content": asked["new_content"], "container": asked["container_name"]}


class HintForm(PartForm):
    """A hint, known by its row: one that was taken stays taken."""

    class Meta:
        model = Hint
        fields = ("title", "content", "kind", "cost")

    def row(self) -> dict[str, Any]:
        return {**super().row(), "id": self.instance.pk}


class FileForm(PartForm):
    """A file to add, or another content for one that is there."""

    upload = forms.FileField(required=False, help_text="On a file that is there: its new content.")

    class Meta:
        model = ChallengeFile
        fields: tuple[str, ...] = ()

    def clean(self) -> dict[str, Any]:
        if not self.instance.size_bytes and not self.cleaned_data.get("upload"):
            raise ValidationError("Choose a file.")
        return self.cleaned_data


class PartInline(admin.StackedInline[Part, Challenge]):
    """Who may change the challenge may change its parts."""

    extra = 0
    formfield_overrides = SHALLOW

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """To those who only look: the row's own fields, without what is there to be written."""
        if self.has_change_permission(request, obj):
            return super().get_fields(request, obj)
        return [*self.readonly_fields, *(self.form._meta.fields or ())]

    def get_queryset(self, request: HttpRequest) -> Any:
        return self.model._default_manager.order_by(*self.model._meta.ordering or ["pk"])


class ContainerInline(PartInline[ChallengeContainer]):
    """Containers."""

    model = ChallengeContainer
    form = ContainerForm


class FlagInline(PartInline[Flag]):
    """Flags."""

    model = Flag
    form = FlagForm


class HintInline(PartInline[Hint]):
    """Hints, in their order."""

    model = Hint
    form = HintForm


class FileInline(PartInline[ChallengeFile]):
    """Files."""

    model = ChallengeFile
    form = FileForm
    readonly_fields = ("name", "size_bytes", "sha256")


LISTS: Final[dict[type[Model], str]] = {ChallengeContainer: "containers", Flag: "flags", Hint: "hints"}
INLINES: Final = (ContainerInline, FlagInline, HintInline, FileInline)


def lists_of(formsets: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """The lists that were changed, as the service takes them."""
    return {
        LISTS[formset.model]: [form.row() for form in kept(formset)]
        for formset in formsets
        if formset.model in LISTS and formset.has_changed()
    }


def store_files(challenge: Challenge, formset: Any, actor: Any) -> None:
    """Remove, replace and add files."""
    gone = [form.instance for form in formset.deleted_forms]
    uploads = [(form.instance, upload) for form in kept(formset) if (upload := form.cleaned_data.get("upload"))]
    for file in [*gone, *(file for file, _ in uploads)]:
        if not file._state.adding:
            services.remove_file(file, actor=actor)
    for file, upload in uploads:
        services.add_file(challenge, upload, actor=actor, name=file.name)


def kept(formset: Any) -> list[Any]:
    """The forms that were filled in and not ticked for removal."""
    return [
        form
        for form in formset.forms
        if form not in formset.deleted_forms and (form.has_changed() or not form.instance._state.adding)
    ]


def told_where(refusal: Invalid) -> Invalid:
    """The same, and where among the parts it is: `containers.0.image` is no field of the challenge's own form."""
    part, _, rest = refusal.field.partition(".")
    number, _, field = rest.partition(".")
    if part not in LISTS.values() or not number.isdigit():
        return refusal
    return Invalid(f"{part.removesuffix('s').capitalize()} {int(number) + 1}, {field}: {refusal.message}")


def note(formset: Any) -> None:
    """Tell Django's own log what a formset did, which it learns from `save` otherwise: names of fields, no values."""
    forms = [form for form in kept(formset) if form.has_changed()]
    formset.new_objects = [form.instance for form in forms if form.instance._state.adding]
    formset.changed_objects = [(form.instance, form.changed_data) for form in forms if not form.instance._state.adding]
    formset.deleted_objects = [form.instance for form in formset.deleted_forms]
