"""Enrolment tokens: made with a secret that is shown once, counted as they are used, revoked."""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from accounts import audit
from accounts.permissions import require
from hub.exceptions import Conflict, Invalid

from ..models import EnrolmentToken

if TYPE_CHECKING:
    from accounts.actors import Asker

PREFIX = "enrol_"


def create_token(*, actor: Asker, **values: Any) -> tuple[EnrolmentToken, str]:
    """Make a token; answers it with its secret, which nobody sees again."""
    secret = PREFIX + secrets.token_urlsafe(32)
    token = EnrolmentToken(**values, digest=digest_of(secret), hint=secret[:12], created_by=str(actor))
    require(actor, "devices.change", token)
    token.full_clean()
    with transaction.atomic():
        token.save()
        audit.record(actor, "enrolment_token.created", token, most_uses=token.most_uses, expires=token.expires_at)
    return token, secret


def revoke_token(token: EnrolmentToken, *, actor: Asker) -> EnrolmentToken:
    """Let nobody enrol with it any more; who has, stays."""
    require(actor, "devices.change", token)
    with transaction.atomic():
        if not EnrolmentToken.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=Now()):
            raise Conflict("This token has been revoked already.", code="revoked")
        audit.record(actor, "enrolment_token.revoked", token, uses=token.uses)
    token.refresh_from_db()
    return token


def use_token(secret: str) -> EnrolmentToken:
    """Count one use; of two uses at once of the last one, one is refused. Raises `Invalid`."""
    digest = digest_of(secret)
    if not EnrolmentToken.objects.usable().filter(digest=digest).update(uses=F("uses") + 1):
        raise Invalid(
            "This enrolment token is not valid: unknown, revoked, used up or expired.",
            code="enrolment_token_refused",
            field="enrolment_token",
        )
    return EnrolmentToken.objects.select_related("region", "group").get(digest=digest)


def digest_of(secret: str) -> str:
    """What is kept of a secret: it is long and random, so one round of a hash is enough."""
    return sha256(secret.encode()).hexdigest()
