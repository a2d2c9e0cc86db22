"""What people may do with alerts, rules, mutes and channels, and what they see of them."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound
from hub.jobs import DEFAULT_QUEUE, rq_queue
from hub.testing import assert_constant_queries, empty_queues, run_commit_hooks
from hub.tests.world import World, make_world
from monitoring.alerts import services
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery, Mute

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def operator(world: World) -> User:
    return world.person("operator")


def test_alert_is_acknowledged_once(world: World, operator: User):
    services.acknowledge_alert(world.alert, actor=operator)
    again = services.acknowledge_alert(world.alert, actor=world.person("admin"))

    assert again.acknowledged_by == "operator"
    assert AuditEntry.objects.filter(action="alert.acknowledged").count() == 1


def test_alert_that_is_over_is_left_alone(world: World, operator: User):
    Alert.objects.update(state="resolved")

    with pytest.raises(Conflict):
        services.acknowledge_alert(world.alert, actor=operator)


def test_alert_is_assigned_to_who_sees_alerts(world: World, operator: User):
    services.assign_alert(world.alert, world.person("viewer"), actor=operator)
    with pytest.raises(Invalid):
        services.assign_alert(world.alert, world.person("owner"), actor=operator)

    assert Alert.objects.get().assignee == world.person("viewer")


def test_operator_of_a_region_has_its_alerts_and_no_others(world: World):
    Alert.objects.update(region_slug="eu-central-1")
    at_home, elsewhere = (UserFactory(role="Operator", regions=[slug]) for slug in ("eu-central-1", "us-east-1"))
    alert = Alert.objects.get()

    assert [Alert.objects.visible_to(who).count() for who in (at_home, elsewhere)] == [1, 0]
    with pytest.raises((NotAllowed, NotFound)):
        services.acknowledge_alert(alert, actor=elsewhere)
    with pytest.raises((NotAllowed, NotFound)):
        services.update_rule(world.alert.rule, actor=at_home, threshold=1)  # type: ignore[arg-type]
    services.acknowledge_alert(alert, actor=at_home)


def test_operator_of_a_region_ends_its_mutes_and_no_others(world: World):
    at_home, elsewhere = (UserFactory(role="Operator", regions=[slug]) for slug in ("eu-central-1", "us-east-1"))
    span = {"starts_at": timezone.now(), "ends_at": timezone.now() + timedelta(hours=1)}
    of_the_region = Mute.objects.create(reason="a", scope="region", scope_value="eu-central-1", **span)
    of_its_node = Mute.objects.create(reason="b", scope="subject", scope_value="node:local", **span)
    of_the_hub = Mute.objects.create(reason="c", scope="subject", scope_value="hub:disk", **span)
    of_an_owner = Mute.objects.create(reason="d", scope="owner", scope_value="owner", **span)
    of_all = Mute.objects.create(reason="e", **span)

    for mute in (of_the_hub, of_an_owner, of_all):
        with pytest.raises(NotAllowed):
            services.end_mute(mute, actor=at_home)
    for mute in (of_the_region, of_its_node):
        with pytest.raises(NotAllowed):
            services.end_mute(mute, actor=elsewhere)
        services.end_mute(mute, actor=at_home)

    assert set(Mute.objects.values_list("reason", flat=True)) == {"c", "d", "e", "Was muted"}


def test_operator_of_a_region_ends_what_he_has_muted_himself(world: World):
    Alert.objects.update(subject="hub:disk", region_slug="")
    actor = UserFactory(role="Operator", regions=["us-east-1"])

    mute = services.mute_alert(Alert.objects.get(), actor=actor, minutes=60)
    services.end_mute(mute, actor=actor)

    assert not Mute.objects.filter(pk=mute.pk).exists()


def test_page_of_mutes_offers_only_what_one_may_end(world: World):
    client = client_of(UserFactory(role="Operator", regions=["eu-central-1"]))
    span = {"starts_at": timezone.now(), "ends_at": timezone.now() + timedelta(hours=1)}
    mine = Mute.objects.create(reason="a", scope="region", scope_value="eu-central-1", **span)
    other = Mute.objects.create(reason="b", **span)

    page = client.get(reverse("monitoring:mute_list")).content.decode()

    assert reverse("monitoring:mute_end", args=[mine.pk]) in page
    assert reverse("monitoring:mute_end", args=[other.pk]) not in page


def test_what_somebody_has_deleted_meanwhile_is_not_there(world: World):
    """Rows that pages and the API have read before they are locked."""
    admin = world.person("admin")
    alert, rule, mute, delivery = (model.objects.get() for model in (Alert, AlertRule, Mute, Delivery))
    channel = delivery.channel
    for row in (alert, mute, channel, rule):
        type(row).objects.filter(pk=row.pk).delete()

    for call in (
        lambda: services.acknowledge_alert(alert, actor=admin),
        lambda: services.assign_alert(alert, None, actor=admin),
        lambda: services.mute_alert(alert, actor=admin, minutes=5),
        lambda: services.end_mute(mute, actor=admin),
        lambda: services.update_rule(rule, actor=admin, threshold=1),
        lambda: services.delete_rule(rule, actor=admin),
        lambda: services.update_channel(channel, actor=admin, name="new"),
        lambda: services.try_channel(channel, actor=admin),
        lambda: services.delete_channel(channel, actor=admin),
        lambda: services.resend_delivery(delivery, actor=admin),
    ):
        with pytest.raises(NotFound):
            call()
    assert not AuditEntry.objects.filter(action__endswith=".deleted", target_kind__in=["channel", "alertrule"]).exists()


def test_alert_whose_rule_is_gone_is_not_muted_for_all_rules(world: World):
    alert = Alert.objects.get()
    AlertRule.objects.all().delete()

    with pytest.raises(Conflict) as refusal:
        services.mute_alert(alert, actor=world.person("admin"), minutes=5)

    assert refusal.value.code == "alert_over"


@pytest.mark.parametrize("role", ["viewer", "owner"])
def test_others_change_nothing(world: World, role: str):
    actor = world.person(role)

    for call in (
        lambda: services.acknowledge_alert(world.alert, actor=actor),
        lambda: services.mute_alert(world.alert, actor=actor, minutes=60),
        lambda: services.create_rule(actor=actor, name="Mine", condition="hub-disk"),
        lambda: services.create_channel(actor=actor, name="mine", kind="email", target="a@example.org"),
    ):
        with pytest.raises((NotAllowed, NotFound)):
            call()


def test_channels_are_the_admins(world: World, operator: User):
    channel = world.delivery.channel
    for call in (
        lambda: services.update_channel(channel, actor=operator, target="https://elsewhere.example.org/"),
        lambda: services.try_channel(channel, actor=operator),
        lambda: services.resend_delivery(world.delivery, actor=operator),
        lambda: services.delete_channel(channel, actor=operator),
    ):
        with pytest.raises(NotAllowed):
            call()


def test_mute_of_an_alert_is_about_its_rule_and_subject(world: World, operator: User):
    mute = services.mute_alert(world.alert, actor=operator, minutes=60)

    assert (mute.rule, mute.scope, mute.scope_value) == (world.alert.rule, "subject", world.alert.subject)
    assert mute.ends_at - mute.starts_at == timedelta(hours=1)


@pytest.mark.parametrize(("hours", "field"), [(-1, "ends_at"), (24 * 91, "ends_at")])
def test_mute_has_an_end_that_makes_sense(operator: User, hours: int, field: str):
    now = timezone.now()

    with pytest.raises(Invalid) as refusal:
        services.create_mute(actor=operator, reason="Long", starts_at=now, ends_at=now + timedelta(hours=hours))

    assert refusal.value.field == field
    assert Mute.objects.filter(reason="Long").count() == 0


def test_rule_is_made_with_a_free_name_for_programs(operator: User):
    AlertRule.objects.create(slug="disk", name="Other", condition="hub-disk")

    assert services.create_rule(actor=operator, name="Disk", condition="hub-disk", threshold=90).slug == "disk-2"


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"condition": "nonsense"}, "condition"),
        ({"condition": "metric"}, "metric"),
        ({"scope": "region"}, "scope_value"),
        ({"name": "Own rule"}, "name"),
        ({"hold_seconds": 10**7}, "hold_seconds"),
    ],
)
def test_rule_that_makes_no_sense_names_the_field(operator: User, values: dict[str, Any], field: str):
    with pytest.raises(Invalid) as refusal:
        services.create_rule(actor=operator, **{"name": "New", "condition": "hub-disk", **values})

    assert refusal.value.field == field


def test_shipped_rule_is_not_deleted_and_remembers_that_it_was_edited(operator: User):
    rule = AlertRule.objects.create(slug="shipped", name="Shipped", condition="hub-disk", version=1)

    with pytest.raises(Conflict):
        services.delete_rule(rule, actor=operator)
    services.update_rule(rule, actor=operator, threshold=70)

    rule.refresh_from_db()
    assert (rule.is_customized, rule.threshold) == (True, 70)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"kind": "slack"}, "secret"),
        ({"kind": "slack", "secret": "ftp://example.org"}, "secret"),
        ({"kind": "pagerduty"}, "secret"),
        ({"kind": "webhook", "target": ""}, "target"),
        ({"kind": "webhook", "target": "https://u:p@example.org/"}, "target"),
        ({"kind": "email", "target": "nobody"}, "target"),
    ],
)
def test_channel_that_could_not_work_is_refused(world: World, values: dict[str, Any], field: str):
    with pytest.raises(Invalid) as refusal:
        services.create_channel(actor=world.person("admin"), name="new", **values)

    assert refusal.value.field == field


PRIVATE = ["http://127.0.0.1:9/hook", "http://[::1]/", "https://169.254.169.254/latest", "http://localhost/x"]


@pytest.mark.parametrize("url", PRIVATE)
@pytest.mark.parametrize(("kind", "field"), [("webhook", "target"), ("slack", "secret"), ("pagerduty", "target")])
def test_channel_into_a_private_network_is_not_stored(world: World, settings: Any, kind: str, field: str, url: str):
    settings.HUB_OUTGOING_ALLOWED = []
    values = {"secret": "key", field: url}

    with pytest.raises(Invalid) as refusal:
        services.create_channel(actor=world.person("admin"), name="new", kind=kind, **values)

    assert (refusal.value.code, refusal.value.field) == ("address_refused", field)
    assert not Channel.objects.filter(name="new").exists()


def test_channel_is_not_moved_into_a_private_network_but_into_one_that_is_allowed(world: World, settings: Any):
    settings.HUB_OUTGOING_ALLOWED = []
    admin, channel = world.person("admin"), world.delivery.channel
    change = {"target": PRIVATE[0], "secret": "new"}

    with pytest.raises(Invalid) as refusal:
        services.update_channel(channel, actor=admin, **change)
    settings.HUB_OUTGOING_ALLOWED = [ip_network("127.0.0.0/8")]
    services.update_channel(channel, actor=admin, **change)

    assert refusal.value.code == "address_refused"
    assert Channel.objects.get().target == PRIVATE[0]


def test_secret_stays_when_none_is_given_but_follows_to_no_new_place(world: World):
    admin, channel = world.person("admin"), world.delivery.channel

    kept = services.update_channel(channel, actor=admin, name="on call")
    with pytest.raises(Invalid):
        services.update_channel(channel, actor=admin, target="https://elsewhere.example.org/")

    assert kept.secret.reveal() == "shared"
    assert "shared" not in str(list(AuditEntry.objects.values_list("data", flat=True)))


def test_given_up_message_is_sent_again_at_once(world: World):
    run_commit_hooks()
    empty_queues()
    Channel.objects.update(retry_at=timezone.now() + timedelta(minutes=15))

    services.resend_delivery(world.delivery, actor=world.person("admin"))
    run_commit_hooks()

    assert Delivery.objects.get().state == "waiting"
    assert Channel.objects.get().retry_at is None
    assert [job.args[0] for job in rq_queue(DEFAULT_QUEUE).jobs] == ["monitoring.alerts.jobs.deliver_channel"]


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def test_alert_is_handled_on_its_page(world: World, operator: User):
    client, at = client_of(operator), reverse("monitoring:alert_detail", args=[world.alert.pk])

    assert b"Its disk is nearly full." in client.get(at).content
    client.post(f"{at}acknowledge")
    client.post(f"{at}assign", {"assignee": "viewer"})
    client.post(f"{at}mute", {"minutes": "60"})

    alert = Alert.objects.get()
    assert (alert.acknowledged_by, alert.assignee) == ("operator", world.person("viewer"))
    assert Mute.objects.filter(scope_value=alert.subject).count() == 1


def test_firing_alert_stands_on_fleet_and_in_the_navigation(world: World, operator: User):
    page = client_of(operator).get(reverse("monitoring:fleet")).content.decode()

    assert "Alerts firing" in page
    assert reverse("monitoring:alert_detail", args=[world.alert.pk]) in page


def test_rules_and_channels_are_made_on_pages(world: World):
    client = client_of(world.person("admin"))
    rule = {
        "name": "Busy",
        "condition": "metric",
        "metric": "cpu_share",
        "threshold": "70",
        "window_seconds": "60",
        "hold_seconds": "60",
        "cooldown_seconds": "60",
        "severity": "info",
        "scope": "all",
        "is_enabled": "on",
    }
    channel = {"name": "mail", "kind": "email", "target": "a@example.org", "least_severity": "info", "is_enabled": "on"}

    assert client.post(reverse("monitoring:rule_create"), rule).status_code == 302
    assert client.post(reverse("monitoring:channel_create"), channel).status_code == 302
    made = AlertRule.objects.get(name="Busy")
    assert (
        client.post(reverse("monitoring:rule_update", args=[made.pk]), {**rule, "threshold": "75"}).status_code == 302
    )
    wrong = client.post(reverse("monitoring:channel_create"), {**channel, "name": "other", "target": "nobody"})

    made.refresh_from_db()
    assert (made.threshold, Channel.objects.filter(name="mail").count()) == (75, 1)
    assert wrong.status_code == 422
    assert b"It needs e-mail addresses" in wrong.content


def test_secret_of_a_channel_is_on_no_page(world: World):
    client, pk = client_of(world.person("admin")), world.delivery.channel_id

    for name in ("channel_detail", "channel_update"):
        assert b"shared" not in client.get(reverse(f"monitoring:{name}", args=[pk])).content


def test_list_of_alerts_costs_the_same_with_more(world: World, operator: User):
    client = client_of(operator)

    def more() -> None:
        for number in range(3):
            alert = Alert.objects.get(subject="node:local")
            alert.pk, alert.subject = None, f"node:{number}"
            alert.save()

    assert_constant_queries(lambda: client.get(reverse("monitoring:alert_list")), more)
