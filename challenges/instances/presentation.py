"""An instance as pages show it: its state, how to reach it, what may be done with it now and why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from accounts.permissions import can
from hub.nodes.choices import IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.pages.live import SECONDS_BUSY, SECONDS_CALM

from .connections import Connection

if TYPE_CHECKING:
    from challenges.models import Instance

ROW_FACTS = (
    "pk",
    "generation",
    "desired_status",
    "observed_status",
    "admin_state",
    "status_reason",
    "progress_percent",
    "expires_at",
    "extensions",
    "team__name",
    "challenge__name",
    "node__name",
)
"""What changes a row of the board, for its fingerprint."""
WORDS = {
    "launch": ("Launch", "play"),
    "extend": ("Extend", "clock"),
    "redeploy": ("Reset", "restart"),
    "restart": ("Restart", "undo"),
    "pause": ("Pause", "pause"),
    "stop": ("Stop", "stop"),
}


@dataclass(frozen=True)
class Action:
    """A button; with a reason it may not be used now."""

    verb: str
    label: str
    icon: str
    reason: str = ""


@dataclass(frozen=True)
class Panel:
    """The box in which a team launches its copy of a challenge and follows it; `url` shows it anew and takes verbs."""

    instance: Instance | None
    url: str
    actions: list[Action]
    connections: list[Connection]

    @property
    def before_the_end(self) -> str:
        """What a team can do about an end that is near."""
        extend = next((action for action in self.actions if action.verb == "extend"), None)
        if extend is None or extend.reason:
            return f"{extend.reason if extend else ''} Save what you need.".strip()
        return "Extend it, or save what you need."

    @property
    def seconds(self) -> int:
        """How soon to look again."""
        return SECONDS_BUSY if self.is_busy else SECONDS_CALM

    @property
    def is_busy(self) -> bool:
        return self.instance is not None and (
            self.instance.observed_status in IN_PROGRESS or self.instance.desired_status == DesiredStatus.DELETED
        )

    @property
    def runs(self) -> bool:
        return self.instance is not None and self.instance.observed_status in (
            ObservedStatus.RUNNING,
            ObservedStatus.UNHEALTHY,
        )

    @property
    def facts(self) -> tuple[Any, ...]:
        """What changes the box, for its fingerprint."""
        if self.instance is None:
            return ()
        one = self.instance
        shown = (one.pk, one.generation, one.observed_status, one.desired_status, one.status_reason, one.expires_at)
        return (*shown, one.progress_percent, one.is_about_to_end, self.connections)


def panel_of(instance: Instance | None, *, url: str, actor: Any, refusal_to_extend: str = "") -> Panel:
    """The box for one person; he sees the buttons that his rights and its state give him."""
    if instance is None or instance.observed_status == ObservedStatus.DELETED:
        return Panel(None, url, [_action("launch")], [])
    if not can(actor, "instances.control", instance) or instance.desired_status == DesiredStatus.DELETED:
        return Panel(instance, url, [], instance.connections)
    actions = []
    broken = (ObservedStatus.FAILED, ObservedStatus.CRASHED, ObservedStatus.LOST)
    if instance.desired_status == DesiredStatus.STOPPED or instance.observed_status in broken:
        actions.append(_action("launch"))
    if instance.expires_at is not None:
        actions.append(_action("extend", refusal_to_extend))
    actions += [_action(verb) for verb in ("redeploy", "restart")]
    if instance.desired_status == DesiredStatus.RUNNING:
        actions.append(_action("pause"))
    actions.append(_action("stop"))
    return Panel(instance, url, actions, instance.connections)


def _action(verb: str, reason: str = "") -> Action:
    return Action(verb, *WORDS[verb], reason)
