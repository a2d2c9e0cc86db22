"""How servers read on pages: what may be done now, what the browser has seen, and the words of a log."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import OuterRef, Q, Subquery
from django.db.models.functions import JSONObject, Now, TruncMinute
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from hub.nodes.choices import IN_PROGRESS, DesiredStatus, ObservedStatus
from hub.nodes.models import AGENT_SILENT_AFTER_SECONDS, Operation
from hub.pages import live
from hub.statements import statement

from .models import GameServer
from .services import Credentials, allowed_actions

POWER = (("start", "Start", "play"), ("stop", "Stop", "stop"), ("restart", "Restart", "restart"))
LOG_WARNING = re.compile(r"\bWARN(ING)?\b|can't keep up", re.IGNORECASE)
LOG_ERROR = re.compile(r"\b(ERROR|SEVERE|FATAL|CRITICAL|Traceback|Exception)\b", re.IGNORECASE)
CRASHED_FOR_GOOD = (ObservedStatus.FAILED, ObservedStatus.CRASHED, ObservedStatus.LOST)


@dataclass(frozen=True)
class Action:
    """A verb as a button: `reason` says why not, empty when it may be used now."""

    verb: str
    label: str
    icon: str
    reason: str


class Head:
    """The top of a server's page: state, address, buttons, and the operation that is under way."""

    def __init__(self, server: GameServer, user: Any) -> None:
        self.server = server
        self.allowed = allowed_actions(server, user)
        self.latest = Operation.objects.filter(workload_id=server.pk).first()

    @property
    def power(self) -> list[Action]:
        return [Action(verb, label, icon, self.allowed[verb]) for verb, label, icon in POWER]

    @property
    def is_busy(self) -> bool:
        """Whether it is worth asking often."""
        server = self.server
        return server.observed_status in IN_PROGRESS or bool(self.latest and self.latest.is_open)

    @property
    def seconds(self) -> int:
        return live.SECONDS_BUSY if self.is_busy else live.SECONDS_CALM

    @property
    def is_gone(self) -> bool:
        return self.server.is_deleted

    @property
    def is_broken(self) -> bool:
        return self.server.observed_status in CRASHED_FOR_GOOD and self.server.desired_status == DesiredStatus.RUNNING

    @property
    def advice(self) -> str:
        """What to do about the state it is in."""
        return {
            ObservedStatus.CRASHED: "Look into its log. It is started again by itself, each time later.",
            ObservedStatus.FAILED: "Mend what the reason says, then start it again. Its log may tell more.",
            ObservedStatus.LOST: "Its node no longer knows it. Start it to make it anew from its data.",
        }.get(ObservedStatus(self.server.observed_status), "")

    @property
    def open_operation(self) -> str:
        return str(self.latest.pk) if self.latest and self.latest.is_open else ""

    @property
    def fate(self) -> str:
        """What became of the latest operation, for the toast that ends a long action."""
        if self.latest is None or self.latest.is_open:
            return ""
        if self.latest.status == "failed":
            return f"Could not {self.latest.verb} {self.server.name}: {self.latest.error}"
        return f"{self.server.name}: {self.latest.verb} is done"


HEAD_FACTS = (
    "pk",
    "name",
    "generation",
    "desired_status",
    "observed_status",
    "admin_state",
    "status_reason",
    "progress_percent",
    "suspension_reason",
    "facts",
    "config_version",
    "running_config_version",
    "restart_count",
    "is_kill_wanted",
    "owner",
    "published_ports",
    "template__updated_at",
    "node__name",
    "node__region__slug",
    "address_rows",
    "is_answering",
    "latest",
)
SAMPLE_ID = uuid.UUID(int=7_003)


def head_tag(user: Any, pk: uuid.UUID) -> str:
    """A fingerprint of all that the top of a server's page shows to this person; "" where he sees none."""
    facts = statement(("head", user.reach), lambda pk: _head_facts(user, pk), SAMPLE_ID).digest(pk)
    return live.etag(user.reach, user.is_staff, facts) if facts else ""


def _head_facts(user: Any, pk: uuid.UUID) -> Any:
    wishes = Operation.objects.filter(workload_id=OuterRef("pk")).order_by("-created_at")
    latest = Subquery(wishes.values(row=JSONObject(id="id", status="status"))[:1])
    answering = Q(node__agent_seen_at__gt=Now() - timedelta(seconds=AGENT_SILENT_AFTER_SECONDS))
    servers = GameServer.objects.visible_to(user).filter(pk=pk).with_addresses()
    return servers.annotate(latest=latest, is_answering=answering).values_list(*HEAD_FACTS)


ROW_FACTS = (
    "pk",
    "name",
    "generation",
    "desired_status",
    "observed_status",
    "admin_state",
    "status_reason",
    "progress_percent",
    "facts__players",
    "config_version",
    TruncMinute("node__agent_seen_at"),
)
"""What a row of the list shows that can change; its address changes with the generation or the reason. What it uses is
news once a minute, as long as its node's agent is there to measure it.
"""


def log_html(text: str) -> SafeString:
    """A log with its warnings and errors marked."""
    return format_html_join("\n", "{}", ((_log_line(line),) for line in text.splitlines()))


def _log_line(line: str) -> SafeString | str:
    css = "k-e" if LOG_ERROR.search(line) else "k-w" if LOG_WARNING.search(line) else ""
    return format_html('<span class="{}">{}</span>', css, line) if css else line


def credentials_html(credentials: Credentials) -> SafeString:
    """The passwords as markup made here, so that they never enter a template's context."""
    console = f"{credentials.rcon_host}:{credentials.rcon_port}" if credentials.rcon_host else ""
    rows = [
        ("Console address", console),
        ("Console password", credentials.rcon_password),
        *credentials.secret_values.items(),
    ]
    return format_html_join("", _COPY_ROW, ((label, value, value, label.lower()) for label, value in rows if value))


_COPY_ROW = (
    '<div class="k-stack k-tight"><span class="k-small k-muted">{}</span><div class="k-copybox"><code>{}</code>'
    '<button type="button" class="btn btn-sm k-js" data-copy="{}" aria-label="Copy {}">Copy</button></div></div>'
)
