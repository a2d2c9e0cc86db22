"""Send the audit trail elsewhere as it is sealed: to a syslog server, to a webhook, or to both.

Seals go out whole and in order, each entry as one line of JSON, so nothing is left out and what arrives can be proven
against the digests. A place that does not answer is asked again with the next run, from where it stopped: an entry may
arrive twice after a fault, and its id says so. How far each place is, and why it is behind, is seen in /health.
"""

from __future__ import annotations

import json
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.db import connection
from django.utils import timezone

from hub import outgoing
from hub.exceptions import HubError
from hub.health import DEGRADED, OK, Finding
from hub.signing import signature

from .audit_chain import canonical
from .models import AuditEntry, AuditSeal, AuditShipment

logger = logging.getLogger(__name__)

SEALS_PER_RUN = 200
TIMEOUT_SECONDS = 10
FACILITY_LOG_AUDIT, SEVERITY_INFO = 13, 6  # RFC 5424
UDP_MOST_BYTES = 8_192
_LOCK = 0x53484950  # one shipper at a time

Send = Callable[[AuditSeal, list[AuditEntry]], None]


class ShippingError(Exception):
    """A place did not take what was sent."""


def ship() -> int:
    """Send what was sealed since the last time to every place; answers how many entries went out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        if not cursor.fetchone()[0]:
            return 0
    try:
        return sum(_ship_to(name, send) for name, send in _sinks().items())
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def check_shipping() -> Finding:
    """Whether every place is up to date; for /health."""
    behind = []
    for row in AuditShipment.objects.filter(sink__in=_sinks()).exclude(error=""):
        missing = AuditSeal.objects.filter(pk__gt=row.seal).count()
        behind.append(f"{row.sink} is {missing} seals behind: {row.error}")
    return Finding(DEGRADED, "; ".join(behind)) if behind else Finding(OK)


def _sinks() -> dict[str, Send]:
    found: dict[str, Send] = {}
    if settings.HUB_AUDIT_SYSLOG:
        found["syslog"] = _to_syslog
    if settings.HUB_AUDIT_WEBHOOK:
        found["webhook"] = _to_webhook
    return found


def _ship_to(name: str, send: Send) -> int:
    """One place: seal after seal until all are there, or one is refused."""
    row, _ = AuditShipment.objects.get_or_create(sink=name)
    count = 0
    for seal in AuditSeal.objects.filter(pk__gt=row.seal).order_by("pk")[:SEALS_PER_RUN]:
        entries = list(seal.entries.order_by("id"))
        try:
            if entries:  # those of an old seal may be in a file of `audit_retain`
                send(seal, entries)
        except (ShippingError, HubError, OSError) as error:
            reason = str(error) or type(error).__name__
            logger.warning("the audit trail does not reach the %s: %s", name, reason)
            AuditShipment.objects.filter(pk=row.pk).update(error=reason[:300])
            return count
        AuditShipment.objects.filter(pk=row.pk).update(seal=seal.pk, shipped_at=timezone.now(), error="")
        count += len(entries)
    return count


def _to_webhook(seal: AuditSeal, entries: list[AuditEntry]) -> None:
    """POST one seal as JSON, signed with the shared secret where there is one; any 2xx is a yes."""
    body = json.dumps(
        {"seal": seal.pk, "digest": seal.digest, "entries": [json.loads(canonical(entry)) for entry in entries]}
    ).encode()
    headers = {"Content-Type": "application/json", "User-Agent": f"kutanga-hub/{settings.VERSION}"}
    if settings.HUB_AUDIT_WEBHOOK_SECRET:
        headers["X-Hub-Signature-256"] = signature(settings.HUB_AUDIT_WEBHOOK_SECRET, body)
    answer = outgoing.request("POST", settings.HUB_AUDIT_WEBHOOK, body=body, headers=headers, timeout=TIMEOUT_SECONDS)
    if not 200 <= answer.status < 300:
        raise ShippingError(f"it answers {answer.status}")


def _to_syslog(seal: AuditSeal, entries: list[AuditEntry]) -> None:
    """Send each entry as one RFC 5424 message: by UDP a datagram, by TCP or TLS with its length in front (RFC 6587)."""
    target = urlsplit(settings.HUB_AUDIT_SYSLOG)
    place = (target.hostname or "", target.port or (6514 if target.scheme == "tls" else 514))
    messages = [syslog_message(entry, seal) for entry in entries]
    if target.scheme == "udp":
        found = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        with socket.socket(found[0], socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message[:UDP_MOST_BYTES], found[4])
        return
    with socket.create_connection(place, timeout=TIMEOUT_SECONDS) as plain:
        stream: Any = plain
        if target.scheme == "tls":
            stream = ssl.create_default_context().wrap_socket(plain, server_hostname=place[0])
        stream.sendall(b"".join(b"%d %s" % (len(message), message) for message in messages))
        stream.shutdown(socket.SHUT_WR)
        stream.recv(1)  # waits for the other side to close: what it did not read would be lost without a word


def syslog_message(entry: AuditEntry, seal: AuditSeal) -> bytes:
    """One entry as RFC 5424 has it; the text is the entry's JSON."""
    priority = FACILITY_LOG_AUDIT * 8 + SEVERITY_INFO
    at = entry.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    host = urlsplit(settings.HUB_URL).hostname or "-"
    head = f'<{priority}>1 {at} {host} kutanga-hub - audit [hub@32473 entry="{entry.pk}" seal="{seal.pk}"] '
    return head.encode() + canonical(entry)
