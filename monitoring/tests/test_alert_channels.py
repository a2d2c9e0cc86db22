"""Channels against a server of our own: what is sent, and what happens when it fails, hangs and comes back."""

from __future__ import annotations

import hashlib
import hmac
import http.server
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from monitoring.alerts import conditions, deliver, evaluate, senders
from monitoring.alerts.conditions import Condition, Hit
from monitoring.alerts.models import AlertRule, Channel, Delivery
from monitoring.subjects import Subject

pytestmark = pytest.mark.django_db


class Stub(http.server.BaseHTTPRequestHandler):
    """Answers by `mode`: a status, or "hang", which takes the request and never answers it."""

    mode: Any = 200
    let_go: threading.Event
    got: list[tuple[dict[str, str], Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.mode == "hang":
            self.let_go.wait(60)
            return
        if self.mode == 200:
            type(self).got.append((dict(self.headers), body))
        self.send_response(self.mode)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def stub(settings: Any) -> Iterator[Any]:
    kind = type("OneStub", (Stub,), {"got": [], "mode": 200, "let_go": threading.Event()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    settings.HUB_OUTGOING_ALLOWED = [ip_network("127.0.0.0/8")]
    kind.url = f"http://127.0.0.1:{server.server_port}/hook"  # type: ignore[attr-defined]
    yield kind
    kind.let_go.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()


def channel(kind: str, **values: Any) -> Channel:
    return Channel.objects.create(name=kind, kind=kind, **values)


def fire(monkeypatch: pytest.MonkeyPatch) -> None:
    hits = [Hit(Subject("test:alpha", "al<pha>"), 91.0, "Nearly full & rising.")]
    monkeypatch.setitem(conditions._conditions, "told", Condition("told", "Told", lambda rule, now: hits))
    AlertRule.objects.create(slug="told", name="Told", condition="told", severity="critical")
    evaluate.evaluate_all()


def come_back() -> None:
    """Let the time pass for which channels rest."""
    Channel.objects.update(retry_at=timezone.now() - timedelta(seconds=1))


def test_dead_slack_loses_nothing_and_is_told_once(stub: Any, monkeypatch: pytest.MonkeyPatch):
    slack = channel("slack", secret=stub.url)
    fire(monkeypatch)

    for mode in (500, "hang"):
        stub.mode = mode
        come_back()
        with monkeypatch.context() as patch:
            patch.setattr(senders, "TIMEOUT_SECONDS", 0.3 if mode == "hang" else senders.TIMEOUT_SECONDS)
            assert deliver.deliver_all() == 0
    waiting = Delivery.objects.get()
    assert (waiting.state, waiting.attempts) == ("waiting", 2)
    assert "does not answer" in waiting.error

    stub.mode = 200
    come_back()
    for _ in range(3):
        deliver.deliver_all()

    ((_, body),) = stub.got
    slack.refresh_from_db()
    assert "al&lt;pha&gt;" in json.loads(body)["text"]
    assert "Nearly full &amp; rising." in json.loads(body)["text"]
    assert (slack.failures, slack.retry_at, slack.last_error) == (0, None, "")
    assert Delivery.objects.get().state == "sent"


def test_dead_channel_is_left_alone_for_longer_each_time(stub: Any, monkeypatch: pytest.MonkeyPatch):
    slack = channel("slack", secret=stub.url)
    fire(monkeypatch)
    stub.mode = 500
    pauses = []

    for _ in range(8):
        come_back()
        deliver.deliver_all()
        deliver.deliver_all()  # the breaker is open: not tried
        slack.refresh_from_db()
        pauses.append(round((slack.retry_at - timezone.now()).total_seconds()))  # type: ignore[operator]

    assert pauses == pytest.approx([15, 30, 60, 120, 240, 480, 900, 900], abs=7)
    assert Delivery.objects.get().attempts == 8


def test_dead_channel_holds_up_no_other(stub: Any, monkeypatch: pytest.MonkeyPatch):
    channel("slack", secret="http://127.0.0.1:9/gone")
    channel("email", target="ops@example.org")
    fire(monkeypatch)

    assert deliver.deliver_all() == 1

    assert [message.to for message in mail.outbox] == [["ops@example.org"]]
    assert dict(Delivery.objects.values_list("channel__kind", "state")) == {"slack": "waiting", "email": "sent"}


def test_hanging_channel_keeps_no_other_waiting(stub: Any, monkeypatch: pytest.MonkeyPatch):
    """Both begin at once: the one that is well has its message while the other still hangs."""

    class WellStub(Stub):
        got: list[tuple[dict[str, str], Any]] = []

        def do_POST(self) -> None:
            super().do_POST()
            stub.let_go.set()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), WellStub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(senders, "TIMEOUT_SECONDS", 60)
    stub.mode = "hang"
    channel("slack", secret=stub.url)
    well = channel("webhook", target=f"http://127.0.0.1:{server.server_port}/hook")
    fire(monkeypatch)
    Channel.objects.filter(pk=well.pk).update(failures=1)  # the one that hangs comes first
    began = timezone.now()

    sent = deliver.deliver_all()
    server.shutdown()
    server.server_close()

    well.refresh_from_db()
    assert (sent, len(WellStub.got), timezone.now() - began < timedelta(seconds=50)) == (1, 1, True)
    assert well.last_sent_at is not None
    assert dict(Delivery.objects.values_list("channel__kind", "state")) == {"slack": "waiting", "webhook": "sent"}
    assert not Channel.objects.exclude(lease_token=None).exists()


def test_error_that_nobody_foresaw_lets_go_of_every_channel(stub: Any, monkeypatch: pytest.MonkeyPatch):
    def fail(delivery: Delivery, channel: Channel) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(senders.SENDERS, senders.ChannelKind.SLACK, fail)
    channel("slack", secret=stub.url)
    channel("webhook", target=stub.url)
    fire(monkeypatch)

    with pytest.raises(ZeroDivisionError):
        deliver.deliver_all()

    assert not Channel.objects.exclude(lease_token=None).exists()


def test_message_that_is_refused_for_what_it_is_does_not_stop_the_others(stub: Any):
    hook = channel("webhook", target=stub.url)
    first = Delivery.objects.create(channel=hook, event="test", message={"title": "bad"})
    Delivery.objects.create(channel=hook, event="test", message={"title": "good"})
    stub.mode = 413

    deliver.deliver_channel(hook.pk)

    first.refresh_from_db()
    hook.refresh_from_db()
    assert (first.state, hook.failures) == ("failed", 0)
    assert "413" in first.error


def test_message_is_given_up_after_a_day_and_stays_visible(stub: Any, monkeypatch: pytest.MonkeyPatch):
    channel("slack", secret=stub.url)
    fire(monkeypatch)
    Delivery.objects.update(waiting_since=timezone.now() - timedelta(hours=25))
    stub.mode = 500

    deliver.deliver_all()

    assert Delivery.objects.undelivered().get().state == "failed"


def test_webhook_is_signed_over_its_time_and_body(stub: Any, monkeypatch: pytest.MonkeyPatch):
    channel("webhook", target=stub.url, secret="shared")
    fire(monkeypatch)

    deliver.deliver_all()

    ((headers, body),) = stub.got
    signed = headers["X-Hub-Timestamp"].encode() + b"." + body
    assert headers["X-Hub-Signature-256"] == f"sha256={hmac.new(b'shared', signed, hashlib.sha256).hexdigest()}"
    assert abs(int(headers["X-Hub-Timestamp"]) - time.time()) < 10
    assert headers["X-Hub-Delivery"] == str(Delivery.objects.get().pk)
    assert json.loads(body)["subject"] == "test:alpha"


def test_pagerduty_opens_and_closes_one_incident(stub: Any, monkeypatch: pytest.MonkeyPatch):
    channel("pagerduty", target=stub.url, secret="routing")
    fire(monkeypatch)
    AlertRule.objects.update(is_enabled=False)
    evaluate.evaluate_all()

    deliver.deliver_all()

    opened, closed = (json.loads(body) for _, body in stub.got)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"]
    assert (opened["routing_key"], opened["payload"]["severity"]) == ("routing", "critical")


def test_mail_says_what_and_where(monkeypatch: pytest.MonkeyPatch):
    channel("email", target="ops@example.org, chief@example.org")
    fire(monkeypatch)

    deliver.deliver_all()

    (message,) = mail.outbox
    assert message.to == ["ops@example.org", "chief@example.org"]
    assert message.subject == "[critical] Told: al<pha>"
    assert f"/alerts/{Delivery.objects.get().alert_id}/" in message.body


def test_private_address_is_refused_and_seen(settings: Any, monkeypatch: pytest.MonkeyPatch):
    settings.HUB_OUTGOING_ALLOWED = []
    hook = channel("webhook", target="http://127.0.0.1:9/hook")
    fire(monkeypatch)

    deliver.deliver_all()

    hook.refresh_from_db()
    assert "cannot be reached from here" in hook.last_error


def test_secret_is_sealed_in_the_database_and_shown_to_nobody():
    made = channel("slack", secret="https://hooks.example.org/T0/B0/x")
    read = Channel.objects.get(pk=made.pk)

    assert str(read.secret) == "••••••••"
    assert read.secret.sealed.startswith("k")
    assert read.secret.reveal() == "https://hooks.example.org/T0/B0/x"
