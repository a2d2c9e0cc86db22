"""Alerts fire once, damp what comes and goes, and resolve once; scopes and mutes; each condition."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import audit
from accounts.tests.factories import UserFactory
from hub.backups import reports
from hub.models import BackupReport, PeriodicRun
from hub.nodes.choices import AddressState, ObservedStatus
from hub.nodes.models import Address, AddressPool, Node, Operation
from monitoring import store
from monitoring.alerts import conditions, defaults, evaluate, own_conditions
from monitoring.alerts.conditions import Condition, Hit, Look
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute
from monitoring.measure import Reading
from monitoring.subjects import Subject
from servers.models import GameServer
from servers.tests.factories import make_node, make_server

pytestmark = pytest.mark.django_db

START = datetime(2026, 3, 1, 12, 0, tzinfo=timezone.get_default_timezone())
ALPHA = Subject("test:alpha", "alpha", region="eu-central-1", owner_id=None)


class Told:
    """A condition that says what the test wants."""

    hits: list[Hit]
    seen: frozenset[str] | None = None

    def __init__(self) -> None:
        self.hits = []

    def __call__(self, rule: AlertRule, now: datetime) -> Look:
        return Look(self.hits, self.seen)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    condition = Told()
    monkeypatch.setitem(conditions._conditions, "told", Condition("told", "Told", condition))
    return condition


def rule(**values: Any) -> AlertRule:
    values = {"slug": "told", "name": "Told", "condition": "told", "cooldown_seconds": 0, **values}
    return AlertRule.objects.create(**values)


def look(seconds: float = 0) -> None:
    evaluate.evaluate_all(START + timedelta(seconds=seconds))


def states() -> list[str]:
    return list(Alert.objects.order_by("pk").values_list("state", flat=True))


def events() -> list[str]:
    return list(Delivery.objects.order_by("created_at").values_list("event", flat=True))


@pytest.fixture
def channel() -> Channel:
    return Channel.objects.create(name="ops", kind="webhook", target="https://example.org/hook")


def test_alert_fires_once_and_resolves_once(told: Told, channel: Channel):
    rule()

    told.hits = [Hit(ALPHA, 1.0)]
    look(0)
    told.hits = [Hit(ALPHA, 7.0)]
    look(15)
    told.hits = []
    look(30)
    look(45)

    (alert,) = Alert.objects.all()
    assert (alert.state, alert.value, alert.worst_value) == ("resolved", 7.0, 7.0)
    assert events() == ["fired", "resolved"]


def test_what_is_not_bad_for_long_enough_is_told_to_nobody(told: Told, channel: Channel):
    rule(hold_seconds=60)

    told.hits = [Hit(ALPHA)]
    look(0)
    look(59)
    assert states() == ["pending"]
    told.hits = []
    look(60)

    assert (states(), events()) == ([], [])


def test_alert_fires_after_its_time(told: Told, channel: Channel):
    rule(hold_seconds=60)
    told.hits = [Hit(ALPHA)]

    look(0)
    look(60)

    assert (states(), events()) == (["firing"], ["fired"])


def test_condition_that_knows_since_when_need_not_wait_again(told: Told):
    rule(hold_seconds=60)
    told.hits = [Hit(ALPHA, since=START - timedelta(seconds=90))]

    look(0)

    assert states() == ["firing"]


def test_flapping_is_one_alert(told: Told, channel: Channel):
    rule(cooldown_seconds=60)

    for second in range(0, 300, 30):
        told.hits = [Hit(ALPHA)] if second % 60 == 0 else []
        look(second)

    (alert,) = Alert.objects.all()
    assert (alert.state, alert.flaps, events()) == ("firing", 4, ["fired"])
    look(300)
    look(331)
    assert (states(), events()) == (["resolved"], ["fired", "resolved"])


def test_new_alert_after_the_old_one_is_over(told: Told):
    rule()
    for hits in ([Hit(ALPHA)], [], [Hit(ALPHA)]):
        told.hits = hits
        look()

    assert states() == ["resolved", "firing"]


def test_alert_stays_while_nothing_is_measured_but_not_for_ever(told: Told):
    rule()
    told.hits, told.seen = [Hit(ALPHA)], frozenset({ALPHA.key})
    look(0)
    told.hits, told.seen = [], frozenset()

    look(599)
    assert states() == ["firing"]
    look(601)
    assert states() == ["resolved"]


def test_alert_of_a_rule_that_is_switched_off_ends(told: Told, channel: Channel):
    made = rule()
    told.hits = [Hit(ALPHA)]
    look(0)
    AlertRule.objects.filter(pk=made.pk).update(is_enabled=False)

    look(15)

    assert (states(), events()) == (["resolved"], ["fired", "resolved"])


def test_history_outlives_its_rule(told: Told):
    made = rule()
    told.hits = [Hit(ALPHA)]
    look(0)
    made.delete()
    look(15)

    (alert,) = Alert.objects.all()
    assert (alert.rule, alert.rule_name, alert.state) == (None, "Told", "resolved")


def test_condition_that_fails_keeps_no_other_rule_from_firing(told: Told, monkeypatch: pytest.MonkeyPatch):
    def fails(rule: AlertRule, now: datetime) -> list[Hit]:
        raise RuntimeError("no answer")

    monkeypatch.setitem(conditions._conditions, "broken", Condition("broken", "Broken", fails))
    broken = rule(slug="a", name="A", condition="broken")
    rule()
    told.hits = [Hit(ALPHA)]

    look()

    broken.refresh_from_db()
    assert states() == ["firing"]
    assert "no answer" in broken.error


@pytest.mark.parametrize(
    ("scope", "value", "fires"),
    [
        ("all", "", True),
        ("region", "eu-central-1", True),
        ("region", "us-east-1", False),
        ("subject", "test:alpha", True),
        ("subject", "test:beta", False),
        ("owner", "rudo", True),
        ("owner", "tino", False),
    ],
)
def test_scope_says_which_subjects_are_meant(told: Told, scope: str, value: str, fires: bool):
    owner = UserFactory(username="rudo")
    rule(scope=scope, scope_value=value)
    told.hits = [Hit(Subject("test:alpha", "alpha", region="eu-central-1", owner_id=owner.pk))]

    look()

    assert bool(states()) == fires


def test_muted_alert_is_kept_and_told_when_the_mute_is_over(told: Told, channel: Channel):
    rule()
    Mute.objects.create(reason="New disks", starts_at=START, ends_at=START + timedelta(seconds=30))
    told.hits = [Hit(ALPHA)]

    look(0)
    assert (states(), events()) == (["firing"], [])
    look(30)
    assert events() == ["fired"]


def test_alert_that_was_muted_all_its_life_is_never_told(told: Told, channel: Channel):
    made = rule()
    span = {"starts_at": START, "ends_at": START + timedelta(hours=1)}
    Mute.objects.create(reason="Known", rule=made, scope="subject", scope_value=ALPHA.key, **span)
    told.hits = [Hit(ALPHA)]
    look(0)
    told.hits = []
    look(15)

    assert (states(), events()) == (["resolved"], [])


def test_mute_of_another_rule_or_subject_mutes_nothing(told: Told, channel: Channel):
    rule()
    other = rule(slug="other", name="Other", is_enabled=False)
    span = {"starts_at": START, "ends_at": START + timedelta(hours=1), "reason": "Known"}
    Mute.objects.create(rule=other, **span)
    Mute.objects.create(scope="subject", scope_value="test:beta", **span)
    told.hits = [Hit(ALPHA)]

    look()

    assert events() == ["fired"]


@pytest.mark.parametrize(
    ("least", "rules", "told_of"), [("info", "", True), ("critical", "", False), ("info", "other", False)]
)
def test_channel_hears_what_it_wants(told: Told, channel: Channel, least: str, rules: str, told_of: bool):
    rule(severity="warning")
    other = rule(slug="other", name="Other", is_enabled=False)
    Channel.objects.update(least_severity=least)
    channel.rules.set([other] if rules else [])
    told.hits = [Hit(ALPHA)]

    look()

    assert bool(events()) == told_of


# What the conditions find ------------------------------------------------------------------------------------------


def found(condition: str, now: datetime | None = None, **values: Any) -> list[Hit]:
    """What a shipped rule's condition finds now."""
    asked = next(row for row in defaults.RULES.values() if row["condition"] == condition)
    made = AlertRule(**{**asked, **values})
    known = conditions.find(condition)
    assert known is not None
    answer = known.find(made, now or timezone.now())
    return list(answer.hits if isinstance(answer, Look) else answer)


