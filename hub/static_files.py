"""Static files, compressed without a build step: a web process does it when it starts, once for each content.

The compressed copies lie in the hub's data under the hash of what they hold, so one of another version is never served.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from django.conf import settings
from whitenoise.middleware import WhiteNoiseMiddleware
from whitenoise.responders import StaticFile

logger = logging.getLogger(__name__)

COMPRESSED = {".css", ".js", ".svg", ".json", ".html", ".txt", ".map"}
KEPT = ("Content-Type", "Cache-Control", "Access-Control-Allow-Origin")
LEAST_BYTES = 1_000


class CompressedStaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise with a compressed copy beside each text. Not while developing: there each request reads the files."""

    def get_static_file(self, path: str, url: str, stat_cache: Any = None) -> StaticFile:
        plain: StaticFile = super().get_static_file(path, url, stat_cache)
        if self.autorefresh or Path(path).suffix not in COMPRESSED:
            return plain
        copy = compressed_copy(Path(path))
        headers = [(name, value) for name, value in plain.alternatives[-1][2] if name in KEPT]
        return StaticFile(path, headers, encodings={"gzip": str(copy)}) if copy else plain


def compressed_copy(path: Path) -> Path | None:
    """Where the file's compressed copy lies; made if it is not there. None when it is not worth it or not possible."""
    content = path.read_bytes()
    if len(content) < LEAST_BYTES:
        return None
    folder = settings.HUB_DATA / "static-compressed"
    copy = Path(folder / f"{hashlib.sha256(content).hexdigest()[:32]}.gz")
    if copy.is_file():
        return copy
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder)
        with os.fdopen(handle, "wb") as file:
            file.write(gzip.compress(content, mtime=0))
        os.replace(name, copy)  # whole or not at all: several processes start at once
    except OSError as error:
        logger.warning("Static files are served uncompressed: %s", error)
        return None
    return copy
