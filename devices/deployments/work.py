"""What a device needs to do its work: the file's digests, the publisher's word, and the key that opens it."""

from __future__ import annotations

import base64
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from django.db import transaction

from devices import public_keys
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle, DeviceSealingKey
from devices.choices import KeyState
from devices.models import Device, DeviceKey
from devices.packaging import wrapping
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from .choices import ACTIVE, TargetStatus
from .models import Deployment, DeploymentTarget
from .results import Closed

T = TargetStatus


def find_work(device_id: UUID, deployment_id: UUID) -> DeploymentTarget:
    """The target of this device, while it may work on it. 403, 404, 409 and 410 as for results."""
    rows = DeploymentTarget.objects.select_related("deployment", "bundle")
    target = rows.filter(device=device_id, deployment=deployment_id).first()
    if target is None:
        if Deployment.objects.filter(pk=deployment_id).exists():
            raise NotAllowed("This device is not among its targets.", code="not_a_target")
        raise NotFound("There is no such deployment.")
    if target.status in (T.CANCELLING, T.CANCELLED, T.SUPERSEDED):
        raise Conflict("It was called off.", code="called_off")
    if target.status not in ACTIVE:
        raise Closed("It has ended, or was not offered yet.")
    if target.bundle.status != BundleStatus.READY:
        raise Closed("The bundle was invalidated.", code="invalidated")
    return target


def describe_work(target: DeploymentTarget) -> dict[str, Any]:
    """All that a device needs. The content key is wrapped for it alone, and made anew at each asking."""
    bundle = target.bundle
    return {
        "deployment_id": str(target.deployment_id),
        "number": target.number,
        "attempt": target.attempt,
        "type": "rollback" if target.deployment.kind == "rollback" else "deploy",
        "timeout_seconds": target.deployment.timeout_seconds,
        "soak_seconds": target.deployment.soak_seconds,
        "bundle": {
            "id": str(bundle.pk),
            "name": bundle.name,
            "version": bundle.version,
            "kind": bundle.kind,
            "size_bytes": bundle.size_bytes,
            "sha256": bundle.sha256,
            "sha1": bundle.sha1,
            "md5": bundle.md5,
            "manifest": bundle.manifest,
            "signed": bundle.signed,
        },
        "file": {
            "url": f"/api/v1/deployments/{target.deployment_id}/file",
            "size_bytes": bundle.stored_bytes,
            "sha256": bundle.stored_sha256,
            "is_sealed": bundle.is_sealed,
            "wrapped_key": wrap_for(target.device_id, bundle) if bundle.is_sealed else None,
        },
    }


def wrap_for(device_id: UUID, bundle: Bundle) -> dict[str, str]:
    """The content key for this device: by its sealing key if it has one, else by the key it signs with."""
    sealing = DeviceSealingKey.objects.filter(device=device_id).first()
    if sealing is not None:
        key: Any = X25519PublicKey.from_public_bytes(base64.b64decode(sealing.public_key))
    else:
        row = DeviceKey.objects.filter(device=device_id, state=KeyState.ACTIVE).first()
        key = public_keys.read(row.public_key).key if row else None
    if not wrapping.can_wrap_for(key):
        raise Conflict("The bundle is encrypted, and this device has no key to open it.", code="no_sealing_key")
    return wrapping.wrap(base64.b64decode(bundle.content_key.reveal()), key, bundle=bundle.pk.bytes)


def set_sealing_key(device: Device, public_key: str) -> DeviceSealingKey:
    """Take a device's X25519 key, which it has sent in a signed request."""
    try:
        raw = base64.b64decode(public_key, validate=True)
        X25519PublicKey.from_public_bytes(raw)
    except ValueError:
        raise Invalid("An X25519 key is 32 bytes in base64.", field="public_key") from None
    if not any(raw):
        raise Invalid("This key is none.", field="public_key")
    with transaction.atomic():
        row, _ = DeviceSealingKey.objects.update_or_create(
            device=device, defaults={"public_key": base64.b64encode(raw).decode()}
        )
    return row
