"""The keys of those who publish bundles; the Admin's alone, because they decide what devices install."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction

from accounts import audit
from accounts.permissions import require
from devices.bundles.models import PublisherKey
from devices.packaging import signatures
from hub.exceptions import Conflict, Invalid

if TYPE_CHECKING:
    from accounts.actors import Asker


def add_publisher(*, actor: Asker, name: str, public_key: str) -> PublisherKey:
    """Trust a publisher's key. From the first one on, bundles need a signature."""
    require(actor, "publishers.change")
    try:
        key = signatures.read_public_key(public_key)
    except signatures.SignatureError as error:
        raise Invalid(str(error), field="public_key") from None
    with transaction.atomic():
        row = PublisherKey(
            name=name.strip(),
            public_key=public_key.strip() + "\n",
            fingerprint=signatures.fingerprint(key),
            algorithm=signatures.algorithm_of(key),
            created_by=str(actor),
        )
        try:
            with transaction.atomic():
                row.save()
        except IntegrityError as error:
            field = "public_key" if "fingerprint" in str(error) else "name"
            raise Conflict("There is such a key already.", code="publisher_exists", field=field) from None
        audit.record(actor, "publisher.added", row, fingerprint=row.fingerprint)
    return row


def set_publisher_enabled(publisher: PublisherKey, enabled: bool, *, actor: Asker) -> PublisherKey:
    """Trust a key or trust it no longer, for uploads from now on; what it signed before stays as it is."""
    require(actor, "publishers.change", publisher)
    with transaction.atomic():
        locked = PublisherKey.objects.select_for_update(no_key=True).get(pk=publisher.pk)
        if locked.is_enabled != enabled:
            locked.is_enabled = enabled
            locked.save(update_fields=["is_enabled"])
            audit.record(actor, "publisher.enabled" if enabled else "publisher.disabled", locked)
    return locked
