"""`manifest.json`: what a bundle says of itself. One schema for the upload, the archive and the page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from jsonschema import Draft202012Validator

from hub.storable import check_storable

VERSION: Final = r"^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}\Z"
NAME: Final = r"^[0-9A-Za-z][0-9A-Za-z ._-]{0,79}\Z"
COMMAND: Final = r"^[a-z][a-z0-9_-]{0,39}\Z"
LONGEST: Final = 65_536
SCRIPT_SECONDS: Final = (1, 3600)

_SCRIPT: Final = {
    "type": "object",
    "properties": {
        "script": {"type": "string", "minLength": 1, "maxLength": 200},
        "timeout_seconds": {"type": "integer", "minimum": SCRIPT_SECONDS[0], "maximum": SCRIPT_SECONDS[1]},
    },
    "required": ["script"],
}
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "pattern": NAME},
        "version": {"type": "string", "pattern": VERSION},
        "description": {"type": "string", "maxLength": 2000},
        "device_types": {"type": "array", "maxItems": 50, "items": {"type": "string", "minLength": 1, "maxLength": 50}},
        "min_agent_version": {"type": "string", "maxLength": 50},
        "model": {
            "oneOf": [
                {"type": "string", "maxLength": 120},
                {
                    "type": "object",
                    "properties": {
                        "name": {"type": "string", "maxLength": 120},
                        "size_mb": {"type": "number", "minimum": 0, "maximum": 1e9},
                    },
                },
            ]
        },
        "deploy": _SCRIPT,
        "rollback": _SCRIPT,
        "health": _SCRIPT,
        "commands": {
            "type": "object",
            "maxProperties": 50,
            "propertyNames": {"pattern": COMMAND},
            "additionalProperties": _SCRIPT,
        },
        "needs_restart": {"type": "boolean"},
    },
    "required": ["version"],
}
_validator = Draft202012Validator(SCHEMA)


class ManifestError(Exception):
    """The manifest does not fit the schema; `path` says where."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself; `raw` is all of it, with what we do not know."""

    version: str
    name: str = ""
    device_types: list[str] = field(default_factory=list)
    model_name: str = ""
    model_size_mb: float | None = None
    needs_restart: bool = False
    min_agent_version: str = ""
    raw: dict[str, Any] = field(default_factory=dict)


def parse(text: str | bytes) -> Manifest:
    """Read a manifest from JSON."""
    if len(text) > LONGEST:
        raise ManifestError(f"The manifest is longer than {LONGEST} bytes.")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError):
        raise ManifestError("The manifest is not JSON.") from None
    return read(raw)


def read(raw: Any) -> Manifest:
    """Check a manifest that has been read from JSON."""
    try:
        check_storable(raw)
    except ValueError as why:
        raise ManifestError(str(why)) from None
    for error in sorted(_validator.iter_errors(raw), key=lambda each: list(map(str, each.absolute_path))):
        raise ManifestError(error.message[:300], ".".join(map(str, error.absolute_path)))
    for kind in ("deploy", "rollback", "health"):
        if kind in raw and not is_inside(raw[kind]["script"]):
            raise ManifestError("The script must be a path inside the bundle.", f"{kind}.script")
    for name, command in raw.get("commands", {}).items():
        if not is_inside(command["script"]):
            raise ManifestError("The script must be a path inside the bundle.", f"commands.{name}.script")
    model = raw.get("model")
    details: Mapping[str, Any] = model if isinstance(model, dict) else {"name": model or ""}
    return Manifest(
        version=raw["version"],
        name=raw.get("name", ""),
        device_types=list(raw.get("device_types", [])),
        model_name=details.get("name", ""),
        model_size_mb=details.get("size_mb"),
        needs_restart=raw.get("needs_restart", False),
        min_agent_version=raw.get("min_agent_version", ""),
        raw=raw,
    )


def is_inside(name: str) -> bool:
    """Whether a path stays below the directory it is joined to."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return False
    return "\\" not in name and "\0" not in name


def version_key(version: str) -> tuple[Any, ...]:
    """Orders versions: 1.10 after 1.9, 1.0-rc1 before 1.0; what follows a `+` does not count."""
    bare, _, _build = version.partition("+")
    main, _, pre = bare.partition("-")
    released = (1,) if not pre else (0, *map(_part, re.split(r"[._-]", pre)))
    parts = [_part(each) for each in re.split(r"[._]", main)]
    while len(parts) > 1 and parts[-1] == (0, 0, ""):
        parts.pop()
    return tuple(parts), released


def is_older(version: str, running: str) -> bool:
    """Whether going from one to the other is a downgrade."""
    return version_key(version) < version_key(running)


def _part(text: str) -> tuple[int, int, str]:
    """Numbers before words, by their value."""
    match = re.match(r"v?(\d+)(.*)", text)
    return (0, int(match[1]), match[2]) if match else (1, 0, text)
