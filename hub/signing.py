"""How the hub signs what it sends to webhooks: HMAC-SHA256 with a shared secret."""

from __future__ import annotations

import hashlib
import hmac


def signature(secret: str, *parts: bytes) -> str:
    """The signature of these parts, joined by a dot; as in `X-Hub-Signature-256`."""
    return f"sha256={hmac.new(secret.encode(), b'.'.join(parts), hashlib.sha256).hexdigest()}"
