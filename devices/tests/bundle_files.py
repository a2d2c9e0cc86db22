"""Bundles as files: whole ones, and such as an attacker would make."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable
from typing import Any


def member(name: str, data: bytes = b"", **facts: Any) -> tuple[tarfile.TarInfo, bytes]:
    """One member of an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, data


def archive(members: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A tar.gz of these members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for info, data in members:
            tar.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()


def bundle(version: str = "1.0", *, extra: Iterable[tuple[tarfile.TarInfo, bytes]] = (), **manifest: Any) -> bytes:
    """A whole bundle whose deploy script writes its version into a file."""
    script = b'#!/bin/sh\nset -eu\nprintf %s "$KUTANGA_VERSION" > "$KUTANGA_STATE/installed"\n'
    facts = {"version": version, "deploy": {"script": "deploy.sh"}, **manifest}
    return archive(
        [
            member("manifest.json", json.dumps(facts).encode()),
            member("deploy.sh", script, mode=0o755),
            *extra,
        ]
    )
