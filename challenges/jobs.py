"""What the scheduler runs for challenges."""

from __future__ import annotations

from datetime import timedelta

from django.db.models.functions import Now

from . import services
from .models import InstanceLog

OUTPUT_KEPT = timedelta(days=1)


def settle_events() -> None:
    """Store what the clock has made of events, and end what is to end."""
    services.settle_events()


def settle_instances() -> None:
    """End the instances that time, solves and bans have made superfluous."""
    services.settle_instances()


def carry_out_deploy(pk: str) -> None:
    """Launch a challenge for every team of an event."""
    services.carry_out_deploy(pk)


def resume_deploys() -> None:
    """Take up what a lost job or a dead worker has left of that."""
    services.resume_deploys()


def forget_outputs() -> None:
    """Delete the output of instances that are gone for a day."""
    InstanceLog.objects.filter(instance__deleted_at__lt=Now() - OUTPUT_KEPT).delete()
