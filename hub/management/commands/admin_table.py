"""`manage.py admin_table`: writes docs/admin.md from the registered admin classes."""

from __future__ import annotations

import inspect
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model
from django.http import HttpRequest
from django.test import RequestFactory

PLACE = settings.BASE_DIR / "docs" / "admin.md"
HEAD = """# Django admin

At `/admin/`, for Admins, Operators and Viewers; the role table (`accounts/roles.py`) says who sees and changes what.
Everything that is saved, deleted or done there goes through the services that pages and API call: the same rules, the
same audit trail (`via: admin`). What a service refuses stands in the form, or as a message for each chosen row.

Deleting many rows at once is left out, because Django would go around the services; the actions below are the way.
"View on site" leads from a row to its page on the dashboard, and the pages of servers, templates, nodes and pools lead
back.

This table is what an Admin may do. It is made by `manage.py admin_table`; a test compares it with the code.

| Model | What it is | New | Editable | Read-only | Delete | Actions |
|---|---|---|---|---|---|---|
"""
NOTHING = "–"


class Command(BaseCommand):
    """Write the table, or compare it with the code."""

    help = "Writes docs/admin.md from the registered admin classes; with --check compares only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Fail when the file is not up to date.")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        text = table()
        if not check:
            PLACE.write_text(text, encoding="utf-8")
        elif not PLACE.exists() or PLACE.read_text(encoding="utf-8") != text:
            raise CommandError("docs/admin.md is out of date: run manage.py admin_table")


class _Admin:
    """Stands in for a person whom every permission question is answered with yes."""

    is_active = is_staff = is_authenticated = True
    is_anonymous = False
    pk = None

    def has_perm(self, *args: Any) -> bool:
        return True

    has_module_perms = has_perm


def table() -> str:
    """The page, in the order of the apps."""
    request = RequestFactory().get("/admin/")
    request.user = _Admin()  # type: ignore[assignment]  # see there
    found = sorted(admin.site._registry.items(), key=lambda pair: pair[0]._meta.label_lower)
    return HEAD + "".join(_row(model, made, request) for model, made in found)


def _row(model: type[Model], made: admin.ModelAdmin[Any], request: HttpRequest) -> str:
    names = model._meta
    obj = model()
    may_add, may_delete = made.has_add_permission(request), made.has_delete_permission(request, obj)
    may_change = made.has_change_permission(request, obj)
    shown = _shown(made, request, obj)
    fixed = {str(name) for name in made.get_readonly_fields(request, obj)}
    editable = [name for name in shown if may_change and name not in fixed]
    actions = [str(row[2]) for row in made.get_actions(request).values() if row]
    cells = [
        f"{names.app_label}: {names.verbose_name}",
        inspect.getdoc(type(made)) or "",
        "yes" if may_add else NOTHING,
        ", ".join(editable) or NOTHING,
        "all" if not editable else ", ".join(name for name in shown if name in fixed) or NOTHING,
        "yes" if may_delete else NOTHING,
        "; ".join(actions) or NOTHING,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _shown(made: admin.ModelAdmin[Any], request: HttpRequest, obj: Model) -> list[str]:
    """What the page of one row shows, and the rows that stand below it."""
    names = [str(name) for name in flatten_fieldsets(made.get_fieldsets(request, obj))]
    return names + [str(each.model._meta.verbose_name_plural) for each in made.get_inline_instances(request, None)]
