"""What the lists of bundles and of publishers' keys can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.pages import states
from hub.pages.lists import YES_NO, Chip, Column, Spec


def find_bundle(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Bundles by name, version, model or the beginning of their SHA-256."""
    found = Q(name__icontains=text) | Q(version__icontains=text) | Q(model_name__icontains=text)
    return rows.filter(found | Q(sha256__startswith=text.lower()))


def find_publisher(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Keys by the publisher's name or the beginning of their fingerprint."""
    return rows.filter(Q(name__icontains=text) | Q(fingerprint__startswith=text.lower()))


PUBLISHERS = Spec(
    key="publisher-keys",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("state", "State", order="is_enabled", value=lambda row: row.is_enabled, is_fixed=True),
        Column("fingerprint", "Fingerprint", value=lambda row: row.fingerprint),
        Column("created", "Added", order="created_at", value=lambda row: row.created_at),
        Column("by", "Added by", value=lambda row: row.created_by, is_default=False),
    ),
    chips=(Chip("is_enabled", "Trusted", lambda request: YES_NO),),
    search=find_publisher,
    search_hint="Name or fingerprint",
    order="name",
)
BUNDLES = Spec(
    key="bundles",
    columns=(
        Column("name", "Bundle", order="name", value=str, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("types", "For", value=lambda row: " ".join(row.device_types)),
        Column("size", "Size", order="size_bytes", value=lambda row: row.size_bytes),
        Column("publisher", "Signed by", value=lambda row: row.publisher),
        Column("by", "Uploaded by", value=lambda row: row.uploaded_by_name),
        Column("created", "Made", order="created_at", value=lambda row: row.created_at),
        Column("sha256", "SHA-256", value=lambda row: row.sha256, is_default=False),
    ),
    chips=(Chip("status", "State", lambda request: states.choices("bundle")),),
    search=find_bundle,
    search_hint="Name, version, model or digest",
    order="-created_at",
)
