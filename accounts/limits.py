"""Tokens for the machines that build and deliver: they may upload bundles and deploy to some device groups.

The accounts know no devices. The app that has them says in `AppConfig.ready` which groups there are and which of its
objects are within some; what nobody has said anything about stays as the verb decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import models

from hub.exceptions import Invalid

VERBS: Final = frozenset({"bundles.view", "bundles.change", "deployments.view", "deployments.change", "devices.view"})
"""All that a token for device groups may at most; its scopes and its owner's role narrow this further."""
Within = Callable[[Any, str, Any, frozenset[str]], bool]
_groups: list[Callable[[], list[tuple[str, str]]]] = []
_within: dict[type[models.Model], Within] = {}


def register_groups(groups: Callable[[], list[tuple[str, str]]]) -> None:
    """Say which groups there are: slug and name of each."""
    _groups[:] = [groups]


def register_within(model: type[models.Model], rule: Within) -> None:
    """Say whether an actor may use a verb on an object of this model with a token for the groups with these slugs."""
    _within[model] = rule


def group_choices() -> list[tuple[str, str]]:
    return _groups[0]() if _groups else []


def check_groups(slugs: Iterable[str]) -> list[str]:
    """The groups, each once; a token is limited to nothing that there is not."""
    wanted = sorted(set(slugs))
    known = dict(group_choices()) if wanted else {}
    if unknown := [slug for slug in wanted if slug not in known]:
        raise Invalid(f"There is no device group {unknown[0]}.", field="device_groups")
    return wanted


def allow(actor: Any, verb: str, obj: Any = None) -> bool:
    """Whether the actor's token may use the verb, on this object, as far as it is one for device groups."""
    groups = frozenset(actor.api_token.device_groups)
    if not groups:
        return True
    plain = verb.removesuffix("_any")
    if plain not in VERBS:
        return False
    rule = next((_within[kind] for kind in obj.__class__.__mro__ if kind in _within), None)
    return obj is None or rule is None or rule(actor, plain, obj, groups)
