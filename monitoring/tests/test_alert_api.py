"""Alerts, rules, mutes, channels and deliveries over HTTP."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory, token_for, token_header
from hub.jobs import DEFAULT_QUEUE, rq_queue
from hub.testing import api_client, assert_constant_queries, empty_queues, run_commit_hooks
from hub.tests.world import World, make_world
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute

pytestmark = pytest.mark.django_db
ALERTS, RULES, MUTES, CHANNELS, DELIVERIES = (
    f"/api/v1/{noun}" for noun in ("alerts", "alert-rules", "alert-mutes", "channels", "deliveries")
)


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def operator(world: World) -> Any:
    return api_client(world.person("operator"))


@pytest.fixture
def admin(world: World) -> Any:
    return api_client(world.person("admin"))


def at(world: World, verb: str = "") -> str:
    return f"{ALERTS}/{world.alert.pk}{verb and '/' + verb}"


def another(**values: Any) -> Alert:
    now = timezone.now()
    over = {"state": "resolved", "began_at": now - timedelta(days=2), "seen_at": now, "resolved_at": now}
    facts = {"rule_name": "Old", "severity": "info", "subject": "node:other", "subject_name": "other"}
    return Alert.objects.create(**{**facts, **over, **values})


def refused(answer: Any) -> tuple[int, str, list[str]]:
    body = answer.json()
    return answer.status_code, body["code"], list(body["fields"])


# --- Alerts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["Own rule", "Old"]),
        ({"state": "firing"}, ["Own rule"]),
        ({"state": ["firing", "resolved"]}, ["Own rule", "Old"]),
        ({"severity": "info"}, ["Old"]),
        ({"rule": "own"}, ["Own rule"]),
        ({"rule": "nothing"}, []),
        ({"subject": "node:other"}, ["Old"]),
        ({"region": "moon"}, ["Old"]),
        ({"assignee": "viewer"}, ["Old"]),
        ({"is_acknowledged": "true"}, ["Old"]),
        ({"is_acknowledged": "false"}, ["Own rule"]),
        ({"until": "2020-01-01T00:00:00Z"}, []),
        ({"since": "2020-01-01T00:00:00Z"}, ["Own rule", "Old"]),
        ({"q": "nearly full"}, ["Own rule"]),
        ({"ordering": "began_at"}, ["Old", "Own rule"]),
        ({"limit": 1, "offset": 1}, ["Old"]),
    ],
)
def test_alerts_are_filtered_searched_ordered_and_paged(
    world: World, operator: Any, query: dict[str, Any], expected: list[str]
) -> None:
    another(region_slug="moon", assignee=world.person("viewer"), acknowledged_at=timezone.now())

    found = operator.get(ALERTS, query).json()["results"]

    assert [row["rule_name"] for row in found] == expected


@pytest.mark.parametrize(
    ("query", "field"),
    [({"state": "pending"}, "state"), ({"ordering": "text"}, "ordering"), ({"fields": "secret"}, "fields")],
)
def test_what_the_list_does_not_know_is_refused(operator: Any, query: dict[str, str], field: str) -> None:
    assert refused(operator.get(ALERTS, query)) == (400, "invalid", [field])


def test_what_is_not_bad_for_long_enough_is_not_there(operator: Any) -> None:
    pending = another(state="pending", resolved_at=None)

    assert operator.get(ALERTS, {"q": "Old"}).json()["count"] == 0
    assert operator.get(f"{ALERTS}/{pending.pk}").status_code == 404


def test_list_has_chosen_fields_and_is_csv(operator: Any) -> None:
    answer = operator.get(ALERTS, {"format": "csv", "fields": "rule,subject"})

    assert answer.content.decode().splitlines() == ["rule,subject", "own,node:local"]
    assert answer["Content-Disposition"] == 'attachment; filename="alerts.csv"'


def test_lists_cost_the_same_with_more(world: World, admin: Any) -> None:
    def more() -> None:
        for number in range(3):
            rule = AlertRule.objects.create(slug=f"r{number}", name=f"R{number}", condition="hub-disk")
            channel = Channel.objects.create(name=f"c{number}", kind="email", target="a@example.org")
            channel.rules.add(rule)
            alert = another(rule=rule, assignee=UserFactory())
            Delivery.objects.create(channel=channel, alert=alert, event="fired", message={"title": "x"})
            Mute.objects.create(rule=rule, reason="x", starts_at=timezone.now(), ends_at=timezone.now())

    def ask() -> None:
        for path in (ALERTS, RULES, MUTES, CHANNELS, DELIVERIES):
            assert admin.get(path).status_code == 200

    assert_constant_queries(ask, more)


def test_alert_is_handled_and_tells_its_history(world: World, operator: Any) -> None:
    before = another(subject=world.alert.subject)
    acknowledged = operator.post(at(world, "acknowledge"))
    assigned = operator.post(at(world, "assign"), {"assignee": "viewer"}, format="json")
    muted = operator.post(at(world, "mute"), {"minutes": 60, "reason": "Known"}, format="json")
    Alert.objects.filter(pk=world.alert.pk).update(state="resolved", resolved_at=timezone.now())

    seen = operator.get(at(world)).json()

    assert (acknowledged.json()["acknowledged_by"], assigned.json()["assignee"]) == ("operator", "viewer")
    assert (muted.status_code, muted.json()["scope_value"], muted.json()["rule"]) == (201, "node:local", "own")
    assert [(each["event"], each["by"]) for each in seen["history"]] == [
        ("began", ""),
        ("fired", ""),
        ("told", ""),
        ("acknowledged", "operator"),
        ("assigned", "operator"),
        ("muted", "operator"),
        ("resolved", ""),
    ]
    assert seen["history"][4]["text"] == "viewer"
    assert [(each["channel"], each["state"]) for each in seen["told"]] == [("ops", "failed")]
    assert [each["id"] for each in seen["others"]] == [before.pk]


def test_alert_is_given_back(world: World, operator: Any) -> None:
    Alert.objects.update(assignee=world.person("viewer"))

    assert operator.post(at(world, "assign"), {"assignee": None}, format="json").json()["assignee"] is None


@pytest.mark.parametrize("name", ["owner", "nobody at all"])
def test_alert_is_given_to_nobody_who_does_not_see_it(world: World, operator: Any, name: str) -> None:
    answer = operator.post(at(world, "assign"), {"assignee": name}, format="json")

    assert refused(answer) == (400, "invalid", ["assignee"])


@pytest.mark.parametrize("minutes", [0, 90 * 24 * 60 + 1])
def test_mute_of_an_alert_has_bounds(world: World, operator: Any, minutes: int) -> None:
    answer = operator.post(at(world, "mute"), {"minutes": minutes}, format="json")

    assert refused(answer) == (400, "invalid", ["minutes"])


@pytest.mark.parametrize(
    ("verb", "body"), [("acknowledge", {}), ("assign", {"assignee": "viewer"}), ("mute", {"minutes": 5})]
)
def test_alert_that_is_over_is_left_alone(world: World, operator: Any, verb: str, body: dict[str, Any]) -> None:
    Alert.objects.update(state="resolved")

    assert refused(operator.post(at(world, verb), body, format="json")) == (409, "alert_over", [])


# --- Who may ------------------------------------------------------------------------------------------------------


def test_operator_of_a_region_has_its_alerts_and_those_of_none(world: World) -> None:
    here, there = (api_client(UserFactory(role="Operator", regions=[slug])) for slug in ("eu-central-1", "moon"))
    Alert.objects.update(region_slug="eu-central-1")

    assert [who.get(at(world)).status_code for who in (here, there)] == [200, 404]
    assert [who.post(at(world, "acknowledge")).status_code for who in (here, there)] == [200, 404]

    Alert.objects.update(region_slug="", acknowledged_at=None)
    assert there.get(at(world)).status_code == 200
    assert there.post(at(world, "acknowledge")).status_code == 200


def test_operator_of_a_region_reads_all_rules_and_changes_its_own(world: World) -> None:
    home = api_client(UserFactory(role="Operator", regions=["eu-central-1"]))
    values = {"name": "Here", "condition": "hub-disk", "scope": "region", "scope_value": "eu-central-1"}

    assert home.get(f"{RULES}/own").status_code == 200
    assert home.patch(f"{RULES}/own", {"threshold": 1}, format="json").status_code == 403
    assert home.delete(f"{RULES}/own").status_code == 403
    assert home.post(RULES, {**values, "scope": "all"}, format="json").status_code == 403
    assert home.post(RULES, values, format="json").status_code == 201
    assert home.patch(f"{RULES}/here", {"threshold": 1}, format="json").status_code == 200
    assert home.patch(f"{RULES}/here", {"scope_value": "moon"}, format="json").status_code == 403
    assert AlertRule.objects.get(slug="here").scope_value == "eu-central-1"


def test_operator_of_a_region_mutes_it_and_no_other(world: World) -> None:
    home = api_client(UserFactory(role="Operator", regions=["eu-central-1"]))
    values = {"reason": "Work", "scope": "region", "ends_at": timezone.now() + timedelta(hours=1)}
    other = Mute.objects.create(
        reason="x", scope="region", scope_value="moon", starts_at=timezone.now(), ends_at=timezone.now()
    )

    assert home.post(MUTES, {**values, "scope_value": "moon"}, format="json").status_code == 403
    assert home.post(MUTES, {**values, "scope": "all"}, format="json").status_code == 403
    assert home.delete(f"{MUTES}/{other.pk}").status_code == 403
    made = home.post(MUTES, {**values, "scope_value": "eu-central-1"}, format="json")
    assert home.delete(made["Location"]).status_code == 204


def test_token_without_the_scope_changes_nothing(world: World) -> None:
    _, secret = token_for(world.person("admin"), scopes=["alerts.view"])
    client, headers = api_client(), token_header(secret)

    assert client.get(at(world), headers=headers).status_code == 200
    assert client.post(at(world, "acknowledge"), headers=headers).status_code == 403
    assert client.get(CHANNELS, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        ("admin", [200, 200, 201, 201, 200, 201, 202, 202]),
        ("operator", [200, 200, 201, 201, 200, 403, 403, 403]),
        ("viewer", [200, 403, 403, 403, 403, 403, 403, 403]),
        ("owner", [403] * 8),
        ("nobody", [401] * 8),
    ],
)
def test_who_may_do_what(world: World, role: str, expected: list[int]) -> None:
    client, channel = api_client(world.people[role]), f"{CHANNELS}/{world.delivery.channel_id}"
    soon = timezone.now() + timedelta(hours=1)

    seen = (
        client.get(ALERTS),
        client.post(at(world, "acknowledge")),
        client.post(RULES, {"name": "New", "condition": "hub-disk"}, format="json"),
        client.post(MUTES, {"reason": "Work", "ends_at": soon}, format="json"),
        client.get(CHANNELS),
        client.post(CHANNELS, {"name": "m", "kind": "email", "target": "a@example.org"}, format="json"),
        client.post(f"{channel}/test"),
        client.post(f"{DELIVERIES}/{world.delivery.pk}/resend"),
    )

    assert [answer.status_code for answer in seen] == expected


# --- Rules --------------------------------------------------------------------------------------------------------


def test_rule_is_made_changed_switched_off_and_removed(operator: Any) -> None:
    values = {"name": "Busy", "condition": "metric", "metric": "cpu_share", "threshold": 70}
    made = operator.post(RULES, values, format="json")
    changed = operator.patch(made["Location"], {"threshold": 75, "is_enabled": False}, format="json")

    assert (made.status_code, made.json()["slug"], made.json()["unit"]) == (201, "busy", "percent")
    assert (changed.json()["threshold"], changed.json()["is_enabled"]) == (75, False)
    assert operator.get(RULES, {"is_enabled": "false", "q": "Busy"}).json()["count"] == 1
    assert operator.delete(made["Location"]).status_code == 204
    assert operator.get(made["Location"]).status_code == 404


def test_rule_is_made_once_under_one_key(operator: Any) -> None:
    values = {"name": "Full", "condition": "hub-disk"}
    first, second = (operator.post(RULES, values, format="json", headers={"Idempotency-Key": "k"}) for _ in range(2))

    assert (first.status_code, second.status_code, second["Idempotency-Replayed"]) == (201, 201, "true")
    assert AlertRule.objects.filter(name="Full").count() == 1


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "Own rule"}, "name"),
        ({"condition": "nonsense"}, "condition"),
        ({"condition": "metric"}, "metric"),
        ({"threshold": "NaN"}, "threshold"),
        ({"threshold": "Infinity"}, "threshold"),
        ({"scope": "region"}, "scope_value"),
        ({"slug": "own"}, "slug"),
        ({"window_seconds": 1}, "window_seconds"),
    ],
)
def test_rule_that_makes_no_sense_names_the_field(operator: Any, values: dict[str, Any], field: str) -> None:
    answer = operator.post(RULES, {"name": "New", "condition": "hub-disk", **values}, format="json")

    assert refused(answer) == (400, "invalid", [field])


def test_shipped_rule_is_switched_off_and_not_removed(operator: Any) -> None:
    AlertRule.objects.create(slug="shipped", name="Shipped", condition="hub-disk", version=3)

    assert refused(operator.delete(f"{RULES}/shipped")) == (409, "shipped_rule", [])
    operator.patch(f"{RULES}/shipped", {"is_enabled": True}, format="json")
    assert AlertRule.objects.get(slug="shipped").is_customized is False
    operator.patch(f"{RULES}/shipped", {"is_enabled": False}, format="json")
    shown = operator.get(f"{RULES}/shipped").json()
    assert (shown["is_shipped"], shown["is_customized"], shown["is_enabled"]) == (True, True, False)


def test_rule_keeps_its_slug(operator: Any) -> None:
    assert operator.patch(f"{RULES}/own", {"slug": "other"}, format="json").json()["slug"] == "own"


def test_change_of_somebody_else_is_not_overwritten(world: World, admin: Any, operator: Any) -> None:
    channel = f"{CHANNELS}/{world.delivery.channel_id}"
    rule_tag, channel_tag = (admin.get(path)["ETag"] for path in (f"{RULES}/own", channel))
    operator.patch(f"{RULES}/own", {"threshold": 50}, format="json")
    admin.patch(channel, {"secret": "another"}, format="json")

    for path, tag in ((f"{RULES}/own", rule_tag), (channel, channel_tag)):
        answer = admin.patch(path, {"name": "mine"}, format="json", headers={"If-Match": tag})
        assert refused(answer) == (412, "changed_meanwhile", ["If-Match"])
        assert admin.delete(path, headers={"If-Match": tag}).status_code == 412
        fresh = admin.get(path)["ETag"]
        assert admin.patch(path, {"name": "mine"}, format="json", headers={"If-Match": fresh}).status_code == 200


def test_channel_that_only_rests_is_not_changed_by_anybody(world: World, admin: Any) -> None:
    channel = f"{CHANNELS}/{world.delivery.channel_id}"
    tag = admin.get(channel)["ETag"]
    Channel.objects.update(failures=3, last_error="It answers 500.")

    answer = admin.patch(channel, {"name": "on call"}, format="json", headers={"If-Match": tag})

    assert answer.status_code == 200


# --- Mutes --------------------------------------------------------------------------------------------------------


def test_mute_is_planned_found_and_ended(operator: Any) -> None:
    values = {"reason": "Kernel", "rule": "own", "ends_at": timezone.now() + timedelta(hours=2)}
    made = operator.post(MUTES, values, format="json")

    assert (made.status_code, made.json()["rule"], made.json()["created_by"]) == (201, "own", "operator")
    assert [row["reason"] for row in operator.get(MUTES, {"is_active": "true"}).json()["results"]] == ["Kernel"]
    assert [row["reason"] for row in operator.get(MUTES, {"is_active": "false"}).json()["results"]] == ["Was muted"]
    assert operator.delete(made["Location"]).status_code == 204
    assert AuditEntry.objects.filter(action="mute.ended").count() == 1


@pytest.mark.parametrize(
    ("starts", "ends"), [(0, -1), (-3, -1), (0, 24 * 91), (24 * 800, 24 * 801)], ids=["back", "past", "long", "far"]
)
def test_mute_has_an_end_that_makes_sense(operator: Any, starts: int, ends: int) -> None:
    now = timezone.now()
    times = {"starts_at": now + timedelta(hours=starts), "ends_at": now + timedelta(hours=ends)}

    answer = operator.post(MUTES, {"reason": "x", **times}, format="json")

    assert refused(answer) == (400, "invalid", ["ends_at"])


# --- Channels -----------------------------------------------------------------------------------------------------


def test_secret_of_a_channel_is_in_no_answer(world: World, admin: Any) -> None:
    values = {"name": "new", "kind": "pagerduty", "secret": "a routing key", "rules": ["own"]}
    made = admin.post(CHANNELS, values, format="json", headers={"Idempotency-Key": "k"})
    changed = admin.patch(made["Location"], {"secret": "another key"}, format="json")
    listed, shown, csv = admin.get(CHANNELS), admin.get(made["Location"]), admin.get(CHANNELS, {"format": "csv"})
    tested = admin.post(f"{made['Location']}/test")

    assert (made.status_code, made.json()["has_secret"], made.json()["rules"]) == (201, True, ["own"])
    assert Channel.objects.get(name="new").secret.reveal() == "another key"
    for answer in (made, changed, listed, shown, csv, tested):
        assert all(word not in answer.content for word in (b"routing", b"another key", b"shared", b'"secret"'))


def test_secret_stays_when_none_is_given_but_follows_to_no_new_place(world: World, admin: Any) -> None:
    channel = f"{CHANNELS}/{world.delivery.channel_id}"

    kept = admin.patch(channel, {"least_severity": "critical", "secret": ""}, format="json")
    moved = admin.patch(channel, {"target": "https://elsewhere.example.org/"}, format="json")

    assert (kept.status_code, kept.json()["has_secret"]) == (200, True)
    assert refused(moved) == (400, "invalid", ["secret"])
    assert Channel.objects.get().secret.reveal() == "shared"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "email", "target": "nobody"}, "target"),
        ({"kind": "slack"}, "secret"),
        ({"kind": "webhook", "target": "https://u:p@example.org/"}, "target"),
        ({"kind": "pigeon"}, "kind"),
        ({"kind": "email", "target": "a@example.org", "rules": ["own", "nothing"]}, "rules"),
        ({"kind": "email", "target": "a@example.org", "rules": [f"r{n}" for n in range(201)]}, "rules"),
    ],
)
def test_channel_that_could_not_work_names_the_field(admin: Any, values: dict[str, Any], field: str) -> None:
    answer = admin.post(CHANNELS, {"name": "new", **values}, format="json")

    assert refused(answer) == (400, "invalid", [field])
    assert not Channel.objects.filter(name="new").exists()


def test_channel_tells_of_all_rules_again(world: World, admin: Any) -> None:
    channel = world.delivery.channel
    channel.rules.add(world.rule)

    answer = admin.patch(f"{CHANNELS}/{channel.pk}", {"rules": []}, format="json")

    assert (answer.json()["rules"], channel.rules.count()) == ([], 0)


def test_test_answers_a_delivery_to_follow(world: World, admin: Any) -> None:
    run_commit_hooks()
    empty_queues()

    answer = admin.post(f"{CHANNELS}/{world.delivery.channel_id}/test")
    run_commit_hooks()

    shown = admin.get(f"{DELIVERIES}/{answer.json()['id']}").json()
    assert (answer.status_code, shown["state"], shown["event"], shown["alert"]) == (202, "waiting", "test", None)
    assert shown["message"]["title"] == "Test: the hub reaches this channel"
    assert [job.args[0] for job in rq_queue(DEFAULT_QUEUE).jobs] == ["monitoring.alerts.jobs.deliver_channel"]


def test_channel_that_is_off_is_not_tested(world: World, admin: Any) -> None:
    Channel.objects.update(is_enabled=False)

    answer = admin.post(f"{CHANNELS}/{world.delivery.channel_id}/test")

    assert refused(answer) == (409, "channel_off", [])


def test_channel_goes_with_its_log(world: World, admin: Any) -> None:
    assert admin.delete(f"{CHANNELS}/{world.delivery.channel_id}").status_code == 204
    assert (Channel.objects.count(), Delivery.objects.count()) == (0, 0)


# --- Deliveries ---------------------------------------------------------------------------------------------------


def test_message_that_was_given_up_is_found_and_sent_again(world: World, admin: Any) -> None:
    query = {"state": "failed", "channel": world.delivery.channel_id, "alert": world.alert.pk}
    (found,) = admin.get(DELIVERIES, query).json()["results"]

    answer = admin.post(f"{DELIVERIES}/{found['id']}/resend")

    assert (found["title"], found["channel_name"]) == ("Own rule", "ops")
    assert (answer.status_code, answer.json()["state"]) == (202, "waiting")
    assert admin.get(DELIVERIES, query).json()["count"] == 0


def test_message_that_has_arrived_is_not_sent_again(world: World, admin: Any) -> None:
    Delivery.objects.update(state="sent")

    assert refused(admin.post(f"{DELIVERIES}/{world.delivery.pk}/resend")) == (409, "already_sent", [])