@pytest.fixture
def server() -> GameServer:
    return make_server()


@pytest.mark.parametrize(("share", "count"), [(80.0, 0), (80.5, 1)])
def test_processor_above_its_limit(server: GameServer, share: float, count: int):
    at = timezone.now() - timedelta(seconds=20)
    store.store([Reading(f"server:{server.pk}", at, {"cpu_share": share}).line()])

    hits = found("metric", metric="cpu_share", threshold=80)

    assert [hit.subject.name for hit in hits] == [server.name] * count


@pytest.mark.parametrize(
    ("status", "condition"),
    [("crashed", "workload-broken"), ("failed", "workload-broken"), ("unhealthy", "workload-unhealthy")],
)
def test_workload_that_is_broken(server: GameServer, status: str, condition: str):
    assert found(condition) == []
    GameServer.objects.update(observed_status=status, status_reason="Out of memory.")

    (hit,) = found(condition)

    assert hit.subject.owner_id == server.owner_id
    assert hit.text == f"{ObservedStatus(status).label}. Out of memory."


def test_workload_that_is_to_be_deleted_is_no_trouble(server: GameServer):
    GameServer.objects.update(observed_status="failed", desired_status="deleted")

    assert found("workload-broken") == []


@pytest.mark.parametrize(("crashes", "count"), [(3, 0), (4, 1)])
def test_crash_loop(server: GameServer, crashes: int, count: int):
    GameServer.objects.update(restart_count=crashes, restart_window_at=timezone.now())

    assert len(found("crash-loop")) == count


