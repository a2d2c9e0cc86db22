"""The audit trail: who did what, to what, from where. One INSERT per step, never changed, never a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import models

from hub import context
from hub.postgres.inserts import insert
from hub.secrets import Sealed

from .actors import DeviceActor, System
from .choices import ActorKind

if TYPE_CHECKING:
    from .actors import Asker
    from .models import AuditEntry

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|secret|token|api_?key|private_?key|credential|cookie|authorization|otp|recovery"
    r"|(^|_)(flag|pin)$",
    re.IGNORECASE,
)
# What only speaks about a secret: its name, number, age.
_HARMLESS_KEY = re.compile(r"_(id|name|prefix|version|count|at|changed)$", re.IGNORECASE)
_SECRET_VALUE = re.compile(r"\bhub_[0-9a-f]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY-----")


class SecretInAuditError(Exception):
    """Something that looks like a secret was about to enter the audit trail."""


def record(
    actor: Asker | DeviceActor | None, action: str, target: models.Model | None = None, **data: Any
) -> AuditEntry:
    """Write one entry in the transaction at hand. `data` is JSON; write changes as `before={…}, after={…}`."""
    from .models import AuditEntry

    facts = context.current()
    entry = AuditEntry(
        action=action,
        via=facts.via,
        ip=facts.ip,
        request_id=facts.request_id,
        data=_clean(data, "data"),
        **_actor_fields(actor),
        **_target_fields(target),
    )
    insert(entry)
    return entry


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The `before` and `after` of what differs, for `record`."""
    differing = [name for name in after if before.get(name) != after[name]]
    return {
        "before": {name: before.get(name) for name in differing},
        "after": {name: after[name] for name in differing},
    }


def _actor_fields(actor: Asker | DeviceActor | None) -> dict[str, str]:
    if isinstance(actor, System):
        return {"actor_kind": ActorKind.SYSTEM, "actor_name": actor.name}
    if isinstance(actor, DeviceActor):
        return {"actor_kind": ActorKind.DEVICE, "actor_id": actor.pk, "actor_name": actor.name[:150]}
    if actor is None or not actor.is_authenticated:
        return {"actor_kind": ActorKind.ANONYMOUS}
    return {
        "actor_kind": ActorKind.USER,
        "actor_id": str(actor.pk),
        "actor_name": actor.username,
        "token_name": actor.api_token.name if actor.api_token else "",
    }


def _target_fields(target: models.Model | None) -> dict[str, str]:
    if target is None:
        return {}
    return {
        "target_kind": target._meta.model_name or "",
        "target_id": str(target.pk),
        "target_name": str(target)[:200],
        "region_slug": str(getattr(target, "region_slug", None) or ""),
    }


def _clean(value: Any, path: str) -> Any:
    """Plain JSON without secrets: refused loudly while developing and testing, dropped in production."""
    if isinstance(value, dict):
        return {
            str(key): _clean(item, f"{path}.{key}")
            for key, item in value.items()
            if not (_is_secret_key(str(key)) and _drop(f"{path}.{key}"))
        }
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value) if isinstance(value, set | frozenset) else value
        return [_clean(item, path) for item in items]
    if isinstance(value, Sealed) or (isinstance(value, str) and _SECRET_VALUE.search(value)):
        _drop(path)
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def _is_secret_key(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _HARMLESS_KEY.search(key)


def _drop(path: str) -> bool:
    if settings.HUB_AUDIT_STRICT:
        raise SecretInAuditError(f"{path} looks like a secret and must not enter the audit trail")
    return True
