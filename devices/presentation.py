"""How devices read on pages: one badge, what may be done now, and what has happened."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from accounts.models import AuditEntry
from accounts.permissions import can
from hub.pages.states import Badge, badge
from hub.pages.templatetags.ui import action_words, data_words

from .choices import DeviceStatus, Health, KeyState, Liveness
from .configuration.models import DeviceConfig, GroupConfig
from .configuration.schema import DEFAULTS, flat
from .deployments.models import TargetEvent
from .manual.models import ManualCommand
from .models import Device

S = DeviceStatus
FROM: Final[Mapping[str, tuple[str, ...]]] = {
    "accept": (S.PENDING, S.REJECTED),
    "reject": (S.PENDING,),
    "suspend": (S.ACCEPTED,),
    "resume": (S.SUSPENDED,),
    "decommission": (S.PENDING, S.PREAUTHORISED, S.ACCEPTED, S.REJECTED, S.SUSPENDED),
}
"""In which states the pages offer each decision; the services decide."""


def device_badge(device: Any) -> Badge:
    """What matters about it now: that it is not dealt with, else that it is silent, else how it is."""
    if device.status != S.ACCEPTED:
        return badge("device", device.status, why=device.status_reason)
    if device.liveness != Liveness.ONLINE:
        return badge("liveness", device.liveness)
    if device.beat.health and device.beat.health != Health.HEALTHY:
        return badge("health", device.beat.health)
    return badge("liveness", Liveness.ONLINE)


class Head:
    """The top of a device's page; the device brings its keys and groups."""

    def __init__(self, device: Device, user: Any) -> None:
        self.device = device
        self.badge = device_badge(device)
        self.may_decide = can(user, "devices.control", device)
        self.may_change = can(user, "devices.change", device) and device.status != S.DECOMMISSIONED

    @property
    def verbs(self) -> dict[str, bool]:
        return {verb: self.may_decide and self.device.status in states for verb, states in FROM.items()}

    @property
    def waiting_key(self) -> Any:
        """The key that is proposed: the first of a device that waits, or another one of a device that is known."""
        return next((key for key in self.device.keys.all() if key.state == KeyState.PROPOSED), None)

    @property
    def proposed_key(self) -> Any:
        """A key that somebody has to decide about; the first key of a device that waits comes with its acceptance."""
        proposed = self.waiting_key
        return proposed if len(self.device.keys.all()) > 1 and self.device.status != S.DECOMMISSIONED else None

    @property
    def facts(self) -> tuple[Any, ...]:
        """What the fingerprint of the fragment is made of."""
        device, key = self.device, self.waiting_key
        shown = (device.name, device.status, device.status_reason, self.badge, device.beat.last_seen_at)
        return (*shown, key and key.pk, self.may_decide, self.may_change)


@dataclass(frozen=True)
class Setting:
    """One configured value, and who says so: the device itself, a group, or nobody."""

    name: str
    value: str
    source: str
    is_own: bool = False


def settings_of(device: Device, config: DeviceConfig) -> list[Setting]:
    """Every setting of a device with where it comes from, in one query; inner ones as `settings.key`."""
    groups = GroupConfig.objects.filter(group__devices=device).select_related("group")
    sources = dict.fromkeys(flat(DEFAULTS), "default")
    for each in groups.order_by("group__priority", "group__slug"):
        sources |= dict.fromkeys(flat(each.values), f"group {each.group.name}")
    own = flat(config.values)
    return [
        Setting(name, value if isinstance(value, str) else json.dumps(value), sources.get(name, ""), name in own)
        for name, value in sorted(flat(config.desired).items())
    ]


def config_badge(config: DeviceConfig, reported: int | None) -> Badge:
    """Whether the device has what it is to be set to."""
    if config.error:
        return badge("config", "refused", why=config.error)
    if config._state.adding:
        return badge("config", "usual", why="The defaults and those of its groups, if any; it is sent nothing.")
    return badge("config", "applied" if reported == config.version else "behind")


@dataclass(frozen=True)
class Moment:
    """One thing that happened: somebody's deed, a move of a deployment, or the end of a command."""

    at: datetime
    who: str
    what: str
    notes: tuple[str, ...] = ()
    badge: Badge | None = None


def history(device: Device, limit: int) -> list[Moment]:
    """What people, the device and deployments did with it, newest first; three queries."""
    entries = AuditEntry.objects.filter(target_kind="device", target_id=str(device.pk))[:limit]
    events = TargetEvent.objects.filter(target__device=device).select_related("target__bundle").order_by("-id")[:limit]
    moments = [
        Moment(
            entry.at,
            entry.actor_name or "somebody",
            action_words(entry.action),
            tuple(filter(None, (entry.via, *data_words(entry.data)))),
        )
        for entry in entries
    ]
    moments += [
        Moment(event.at, "", str(event.target.bundle), (event.message,) if event.message else (), _move(event))
        for event in events
    ]
    commands = ManualCommand.objects.filter(device=device).exclude(finished_at=None).order_by("-created_at")[:limit]
    moments += [
        Moment(each.finished_at, "", str(each), (each.error_message,) if each.error_message else (), _end(each))
        for each in commands.defer("output")
        if each.finished_at is not None
    ]
    return sorted(moments, key=lambda moment: moment.at, reverse=True)[:limit]


def _end(command: ManualCommand) -> Badge:
    return badge("command", command.status)


def _move(event: TargetEvent) -> Badge:
    return badge("target", event.status)
