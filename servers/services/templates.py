"""Make, change and remove templates. What runs programs on a node itself is the Admin's alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts import audit
from accounts.permissions import can, require
from hub.exceptions import Conflict, Invalid, NotAllowed
from servers.models import Template, TemplateVariable

if TYPE_CHECKING:
    from accounts.actors import Asker

MAX_VARIABLES = 60


def create_template(*, actor: Asker, variables: Iterable[Mapping[str, Any]] = (), **values: Any) -> Template:
    """Make a template with its variables."""
    require(actor, "templates.change")
    template = Template(**values, is_customized=True)
    refuse_programs(template, actor)
    with transaction.atomic():
        _save(template)
        _set_variables(template, variables)
        _clean(template)
        audit.record(actor, "template.created", template, slug=template.slug)
    return template


def update_template(
    template: Template, *, actor: Asker, variables: Iterable[Mapping[str, Any]] | None = None, **changes: Any
) -> Template:
    """Change a template (and replace its variables when some are given); servers take it at their next start.

    From then on the catalogue leaves it alone.
    """
    require(actor, "templates.change", template)
    with transaction.atomic():
        locked = Template.objects.select_for_update(no_key=True).get(pk=template.pk)
        refuse_programs(locked, actor)
        before = {name: getattr(locked, name) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        refuse_programs(locked, actor)
        locked.is_customized = True
        _save(locked)
        if variables is not None:
            _set_variables(locked, variables)
        _clean(locked)
        audit.record(actor, "template.changed", locked, changed=sorted(n for n in changes if before[n] != changes[n]))
    return locked


def delete_template(template: Template, *, actor: Asker) -> None:
    """Remove a template that no server was ever made from; others can be unpublished."""
    require(actor, "templates.change", template)
    with transaction.atomic():
        locked = Template.objects.select_for_update().get(pk=template.pk)
        refuse_programs(locked, actor)
        if locked.servers.exists():
            raise Conflict("Servers were made from it. Unpublish it instead.", code="template_in_use")
        audit.record(actor, "template.deleted", locked, slug=locked.slug)
        locked.delete()


def refuse_programs(template: Template, actor: Asker) -> None:
    """Programs of the process engine run on the node itself."""
    if template.process_command and not can(actor, "nodes.change"):
        raise NotAllowed("Templates that run programs on a node itself are the Admin's alone.")


def _set_variables(template: Template, rows: Iterable[Mapping[str, Any]]) -> None:
    template.variables.all().delete()
    for position, row in enumerate(rows):
        if position >= MAX_VARIABLES:
            raise Invalid(f"A template has at most {MAX_VARIABLES} variables.", field="variables")
        variable = TemplateVariable(template=template, **{"position": position, **row})
        _clean(variable, prefix=f"variables.{position}.")
        variable.save()
    template.__dict__.pop("_prefetched_objects_cache", None)


def _save(template: Template) -> None:
    """Store it so that its variables can be; what is wrong with it is said by the cleaning that follows."""
    try:
        template.clean_fields()
        template.validate_unique()
    except ValidationError as error:
        raise _invalid(error) from None
    template.__dict__.pop("named_ports", None)
    template.save()


def _clean(row: Template | TemplateVariable, *, prefix: str = "") -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        raise _invalid(error, prefix) from None


def _invalid(error: ValidationError, prefix: str = "") -> Invalid:
    field, messages = next(iter(error.message_dict.items()))
    return Invalid(messages[0], field="" if field == "__all__" else f"{prefix}{field}")
