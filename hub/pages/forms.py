"""What pages do with forms: call a service and put its refusal beside the field, ask before destroying."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.forms import BaseForm, PasswordInput
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

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

    What others have saved meanwhile stays. A form that comes without it, from a script perhaps, means all it says.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.carry_initial()

    def carry_initial(self) -> None:
        """Also of fields that were added later; a secret is never shown."""
        for field in self.fields.values():
            field.show_hidden_initial = not isinstance(field.widget, PasswordInput)

    def changes(self) -> dict[str, Any]:
        """The cleaned values that differ from what was shown."""
        changed = set(self.changed_data)
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if name in changed or self[name].html_initial_name not in self.data
        }


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
