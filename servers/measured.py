"""Servers as monitoring knows them: by key, and only those that a person may see."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.urls import reverse
from django.utils.safestring import SafeString

from monitoring import query, sparklines
from monitoring.subjects import Subject

from .models import GameServer

FIELDS = ("pk", "name", "owner_id", "node__region__slug", "memory_mb", "cpu_percent", "disk_mb", "facts")


def find_servers(user: Any, ids: Collection[str]) -> Iterable[Subject]:
    """The servers with these ids that the person may see."""
    keys = [key for key in map(_uuid, ids) if key]
    rows = GameServer.objects.all() if user is None else GameServer.objects.visible_to(user)
    for row in rows.filter(pk__in=keys).values(*FIELDS):
        limits = {
            "cpu_percent": float(row["cpu_percent"]),
            "memory_bytes": row["memory_mb"] * 2.0**20,
            "disk_bytes": row["disk_mb"] * 1e6,
        }
        if isinstance(most := row["facts"].get("max_players"), int | float):
            limits["players"] = float(most)
        url = reverse("servers:server_detail", args=[row["pk"]])
        region = row["node__region__slug"]
        yield Subject(f"server:{row['pk']}", row["name"], url, region, row["owner_id"], limits)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def usage_now(ids: Iterable[str]) -> dict[str, dict[str, float]]:
    """What servers use at the moment, by their ids: `cpu_percent` of one core and `memory_bytes`, where measured."""
    measured = query.newest(("cpu_percent", "memory_bytes"), subjects=[f"server:{each}" for each in ids], seconds=30)
    return {subject.removeprefix("server:"): values for subject, values in measured.items()}


def last_hour(ids: Iterable[str]) -> dict[str, SafeString]:
    """The shape of what servers used of the processor, by their ids."""
    drawn = sparklines.last_hour([f"server:{each}" for each in ids], "cpu_percent")
    return {key.removeprefix("server:"): picture for key, picture in drawn.items()}
