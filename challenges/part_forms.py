"""What a challenge is made of, as forms below its own: on the organisers' pages and in the admin alike.

The service stores all of it together. A flag's content is written and never shown: no form has it as a field of the
row, and what was typed does not come back with a refusal either.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, cast

from django import forms
from django.db.models import Model

from hub.exceptions import Invalid
from hub.pages.forms import SeenMixin

from .fields import LinesField, PortsField, VariablesField
from .models import Challenge, ChallengeContainer, Flag, Hint

MAIN: Final = ""


class PartForm(SeenMixin, forms.ModelForm):
    """One row of a list that is replaced as a whole."""

    field_names: ClassVar[dict[str, str]] = {}  # where the form's names are other than the service's
    more: ClassVar[frozenset[str]] = frozenset()  # what most leave as it is

    def _post_clean(self) -> None:
        """The service checks and saves; Django's own check knows only one row at a time."""

    def row(self) -> dict[str, Any]:
        """What the service takes: columns of the row, without its keys."""
        columns = {column.name for column in self._meta.model._meta.concrete_fields} - {"id", "challenge"}
        return {name: value for name, value in self.merged().items() if name in columns}

    def refuse(self, field: str, message: str) -> None:
        """Put the service's refusal beside the field that it names, of this row or of what hangs on it."""
        first, _, rest = field.partition(".")
        name = self.field_names.get(first, first)
        if name not in self.fields:
            self.add_error(None, f"{field}: {message}" if field else message)
        elif rest:
            number, _, part = rest.partition(".")
            self.add_error(name, f"{int(number) + 1 if number.isdigit() else number}, {part}: {message}")
        else:
            self.add_error(name, message)

    def plain_fields(self) -> list[forms.BoundField]:
        """Those that the page shows at once."""
        return [each for each in self.visible_fields() if each.name not in {*self.more, "DELETE"}]

    def more_fields(self) -> list[forms.BoundField]:
        return [each for each in self.visible_fields() if each.name in self.more]

    def is_wrong_below(self) -> bool:
        """Whether something of what is folded away is at fault."""
        return any(name in self.more for name in self.errors)


