"""Where a manual command stands, which may follow which, and its bounds."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions

DIAGNOSE, RESTART = "diagnose", "restart"
BUILT_IN: Final = (DIAGNOSE, RESTART)
"""What every agent of ours can do. Other names are scripts that the bundle on the device declares."""
MOST_ARGUMENTS, ARGUMENT_LENGTH = 10, 200
TIMEOUT_SECONDS: Final = (1, 3600)
EXPIRES_SECONDS: Final = (60, 7 * 86_400)
MOST_OPEN: Final = 20
"""So many may wait for one device."""
MOST_OFFERS: Final = 3
LEASE_GRACE_SECONDS: Final = 60
ERROR_LENGTH, OUTPUT_LENGTH = 2000, 100_000


class CommandStatus(models.TextChoices):
    """Where a command stands."""

    WAITING = "waiting", "Waiting"
    OFFERED = "offered", "Offered"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    LOST = "lost", "No answer"
    EXPIRED = "expired", "Expired"
    CANCELLED = "cancelled", "Cancelled"


C = CommandStatus
COMMAND_TRANSITIONS = Transitions(
    "status",
    {
        C.WAITING: (C.OFFERED, C.EXPIRED, C.CANCELLED),
        C.OFFERED: (C.DONE, C.FAILED, C.LOST),
        C.LOST: (C.DONE, C.FAILED),  # its answer came after it was given up
    },
)
OPEN: Final = (C.WAITING, C.OFFERED)
ANSWERS: Final = (C.DONE, C.FAILED)
