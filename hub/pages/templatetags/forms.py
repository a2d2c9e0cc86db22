"""Form fields as the design wants them, for our forms and those of libraries alike."""

from __future__ import annotations

from typing import Any

from django import forms, template
from django.forms import BoundField
from django.utils.safestring import SafeString

from hub.pages.forms import shown, shown_then

register = template.Library()


@register.inclusion_tag("components/field.html")
def field(bound: BoundField, hint: str = "", **attrs: Any) -> dict[str, Any]:
    """One field with label, control, hint and errors: `{% field form.name hint="3-32 letters" %}`.

    Further keyword arguments become attributes of the control (`_` for `-`).
    """
    hint = hint or str(bound.help_text)
    extra = {name.replace("_", "-"): value for name, value in attrs.items()}
    return {
        "field": bound,
        "control": _control(bound, hint, extra),
        "hint": hint,
        "shown": _shown(bound),
        "is_check": _is_check(bound),
        "is_group": isinstance(bound.field.widget, forms.RadioSelect | forms.CheckboxSelectMultiple),
    }


@register.simple_tag
def control(bound: BoundField, **attrs: Any) -> SafeString:
    """Only the control, for places that draw the label themselves."""
    return _control(bound, "", {name.replace("_", "-"): value for name, value in attrs.items()})


def _is_check(bound: BoundField) -> bool:
    return isinstance(bound.field.widget, forms.CheckboxInput)


def _control(bound: BoundField, hint: str, attrs: dict[str, Any]) -> SafeString:
    widget = bound.field.widget
    if isinstance(widget, forms.RadioSelect | forms.CheckboxSelectMultiple):
        css = "form-check-input"
    elif isinstance(widget, forms.Select | forms.SelectMultiple):
        css = "form-select"
    else:
        css = "form-check-input" if _is_check(bound) else "form-control"
    if bound.errors:
        css += " is-invalid"
        attrs["aria-invalid"] = "true"
    described = [f"{bound.auto_id}-error"] * bool(bound.errors) + [f"{bound.auto_id}-hint"] * bool(hint)
    if described:
        attrs["aria-describedby"] = " ".join(described)
    given = widget.attrs.get("class", "")
    drawn = bound.as_widget(attrs={**attrs, "class": f"{given} {css}".strip()})
    return _with_word_for_nothing(bound, drawn) + _shown(bound)


def _with_word_for_nothing(bound: BoundField, drawn: SafeString) -> SafeString:
    """Django's empty choice is a row of dashes."""
    if not isinstance(bound.field.widget, forms.Select):
        return drawn
    return SafeString(drawn.replace(">---------<", ">Choose…<" if bound.field.required else ">None<", 1))


def _shown(bound: BoundField) -> SafeString:
    """What the field said when its page was made, for forms that want to know (`SeenMixin`)."""
    if not bound.field.show_hidden_initial:
        return SafeString("")
    is_old = bound.form.is_bound and bound.name not in getattr(bound.form, "conflicts", ())
    value = shown_then(bound) if is_old else shown(bound)
    return bound.field.hidden_widget().render(name=bound.html_initial_name, value=value)
