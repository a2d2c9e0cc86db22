"""How each kind of channel is spoken to.

Plain calls through `hub.outgoing`, because the guard against private addresses sits in the connection itself: a library
such as apprise brings its own HTTP client, into which the guard cannot be put. These are three small requests, and what
they need is documented by those who receive them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMessage

from hub import outgoing
from hub.signing import signature

from .choices import ChannelKind, DeliveryEvent
from .models import Channel, Delivery

TIMEOUT_SECONDS = 10
PAGERDUTY_URL = "https://events.pagerduty.com/v2/enqueue"
BAD_MESSAGES: Final = frozenset({400, 413, 422})
"""Answers that say something of the message and not of the channel: it would be refused for ever."""


class SendError(Exception):
    """A message did not arrive. `is_final`: this one never will, but others may."""

    def __init__(self, reason: str, *, is_final: bool = False) -> None:
        super().__init__(reason)
        self.is_final = is_final


def send(delivery: Delivery, channel: Channel) -> None:
    """Send one message, within ten seconds. Raises `SendError`, `HubError` and OSError."""
    SENDERS[ChannelKind(channel.kind)](delivery, channel)


def addresses(target: str) -> list[str]:
    return [each.strip() for each in target.split(",") if each.strip()]


def _email(delivery: Delivery, channel: Channel) -> None:
    message = delivery.message
    facts = [f"{name}: {message[key]}" for key, name in FACTS if message.get(key)]
    body = "\n".join([message["text"], "", *facts, "", message["url"]])
    EmailMessage(f"[{message['severity']}] {message['title']}", body, to=addresses(channel.target)).send()


def _slack(delivery: Delivery, channel: Channel) -> None:
    message = delivery.message
    head = f"*<{message['url']}|{escaped(message['title'])}>* ({message['severity']})"
    _post(channel.secret.reveal(), {"text": f"{head}\n{escaped(message['text'])}"})


def _pagerduty(delivery: Delivery, channel: Channel) -> None:
    """Events v2: the alert's own key makes repeats harmless there, and its end closes the incident."""
    message = delivery.message
    key = f"kutanga-hub-{message.get('alert') or delivery.pk}"
    event = {
        "routing_key": channel.secret.reveal(),
        "event_action": "resolve" if delivery.event == DeliveryEvent.RESOLVED else "trigger",
        "dedup_key": key,
        "client": "Kutanga Hub",
        "client_url": message["url"],
        "payload": {
            "summary": f"{message['title']}. {message['text']}"[:1024],
            "source": message.get("subject") or "kutanga-hub",
            "severity": message["severity"],
            "timestamp": message.get("fired_at") or delivery.created_at.isoformat(timespec="seconds"),
            "custom_details": message,
        },
    }
    _post(channel.target or PAGERDUTY_URL, event)
    if delivery.event == DeliveryEvent.TEST:  # nobody has to close it by hand
        _post(channel.target or PAGERDUTY_URL, {**event, "event_action": "resolve"})


def _webhook(delivery: Delivery, channel: Channel) -> None:
    """JSON, signed over its time and body; `X-Hub-Delivery` is the same at each attempt, so repeats can be told."""
    body = json.dumps(delivery.message).encode()
    now = str(int(time.time()))
    headers = {"X-Hub-Delivery": str(delivery.pk), "X-Hub-Event": f"alert.{delivery.event}", "X-Hub-Timestamp": now}
    if channel.secret:
        headers["X-Hub-Signature-256"] = signature(channel.secret.reveal(), now.encode(), body)
    _post(channel.target, body, **headers)


def _post(url: str, body: bytes | dict[str, Any], **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fixed = {"Content-Type": "application/json", "User-Agent": f"kutanga-hub/{settings.VERSION}"}
    answer = outgoing.request("POST", url, body=data, headers={**fixed, **headers}, timeout=TIMEOUT_SECONDS)
    if not 200 <= answer.status < 300:
        raise SendError(f"It answers {answer.status}.", is_final=answer.status in BAD_MESSAGES)


def escaped(text: str) -> str:
    """As Slack wants what is no markup of ours."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


FACTS: Final = (
    ("severity", "Severity"),
    ("subject_name", "About"),
    ("region", "Region"),
    ("began_at", "Began"),
    ("resolved_at", "Over"),
)
SENDERS: Final[dict[ChannelKind, Callable[[Delivery, Channel], None]]] = {
    ChannelKind.EMAIL: _email,
    ChannelKind.SLACK: _slack,
    ChannelKind.PAGERDUTY: _pagerduty,
    ChannelKind.WEBHOOK: _webhook,
}
