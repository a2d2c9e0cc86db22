"""Statuses of deployments and of their targets, which may follow which, and what devices may report."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions

MOST_REPORTS: Final = 1000
"""Reports of one device about one deployment; the last one, which ends it, is always taken."""
MOST_OFFERS: Final = 10
"""How often a command is offered to a device that never answers."""
OUTPUT_LENGTH: Final = 100_000
ERROR_LENGTH: Final = 2000
MOST_DEVICES: Final = 100_000
TIMEOUT_SECONDS: Final = (30, 86_400)
SOAK_SECONDS: Final = (0, 86_400)
ATTEMPTS: Final = (1, 10)
SILENCE_SECONDS: Final = 900
"""How long after its soak time a device may stay silent before its success counts as not proven."""


class DeploymentKind(models.TextChoices):
    """Forward to one bundle, or back: each device to its own last good one."""

    UPDATE = "update", "Update"
    ROLLBACK = "rollback", "Rollback"


class DeploymentStatus(models.TextChoices):
    """Where a deployment as a whole stands."""

    SCHEDULED = "scheduled", "Scheduled"
    RUNNING = "running", "Under way"
    FINISHED = "finished", "Finished"
    CANCELLED = "cancelled", "Cancelled"


class TargetStatus(models.TextChoices):
    """Where one device stands in a deployment."""

    SCHEDULED = "scheduled", "Scheduled"
    WAITING = "waiting", "Waiting"
    OFFERED = "offered", "Offered"
    DOWNLOADING = "downloading", "Downloading"
    INSTALLING = "installing", "Installing"
    SOAKING = "soaking", "Proving itself"
    CANCELLING = "cancelling", "Cancelling"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"
    SUPERSEDED = "superseded", "Superseded"
    ROLLED_BACK = "rolled_back", "Rolled back"


T = TargetStatus
NOT_BEGUN: Final = (T.SCHEDULED, T.WAITING)
ACTIVE: Final = (T.OFFERED, T.DOWNLOADING, T.INSTALLING, T.SOAKING, T.CANCELLING)
OPEN: Final = (*NOT_BEGUN, *ACTIVE)
CONCERNS_DEVICE: Final = (T.WAITING, *ACTIVE)
BEFORE_INSTALLED: Final = (*NOT_BEGUN, T.OFFERED, T.DOWNLOADING)
ENDED: Final = (T.SUCCEEDED, T.FAILED, T.CANCELLED, T.SUPERSEDED, T.ROLLED_BACK)

_ENDS = (T.SOAKING, T.SUCCEEDED, T.FAILED, T.ROLLED_BACK)
TARGET_TRANSITIONS = Transitions(
    "status",
    {
        T.SCHEDULED: (T.WAITING, T.CANCELLED, T.SUPERSEDED),
        # A device may finish an attempt that was given up: then there is no other to wait for.
        T.WAITING: (T.OFFERED, T.DOWNLOADING, T.INSTALLING, *_ENDS, T.CANCELLED, T.SUPERSEDED),
        T.OFFERED: (T.DOWNLOADING, T.INSTALLING, *_ENDS, T.WAITING, T.CANCELLING),
        T.DOWNLOADING: (T.INSTALLING, *_ENDS, T.WAITING, T.CANCELLING),
        T.INSTALLING: (T.DOWNLOADING, *_ENDS, T.WAITING, T.CANCELLING),
        T.SOAKING: (T.SUCCEEDED, T.FAILED, T.ROLLED_BACK, T.CANCELLING),
        T.CANCELLING: (T.CANCELLED, T.SUCCEEDED, T.FAILED, T.ROLLED_BACK),
        T.SUCCEEDED: (T.ROLLED_BACK,),  # it fell back later
        T.FAILED: (T.SUCCEEDED,),  # given up for its silence, and then it answered
    },
)

S = DeploymentStatus
DEPLOYMENT_TRANSITIONS = Transitions(
    "status",
    {S.SCHEDULED: (S.RUNNING, S.CANCELLED), S.RUNNING: (S.FINISHED, S.CANCELLED)},
)


class Reported(models.TextChoices):
    """What a device may say about its work; `success` and `failed` are all that older agents know."""

    ACCEPTED = "accepted", "Has taken the command"
    DOWNLOADING = "downloading", "Downloads"
    INSTALLING = "installing", "Installs"
    RESTARTING = "restarting", "Restarts"
    INSTALLED = "installed", "Has installed it"
    SUCCESS = "success", "Has installed it"
    FAILED = "failed", "Could not"
    CANCELLED = "cancelled", "Has stopped as asked"
    ROLLED_BACK = "rolled_back", "Went back by itself"


R = Reported
INTERMEDIATE: Final = {
    R.ACCEPTED: T.DOWNLOADING,
    R.DOWNLOADING: T.DOWNLOADING,
    R.INSTALLING: T.INSTALLING,
    R.RESTARTING: T.INSTALLING,
}
FINAL: Final = frozenset({R.INSTALLED, R.SUCCESS, R.FAILED, R.CANCELLED, R.ROLLED_BACK})


class ErrorCode(models.TextChoices):
    """Why it did not work; the class decides whether it is tried again."""

    DOWNLOAD = "download", "The download failed"
    CORRUPTED = "corrupted", "The file was damaged"
    SIGNATURE = "signature", "The signature does not hold"
    DECRYPTION = "decryption", "The file could not be opened"
    ARCHIVE = "archive", "The archive was refused"
    SCRIPT = "script", "The script failed"
    SCRIPT_TIMEOUT = "script_timeout", "The script took too long"
    SPACE = "space", "There was no room"
    INCOMPATIBLE = "incompatible", "It does not fit this device"
    BUSY = "busy", "The device was busy"
    TIMEOUT = "timeout", "The device did not answer in time"
    UNHEALTHY = "unhealthy", "The device was not well afterwards"
    WRONG_VERSION = "wrong_version", "The device runs something else"
    INVALIDATED = "invalidated", "The bundle was invalidated"
    OTHER = "other", "Other"


RETRIED: Final = frozenset({ErrorCode.DOWNLOAD, ErrorCode.CORRUPTED, ErrorCode.BUSY, ErrorCode.TIMEOUT})
"""What may go well another time. A bad signature or a failing script will not."""
UNTOUCHED: Final = frozenset(
    {
        ErrorCode.DOWNLOAD,
        ErrorCode.CORRUPTED,
        ErrorCode.SIGNATURE,
        ErrorCode.DECRYPTION,
        ErrorCode.ARCHIVE,
        ErrorCode.SPACE,
        ErrorCode.INCOMPATIBLE,
        ErrorCode.INVALIDATED,
    }
)
"""What goes wrong before anything on the device is changed: it still runs what it ran, and need not be sent back."""
RETRY_SECONDS: Final = (60, 3600)
"""Wait before the second attempt, doubling, and the most of it."""
