"""Who does things: a person (perhaps through an API token) or the hub itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from django.contrib.auth.models import AnonymousUser

if TYPE_CHECKING:
    from .models import User


class System:
    """The hub itself: the scheduler, an agent, a management command. May do everything."""

    is_authenticated: Final = True
    is_anonymous: Final = False

    def __init__(self, name: str = "system") -> None:
        self.name = name

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"System({self.name!r})"


SYSTEM: Final = System()
SCHEDULER: Final = System("scheduler")

Actor: TypeAlias = "User | System"
Asker: TypeAlias = "User | System | AnonymousUser"  # whoever a request comes from, before any check
