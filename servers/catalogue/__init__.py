"""The templates that come with the hub: one TOML file each, brought into the database by `sync_catalogue`.

A file's template is made or brought up to date when its version is newer, and left alone once somebody has edited it.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from django.db import transaction

from servers.models import Template, TemplateVariable

DIRECTORY = Path(__file__).parent
LIMITS = ("memory_mb", "disk_mb", "cpu_percent")


def sync_catalogue(directory: Path = DIRECTORY) -> list[str]:
    """Bring every file into the database; says what was made or renewed."""
    done = []
    for path in sorted(directory.glob("*.toml")):
        entry = tomllib.loads(path.read_text(encoding="utf-8"))
        if verb := _sync(entry):
            done.append(f"template {entry['slug']} {verb}")
    return done


def _sync(entry: dict[str, Any]) -> str:
    known = Template.objects.filter(slug=entry["slug"]).first()
    if known is not None and (known.is_customized or known.version >= entry["version"]):
        return ""
    with transaction.atomic():
        template = known or Template(slug=entry["slug"])
        for name, value in template_fields(entry).items():
            setattr(template, name, value)
        template.save()
        _sync_variables(template, entry.get("variables", []))
        template.full_clean()
    return "renewed" if known else "made"


def _sync_variables(template: Template, rows: list[dict[str, Any]]) -> None:
    for position, row in enumerate(rows):
        variable, _ = TemplateVariable.objects.update_or_create(
            template=template, key=row["key"], defaults={**_defaults(), **row, "position": position}
        )
        variable.full_clean()
    template.variables.exclude(key__in=[row["key"] for row in rows]).delete()


def _defaults() -> dict[str, Any]:
    """What a file leaves out goes back to the model's default."""
    plain = TemplateVariable()
    left_out = ("id", "template", "key", "position")
    return {f.name: getattr(plain, f.name) for f in TemplateVariable._meta.concrete_fields if f.name not in left_out}


def template_fields(entry: dict[str, Any]) -> dict[str, Any]:
    """The columns of a template from the sections of its file. `command` serves the process engine and the image."""
    sections = ("limits", "stop", "readiness", "variables", "command")
    columns = {name: value for name, value in entry.items() if name not in sections}
    if command := entry.get("command"):
        columns |= {"process_command": command, "image_command": command}
    for limit, bounds in entry.get("limits", {}).items():
        columns |= {f"{word}_{limit}": value for word, value in bounds.items()}
    columns |= {f"stop_{name}": value for name, value in entry.get("stop", {}).items()}
    for name, value in entry.get("readiness", {}).items():
        columns["ready_timeout_seconds" if name == "timeout_seconds" else f"readiness_{name}"] = value
    return columns
