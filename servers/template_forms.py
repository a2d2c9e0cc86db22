"""The form of a template with its ports and variables: shape only; what contradicts itself is for the service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from hub.exceptions import HubError
from hub.pages.forms import SeenMixin

from .choices import PortProtocol
from .models import Template, TemplateVariable

SECTIONS = {
    "What it is": ("name", "game", "description", "icon", "is_published"),
    "In a container": ("image", "image_command", "data_path"),
    "On the node itself": ("process_command", "process_program", "needs_isolation"),
    "Environment": ("env",),
    "Limits": tuple(
        f"{word}_{limit}" for limit in ("memory_mb", "disk_mb", "cpu_percent") for word in ("min", "default", "max")
    ),
    "How it stops": ("stop_kind", "stop_value", "stop_grace_seconds"),
    "When it is ready": ("readiness_kind", "readiness_port", "readiness_pattern", "ready_timeout_seconds"),
}
FIELDS = ("slug", *(name for names in SECTIONS.values() for name in names))
UNITS = {"memory_mb": "memory, MiB", "disk_mb": "disk, MB", "cpu_percent": "processor, % of a core"}
WORDS = {"min": "Least", "default": "Usual", "max": "Most"}


class LinesField(forms.CharField):
    """A list of texts, one a line."""

    widget = forms.Textarea(attrs={"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(map(str, value)) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        before = (self.prepare_value(initial) or "").replace("\r\n", "\n")
        return super().has_changed(before, (data or "").replace("\r\n", "\n"))

    def clean(self, value: Any) -> list[str]:
        return [line.rstrip("\r") for line in (super().clean(value) or "").split("\n") if line.strip()]


class PairsField(LinesField):
    """A table of names and texts, `NAME=text` a line."""

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(f"{name}={text}" for name, text in value.items()) if isinstance(value, dict) else value

    def clean(self, value: Any) -> Any:
        pairs = {}
        for line in super().clean(value):
            name, sign, text = line.partition("=")
            if not sign:
                raise forms.ValidationError(f"Write NAME=text, not {line[:40]}.")
            pairs[name.strip()] = text
        return pairs


class TemplateForm(SeenMixin, forms.ModelForm):
    """Everything of a template but its ports and variables."""

    process_command = LinesField(
        required=False, label="Command", help_text="Program and arguments, one a line; empty: does not run there."
    )
    image_command = LinesField(
        required=False, label="Command", help_text="Program and arguments, one a line; empty: what the image says."
    )
    env = PairsField(
        required=False,
        label="Environment",
        help_text="NAME=text, one a line, with placeholders such as {{MEMORY_MB}}.",
    )

    class Meta:
        model = Template
        fields = FIELDS
        widgets = {"description": forms.Textarea(attrs={"rows": 3})}
        labels = {
            "is_published": "Offered",
            "data_path": "Folder of its data",
            "process_program": "Program that the node needs",
            "needs_isolation": "Needs isolation",
            "stop_kind": "By",
            "stop_value": "Signal, line or command",
            "stop_grace_seconds": "Grace, seconds",
            "readiness_kind": "Told by",
            "readiness_port": "Port",
            "readiness_pattern": "Line in the log",
            "ready_timeout_seconds": "At most, seconds",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            del self.fields["slug"]
        for name in SECTIONS["Limits"]:
            word, _, limit = name.partition("_")
            self.fields[name].label = f"{WORDS[word]} {UNITS[limit]}"

    def _post_clean(self) -> None:
        """The service checks the whole, variables included, and says which field is at fault."""

    @property
    def sections(self) -> list[tuple[str, list[forms.BoundField]]]:
        return [(title, [self[name] for name in names]) for title, names in SECTIONS.items()]


class PortForm(SeenMixin, forms.Form):
    """One named port."""

    name = forms.CharField(max_length=20)
    target_port = forms.IntegerField(min_value=1, max_value=65535, label="Port inside")
    protocol = forms.ChoiceField(choices=PortProtocol.choices, initial=PortProtocol.GAME)
    is_public = forms.BooleanField(required=False, initial=True, label="For players")
    variable = forms.CharField(max_length=40, required=False, label="Variable that tells it")
    password_variable = forms.CharField(max_length=40, required=False, label="Variable of its password")


class VariableForm(SeenMixin, forms.ModelForm):
    """One setting that the template offers."""

    choices = LinesField(required=False, help_text="One a line.")

    class Meta:
        model = TemplateVariable
        fields = (
            "key",
            "label",
            "kind",
            "default",
            "help_text",
            "minimum",
            "maximum",
            "pattern",
            "choices",
            "is_required",
            "is_visible",
            "is_editable",
        )
        labels = {
            "help_text": "Explanation",
            "minimum": "Least",
            "maximum": "Most",
            "is_required": "Must be set",
            "is_visible": "The owner sees it",
            "is_editable": "The owner sets it",
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.carry_initial()  # a row that is there comes as initial values, not as an instance

    def _post_clean(self) -> None:
        """As in `TemplateForm`."""


PortForms = forms.formset_factory(PortForm, extra=1, can_delete=True, max_num=20)
VariableForms = forms.formset_factory(VariableForm, extra=1, can_delete=True, max_num=60)


class TemplateEditor:
    """The three forms of one template as one."""

    def __init__(self, data: Mapping[str, Any] | None, template: Template | None) -> None:
        self.template = template
        self.form = TemplateForm(data, instance=template or Template())
        ports = template.ports if template else []
        variables = [_of_variable(row) for row in template.variables.all()] if template else []
        self.ports = PortForms(data, initial=ports, prefix="ports")
        self.variables = VariableForms(data, initial=variables, prefix="variables")

    def is_valid(self) -> bool:
        is_valid = all([self.form.is_valid(), self.ports.is_valid(), self.variables.is_valid()])
        for title, rows in (("ports", self.ports), ("settings", self.variables)):
            if _is_touched(rows) and _is_stale(rows):
                self.form.add_error(
                    None, f"Somebody has changed the {title} meanwhile. Open the page anew to see them."
                )
                is_valid = False
        return is_valid

    @property
    def has_errors(self) -> bool:
        return bool(self.form.errors or self.ports.total_error_count() or self.variables.total_error_count())

    def values(self) -> dict[str, Any]:
        """The arguments of the service; rows left empty or marked for removal are not among them.

        Of a template that is there only what was changed; ports and variables as a whole, if one of them was.
        """
        values = self.form.changes() if self.template else dict(self.form.cleaned_data)
        if _is_touched(self.ports):
            values["ports"] = [_told(form.cleaned_data) for form in _kept(self.ports)]
        if _is_touched(self.variables):
            values["variables"] = [_told(form.cleaned_data, empty=True) for form in _kept(self.variables)]
        return values

    def blame(self, error: HubError) -> None:
        """Put a refusal beside the field that it names."""
        where, _, rest = (error.field or "").partition(".")
        number, _, name = rest.partition(".")
        kept = _kept(self.variables)
        if where == "variables" and number.isdigit() and int(number) < len(kept):
            row = kept[int(number)]
            row.add_error(name if name in row.fields else None, error.message)
        elif where == "ports":
            self.form.add_error(None, f"Ports: {error.message}")
        else:
            self.form.add_error(where if where in self.form.fields else None, error.message)


def _is_touched(rows: Any) -> bool:
    """Whether anything was changed in the list; one that came without what was shown means all it says."""
    return rows.has_changed() or not any(form.is_carried for form in rows.forms)


def _is_stale(rows: Any) -> bool:
    """Whether the list is another one by now than its page has shown."""
    shown = rows.initial_forms
    is_carried = any(form.is_carried for form in shown)
    return is_carried and (len(shown) != len(rows.initial) or any(form.is_stale for form in shown))


def _kept(rows: Any) -> list[Any]:
    """The rows that are to be stored: those that were there, and those in which something was typed."""
    filled = [form for form in rows.forms if form.has_changed() or form in rows.initial_forms]
    return [form for form in filled if not form.cleaned_data.get("DELETE")]


def _told(values: dict[str, Any], *, empty: bool = False) -> dict[str, Any]:
    left_out = ("DELETE",) if empty else ("DELETE", *(name for name, value in values.items() if value in ("", None)))
    return {name: value for name, value in values.items() if name not in left_out}


def _of_variable(row: TemplateVariable) -> dict[str, Any]:
    return {name: getattr(row, name) for name in VariableForm.Meta.fields}
