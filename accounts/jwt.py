"""Signed tokens of a login: a short access token, and a refresh token that works once.

Each login is one `TokenFamily` row with a counter. A refresh token names family and count; using it raises the count by
compare-and-set, so of two uses at once one wins. Any other count means that a copy is about: the family is revoked, and
whoever holds its tokens, the thief or the owner, has to log in again. An access token is good while its family lives
and the user's `token_version` is the one it was made with.

Keys are derived from the ring of `HUB_SECRET_KEYS`: the newest signs, all verify, so a new key put in front takes
over while older tokens run out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from hub import context
from hub.exceptions import HubError

from . import audit
from .actors import Actor
from .models import TokenFamily, User

ALGORITHM = "HS256"
ISSUER = "kutanga-hub"
ACCESS, REFRESH = "access", "refresh"


class TokenRefused(HubError):
    """A signed token is damaged, expired, revoked or was used before."""

    code = "invalid_token"
    status = 401


@dataclass(frozen=True)
class TokenPair:
    """What a login or a refresh answers."""

    access: str
    refresh: str
    expires_in: int


def log_in(user: User, *, user_agent: str = "") -> TokenPair:
    """Open a family for this user and make its first tokens."""
    with transaction.atomic():
        family = TokenFamily.objects.create(
            user=user, ip=context.current().ip, user_agent=user_agent[:200], expires_at=_refresh_expiry()
        )
        audit.record(user, "user.logged_in", user, by="jwt")
    return _pair(user, family)


def refresh(text: str) -> TokenPair:
    """Exchange a refresh token for a new pair. Raises `TokenRefused`, and revokes the family of one used before.

    The update is the decision: it meets the row of the count it names, or none. It must name columns of this table
    alone: with a join Django looks for the row in a subquery, and then every one of several at once wins. The
    revocation is committed although the request is refused.
    """
    claims = _claims_of(text, REFRESH)
    count = claims["count"]
    with transaction.atomic():
        won = (
            TokenFamily.objects.live()
            .filter(pk=claims["sid"], count=count)
            .update(count=F("count") + 1, last_used_at=timezone.now(), expires_at=_refresh_expiry())
        )
        family = TokenFamily.objects.select_related("user").filter(pk=claims["sid"]).first()
        if family is not None and not won and family.revoked_at is None and family.count > count:
            revoke(family, reason="reused")
    if not won or family is None or not family.user.can_act or family.user.token_version != claims["tv"]:
        raise TokenRefused("This refresh token is not valid any more. Log in again.")
    return _pair(family.user, family)


def log_out(text: str) -> None:
    """Revoke the family of a refresh token; its access tokens stop with it."""
    family = TokenFamily.objects.select_related("user").filter(pk=_claims_of(text, REFRESH)["sid"]).first()
    if family is not None and family.revoked_at is None:
        with transaction.atomic():
            revoke(family, reason="logout")
            audit.record(family.user, "user.logged_out", family.user, by="jwt")


def user_of(access: str) -> User | None:
    """Whose access token this is, with roles and regions in the same query; None when it is not valid."""
    try:
        claims = _claims_of(access, ACCESS)
    except TokenRefused:
        return None
    live = TokenFamily.objects.live().filter(pk=claims["sid"]).values("user_id")
    found: User | None = (
        User.objects.with_access().filter(pk__in=live, pk=int(claims["sub"]), token_version=claims["tv"]).first()
    )
    return found


def revoke(family: TokenFamily, *, reason: str, actor: Actor | None = None) -> None:
    """End a login: neither its refresh token nor its access tokens are taken any more."""
    if TokenFamily.objects.filter(pk=family.pk, revoked_at=None).update(revoked_at=timezone.now()):
        audit.record(actor, "login.revoked", family.user, reason=reason, login_id=str(family.pk))


def revoke_all(user: User) -> None:
    """End every login by signed token of this user."""
    TokenFamily.objects.filter(user=user, revoked_at=None).update(revoked_at=timezone.now())


def forget_ended() -> int:
    """Delete the rows of logins that ended; until its expiry a revoked one says why its tokens are refused."""
    count, _ = TokenFamily.objects.filter(expires_at__lt=timezone.now()).delete()
    return count


def _pair(user: User, family: TokenFamily) -> TokenPair:
    seconds = settings.HUB_JWT_ACCESS_MINUTES * 60
    access = _sign(user, family, ACCESS, timezone.now() + timedelta(seconds=seconds))
    return TokenPair(access, _sign(user, family, REFRESH, family.expires_at, count=family.count), seconds)


def _refresh_expiry() -> datetime:
    return timezone.now() + timedelta(days=settings.HUB_JWT_REFRESH_DAYS)


def _sign(user: User, family: TokenFamily, use: str, expires_at: datetime, **more: Any) -> str:
    keys = _keys(tuple(settings.HUB_KEY_RING.items()))
    newest = keys.keys[0]
    claims = {
        "iss": ISSUER,
        "use": use,
        "sub": str(user.pk),
        "sid": str(family.pk),
        "tv": user.token_version,
        "iat": int(timezone.now().timestamp()),
        "exp": int(expires_at.timestamp()),
        **more,
    }
    return jwt.encode({"alg": ALGORITHM, "kid": newest.kid}, claims, newest)


def _claims_of(text: str, use: str) -> dict[str, Any]:
    """The claims of a token that we signed for this use and that has not expired. Raises `TokenRefused`."""
    rules = jwt.JWTClaimsRegistry(
        iss={"essential": True, "value": ISSUER},
        use={"essential": True, "value": use},
        exp={"essential": True},
        sub={"essential": True},
    )
    try:
        claims = jwt.decode(text, _keys(tuple(settings.HUB_KEY_RING.items())), algorithms=[ALGORITHM]).claims
        rules.validate(claims)
        UUID(claims["sid"])
    except (JoseError, ValueError, KeyError):
        raise TokenRefused("This token is not valid.") from None
    return claims


@lru_cache(maxsize=4)
def _keys(ring: tuple[tuple[str, bytes], ...]) -> KeySet:
    """One signing key for each key of the ring, in its order; what signs tokens opens no secret and the reverse."""
    return KeySet([OctKey.import_key(_derive(key), {"kid": key_id}) for key_id, key in ring])


def _derive(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"hub jwt").derive(key)
