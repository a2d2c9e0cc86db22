"""For how long the request log, tokens, logins and the audit trail are kept."""

from __future__ import annotations

from django.conf import settings
from django.db.models import Min, QuerySet
from django.utils import timezone

from hub import retention

from . import audit_retention, tokens
from .actors import SYSTEM
from .models import ApiToken, AuditEntry, RequestEntry, TokenFamily


def _requests() -> QuerySet[RequestEntry]:
    return RequestEntry.objects.filter(at__lt=retention.days_ago(settings.HUB_REQUEST_LOG_DAYS))


def _tokens() -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(expiry__lt=timezone.now() - tokens.EXPIRED_KEPT)


def _logins() -> QuerySet[TokenFamily]:
    return TokenFamily.objects.filter(expires_at__lt=timezone.now())


def _audit() -> QuerySet[AuditEntry]:
    """Entries of seals that are old enough; none while the trail is kept for ever."""
    if not settings.HUB_AUDIT_DAYS:
        return AuditEntry.objects.none()
    before = retention.days_ago(settings.HUB_AUDIT_DAYS)
    return AuditEntry.objects.filter(seal__created_at__lt=before, seal__archived_at=None)


def _audit_preview() -> retention.Preview:
    found = _audit().order_by()
    return retention.Preview(found.count(), found.aggregate(oldest=Min("at"))["oldest"])


def _audit_keeps() -> str:
    days = settings.HUB_AUDIT_DAYS
    return f"kept for {days} days, then exported to a file and removed" if days else "kept for ever"


def register() -> None:
    """Called once by the app config."""
    of_rows = retention.of_rows
    retention.register(
        of_rows(
            "requests",
            "Request log",
            lambda: f"kept for {settings.HUB_REQUEST_LOG_DAYS} days",
            _requests,
            time_field="at",
        )
    )
    retention.register(
        of_rows(
            "tokens",
            "Expired API tokens",
            lambda: f"kept for {tokens.EXPIRED_KEPT.days} days after their expiry",
            _tokens,
            time_field="expiry",
        )
    )
    retention.register(
        of_rows("logins", "Ended logins by token", lambda: "kept until their expiry", _logins, time_field="expires_at")
    )
    retention.register(
        retention.Rule(
            "audit",
            "Audit trail",
            _audit_keeps,
            _audit_preview,
            lambda: audit_retention.retain(days=settings.HUB_AUDIT_DAYS, actor=SYSTEM)[1],
        )
    )
