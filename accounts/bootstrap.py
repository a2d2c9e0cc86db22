"""What a fresh hub has: the roles and the user `admin`."""

from __future__ import annotations

import os
from typing import Any

from .models import User
from .services import ADMIN_USERNAME, ensure_admin


def run() -> list[dict[str, Any]]:
    """Create what is missing; a password that was generated here is told once."""

    if User.objects.filter(username=ADMIN_USERNAME).exists():
        return []
    generated = ensure_admin(os.environ.get("HUB_ADMIN_PASSWORD") or None)
    return [{"made": f"user {ADMIN_USERNAME}", "admin_password": generated}]
