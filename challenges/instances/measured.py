"""Instances as monitoring knows them: by key, and only those that a person may see."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.urls import reverse

from challenges.models import Instance
from monitoring.subjects import Subject

FIELDS = ("pk", "name", "node__region__slug", "memory_mb", "cpu_percent", "disk_mb")


def find_instances(user: Any, ids: Collection[str]) -> Iterable[Subject]:
    """The instances with these ids that the person may see."""
    keys = [key for key in map(_uuid, ids) if key]
    rows = Instance.objects.all() if user is None else Instance.objects.visible_to(user)
    for row in rows.filter(pk__in=keys).values(*FIELDS):
        limits = {
            "cpu_percent": float(row["cpu_percent"]),
            "memory_bytes": row["memory_mb"] * 2.0**20,
            "disk_bytes": row["disk_mb"] * 1e6,
        }
        url = reverse("challenges:instance_detail", args=[row["pk"]])
        yield Subject(f"{Instance.kind}:{row['pk']}", row["name"], url, row["node__region__slug"], None, limits)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
