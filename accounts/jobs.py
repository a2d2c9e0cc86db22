"""Periodic work of the accounts app."""

from __future__ import annotations

from . import audit_chain


def seal_audit() -> int:
    """Seal new audit entries in the hash chain (every minute)."""
    return audit_chain.seal()
