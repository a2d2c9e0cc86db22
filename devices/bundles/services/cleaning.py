"""Remove the files of bundles that nobody needs any more. What was used stays in history, without its file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet, Subquery, Sum

from accounts import audit
from accounts.actors import SCHEDULER
from devices.bundles import store
from devices.bundles.choices import BUNDLE_TRANSITIONS, BundleStatus
from devices.bundles.models import Bundle
from devices.bundles.querysets import BundleQuerySet
from devices.choices import DeviceStatus
from devices.deployments.models import DeploymentTarget
from devices.models import Device
from hub import retention
from hub.exceptions import Conflict

if TYPE_CHECKING:
    from accounts.actors import Asker

S = BundleStatus


def unneeded() -> BundleQuerySet:
    """Stored ones that no device is to get, says that it runs, or would be sent back to.

    Two proven bundles of each device are a way back: what it runs, and what it ran before that. An invalidated one is
    sent to nobody.
    """
    open_targets = DeploymentTarget.objects.filter(bundle=OuterRef("pk")).open()
    runs = DeploymentTarget.objects.filter(bundle=OuterRef("pk"), device__beat__bundle_version=OuterRef("version"))
    runs = runs.exclude(device__status=DeviceStatus.DECOMMISSIONED)
    good = DeploymentTarget.objects.filter(device=OuterRef("pk"), bundle__status=S.READY).good()
    ways = Device.objects.present().order_by().annotate(last=Subquery(good.values("bundle")[:1]))
    ways = ways.annotate(before=Subquery(good.exclude(bundle=OuterRef("last")).values("bundle")[:1]))
    last, before = (ways.filter(**{f"{name}__isnull": False}).values(name) for name in ("last", "before"))
    rows: BundleQuerySet = Bundle.objects.filter(~Exists(open_targets))
    return rows.filter(Q(status=S.INVALID) | Q(~Exists(runs), ~Q(pk__in=last.union(before)), status=S.READY))


def expired() -> BundleQuerySet:
    """Those of them whose time is over; the newest of each name stays, whether it was used or not."""
    until = retention.days_ago(settings.HUB_BUNDLE_DAYS)
    newer = Bundle.objects.ready().filter(name=OuterRef("name"), ready_at__gt=OuterRef("ready_at"))
    old = Q(Exists(newer), status=S.READY, ready_at__lt=until) | Q(status=S.INVALID, invalidated_at__lt=until)
    return unneeded().filter(old)


def remove_file(bundle: Bundle, *, actor: Asker, rows: QuerySet[Bundle]) -> bool:
    """Remove a bundle's file and key if it is, under its lock, among these rows; whether it was."""
    with transaction.atomic():
        if not Bundle.objects.select_for_update().filter(pk=bundle.pk).exists():
            return False
        found = rows.filter(pk=bundle.pk).first()  # a statement of its own: what came before the lock is seen
        if found is None or not BUNDLE_TRANSITIONS.apply(found, S.REMOVED, content_key=""):
            return False
        audit.record(actor, "bundle.file_removed", found, version=found.version, size_bytes=found.size_bytes)
        transaction.on_commit(lambda: _remove(found), robust=True)
    return True


def give_up_file(bundle: Bundle, *, actor: Asker) -> None:
    """The same by hand, whatever its age. Raises `Conflict` while it is needed."""
    if not remove_file(bundle, actor=actor, rows=unneeded()):
        text = "A device is to get it, runs it, or would be sent back to it."
        raise Conflict(text, code="bundle_in_use")


def forget_expired() -> int:
    """Remove the files whose time is over; how many."""
    return sum(remove_file(each, actor=SCHEDULER, rows=expired()) for each in list(expired().defer("content_key")))


def preview_expired() -> retention.Preview:
    found = expired().order_by().aggregate(oldest=Min("ready_at"), bytes=Sum(F("size_bytes")))
    return retention.Preview(expired().count(), found["oldest"], found["bytes"] or 0)


def remove_left_over() -> None:
    """Remove files that a process which died, or a store that did not answer, has left."""
    for bundle in Bundle.objects.filter(status=S.REMOVED, stored_bytes__gt=0):
        _remove(bundle)


def _remove(bundle: Bundle) -> None:
    store.remove(bundle.stored_name)
    Bundle.objects.filter(pk=bundle.pk).update(stored_bytes=0)
