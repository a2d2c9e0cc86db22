"""API tokens: made, rotated and revoked. The plain text exists in the answer to the one who asked, and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from knox.models import get_digest_token
from knox.settings import CONSTANTS

from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed

from . import audit, limits
from .actors import Actor, System
from .models import ApiToken, User
from .permissions import require
from .quotas import lock_owner

TOKENS_PER_USER = 100
EXPIRED_KEPT = timedelta(days=30)
LONGEST_OVERLAP_SECONDS = 30 * 86_400


def create_token(
    user: User,
    *,
    name: str,
    actor: Actor,
    scopes: Iterable[str] = (),
    expires_at: datetime | None = None,
    allowed_networks: Iterable[str] = (),
    device_groups: Iterable[str] = (),
) -> tuple[ApiToken, str]:
    """Make a token; answers the row and the plain text, which cannot be had again."""
    _require_owner(actor, user)
    if expires_at is not None and expires_at <= timezone.now():
        raise Invalid("The expiry must be in the future.", field="expires_at")
    token, plain = _draft(
        user,
        name=name,
        scopes=sorted(set(scopes)),
        expiry=expires_at,
        allowed_networks=sorted(set(allowed_networks)),
        device_groups=limits.check_groups(device_groups),
    )
    _refuse_widening(actor, token)
    with transaction.atomic():
        owner = lock_owner(user)
        _check_number(owner)
        token.save(force_insert=True)
        audit.record(
            actor,
            "token.created",
            token,
            owner=owner.username,
            scopes=token.scopes,
            expires_at=expires_at and expires_at.isoformat(),
            allowed_networks=token.allowed_networks,
            **({"device_groups": token.device_groups} if token.device_groups else {}),
        )
    return token, plain


def revoke_token(token: ApiToken, *, actor: Actor) -> None:
    """Delete a token; the next request that carries it is refused."""
    require(actor, "tokens.change", token)
    with transaction.atomic():
        audit.record(actor, "token.revoked", token, owner=token.user.username)
        token.delete()


def set_token_enabled(token: ApiToken, enabled: bool, *, actor: Actor) -> ApiToken:
    """Switch a token off or on again."""
    require(actor, "tokens.change", token)
    with transaction.atomic():
        changed = ApiToken.objects.filter(pk=token.pk, is_enabled=not enabled).update(is_enabled=enabled)
        if changed:
            audit.record(actor, "token.enabled" if enabled else "token.disabled", token, owner=token.user.username)
    token.is_enabled = enabled
    return token


def rotate_token(token: ApiToken, *, actor: Actor, overlap: timedelta = timedelta(0)) -> tuple[ApiToken, str]:
    """Replace a token by one with the same name, limits and expiry; the old one still works for `overlap`."""
    require(actor, "tokens.change", token)
    _refuse_widening(actor, token)
    with transaction.atomic():
        owner = lock_owner(token.user)
        old = ApiToken.objects.select_for_update(no_key=True).filter(pk=token.pk).first()
        if old is None:
            raise Conflict("This token was revoked meanwhile.")
        now = timezone.now()
        if old.is_expired(now):
            raise Conflict("This token has expired. Make a new one.")
        expiry = old.expiry
        if overlap > timedelta(0):
            _check_number(owner)
            old.expiry = min(filter(None, (expiry, now + overlap)))
            old.save(update_fields=["expiry"])
        else:
            old.delete()
        new, plain = _draft(
            owner,
            name=old.name,
            scopes=old.scopes,
            expiry=expiry,
            allowed_networks=old.allowed_networks,
            device_groups=old.device_groups,
        )
        new.save(force_insert=True)
        audit.record(actor, "token.rotated", new, owner=owner.username, overlap_seconds=int(overlap.total_seconds()))
    return new, plain


def forget_expired_tokens() -> int:
    """Delete tokens that expired long ago; until then their owner sees that they did."""
    count, _ = ApiToken.objects.filter(expiry__lt=timezone.now() - EXPIRED_KEPT).delete()
    return count


def _check_number(owner: User) -> None:
    """Refuse one more token than a user may have; his row is locked."""
    if ApiToken.objects.filter(user=owner).unexpired().count() >= TOKENS_PER_USER:
        raise LimitReached(f"A user has at most {TOKENS_PER_USER} tokens. Revoke one first.")


def _draft(owner: User, **values: Any) -> tuple[ApiToken, str]:
    """A valid token that is not stored yet, and its plain text."""
    digest, plain = get_digest_token()
    token = ApiToken(user=owner, digest=digest, token_key=plain[: CONSTANTS.TOKEN_KEY_LENGTH], **values)
    try:
        token.clean_fields()
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(messages), field=field) from None
    return token, plain


def _require_owner(actor: Actor, user: User) -> None:
    """Everybody makes his own tokens; for others (a service account) that is an Admin's work."""
    if isinstance(actor, User) and actor.pk == user.pk:
        require(actor, "tokens.own")
    else:
        require(actor, "tokens.change_any")


def _refuse_widening(actor: Actor, token: ApiToken) -> None:
    """A token may not get hold of one that may do more than itself: more verbs, for longer, from elsewhere."""
    if isinstance(actor, System) or actor.api_token is None:
        return
    if not token.is_within(actor.api_token):
        raise NotAllowed("A token cannot make another that may do more than itself.")