class ContainerForm(PartForm):
    """A container with its ports."""

    more = frozenset({
        "is_read_only", "memory_mb", "cpu_percent", "disk_mb", "pids", "capabilities", "is_privileged", "health_kind",
        "health_port", "health_path", "ready_timeout_seconds",
    })  # fmt: skip

    command = LinesField(required=False, help_text="One word a line. Empty: what the image says.")
    env = VariablesField(
        required=False,
        label="Environment",
        help_text="NAME=text, one a line; no flags, they are planted by themselves.",
    )
    writable_paths = LinesField(
        required=False, help_text="Directories in memory, one a line; the rest of the file system is read-only."
    )
    capabilities = LinesField(required=False, help_text="Beyond none, such as NET_ADMIN, one a line.")
    ports = PortsField(
        required=False,
        initial=list,
        help_text="One a line, such as: web 8080 http. Name, number, protocol (tcp, udp, http, https); “internal” if "
        "teams do not reach it.",
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
            ports = self.instance.ports.values("name", "number", "protocol", "is_public")
            self.initial["ports"] = list(ports.order_by("position", "id"))

    def row(self) -> dict[str, Any]:
        return {**super().row(), "ports": self.merged()["ports"]}


class FlagForm(PartForm):
    """A flag; what it is goes in and never comes out."""

    field_names: ClassVar[dict[str, str]] = {"content": "new_content", "container": "container_name"}

    new_content = forms.CharField(
        required=False,
        max_length=500,
        label="Content",
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Written, never shown. Of each team: a template like crypto-TRI{flag_placeholder}. Empty: as it is.",
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
        asked = self.merged()
        texts = {"content": asked["new_content"], "container": asked["container_name"]}
        return {**super().row(), **texts, "id": self.instance.pk}


class HintForm(PartForm):
    """A hint, known by its row: one that was taken stays taken."""

    class Meta:
        model = Hint
        fields = ("title", "content", "kind", "cost")

    def row(self) -> dict[str, Any]:
        return {**super().row(), "id": self.instance.pk}


LISTS: Final[dict[type[Model], str]] = {ChallengeContainer: "containers", Flag: "flags", Hint: "hints"}


def lists_of(formsets: list[Any]) -> dict[str, list[dict[str, Any]]]:
    """The lists that were changed, as the service takes them."""
    return {
        LISTS[formset.model]: [form.row() for form in kept(formset)]
        for formset in formsets
        if formset.model in LISTS and formset.has_changed()
    }


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


class PartFormSet(forms.BaseInlineFormSet):
    """The rows of one kind on the organisers' page, and an empty one to fill in; what is left empty is not stored."""

    singular: ClassVar[str] = ""
    title: ClassVar[str] = ""

    def add_fields(self, form: Any, index: int | None) -> None:
        """Only the first container is the main one unless somebody says otherwise."""
        super().add_fields(form, index)
        if "is_main" in form.fields and form.instance._state.adding and index != 0:
            form.initial["is_main"] = False

    def clean(self) -> None:
        """The list is replaced as a whole, so rows that others have added or removed meanwhile must be known."""
        if not self.has_changed() or not any(cast(PartForm, form).is_carried for form in self.initial_forms):
            return
        if {form.instance.pk for form in self.initial_forms} != {row.pk for row in self.get_queryset()}:
            raise forms.ValidationError(
                f"Somebody has added or removed a {self.singular} meanwhile. Open the page anew."
            )

    def refuse(self, number: str, field: str, message: str) -> None:
        """Put a refusal into the row that it is about."""
        rows = kept(self)
        if number.isdigit() and int(number) < len(rows):
            rows[int(number)].refuse(field, message)
        else:
            self.non_form_errors().append(message)


def _formset(model: type[Model], form: type[PartForm], title: str, singular: str) -> type[PartFormSet]:
    made: Any = forms.inlineformset_factory(
        Challenge, model, form=form, formset=PartFormSet, extra=1, can_delete=True, max_num=20, absolute_max=40
    )
    made.title, made.singular = title, singular
    return made


SETS: Final = {
    "containers": _formset(ChallengeContainer, ContainerForm, "Containers", "container"),
    "flags": _formset(Flag, FlagForm, "Flags", "flag"),
    "hints": _formset(Hint, HintForm, "Hints", "hint"),
}


class Parts:
    """All the rows of a challenge's page together."""

    def __init__(self, challenge: Challenge | None, data: Any = None) -> None:
        self.sets: dict[str, Any] = {
            name: kind(_with_row(data, name), instance=challenge or Challenge(), prefix=name)
            for name, kind in SETS.items()
        }

    def is_valid(self) -> bool:
        found = [each.is_valid() for each in self.sets.values()]  # each, so that all that is wrong is told
        return all(found)

    def values(self) -> dict[str, Any]:
        """What the service takes: the lists that have changed."""
        return lists_of(list(self.sets.values()))

    def refuse(self, refusal: Invalid) -> bool:
        """Put a refusal where it belongs; False when it is about none of the rows."""
        name, _, rest = refusal.field.partition(".")
        if name not in self.sets:
            return False
        number, _, field = rest.partition(".")
        self.sets[name].refuse(number, field, refusal.message)
        return True


def _with_row(data: Any, name: str) -> Any:
    """What was sent, with one row more where a button without scripts asks for it."""
    if not data or data.get("add") != name:
        return data
    total = str(data.get(f"{name}-TOTAL_FORMS", ""))
    more = data.copy()
    more[f"{name}-TOTAL_FORMS"] = str(int(total) + 1) if total.isascii() and total.isdigit() and len(total) < 4 else "1"
    return more
