"""What is kept for how long: the preview shows what the deletion takes, and a record says what went."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from accounts import audit, audit_chain
from accounts.models import AuditEntry, AuditSeal, RequestEntry
from accounts.tests.factories import UserFactory
from hub import retention, tallies
from hub.models import PeriodicRun, RetentionRun
from hub.nodes.models import NodeTask, Operation
from hub.nodes.tests.factories import NodeFactory
from hub.tests.test_metering import figures, finish, value
from monitoring import tables
from monitoring.alerts.models import Alert, Channel, Delivery
from monitoring.errors.models import ErrorGroup
from monitoring.models import Event
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(days=800)


def rule(name: str) -> retention.Rule:
    return next(each for each in retention.rules() if each.name == name)


def old_and_new(name: str) -> Any:
    """Two rows of the kind, one of them older than is kept; answers the rows."""
    now = timezone.now()
    past = now - LONG_AGO
    match name:
        case "operations":
            server = make_server()
            finish(server, "done", seconds=1, ago=LONG_AGO.total_seconds())
            finish(server, "done", seconds=1)
            tallies.add_up()
            return Operation.objects.filter(finished_at__isnull=False)
        case "tasks":
            node = NodeFactory()
            for at in (past, now):
                NodeTask.objects.create(node=node, verb="look", actor_name="ada", status="done", finished_at=at)
            tallies.add_up()
            return NodeTask.objects.all()
        case "runs":
            for at in (past, now):
                PeriodicRun.objects.create(task="x", due_at=at, claimed_at=at, outcome="done")
            return PeriodicRun.objects.all()
        case "sessions":
            for key, at in (("old", past), ("new", now + timedelta(days=1))):
                Session.objects.create(session_key=key, session_data="", expire_date=at)
            return Session.objects.all()
        case "requests":
            for at in (past, now):
                RequestEntry.objects.create(at=at, user="ada", via="web", method="GET", path="/", status=200, ms=1)
            return RequestEntry.objects.all()
        case "events":
            for at in (past, now):
                Event.objects.create(subject="node:a", kind="note", at=at)
            return Event.objects.all()
        case "errors":
            for key, at in (("old", past), ("new", now)):
                facts = {"error_type": "E", "source": "web", "place": "/", "first_seen_at": at, "last_seen_at": at}
                ErrorGroup.objects.create(fingerprint=key, **facts)
            return ErrorGroup.objects.all()
        case "alerts":
            for at in (past, now):
                over = {"state": "resolved", "began_at": at, "seen_at": at, "resolved_at": at}
                Alert.objects.create(rule_name="Disk", severity="info", subject="node:a", subject_name="a", **over)
            return Alert.objects.all()
        case "deliveries":
            channel = Channel.objects.create(name="ops", kind="email", target="a@example.org")
            for at in (past, now):
                made = Delivery.objects.create(channel=channel, event="test", state="sent")
                Delivery.objects.filter(pk=made.pk).update(created_at=at)
            return Delivery.objects.all()
    raise LookupError(name)


KINDS = ["operations", "tasks", "runs", "sessions", "requests", "events", "errors", "alerts", "deliveries"]


@pytest.mark.parametrize("name", KINDS)
def test_old_goes_new_stays_and_the_record_says_so(name: str, settings: Any) -> None:
    settings.HUB_REQUEST_LOG_DAYS, settings.HUB_ERROR_DAYS = 30, 90
    rows = old_and_new(name)
    preview = rule(name).preview()

    made = retention.run(rule(name))

    assert made is not None
    assert (preview.count, made.count, made.error, rows.count()) == (1, 1, "", 1)
    assert made.oldest == preview.oldest
    assert rule(name).preview().count == 0
    assert retention.run(rule(name)) is None


def test_operations_that_are_not_counted_yet_stay() -> None:
    finish(make_server(), "done", seconds=1, ago=LONG_AGO.total_seconds())
    before = value(figures(), "servers_provisioned_total")

    assert rule("operations").preview().count == 0
    retention.run_all()

    assert not Operation.objects.filter(finished_at__isnull=False).exists()
    assert value(figures(), "servers_provisioned_total") == before == 1


def test_alerts_that_fire_stay_and_so_does_what_told_of_them() -> None:
    past = timezone.now() - LONG_AGO
    channel = Channel.objects.create(name="ops", kind="email", target="a@example.org")
    facts = {"severity": "info", "subject_name": "a", "began_at": past, "seen_at": past}
    fires = Alert.objects.create(rule_name="Fires", subject="node:a", state="firing", **facts)
    over = Alert.objects.create(rule_name="Over", subject="node:b", state="resolved", resolved_at=past, **facts)
    for alert, state in ((fires, "sent"), (over, "sent"), (None, "waiting"), (None, "failed")):
        Delivery.objects.create(channel=channel, alert=alert, event="fired" if alert else "test", state=state)
    Delivery.objects.update(created_at=past)

    retention.run_all()

    assert list(Alert.objects.all()) == [fires]
    assert set(Delivery.objects.values_list("alert", "state")) == {(fires.pk, "sent"), (None, "waiting")}


def test_partitions_of_samples_go_whole() -> None:
    day = (timezone.now() - timedelta(days=9)).date()
    tables.ensure(tables.SAMPLE, [day])

    preview = rule("samples").preview()
    made = retention.run(rule("samples"))

    assert made is not None
    assert (preview.count, made.count) == (1, 1)
    assert preview.oldest is not None
    assert preview.oldest.date() == day
    assert tables.SAMPLE.partition(day) not in [name for _, name in tables.partitions(tables.SAMPLE)]


def test_audit_trail_is_kept_for_ever_unless_told_and_then_exported_first(settings: Any, tmp_path: Any) -> None:
    settings.HUB_DATA = tmp_path
    audit.record(None, "user.login_failed")
    audit_chain.seal()
    AuditSeal.objects.update(created_at=timezone.now() - timedelta(days=100))
    number = AuditEntry.objects.filter(seal__isnull=False).count()

    assert rule("audit").preview().count == 0
    settings.HUB_AUDIT_DAYS = 90
    assert rule("audit").preview().count == number

    retention.run(rule("audit"))

    assert AuditEntry.objects.filter(seal__isnull=False).count() == 0
    assert len(list((tmp_path / "audit").glob("*.jsonl.gz"))) == 1


def test_more_than_a_batch_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH", 2)
    past = timezone.now() - LONG_AGO
    Event.objects.bulk_create(Event(subject="node:a", kind="note", at=past) for _ in range(5))

    made = retention.run(rule("events"))

    assert made is not None
    assert (made.count, Event.objects.count()) == (5, 0)


def test_rule_that_fails_is_recorded_and_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> int:
        raise RuntimeError("no")

    bad = retention.Rule("bad", "Bad", lambda: "kept", lambda: retention.Preview(3), fail)
    monkeypatch.setitem(retention._rules, "aaa", bad)
    Event.objects.create(subject="node:a", kind="note", at=timezone.now() - LONG_AGO)

    with pytest.raises(CommandError, match="Not everything"):
        call_command("retention", stdout=StringIO())

    assert {made.rule: (made.count, made.error) for made in RetentionRun.objects.all()} == {
        "bad": (0, "RuntimeError"),
        "events": (1, ""),
    }


def test_dry_run_shows_and_leaves() -> None:
    Event.objects.create(subject="node:a", kind="note", at=timezone.now() - LONG_AGO)
    said = StringIO()

    call_command("retention", dry_run=True, stdout=said)

    line = next(line for line in said.getvalue().splitlines() if line.startswith("events"))
    assert line.split()[1] == "1"
    assert (Event.objects.count(), RetentionRun.objects.count()) == (1, 0)


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 403), ("Viewer", 403), ("Player", 403)])
def test_page_shows_what_would_go(role: str, status: int) -> None:
    Event.objects.create(subject="node:a", kind="note", at=timezone.now() - LONG_AGO)
    client = Client()
    client.force_login(UserFactory(role=role))

    page, answer = client.get("/monitoring/retention"), client.get("/api/v1/retention")

    assert (page.status_code, answer.status_code) == (status, status)
    assert ("Events in charts" in page.text) == (status == 200)
    if status == 200:
        (row,) = [row for row in answer.json() if row["name"] == "events"]
        assert (row["would_go"]["count"], row["last_run"]) == (1, None)
