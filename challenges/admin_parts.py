"""What a challenge is made of, below its own form in the admin: the same forms as on the pages, and its files."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest

from hub.admin_base import SHALLOW

from . import services
from .models import Challenge, ChallengeContainer, ChallengeFile, Flag, Hint
from .part_forms import ContainerForm, FlagForm, HintForm, PartForm, kept

Part = TypeVar("Part", bound=Model)


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


INLINES: Final = (ContainerInline, FlagInline, HintInline, FileInline)


def store_files(challenge: Challenge, formset: Any, actor: Any) -> None:
    """Remove, replace and add files."""
    gone = [form.instance for form in formset.deleted_forms]
    uploads = [(form.instance, upload) for form in kept(formset) if (upload := form.cleaned_data.get("upload"))]
    for file in [*gone, *(file for file, _ in uploads)]:
        if not file._state.adding:
            services.remove_file(file, actor=actor)
    for file, upload in uploads:
        services.add_file(challenge, upload, actor=actor, name=file.name)


def note(formset: Any) -> None:
    """Tell Django's own log what a formset did, which it learns from `save` otherwise: names of fields, no values."""
    forms = [form for form in kept(formset) if form.has_changed()]
    formset.new_objects = [form.instance for form in forms if form.instance._state.adding]
    formset.changed_objects = [(form.instance, form.changed_data) for form in forms if not form.instance._state.adding]
    formset.deleted_objects = [form.instance for form in formset.deleted_forms]
