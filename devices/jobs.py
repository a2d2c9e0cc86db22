"""What workers run for devices; a few lines each."""

from __future__ import annotations

from . import measured
from .bundles import services as bundles
from .deployments import services as deployments
from .manual import services as manual


def follow_deployments() -> None:
    deployments.follow_deployments()
    manual.expire_commands()


def sample_devices() -> None:
    measured.sample_devices()


def forget_uploads() -> None:
    bundles.forget_abandoned()
