"""Who does things: a person (perhaps through an API token), a device, or the hub itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias

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


@dataclass(frozen=True)
class DeviceActor:
    """A device that has proven who it is. It holds no verb: what devices may do stands in their own API."""

    pk: str
    name: str
    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    api_token: ClassVar[None] = None

    def __str__(self) -> str:
        return self.name


SYSTEM: Final = System()
SCHEDULER: Final = System("scheduler")

Actor: TypeAlias = "User | System"
Asker: TypeAlias = "User | System | AnonymousUser"  # whoever a request comes from, before any check
