"""Rights that depend on the object: each app says in `AppConfig.ready` what an owner, sub-user or captain may do.

A rule only adds: it is asked after the role table, and only about verbs that the actor's role may have at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from django.db import models

from . import roles

if TYPE_CHECKING:
    from .models import ApiToken, User

Rule = Callable[["User", str, Any], bool]
_rules: dict[type[models.Model], list[Rule]] = {}


def register(model: type[models.Model], rule: Rule) -> None:
    """Ask `rule(actor, verb, obj)` about objects of this model (and of models that inherit from it)."""
    rules = _rules.setdefault(model, [])
    if rule not in rules:
        rules.append(rule)


def granted(actor: User, verb: str, obj: Any) -> bool:
    """Whether some rule allows it. Asks `__class__`, because `request.user` is a lazy stand-in for a user."""
    return any(rule(actor, verb, obj) for kind in obj.__class__.__mro__ for rule in _rules.get(kind, ()))


def register_own() -> None:
    """Rules of this app: everybody has himself and his tokens."""
    from .models import ApiToken, User

    register(User, _is_self)
    register(User, _is_in_his_regions)
    register(ApiToken, _is_own_token)


def _is_self(actor: User, verb: str, user: User) -> bool:
    return verb in ("users.view", "users.change", "quotas.view") and actor.pk == user.pk


def _is_in_his_regions(actor: User, verb: str, user: User) -> bool:
    """An Operator who is limited to regions manages the Players who prefer one of them, and nobody of rank."""
    regions = actor.access.regions
    if verb not in ("users.view", "users.suspend", "users.reset") or regions is None or user.is_service:
        return False
    return roles.OPERATOR in actor.access.roles and user.role == roles.PLAYER and user.region_preference in regions


def _is_own_token(actor: User, verb: str, token: ApiToken) -> bool:
    return verb in ("tokens.view", "tokens.change") and actor.pk == token.user_id
