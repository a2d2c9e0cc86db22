"""Change, invalidate and delete bundles. What devices were told to install is never changed and never vanishes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models.functions import Now

from accounts import audit
from accounts.permissions import require
from devices.bundles import store
from devices.bundles.choices import BUNDLE_TRANSITIONS, BundleStatus
from devices.bundles.models import Bundle
from devices.deployments.choices import BEFORE_INSTALLED
from devices.models import DeviceBeat
from hub.exceptions import Conflict, Invalid

from .cleaning import give_up_file, remove_left_over

if TYPE_CHECKING:
    from accounts.actors import Asker


@dataclass(frozen=True)
class Consequences:
    """What comes of invalidating a bundle."""

    running: int
    waiting: int

    def as_sentences(self) -> list[str]:
        found = [f"{self.running} devices say that they run it; they go on until something else is deployed."]
        if self.waiting:
            found.append(f"{self.waiting} devices are to get it or are at work on it: there it fails.")
        return [*found, "Nobody is sent it again, and nobody is rolled back to it.", "This cannot be taken back."]


def update_bundle(
    bundle: Bundle, *, actor: Asker, description: str | None = None, device_types: Iterable[str] | None = None
) -> Bundle:
    """Describe it, or say for which devices it is; until it is used, and no types that a publisher has signed."""
    require(actor, "bundles.change", bundle)
    with transaction.atomic():
        locked = Bundle.objects.select_for_update(no_key=True).get(pk=bundle.pk)
        if locked.is_fixed:
            raise Conflict("It was used, and is never changed again.", code="bundle_fixed")
        before = {"description": locked.description, "device_types": locked.device_types}
        if description is not None:
            locked.description = description.strip()[:2000]
        if device_types is not None:
            types = sorted({each.strip() for each in device_types if each.strip()})
            if locked.signed and types != sorted(locked.device_types):
                raise Conflict("The publisher has signed its types.", code="bundle_signed", field="device_types")
            if len(types) > 50 or any(len(each) > 50 for each in types):
                raise Invalid("At most 50 types of devices, each of up to 50 characters.", field="device_types")
            locked.device_types = types
        locked.save(update_fields=["description", "device_types"])
        after = {"description": locked.description, "device_types": locked.device_types}
        audit.record(actor, "bundle.changed", locked, **audit.changes(before, after))
    return locked


def running_on(bundle: Bundle) -> int:
    """How many devices got it from here and say its version."""
    beats = DeviceBeat.objects.filter(device__targets__bundle=bundle, bundle_version=bundle.version)
    return beats.distinct().count()


def consequences(bundle: Bundle) -> Consequences:
    """Whom it concerns that a bundle is invalidated."""
    return Consequences(
        running=running_on(bundle),
        waiting=bundle.targets.filter(status__in=BEFORE_INSTALLED).count(),
    )


def invalidate_bundle(bundle: Bundle, *, actor: Asker, reason: str) -> Bundle:
    """Nobody is sent it any more. It stays, so that history can be read."""
    require(actor, "bundles.change", bundle)
    reason = reason.strip()
    if not reason or len(reason) > 300:
        raise Invalid("Say why, in up to 300 characters.", field="reason")
    with transaction.atomic():
        locked = Bundle.objects.select_for_update(no_key=True).get(pk=bundle.pk)
        if locked.status == BundleStatus.INVALID:
            return locked
        if locked.status == BundleStatus.UPLOADING:
            raise Conflict("It is not uploaded yet. Delete it.", code="not_ready")
        BUNDLE_TRANSITIONS.apply(
            locked,
            BundleStatus.INVALID,
            invalidated_at=Now(),
            invalidated_by=str(actor),
            invalid_reason=reason,
        )
        audit.record(actor, "bundle.invalidated", locked, reason=reason)
    locked.refresh_from_db()
    return locked


def delete_bundle(bundle: Bundle, *, actor: Asker) -> None:
    """Remove one that was never used, or an upload that is not wanted; of one that was used, the file alone."""
    require(actor, "bundles.change", bundle)
    with transaction.atomic():
        locked = Bundle.objects.select_for_update().get(pk=bundle.pk)
        if locked.is_fixed:
            give_up_file(locked, actor=actor)
            return
        audit.record(actor, "bundle.deleted", locked, version=locked.version)
        name = locked.stored_name
        locked.delete()
        transaction.on_commit(partial(_remove_files, bundle, name))


def forget_abandoned() -> int:
    """Remove uploads of which nothing has come for a day, and files that were left; how many uploads."""
    remove_left_over()
    gone = 0
    for bundle in list(Bundle.objects.abandoned()):
        with transaction.atomic():
            found = Bundle.objects.abandoned().select_for_update(skip_locked=True).filter(pk=bundle.pk).first()
            if found is not None:
                found.delete()
                transaction.on_commit(partial(_remove_files, bundle, ""))
                gone += 1
    return gone


def _remove_files(bundle: Bundle, stored_name: str) -> None:
    store.forget_incoming(bundle.pk)
    if stored_name:
        store.remove(stored_name)
