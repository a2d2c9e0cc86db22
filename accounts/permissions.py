"""May this actor do that? The one place where the API, pages, admin and jobs ask."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from hub.exceptions import NotAllowed, NotFound

from . import grants, limits, roles
from .actors import DeviceActor, System
from .scopes import scopes_allow

if TYPE_CHECKING:
    from .actors import Asker
    from .models import User

register = grants.register


def can(actor: Asker, verb: str, obj: Any = None) -> bool:
    """Whether the actor may use the verb: at all, or on this object. Costs at most one query per user instance."""
    if verb not in roles.VERBS:
        raise LookupError(f"{verb} is not in accounts.roles.VERBS")
    if isinstance(actor, System):
        return True
    if not _may_act(actor) or not _token_allows(actor, verb, obj):
        return False
    access = actor.access
    if obj is None:
        return bool(roles.VERBS[verb] & access.roles)
    wide = roles.object_form(verb) or verb
    if roles.VERBS[wide] & access.roles and _within_regions(access.regions, obj):
        return True
    return bool(roles.VERBS[verb] & access.roles) and grants.granted(actor, verb, obj)


def require(actor: Asker, verb: str, obj: Any = None) -> None:
    """Raise `NotAllowed` unless the actor may; `NotFound` when he may not even know that the object exists."""
    if can(actor, verb, obj):
        return
    if obj is not None and not _sees(actor, verb, obj):
        raise NotFound(f"There is no such {obj._meta.verbose_name}.")
    raise NotAllowed("You are not allowed to do this.")


def sees_all(actor: Asker, verb: str) -> bool:
    """Whether the actor's right to the verb reaches everybody's objects in every region."""
    return reaches_any(actor, verb) and region_limit(actor) is None


def reaches_any(actor: Asker, verb: str) -> bool:
    """Whether the actor's role reaches objects of others, perhaps only in some regions (`region_limit`)."""
    return can(actor, roles.object_form(verb) or verb)


def region_limit(actor: Asker) -> frozenset[str] | None:
    """The regions an Operator is limited to; None when there is no limit."""
    return actor.access.regions if _is_user(actor) else None


def group_limit(actor: Asker) -> frozenset[str] | None:
    """The device groups that a token is limited to; None when there is no limit."""
    token = actor.api_token if _is_user(actor) else None
    return None if token is None or not token.device_groups else frozenset(token.device_groups)


def manages_people(actor: Asker) -> bool:
    """Whether there are people whom the actor may look after: an Admin, or an Operator of some regions."""
    return can(actor, "users.view_any") or (can(actor, "users.suspend") and region_limit(actor) is not None)


def region_scopes(user: User) -> set[str] | None:
    """The regions a user is limited to, None when he is not."""
    limit = region_limit(user)
    return None if limit is None else set(limit)


def _sees(actor: Asker, verb: str, obj: Any) -> bool:
    view = f"{verb.partition('.')[0]}.view"
    return view in roles.VERBS and can(actor, view, obj)


def _is_user(actor: Asker) -> TypeGuard[User]:
    return actor.is_authenticated and not isinstance(actor, System | DeviceActor)


def _may_act(actor: Asker) -> TypeGuard[User]:
    return _is_user(actor) and actor.can_act


def _token_allows(actor: User, verb: str, obj: Any) -> bool:
    """A token narrows: to verbs, and one for device groups to these and to what their devices need."""
    token = actor.api_token
    if token is None:
        return True
    return scopes_allow(token.scopes, verb) and limits.allow(actor, verb, obj)


def _within_regions(regions: frozenset[str] | None, obj: Any) -> bool:
    if regions is None or not hasattr(obj, "region_slug"):
        return True
    return obj.region_slug in regions
