"""Periodic work of the accounts app."""

from __future__ import annotations

from . import audit_chain, audit_shipping, jwt, tokens


def seal_audit() -> int:
    """Seal new audit entries in the hash chain (every minute)."""
    return audit_chain.seal()


def forget_expired_tokens() -> int:
    """Delete API tokens that expired long ago, and logins that ended (every day)."""
    return tokens.forget_expired_tokens() + jwt.forget_ended()


def ship_audit() -> int:
    """Send newly sealed audit entries to syslog and webhook, where they are configured (every minute)."""
    return audit_shipping.ship()