@pytest.mark.parametrize(("fourth_before_last", "count"), [(59, 1), (61, 0)])
def test_crash_loop_goes_on_when_only_its_first_crashes_are_over(
    server: GameServer, fourth_before_last: int, count: int
):
    times = [timezone.now() - timedelta(minutes=minutes) for minutes in (5, 10, 20, fourth_before_last, 62)]
    GameServer.objects.update(restart_count=5, restart_window_at=times[-1], crash_times=times)

    assert len(found("crash-loop")) == count


@pytest.mark.parametrize(("seconds", "count"), [(19, 0), (21, 1)])
def test_agent_silent_for_two_beats(seconds: int, count: int):
    node = make_node()
    now = timezone.now()
    Node.objects.update(agent_seen_at=now - timedelta(seconds=seconds))

    assert [hit.subject.key for hit in found("agent-silent", now)] == [f"node:{node.name}"] * count


@pytest.mark.parametrize(("free", "count"), [(2, 0), (1, 1)])
def test_pool_nearly_full(free: int, count: int):
    make_node(size=50)
    taken = Address.objects.order_by("port").values("pk")[: 50 - free]
    Address.objects.filter(pk__in=list(taken.values_list("pk", flat=True))).update(state=AddressState.BLOCKED)

    hits = found("pool-used", threshold=98)

    assert len(hits) == count
    assert AddressPool.objects.count() == 1


def operation(server: GameServer, **values: Any) -> None:
    made = Operation.objects.create(
        workload_kind="server",
        workload_id=server.pk,
        workload_name=server.name,
        node=server.node,
        verb="create",
        generation=1,
        actor_name="rudo",
        **{key: value for key, value in values.items() if key != "created_at"},
    )
    if "created_at" in values:
        Operation.objects.filter(pk=made.pk).update(created_at=values["created_at"])


@pytest.mark.parametrize(("count", "alerts"), [(10, 0), (11, 1)])
def test_launches_that_fail(server: GameServer, count: int, alerts: int):
    for _ in range(count):
        operation(server, status="failed", finished_at=timezone.now(), error="No image.")
    operation(server, status="failed", finished_at=timezone.now() - timedelta(minutes=11))

    assert len(found("provisioning-errors")) == alerts


@pytest.mark.parametrize(("seconds", "alerts"), [(4.9, 0), (5.1, 1)])
def test_launches_that_are_slow(server: GameServer, seconds: float, alerts: int):
    now = timezone.now()
    operation(server, status="done", created_at=now - timedelta(seconds=seconds), finished_at=now)

    assert len(found("provisioning-slow", now)) == alerts


@pytest.mark.parametrize(("queued", "pulling", "alerts"), [(600, 0, 0), (0, 300, 0), (600, 295, 1)])
def test_slow_launches_are_told_from_long_queues_and_slow_registries(
    server: GameServer, queued: int, pulling: int, alerts: int
):
    now = timezone.now()
    began = now - timedelta(seconds=300.5)
    if not pulling:
        began = now - timedelta(seconds=4)
    values = {"created_at": began - timedelta(seconds=queued), "started_at": began, "pull_seconds": pulling}
    operation(server, status="done", finished_at=now, **values)

    assert len(found("provisioning-slow", now)) == alerts


