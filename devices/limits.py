"""Which devices somebody is limited to: by the regions of an Operator, by the groups of a token for deliveries."""

from __future__ import annotations

from typing import Any, TypeVar

from django.db.models import Model, QuerySet

from accounts import limits
from accounts.permissions import group_limit, region_limit
from hub.exceptions import NotAllowed

Rows = TypeVar("Rows", bound=QuerySet[Any])


def within(rows: Rows, user: Any, device: str = "") -> Rows:
    """Those rows whose device the person is not kept from; `device` is the field that leads to it."""
    regions, groups = region_limit(user), group_limit(user)
    if regions is not None:
        rows = rows.filter(**{f"{device}__region__slug__in" if device else "region__slug__in": regions})
    if groups is not None:
        rows = rows.filter(**{f"{device}__in" if device else "pk__in": members(groups)})
    return rows


def reaches_all(actor: Any, devices: QuerySet[Any]) -> bool:
    """Whether an Operator who is limited to regions may act on every one of these devices."""
    regions = region_limit(actor)
    return regions is None or not devices.exclude(region__slug__in=regions).exists()


def require_all(actor: Any, devices: QuerySet[Any]) -> None:
    """Refuse what changes devices of other regions together with his own. Raises `NotAllowed`."""
    if not reaches_all(actor, devices):
        raise NotAllowed("This concerns devices outside of your regions, too.", code="other_region")


def is_limited(user: Any) -> bool:
    return region_limit(user) is not None or group_limit(user) is not None


def members(groups: frozenset[str]) -> Any:
    """The keys of the devices in these groups."""
    from .models import Device

    rows = Device.groups.through._default_manager.filter(devicegroup__slug__in=groups)
    return rows.values("device_id")


def register() -> None:
    """Say what a token for device groups may touch."""
    from .models import Bundle, Deployment, Device, DeviceGroup

    limits.register_groups(lambda: list(DeviceGroup.objects.values_list("slug", "name")))
    limits.register_within(Device, _has_device)
    limits.register_within(Deployment, _has_deployment)
    limits.register_within(Bundle, _has_bundle)


def _has_device(actor: Any, verb: str, device: Any, groups: frozenset[str]) -> bool:
    return bool(device.groups.filter(slug__in=groups).exists())


def _has_deployment(actor: Any, verb: str, deployment: Any, groups: frozenset[str]) -> bool:
    """Looked at where one of its devices is within; changed where all of them are."""
    inside = deployment.targets.filter(device__in=members(groups))
    if not inside.exists():
        return False
    return verb == "deployments.view" or not deployment.targets.exclude(device__in=members(groups)).exists()


def _has_bundle(actor: Any, verb: str, bundle: Model, groups: frozenset[str]) -> bool:
    """Its own upload until it is used: from then on it concerns others, who decide about it."""
    own: Any = bundle
    return verb == "bundles.view" or (own.uploaded_by_id == actor.pk and not own.is_fixed)
