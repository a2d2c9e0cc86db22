"""What workers run for devices; a few lines each."""

from __future__ import annotations

from .bundles import services as bundles
from .deployments import services as deployments


def follow_deployments() -> None:
    deployments.follow_deployments()


def forget_uploads() -> None:
    bundles.forget_abandoned()
