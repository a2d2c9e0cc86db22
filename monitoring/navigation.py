"""Places of monitoring."""

from __future__ import annotations

from accounts.permissions import can
from hub.pages.navigation import Place, register

register(
    Place(
        "Monitoring",
        "Fleet",
        "monitoring:fleet",
        "chart",
        lambda user: can(user, "nodes.view"),
        position=10,
    ),
)
register(
    Place(
        "Monitoring",
        "Errors",
        "monitoring:error_list",
        "alert",
        lambda user: can(user, "errors.view"),
        position=30,
    ),
)
register(
    Place(
        "Administration",
        "Retention",
        "monitoring:retention",
        "clock",
        lambda user: can(user, "settings.view"),
        position=60,
    ),
)