@pytest.mark.parametrize(("seconds", "alerts"), [(59, 0), (61, 1)])
def test_work_that_waits(server: GameServer, seconds: int, alerts: int):
    now = timezone.now()
    Operation.objects.all().delete()
    operation(server, created_at=now - timedelta(seconds=seconds))

    assert len(found("queue-waiting", now)) == alerts


@pytest.mark.parametrize(
    ("outcome", "hours", "alerts"),
    [("done", 25, 0), ("done", 27, 1), ("failed", 1, 1), ("lost", 1, 1), ("skipped", 1, 0)],
)
def test_backup_that_is_missing_or_failed(outcome: str, hours: int, alerts: int):
    at = timezone.now() - timedelta(hours=hours)
    PeriodicRun.objects.create(task="backup-database", due_at=at, claimed_at=at, finished_at=at, outcome=outcome)

    assert len(found("backup-missing")) == alerts


@pytest.mark.parametrize("kind", ["base", "trial", "files", "store", "store-wal"])
@pytest.mark.parametrize(("good", "hours", "alerts"), [(True, 25, 0), (True, 27, 1), (False, 1, 1)])
def test_base_backup_or_trial_that_failed_or_is_old(settings: Any, kind: str, good: bool, hours: int, alerts: int):
    settings.HUB_BACKUP_STORE = name = "s3://backups"
    BackupReport.objects.create(kind=kind, name=name, is_good=False, at=timezone.now() - timedelta(hours=hours + 1))
    BackupReport.objects.create(kind=kind, name=name, is_good=good, at=timezone.now() - timedelta(hours=hours))

    assert len(found("backup-failed")) == alerts


@pytest.mark.parametrize(("receiver", "alerts"), [(None, 0), ((True, 0), 0), ((True, 65 * 2**20), 1), ((False, 0), 1)])
def test_receiver_of_wal_that_is_away_or_behind(
    monkeypatch: pytest.MonkeyPatch, receiver: tuple[bool, int] | None, alerts: int
):
    monkeypatch.setattr(reports, "receiver", lambda: receiver)

    assert len(found("wal-behind")) == alerts


@pytest.mark.parametrize(("days", "alerts"), [(31, 0), (29, 1), (-1, 1)])
def test_certificate_near_its_end(settings: Any, monkeypatch: pytest.MonkeyPatch, days: int, alerts: int):
    settings.HUB_URL = f"https://hub-{days}.example.org"
    end = timezone.now() + timedelta(days=days)
    monkeypatch.setattr(own_conditions, "certificate_end", lambda host, port: end)

    assert len(found("certificate-ending")) == alerts


@pytest.mark.parametrize(("count", "alerts"), [(20, 0), (21, 1)])
def test_logins_that_fail(count: int, alerts: int):
    for _ in range(count):
        audit.record(None, "user.login_failed")

    assert len(found("login-failures")) == alerts


@pytest.mark.parametrize(("free", "alerts"), [(16, 0), (14, 1)])
def test_disk_of_the_hub(monkeypatch: pytest.MonkeyPatch, free: int, alerts: int):
    usage = type("Usage", (), {"total": 100, "free": free})
    monkeypatch.setattr(own_conditions.shutil, "disk_usage", lambda path: usage)

    assert len(found("hub-disk")) == alerts


# The shipped rules -------------------------------------------------------------------------------------------------


def test_shipped_rules_are_made_once_and_can_all_be_asked(server: GameServer):
    assert len(defaults.sync_rules()) == len(defaults.RULES)
    assert defaults.sync_rules() == []

    evaluate.evaluate_all()

    assert list(AlertRule.objects.exclude(error="").values_list("slug", "error")) == []


def test_shipped_rule_is_renewed_unless_it_was_edited(monkeypatch: pytest.MonkeyPatch):
    defaults.sync_rules()
    AlertRule.objects.filter(slug="cpu-high").update(threshold=95, is_customized=True)
    monkeypatch.setattr(defaults, "VERSION", 2)
    monkeypatch.setitem(defaults.RULES["memory-high"], "threshold", 90)

    defaults.sync_rules()

    assert dict(AlertRule.objects.filter(slug__in=["cpu-high", "memory-high"]).values_list("slug", "threshold")) == {
        "cpu-high": 95,
        "memory-high": 90,
    }
