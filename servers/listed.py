"""Servers as lists show them: plain rows of one narrow query, for fifty model instances cost more than all the rest.

Attributes have the names of the API's fields, and those of `GameServer` that badges ask for.
"""

from __future__ import annotations

from typing import Any, Final

from django.db.models import F
from django.db.models.fields.json import KeyTextTransform
from django.utils.functional import cached_property

from hub.nodes.choices import LIVE

from .addresses import ServerAddress
from .querysets import GameServerQuerySet

COLUMNS: Final = (
    "id",
    "name",
    "description",
    "observed_status",
    "desired_status",
    "admin_state",
    "status_reason",
    "progress_percent",
    "facts",
    "memory_mb",
    "disk_mb",
    "cpu_percent",
    "config_version",
    "running_config_version",
    "started_at",
    "observed_at",
    "created_at",
    "owner__username",
    "node__name",
    "node__region__slug",
    "node__region__name",
    "template__slug",
    "template__name",
    "template__game",
    "template__icon",
)


def listed_columns(servers: GameServerQuerySet) -> Any:
    """The columns that a `ListedServer` is made of."""
    first_port = KeyTextTransform("name", KeyTextTransform(0, F("template__ports")))
    return servers.with_addresses().annotate(first_port=first_port).values_list(*COLUMNS, "first_port", "address_rows")


class ListedServer:
    """One row of a list."""

    def __init__(self, row: tuple[Any, ...]) -> None:
        (
            key,
            self.name,
            self.description,
            self.observed_status,
            self.desired_status,
            self.admin_state,
            self.status_reason,
            self.progress_percent,
            self.facts,
            self.memory_mb,
            self.disk_mb,
            self.cpu_percent,
            self._config_version,
            self._running_config_version,
            self.started_at,
            self.observed_at,
            self.created_at,
            self.owner,
            self.node,
            self.region,
            self.region_name,
            self._template_slug,
            self.template_name,
            self._game,
            self._icon,
            self._first_port,
            self.addresses,
        ) = row
        self.id = str(key)

    @property
    def status(self) -> str:
        return str(self.observed_status)

    @property
    def template(self) -> dict[str, str]:
        return {"slug": self._template_slug, "name": self.template_name, "game": self._game, "icon": self._icon}

    @cached_property
    def address(self) -> str | None:
        """Where players connect, as `GameServer.address` says it."""
        for row in self.addresses:
            if row["is_public"] and row["name"] == self._first_port:
                return str(ServerAddress(**row))
        return None

    @property
    def needs_restart(self) -> bool:
        return self.observed_status in LIVE and self._running_config_version not in (None, self._config_version)
