"""Who is asking the API: an API token or a signed one in the header, or the browser's session with its CSRF check."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from rest_framework.authentication import BaseAuthentication, SessionAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from hub import context

from .querysets import adopt_owner

if TYPE_CHECKING:
    from .models import ApiToken, User

USED_EVERY = timedelta(minutes=1)  # how often the last use is written, at most


class ApiTokenAuthentication(TokenAuthentication):
    """`Authorization: Token hub_…`: one query finds the token, its owner, his roles and regions.

    Knox looks tokens up by their first characters and tidies up on the way; we ask for the digest itself, which is
    unique, so there is nothing to compare and nothing secret to time.
    """

    def authenticate_credentials(self, token: bytes) -> tuple[User, ApiToken]:
        from .models import ApiToken

        try:
            digest = hash_token(token.decode("ascii"))
        except UnicodeDecodeError:
            raise AuthenticationFailed("Invalid token.") from None
        found = ApiToken.objects.find(digest)
        now = timezone.now()
        if found is None or not found.is_enabled or found.is_expired(now):
            raise AuthenticationFailed("Invalid token.")
        if not found.user.can_act:
            raise AuthenticationFailed("This account is suspended or inactive.")
        ip = context.current().ip
        if not found.allows_address(ip):
            raise AuthenticationFailed("This token may not be used from this address.")
        _note_use(found, ip)
        user = adopt_owner(found)
        user.api_token = found
        context.amend(user=user.username)
        return user, found


class JwtAuthentication(BaseAuthentication):
    """`Authorization: Bearer …`: the access token of a login; one query finds the user, his roles and his login."""

    def authenticate(self, request: Any) -> tuple[User, None] | None:
        from . import jwt

        scheme, _, text = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != "bearer":
            return None
        user = jwt.user_of(text.strip())
        if user is None:
            raise AuthenticationFailed("Invalid token.")
        if not user.can_act:
            raise AuthenticationFailed("This account is suspended or inactive.")
        context.amend(user=user.username)
        return user, None


class ApiSessionAuthentication(SessionAuthentication):
    """The browser's session. Answers 401 with a challenge to whoever has none, as the token does."""

    def authenticate(self, request: Any) -> tuple[User, None] | None:
        found = super().authenticate(request)
        if found is not None and not found[0].can_act:
            raise AuthenticationFailed("This account is suspended or inactive.")
        if found is not None:
            from . import second_factor

            if second_factor.is_missing(found[0]):
                raise AuthenticationFailed("Your role asks for a second factor. Set one up first.")
            context.amend(user=found[0].username)
        return found


def _note_use(token: ApiToken, ip: str | None) -> None:
    """Write the last use unless it was written within the minute; of two requests at once one writes."""
    from .models import ApiToken

    now = timezone.now()
    due = now - USED_EVERY
    if token.last_used_at is None or token.last_used_at <= due:
        stale = Q(last_used_at=None) | Q(last_used_at__lte=due)
        ApiToken.objects.filter(stale, pk=token.pk).update(last_used_at=now, last_used_ip=ip)
