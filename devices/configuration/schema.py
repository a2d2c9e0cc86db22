"""What can be configured: the default schema, its bounds and defaults. Values that are not in it are an own matter.

`settings` is free: an object whose keys are applied by the owner's programs on the device.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator

from hub.exceptions import Invalid
from hub.storable import check_storable

LOG_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
LONGEST: Final = 32_768
SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "polling_interval": {"type": "integer", "minimum": 10, "maximum": 3600, "default": 60},
        "heartbeat_timeout": {"type": "integer", "minimum": 5, "maximum": 600, "default": 30},
        "deploy_timeout": {"type": "integer", "minimum": 60, "maximum": 3600, "default": 300},
        "log_level": {"type": "string", "enum": list(LOG_LEVELS), "default": "INFO"},
        "settings": {"type": "object", "maxProperties": 200, "default": {}},
    },
    "additionalProperties": False,
}
DEFAULTS: Final[dict[str, Any]] = {name: rule["default"] for name, rule in SCHEMA["properties"].items()}
NAMES: Final = tuple(DEFAULTS)
_validator = Draft202012Validator(SCHEMA)


def clean(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values that fit the schema; numbers and texts of numbers are taken as numbers. Raises `Invalid`."""
    found = {name: _number(name, value) for name, value in values.items() if value is not None}
    for error in sorted(_validator.iter_errors(found), key=lambda each: list(map(str, each.absolute_path))):
        path = list(map(str, error.absolute_path))
        unknown = error.validator == "additionalProperties"
        name = next(iter(sorted(set(found) - set(NAMES))), "") if unknown else ".".join(path)
        raise Invalid("There is no such setting." if unknown else error.message[:300], field=name)
    try:
        check_storable(found)
    except ValueError as error:
        raise Invalid(str(error), field="settings") from None
    if len(json.dumps(found)) > LONGEST:
        raise Invalid(f"A configuration has at most {LONGEST} bytes.", field="settings")
    return found


def merge(layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """The defaults, overridden by each layer in its turn; inside `settings` key by key."""
    merged = {**DEFAULTS, "settings": {}}
    for layer in layers:
        for name, value in layer.items():
            if name == "settings":
                merged["settings"] = {**merged["settings"], **value}
            else:
                merged[name] = value
    return merged


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What changed, flat: `settings.key` for inner ones."""
    old, new = flat(before), flat(after)
    names = sorted(old.keys() | new.keys())
    return [
        {"name": name, "before": old.get(name), "after": new.get(name)}
        for name in names
        if old.get(name) != new.get(name)
    ]


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same without levels: inner settings as `settings.key`."""
    inner = values.get("settings", {})
    return {name: value for name, value in values.items() if name != "settings"} | {
        f"settings.{name}": value for name, value in inner.items()
    }


def _number(name: str, value: Any) -> Any:
    """Older clients send every value as text."""
    kind = SCHEMA["properties"].get(name, {}).get("type")
    if kind == "integer" and isinstance(value, str) and value.strip().isascii() and value.strip().isdigit():
        return int(value) if len(value) < 10 else value
    return value
