"""The audit trail sent elsewhere: whole, in order, again after a fault, and seen when it is behind."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest

from accounts import audit, audit_chain, audit_shipping
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, AuditShipment

pytestmark = pytest.mark.django_db


def sealed(*names: str) -> None:
    for name in names:
        audit.record(SYSTEM, name)
    audit_chain.seal()


class Hook(http.server.BaseHTTPRequestHandler):
    """Keeps what it gets and answers as it is told."""

    got: list[tuple[dict[str, str], bytes]]
    status = 204

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        type(self).got.append((dict(self.headers), body))
        self.send_response(type(self).status)
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def hook(settings) -> Iterator[type[Hook]]:
    kind = type("OneHook", (Hook,), {"got": [], "status": 204})
    server = http.server.HTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HUB_OUTGOING_ALLOWED = [ip_network("127.0.0.0/8")]
    settings.HUB_AUDIT_WEBHOOK = f"http://127.0.0.1:{server.server_port}/audit"
    settings.HUB_AUDIT_WEBHOOK_SECRET = "shared"
    yield kind
    server.shutdown()
    server.server_close()


def actions_at(hook: type[Hook]) -> list[str]:
    return [entry["action"] for _, body in hook.got for entry in json.loads(body)["entries"]]


def test_webhook_gets_each_seal_once_and_in_order(hook):
    sealed("thing.one", "thing.two")
    audit_shipping.ship()
    sealed("thing.three")
    audit_shipping.ship()
    audit_shipping.ship()

    assert actions_at(hook) == ["thing.one", "thing.two", "thing.three"]


def test_webhook_is_signed_and_holds_what_the_chain_hashed(hook):
    sealed("thing.one")
    audit_shipping.ship()

    headers, body = hook.got[0]
    signature = hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={signature}"
    assert json.loads(body)["entries"] == [json.loads(audit_chain.canonical(AuditEntry.objects.get()))]


def test_what_is_not_sealed_waits(hook):
    audit.record(SYSTEM, "thing.fresh")

    assert audit_shipping.ship() == 0


def test_refused_seal_is_sent_again_and_health_says_why(hook):
    hook.status = 500
    sealed("thing.one")
    audit_shipping.ship()
    behind = audit_shipping.check_shipping()
    hook.status = 204
    audit_shipping.ship()

    assert (behind.state, "answers 500" in behind.detail, "1 seals behind" in behind.detail) == ("degraded", True, True)
    assert actions_at(hook) == ["thing.one", "thing.one"]
    assert audit_shipping.check_shipping().state == "ok"


def test_private_address_of_a_webhook_is_refused_unless_allowed(hook, settings):
    settings.HUB_OUTGOING_ALLOWED = []
    sealed("thing.one")

    assert audit_shipping.ship() == 0
    assert hook.got == []
    assert AuditShipment.objects.get().error


def test_syslog_by_udp(settings):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(5)
        settings.HUB_AUDIT_SYSLOG = f"udp://127.0.0.1:{listener.getsockname()[1]}"
        sealed("thing.one", "thing.two")
        audit_shipping.ship()
        lines = [listener.recv(10_000).decode() for _ in range(2)]

    head = r'<110>1 \d{4}-\S+Z localhost kutanga-hub - audit \[hub@32473 entry="\d+" seal="\d+"\] \{'
    assert re.match(head, lines[0])
    assert [json.loads(line[line.index("{") :])["action"] for line in lines] == ["thing.one", "thing.two"]


def test_syslog_by_tcp_frames_each_message_by_its_length(settings):
    got = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings.HUB_AUDIT_SYSLOG = f"tcp://127.0.0.1:{listener.getsockname()[1]}"

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while chunk := connection.recv(65_536):
                    got.extend(chunk)

        reader = threading.Thread(target=serve)
        reader.start()
        sealed("thing.one", "thing.two")
        count = audit_shipping.ship()
        reader.join(60)

    actions, rest = [], bytes(got)
    while rest:
        length, _, rest = rest.partition(b" ")
        message, rest = rest[: int(length)], rest[int(length) :]
        actions.append(json.loads(message[message.index(b"{") :])["action"])
    assert (count, actions) == (2, ["thing.one", "thing.two"])


def test_syslog_that_is_away_leaves_everything_to_the_next_run(settings):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings.HUB_AUDIT_SYSLOG = f"tcp://127.0.0.1:{port}"
    sealed("thing.one")

    assert audit_shipping.ship() == 0
    assert audit_shipping.check_shipping().state == "degraded"


def test_nothing_is_shipped_where_nothing_is_configured():
    sealed("thing.one")

    assert audit_shipping.ship() == 0
    assert not AuditShipment.objects.exists()


def test_page_exports_json_of_what_is_asked_for(client, admin):
    sealed("thing.one", "server.two")
    client.force_login(admin)

    answer = client.get("/audit/?noun=server&json=1")

    entries = json.loads(b"".join(answer.streaming_content))
    assert [entry["action"] for entry in entries] == ["server.two"]
    assert "attachment" in answer["Content-Disposition"]
