"""Statuses of devices and their keys, which may follow which, and the bounds of what devices report."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions

POLLING_SECONDS_BOUNDS: Final = (10, 3600)
MOST_NUMBER: Final = 2**31 - 1
"""Devices and their work carry a number below this beside their key: some clients read ids as 32 signed bits."""


class DeviceStatus(models.TextChoices):
    """Whether the hub deals with a device."""

    PENDING = "pending", "Pending"
    PREAUTHORISED = "preauthorised", "Preauthorised"
    ACCEPTED = "accepted", "Accepted"
    REJECTED = "rejected", "Rejected"
    SUSPENDED = "suspended", "Suspended"
    DECOMMISSIONED = "decommissioned", "Decommissioned"


D = DeviceStatus
DEVICE_TRANSITIONS = Transitions(
    "status",
    {
        D.PENDING: (D.ACCEPTED, D.REJECTED, D.DECOMMISSIONED),
        D.PREAUTHORISED: (D.ACCEPTED, D.DECOMMISSIONED),
        D.ACCEPTED: (D.SUSPENDED, D.DECOMMISSIONED),
        D.REJECTED: (D.ACCEPTED, D.DECOMMISSIONED),
        D.SUSPENDED: (D.ACCEPTED, D.DECOMMISSIONED),
    },
)
WAITING: Final = frozenset({D.PENDING, D.PREAUTHORISED})


class KeyState(models.TextChoices):
    """Where a key of a device stands in its life. `next` becomes the key with its first use, or first proof."""

    PROPOSED = "proposed", "Proposed"
    ACTIVE = "active", "Active"
    NEXT = "next", "Next"
    RETIRING = "retiring", "Retiring"
    REVOKED = "revoked", "Revoked"


K = KeyState
KEY_TRANSITIONS = Transitions(
    "state",
    {
        K.PROPOSED: (K.ACTIVE, K.REVOKED),
        K.NEXT: (K.ACTIVE, K.REVOKED),
        K.ACTIVE: (K.RETIRING, K.REVOKED),
        K.RETIRING: (K.REVOKED,),
    },
)
USABLE_KEYS: Final = frozenset({K.ACTIVE, K.NEXT, K.RETIRING})
"""Keys that sign requests: the old one goes on for a while after the new one has been used."""


class KeyAlgorithm(models.TextChoices):
    """How a key signs; it follows from the key, and a message never chooses."""

    RSA = "rsa-pss-sha512", "RSA (PSS, SHA-512)"
    P256 = "ecdsa-p256-sha256", "ECDSA P-256 (SHA-256)"
    ED25519 = "ed25519", "Ed25519"


class Liveness(models.TextChoices):
    """What the time since the last heartbeat says."""

    ONLINE = "online", "Online"
    OVERDUE = "overdue", "Overdue"
    OFFLINE = "offline", "Offline"
    NEVER = "never", "Never seen"


class Health(models.TextChoices):
    """What a device says of itself."""

    HEALTHY = "healthy", "Healthy"
    DEGRADED = "degraded", "Degraded"
    ERROR = "error", "Error"


class LogLevel(models.TextChoices):
    """Levels of a device's log lines."""

    DEBUG = "DEBUG", "Debug"
    INFO = "INFO", "Info"
    WARNING = "WARNING", "Warning"
    ERROR = "ERROR", "Error"
