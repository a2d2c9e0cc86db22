"""What the lists of deployments and of their targets can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from hub.pages import states
from hub.pages.lists import Chip, Column, Spec

from .choices import DeploymentKind


def find_deployment(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Deployments by bundle or description."""
    return rows.filter(
        Q(bundle__name__icontains=text) | Q(bundle__version__icontains=text) | Q(description__icontains=text)
    )


def find_target(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Targets by the device's name or the error."""
    return rows.filter(Q(device__name__icontains=text) | Q(error_message__icontains=text))


def find_target_by_bundle(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Targets of one device by the bundle or the error."""
    return rows.filter(
        Q(bundle__name__icontains=text) | Q(bundle__version__icontains=text) | Q(error_message__icontains=text)
    )


DEPLOYMENTS = Spec(
    key="deployments",
    columns=(
        Column("what", "Deployment", value=str, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("progress", "Progress", value=lambda row: f"{row.done_count} of {row.total}", is_fixed=True),
        Column("by", "By", value=lambda row: row.created_by_name),
        Column("created", "Made", order="created_at", value=lambda row: row.created_at),
        Column("finished", "Ended", order="finished_at", value=lambda row: row.finished_at, is_default=False),
    ),
    chips=(
        Chip("status", "State", lambda request: states.choices("deployment")),
        Chip("kind", "Kind", lambda request: DeploymentKind.choices),
    ),
    search=find_deployment,
    search_hint="Bundle or description",
    order="-created_at",
)
TARGETS = Spec(
    key="deployment-targets",
    columns=(
        Column("device", "Device", order="device__name", value=lambda row: row.device.name, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("bundle", "Bundle", value=lambda row: row.bundle, is_default=False),
        Column("before", "Before", value=lambda row: row.from_version),
        Column("attempt", "Attempt", order="attempt", value=lambda row: row.attempt),
        Column("finished", "Ended", order="finished_at", value=lambda row: row.finished_at),
    ),
    chips=(Chip("status", "State", lambda request: states.choices("target")),),
    search=find_target,
    search_hint="Device or error",
    order="device__name",
)
DEVICE_TARGETS = Spec(
    key="device-deployments",
    columns=(
        Column("bundle", "Bundle", order="bundle__name", value=lambda row: row.bundle, is_fixed=True),
        Column("state", "State", order="status", value=lambda row: row.status, is_fixed=True),
        Column("before", "Before", value=lambda row: row.from_version),
        Column("attempt", "Attempt", order="attempt", value=lambda row: row.attempt),
        Column("begun", "Begun", order="id", value=lambda row: row.created_at),
        Column("finished", "Ended", order="finished_at", value=lambda row: row.finished_at),
    ),
    chips=(
        Chip("status", "State", lambda request: states.choices("target")),
        Chip("kind", "Kind", lambda request: DeploymentKind.choices, "deployment__kind"),
    ),
    search=find_target_by_bundle,
    search_hint="Bundle or error",
    order="-id",
)
