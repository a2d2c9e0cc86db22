"""What the admin pages of all apps share: rows to look at, changes through services, one message for each refusal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Model
from django.forms import ModelForm
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from . import bulk
from .api.parsers import TOO_DEEP, is_too_deep
from .exceptions import HubError

Row = TypeVar("Row", bound=Model)
Other = TypeVar("Other", bound=Model)


class ShallowJSONField(forms.JSONField):
    """As deep as a body of the API at most: Django's own breaks on what exhausts the stack, also when shown again."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and is_too_deep(value.encode()):
            raise ValidationError(TOO_DEEP)
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        if isinstance(data, str) and is_too_deep(data.encode()):
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)


SHALLOW: Any = {models.JSONField: {"form_class": ShallowJSONField}}  # for `formfield_overrides`


class ActionsAdmin(admin.ModelAdmin[Row], Generic[Row]):
    """Actions that ask a service for each chosen row. Django's own deletion of many would go around the services."""

    formfield_overrides = SHALLOW

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def for_each(self, request: HttpRequest, rows: Iterable[Other], do: Callable[[Other], object]) -> None:
        """Do it with each row, say for each why not, and for how many it is done."""
        results = bulk.for_each(rows, do)
        for result in results:
            if result.problem:
                self.message_user(request, f"{result.row}: {result.problem.detail}", messages.ERROR)
        if done := sum(result.is_done for result in results):
            self.message_user(request, f"Done for {done}.", messages.SUCCESS)


class ReadOnlyAdmin(ActionsAdmin[Row], Generic[Row]):
    """For rows that only the hub writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ServiceAdmin(ActionsAdmin[Row], Generic[Row]):
    """For rows that services change: `save_model` and `delete_model` of the class call them.

    What a service refuses stands in the form, at the field at fault, with all that was typed.
    """

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().changeform_view(request, *args, **kwargs)
        except HubError as refusal:
            request.refusal = refusal  # type: ignore[attr-defined]  # for the form of the second pass, see get_form
            return super().changeform_view(request, *args, **kwargs)

    def get_form(self, request: HttpRequest, obj: Row | None = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        refusal: HubError | None = getattr(request, "refusal", None)
        return _refused(form, refusal) if refusal else form

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        try:
            return super().delete_view(request, object_id, extra_context)
        except HubError as refusal:
            self.message_user(request, refusal.message, messages.ERROR)
            return HttpResponseRedirect(f"{request.path.removesuffix('delete/')}change/")


class SettledAdmin(ServiceAdmin[Row], Generic[Row]):
    """For rows that are made and removed on the pages, where there is more to say: here `service` changes them."""

    service: Callable[..., Any]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Row, form: Any, change: bool) -> None:
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        type(self).service(obj, actor=request.user, **changes)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """The service has set what the row leads to."""


def _refused(form: type[ModelForm[Any]], refusal: HubError) -> type[ModelForm[Any]]:
    def clean(self: Any) -> Any:
        cleaned = super(made, self).clean()
        self.add_error(refusal.field if refusal.field in self.fields else None, refusal.message)
        return cleaned

    made: type[ModelForm[Any]] = type(f"Refused{form.__name__}", (form,), {"clean": clean})
    return made
