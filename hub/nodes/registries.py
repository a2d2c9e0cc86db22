"""Credentials of image registries on a node: set, replaced and forgotten, never shown.

They are sealed in `Node.credentials` and reach the engine with its options; pages and the API only ever tell which
registries have some, and for which user.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.permissions import require
from hub.exceptions import Invalid, NotFound

from .models import Node

REGISTRY = re.compile(r"[A-Za-z0-9.-]+(?::\d{1,5})?(?:/[a-z0-9._/-]+)?")
MAX_LENGTH = 4096


@dataclass(frozen=True)
class Registry:
    """A registry, perhaps with the beginning of a path, that this node can log in to."""

    registry: str
    username: str


def registries_of(node: Node) -> list[Registry]:
    """The registries with credentials, without those."""
    return [Registry(str(entry["registry"]), str(entry["username"])) for entry in _entries(node)]


def set_registry(node: Node, *, actor: Any, registry: str, username: str, password: str) -> None:
    """Store credentials for a registry in place of those it has."""
    require(actor, "nodes.change", node)
    registry = registry.strip().removeprefix("https://").rstrip("/")
    if not REGISTRY.fullmatch(registry):
        raise Invalid("Name the registry as images do, such as ghcr.io or registry.example.org/team.", field="registry")
    for field, text in (("username", username), ("password", password)):
        if not text or len(text) > MAX_LENGTH:
            raise Invalid("This is missing or too long.", field=field)
    with transaction.atomic():
        locked = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        others = [entry for entry in _entries(locked) if entry["registry"] != registry]
        replaces = len(others) < len(_entries(locked))
        _store(locked, [*others, {"registry": registry, "username": username, "password": password}])
        audit.record(actor, "node.registry_set", locked, registry=registry, username=username, replaces=replaces)


def forget_registry(node: Node, *, actor: Any, registry: str) -> None:
    """Forget the credentials of a registry."""
    require(actor, "nodes.change", node)
    with transaction.atomic():
        locked = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        others = [entry for entry in _entries(locked) if entry["registry"] != registry]
        if len(others) == len(_entries(locked)):
            raise NotFound("The node has no credentials for this registry.", field="registry")
        _store(locked, others)
        audit.record(actor, "node.registry_forgotten", locked, registry=registry)


def _entries(node: Node) -> list[dict[str, str]]:
    stored = json.loads(node.credentials.reveal() or "{}") if node.credentials else {}
    return list(stored.get("registries", ()))


def _store(node: Node, entries: list[dict[str, str]]) -> None:
    """Replace the list and leave whatever else the engine's credentials hold."""
    stored = json.loads(node.credentials.reveal() or "{}") if node.credentials else {}
    node.credentials = json.dumps({**stored, "registries": entries})
    node.save(update_fields=["credentials"])
