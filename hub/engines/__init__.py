"""Engines by name: the class follows the node's `engine`, by dotted path in settings, as Django does for mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from .base import Capabilities, Engine


def engine_class(kind: str) -> type[Engine]:
    """The engine class for a node's `engine` value."""
    cls: type[Engine] = import_string(settings.HUB_ENGINES[kind])
    return cls


def load_engine(kind: str, *, node: str, options: Mapping[str, Any]) -> Engine:
    """An engine for one node; `options` are that node's own settings."""
    return engine_class(kind)(node=node, options=options)


def capabilities_of(kind: str) -> Capabilities:
    """What an engine declares, without connecting to anything."""
    return engine_class(kind).capabilities
