"""What a fresh hub has: the roles and the user `admin`."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from .models import User
from .services import ADMIN_USERNAME, ensure_admin


def run() -> list[dict[str, Any]]:
    """Create what is missing; a password that was generated here is told once."""

    if User.objects.filter(username=ADMIN_USERNAME).exists():
        return []
    generated = ensure_admin(settings.HUB_ADMIN_PASSWORD or None)
    return [{"made": f"user {ADMIN_USERNAME}", "admin_password": generated}]
