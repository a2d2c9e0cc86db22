"""What pages do with forms: call a service and put its refusal beside the field, ask before destroying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm, BooleanField, BoundField, ChoiceField, DateTimeInput, PasswordInput
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import Truncator

from hub.exceptions import HubError

from . import live

T = TypeVar("T")


def call(form: BaseForm, service: Callable[..., T], /, *args: Any, **values: Any) -> T | None:
    """Call a service with what a form said; a refusal goes to the field at fault, and what was typed stays.

    A form whose fields have other names than the service's has a table `field_names`.
    """
    try:
        return service(*args, **values)
    except HubError as error:
        name = getattr(form, "field_names", {}).get(error.field, error.field)
        form.add_error(name if name in form.fields else None, error.message)
        return None
    except ValidationError as error:
        for field, texts in error.message_dict.items() if hasattr(error, "error_dict") else [("", error.messages)]:
            name = getattr(form, "field_names", {}).get(field, field)
            for text in texts:
                form.add_error(name if name in form.fields else None, text)
        return None


class SeenMixin(BaseForm):
    """A form that carries along what its page has shown: who sends it changes only what he has changed himself.

    What others have saved meanwhile stays. Where both have changed the same, the field says so and what stands there
    now; sent once more it is overwritten. A form that comes without it, from a script perhaps, means all it says.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conflicts: set[str] = set()
        instance = getattr(self, "instance", None)
        if instance is None or not instance._state.adding:  # what is new has nobody changed
            self.carry_initial()

    def carry_initial(self) -> None:
        """Also of fields that were added later; a secret is never shown."""
        is_bare = self.is_bound and not self.is_carried
        for field in self.fields.values():
            field.show_hidden_initial = not is_bare and not isinstance(field.widget, PasswordInput)

    @property
    def is_carried(self) -> bool:
        """Whether what its page has shown came along."""
        return any(self[name].html_initial_name in self.data for name in self.fields)

    def full_clean(self) -> None:
        super().full_clean()
        if not self.is_bound or not self.is_carried:
            return
        for name in set(self.changed_data) - set(self.errors):
            bound = self[name]
            if _is_stale(bound) and bound.field.has_changed(bound.initial, bound.data):
                self.conflicts.add(name)
                self.add_error(
                    name, f"Somebody has changed this meanwhile to: {_told(bound)}. Save again to overwrite it."
                )

    def changes(self) -> dict[str, Any]:
        """The cleaned values that differ from what was shown."""
        if not self.is_carried:
            return dict(self.cleaned_data)
        changed = set(self.changed_data)
        return {name: value for name, value in self.cleaned_data.items() if name in changed}

    def merged(self) -> dict[str, Any]:
        """The cleaned values, those that were not changed as they are by now: for what is stored as a whole."""
        merged = dict(self.cleaned_data)
        for name in set(merged) - set(self.changed_data) if self.is_carried else ():
            if _is_stale(self[name]):
                merged[name] = self.fields[name].clean(shown(self[name]))
        return merged

    @property
    def is_stale(self) -> bool:
        """Whether somebody has changed anything of it since its page was made."""
        return self.is_carried and any(_is_stale(self[name]) for name in self.fields)


def shown(bound: BoundField) -> Any:
    """What a page says of a field as it is now, as text: the value that is carried along."""
    value = bound.field.prepare_value(bound.initial)
    if isinstance(bound.field.widget, DateTimeInput):
        return bound.field.widget.format_value(value) or ""  # to the minute, as the browser will send it
    told = bound.field.hidden_widget().format_value(value)
    return [str(each) for each in told] if isinstance(told, list | tuple) else str("" if told is None else told)


def shown_then(bound: BoundField) -> Any:
    """What the page said of it when it was made, as it came back."""
    return bound.field.hidden_widget().value_from_datadict(bound.form.data, bound.form.files, bound.html_initial_name)


def _is_stale(bound: BoundField) -> bool:
    return bound.field.show_hidden_initial and _lines(shown(bound)) != _lines(shown_then(bound))


def _lines(told: Any) -> Any:
    """Without what browsers and the order of ticks do to it."""
    return sorted(map(str, told)) if isinstance(told, list | tuple) else (told or "").replace("\r\n", "\n").strip()


def _told(bound: BoundField) -> str:
    """The value that stands there now, for people."""
    value = shown(bound)
    if isinstance(bound.field, BooleanField):
        return "on" if bound.initial else "off"
    if isinstance(bound.field, ChoiceField):
        offered: Any = bound.field.choices
        words = {str(key): str(word) for key, word in offered if not isinstance(word, list | tuple)}
        value = [words.get(each, each) for each in (value if isinstance(value, list) else [value])]
    return Truncator(", ".join(value) if isinstance(value, list) else value).chars(80) or "nothing"


def confirm(
    request: HttpRequest,
    *,
    title: str,
    text: str,
    action: str,
    back: str,
    do: Callable[[], Any],
    done: str | Callable[[Any], str],
    must_type: str = "",
    lost: list[str] | None = None,
    reason_label: str = "",
    result_url: str = "",
) -> HttpResponse:
    """Ask, saying what will be lost; with `must_type` the name has to be typed. Then do it and lead to `back`.

    `done` is what is said then, or how what `do` has answered is told. With `reason_label` a line is asked for as well,
    which `do` finds in the form as `reason`. The toast leads to `result_url`, where there is one.
    """
    problem = ""
    if request.method == "POST":
        if must_type and request.POST.get("typed", "").strip() != must_type:
            problem = f"Type {must_type} exactly to go on."
        else:
            try:
                answered = do()
            except HubError as error:
                problem = error.message
            else:
                messages.success(request, done if isinstance(done, str) else done(answered), extra_tags=result_url)
                return redirect(back)
    context = {
        "title": title,
        "text": text,
        "action": action,
        "must_type": must_type,
        "typed": request.POST.get("typed", ""),
        "lost": lost or [],
        "reason_label": reason_label,
        "reason": request.POST.get("reason", ""),
        "problem": problem,
        "back_url": back_url(request, back),
        "here": request.get_full_path(),
    }
    template = "components/confirm_dialog.html" if live.is_fragment(request, "dialog") else "confirm.html"
    return live.private(render(request, template, context, status=422 if problem else 200))


def back_url(request: HttpRequest, otherwise: str) -> str:
    """The page one came from if it is of this hub, else the other one (a path or the name of a page)."""
    came_from = request.POST.get("next") or request.GET.get("next") or ""
    if url_has_allowed_host_and_scheme(came_from, allowed_hosts=None) and came_from.startswith("/"):
        return came_from
    return resolve_url(otherwise)
