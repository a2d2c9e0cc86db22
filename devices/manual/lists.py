"""What the list of a device's commands can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.pages.lists import Chip, Column, Spec

from .choices import CommandStatus


def find_command(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Commands by name or the device's name."""
    return rows.filter(Q(name__icontains=text) | Q(device__name__icontains=text))


COMMANDS = Spec(
    key="device-commands",
    columns=(
        Column("what", "Command", value=str, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("by", "By", value=lambda row: row.created_by),
        Column("created", "Sent", order="created_at", value=lambda row: row.created_at),
        Column("finished", "Ended", order="finished_at", value=lambda row: row.finished_at),
    ),
    chips=(Chip("status", "State", lambda request: CommandStatus.choices),),
    search=find_command,
    search_hint="Name",
    order="-created_at",
)
