"""Bundles and devices in the state that a test wants, without the ceremony."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db.models import F
from django.db.models.functions import Now

from accounts.actors import SYSTEM
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle
from devices.deployments.commands import commands_for
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.results import report_result
from devices.deployments.services import Chosen, Terms, create_deployment
from devices.models import Device, DeviceBeat
from devices.packaging.signatures import Statement, sign
from devices.reports import Report

PUBLISHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed_camera(version: str, size_bytes: int = 10) -> dict[str, str]:
    """A publisher's word on a file that nobody has."""
    return sign(Statement("camera", version, "a" * 64, size_bytes), PUBLISHER)


def make_bundle(version: str = "1.0", name: str = "camera", **values: Any) -> Bundle:
    """A ready bundle, without a file."""
    facts = {"status": BundleStatus.READY, "is_sealed": False, "sha256": "a" * 64, "stored_name": f"{version}.bin"}
    return Bundle.objects.create(name=name, version=version, size_bytes=1000, **{**facts, **values})


def deploy(bundle: Bundle, *devices: Device, **terms: Any) -> Deployment:
    """Deploy to these devices at once, without a soak time unless asked."""
    asked = Terms(**{"soak_seconds": 0, **terms})
    return create_deployment(bundle, Chosen(devices=[each.pk for each in devices]), asked, actor=SYSTEM).deployment


def beat(device: Device, **said: Any) -> list[dict[str, Any]]:
    """What a heartbeat is answered, its row written as the heartbeat's service does."""
    facts = {"bundle_version": said["bundle_version"]} if "bundle_version" in said else {}
    DeviceBeat.objects.filter(device=device).update(last_seen_at=Now(), **facts)
    return commands_for(device.pk, Report(**said))


def report(device: Device, deployment: Deployment | UUID, status: str, **said: Any) -> tuple[str, bool]:
    """What a device's word does: the target's status, and whether it counted."""
    key = deployment.pk if isinstance(deployment, Deployment) else deployment
    target, counted = report_result(device.pk, key, status=status, **said)
    target.refresh_from_db()
    return target.status, counted


def run_through(bundle: Bundle, *devices: Device) -> Deployment:
    """Deploy with success."""
    deployment = deploy(bundle, *devices, allow_downgrade=True)
    for device in devices:
        assert [each["bundle_id"] for each in beat(device)] == [str(bundle.pk)]
        assert report(device, deployment, "success") == ("succeeded", True)
    return deployment


def only(deployment: Deployment) -> DeploymentTarget:
    return deployment.targets.select_related("deployment", "bundle", "device").get()


def age(deployment: Deployment, seconds: int) -> None:
    """Let time pass for its targets."""
    span = timedelta(seconds=seconds)
    names = ("lease_until", "deadline_at", "soak_until", "not_before", "finished_at")
    deployment.targets.update(**{name: F(name) - span for name in names})
