"""Statuses of bundles and which may follow which."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions

UPLOAD_PIECE_BYTES: Final = 3 << 19
"""Most bytes of one request of an upload; below the length of any body that the hub takes."""


class BundleStatus(models.TextChoices):
    """Where a bundle stands in its life."""

    UPLOADING = "uploading", "Uploading"
    READY = "ready", "Ready"
    INVALID = "invalid", "Invalidated"
    REMOVED = "removed", "File removed"


B = BundleStatus
BUNDLE_TRANSITIONS = Transitions(
    "status", {B.UPLOADING: (B.READY,), B.READY: (B.INVALID, B.REMOVED), B.INVALID: (B.REMOVED,)}
)


class BundleKind(models.TextChoices):
    """What the file is."""

    ARCHIVE = "archive", "Archive for our agent"
    IMAGE = "image", "Image, as it is"
