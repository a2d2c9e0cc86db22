"""Periodic work of the accounts app."""

from __future__ import annotations

from . import audit_chain, jwt, tokens


def seal_audit() -> int:
    """Seal new audit entries in the hash chain (every minute)."""
    return audit_chain.seal()


def forget_expired_tokens() -> int:
    """Delete API tokens that expired long ago, and logins that ended (every day)."""
    return tokens.forget_expired_tokens() + jwt.forget_ended()
