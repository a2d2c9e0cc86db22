"""Where files of challenges lie: below the hub's data, under names that nobody types."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage, Storage

if TYPE_CHECKING:
    from .models import ChallengeFile


def challenge_files() -> Storage:
    """The storage; asked anew at start, so that migrations name no path."""
    return FileSystemStorage(location=settings.HUB_CHALLENGE_FILES, base_url=None)


def place(row: ChallengeFile, _: Any) -> str:
    """A name that says nothing; the one that people know stands in the row."""
    return f"{row.challenge_id}/{uuid.uuid4().hex}"
