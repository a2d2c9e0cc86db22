"""Pages of the fleet, of enrolment and of groups."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.tests.factories import UserFactory
from devices.choices import DeviceStatus, KeyState
from devices.deployments.services import Terms, rollback_devices
from devices.models import Bundle, Deployment, Device, DeviceGroup, DeviceLog, EnrolmentToken, TargetEvent
from devices.outcomes import outcomes
from devices.services import create_token
from devices.services.tokens import digest_of
from hub.nodes.tests.factories import RegionFactory

from .deployment_helpers import beat, deploy, make_bundle, report, run_through
from .factories import DeviceFactory, DeviceGroupFactory, make_key
from .signing import pem_of
from .test_pages import browser, page, waiting

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    return browser(UserFactory(role="Operator", username="rudo"))


@pytest.fixture
def viewer() -> Client:
    return browser(UserFactory(role="Viewer"))


def test_fleet_counts_calls_versions_deployments_and_failures(viewer: Client) -> None:
    first, second = (DeviceFactory(beat__last_seen=1, beat__bundle_version="1.0") for _ in range(2))
    DeviceFactory(beat__last_seen=9_000)
    waiting()
    deployment = deploy(make_bundle("2.0"), first, second)
    beat(first)
    report(first, deployment, "failed", error_code="script", error_message="deploy.sh ended with 3.")

    text = page(viewer, "/fleet/")

    assert "2<small>of 3</small>" in text
    assert "0 of 2 proven" in text
    assert "1 failed" in text
    assert "deploy.sh ended with 3." in text
    assert "Wait to enrol" in text


def test_fleet_shows_what_became_of_seven_days_of_deployments(viewer: Client) -> None:
    """X102: cards and chart of what there is, and not made up. A success that was rolled back is none any more."""
    first, second = DeviceFactory(beat__last_seen=1), DeviceFactory(beat__last_seen=1)
    for version in ("1.0", "2.0"):
        run_through(make_bundle(version), first)
    old = run_through(Bundle.objects.get(version="1.0"), second)
    TargetEvent.objects.filter(target__deployment=old).update(at=timezone.now() - timedelta(days=8))
    failed = deploy(Bundle.objects.get(version="2.0"), second)
    beat(second)
    report(second, failed, "failed", error_code="script")
    made = rollback_devices(Device.objects.filter(pk=first.pk), actor=SYSTEM, terms=Terms(soak_seconds=0)).deployment
    Deployment.objects.filter(pk=made.pk).update(created_at=timezone.now() - timedelta(seconds=95))
    beat(first)
    report(first, made, "success")

    found = outcomes(UserFactory(role="Viewer"))
    text = page(viewer, "/fleet/")

    today = found.days[-1]
    assert (len(found.days), today.succeeded, today.failed, today.rolled_back, found.total) == (7, 2, 1, 1, 4)
    assert (found.bundles, found.deployments_24h, found.success_percent) == (2, 5, 50.0)
    assert 95 <= (found.mean_rollback_seconds or 0) < 120
    assert "50<small>%</small>" in text
    assert "1 min" in text
    assert f"{today.day:%-d %b}" in text


def test_outcomes_are_of_the_regions_that_one_may_see() -> None:
    for region in (RegionFactory(slug="here"), RegionFactory(slug="there")):
        run_through(make_bundle(region.slug), DeviceFactory(region=region))
    operator = UserFactory(role="Operator", regions=["here"])

    assert outcomes(operator).days[-1].succeeded == 1
    assert outcomes(UserFactory(role="Player")).total == 0


def test_log_of_all_devices_is_of_those_one_may_see() -> None:
    for slug, level in (("here", "ERROR"), ("there", "INFO")):
        device = DeviceFactory(name=f"from-{slug}", region=RegionFactory(slug=slug))
        for number in range(2):
            DeviceLog.objects.create(device=device, at=timezone.now(), level=level, message=f"<b>{slug} {number}</b>")
    viewer, operator = browser(UserFactory(role="Viewer")), browser(UserFactory(role="Operator", regions=["here"]))

    all_of_them = page(viewer, "/device-logs/")
    errors = page(viewer, "/device-logs/?level=ERROR")
    with CaptureQueriesContext(connection) as queries:
        own = page(operator, "/device-logs/")
    DeviceLog.objects.create(device=device, at=timezone.now(), level="INFO", message="One more.")
    with CaptureQueriesContext(connection) as again:
        page(operator, "/device-logs/")

    assert "&lt;b&gt;here 1" in all_of_them
    assert "from-there" in all_of_them
    assert "from-there" not in errors
    assert "from-here" in own
    assert "there" not in own
    assert len(again) <= len(queries)
    assert browser(UserFactory(role="Player")).get("/device-logs/").status_code == 403


def test_fleet_costs_the_same_for_any_number(viewer: Client) -> None:
    bundle = make_bundle("2.0")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(viewer, "/fleet/")
        return len(queries)

    deploy(bundle, DeviceFactory(beat__last_seen=1))
    cost()
    few = cost()
    for number in range(5):
        deploy(bundle, DeviceFactory(beat__last_seen=1, beat__bundle_version=f"1.{number}"))

    assert cost() == few


def test_empty_fleet_says_how_devices_come(viewer: Client) -> None:
    assert "enrol" in page(viewer, "/fleet/")
    assert "Nobody waits" in page(viewer, "/enrolment/")


def test_queue_shows_new_ones_other_keys_and_expected_ones_only(viewer: Client) -> None:
    waiting(name="new-one")
    known = DeviceFactory(name="known-one")
    make_key(known)
    make_key(known, state=KeyState.PROPOSED)
    DeviceFactory(name="expected-one", status=DeviceStatus.PREAUTHORISED)
    DeviceFactory(name="settled-one")

    text = page(viewer, "/enrolment/")

    assert [name in text for name in ("new-one", "known-one", "expected-one", "settled-one")] == [True] * 3 + [False]
    assert "another than it has" in text
    assert "known-one" not in page(viewer, "/enrolment/?view=new")


def test_decision_leads_back_to_the_queue(staff: Client) -> None:
    device = waiting()

    answer = staff.post(f"{device.get_absolute_url()}/accept", {"next": "/enrolment/?view=new"})

    assert answer["Location"] == "/enrolment/?view=new"
    assert staff.post(f"{device.get_absolute_url()}/accept", {"next": "//evil.example"})["Location"].startswith("/dev")


def test_navigation_counts_who_waits(viewer: Client) -> None:
    waiting()

    assert 'title="Enrolment"' in page(viewer, "/fleet/")
    assert "k-n k-warn" in page(viewer, "/fleet/").split('title="Enrolment"')[1].split("</a>")[0]


def test_device_is_preauthorised_by_its_key_once(staff: Client) -> None:
    values = {"name": "Roof", "public_key": pem_of(make_key(DeviceFactory()))}
    Device.objects.all().delete()

    text = page(staff, "/enrolment/new", **values)
    again = staff.post("/enrolment/new", values)
    bad = staff.post("/enrolment/new", {"name": "Roof", "public_key": "none", "identity": "[1]"})

    assert "is accepted when it first calls" in text
    assert Device.objects.get().status == DeviceStatus.PREAUTHORISED
    assert (again.status_code, bad.status_code) == (422, 422)
    assert "A device has this key already." in again.content.decode()
    assert "An identity is an object" in bad.content.decode()


def test_token_is_shown_once_with_the_command_for_the_agent(staff: Client) -> None:
    group = DeviceGroupFactory(slug="gates")
    made = staff.post("/enrolment-tokens/", {"name": "June", "most_uses": 5, "days": 7, "group": "gates"})

    text = made.content.decode()
    secret = text.split('data-copy="')[1].split('"')[0]
    token = EnrolmentToken.objects.get()

    assert made["Cache-Control"] == "no-store"
    assert "kutanga-agent enrol --hub http" in text
    assert f"--token {secret}" in text
    assert (token.digest, token.group, token.most_uses) == (digest_of(secret), group, 5)
    assert secret not in page(staff, "/enrolment-tokens/")


def test_token_form_keeps_what_was_typed(staff: Client) -> None:
    answer = staff.post("/enrolment-tokens/", {"name": "June", "most_uses": 0, "days": 7})

    assert answer.status_code == 422
    assert 'value="June"' in answer.content.decode()


def test_token_is_revoked_after_a_question(staff: Client) -> None:
    token, _ = create_token(actor=SYSTEM, name="June", expires_at=timezone.now() + timedelta(days=1))
    path = f"/enrolment-tokens/{token.pk}/revoke"
    assert "Nobody can enrol with it any more." in page(staff, path)

    page(staff, path, now="1")

    token.refresh_from_db()
    assert token.state == "revoked"


@pytest.mark.parametrize(
    ("values", "state"),
    [({}, "open"), ({"uses": 1}, "used"), ({"expires_at": timezone.now() - timedelta(days=1)}, "expired")],
)
def test_state_of_a_token(values: dict[str, object], state: str) -> None:
    token, _ = create_token(actor=SYSTEM, name="June", expires_at=timezone.now() + timedelta(days=1))
    EnrolmentToken.objects.filter(pk=token.pk).update(**values)

    token.refresh_from_db()
    assert token.state == state


def test_limited_operator_sees_and_makes_tokens_of_his_regions_only() -> None:
    RegionFactory(slug="here"), RegionFactory(slug="there")
    client = browser(UserFactory(role="Operator", regions=["here"]))

    refused = client.post("/enrolment-tokens/", {"name": "June", "most_uses": 1, "days": 7, "region": "there"})
    made = client.post("/enrolment-tokens/", {"name": "May", "most_uses": 1, "days": 7, "region": "here"})

    assert refused.status_code == 422
    assert made.status_code == 200
    assert [token.name for token in EnrolmentToken.objects.all()] == ["May"]


def test_group_is_made_filled_emptied_and_deleted(staff: Client) -> None:
    first, second = DeviceFactory(name="gate-1"), DeviceFactory(name="gate-2")

    page(staff, "/device-groups/", name="Gates", slug="gates", priority=1)
    missing = staff.post("/device-groups/gates", {"names": "gate-9"})
    text = page(staff, "/device-groups/gates", names=f"gate-1, #{second.number}")
    page(staff, "/device-groups/gates/remove", ids=[second.pk])
    group = DeviceGroup.objects.get()
    members = list(group.devices.all())
    page(staff, "/device-groups/gates/edit", name="Doors", description="", priority=2)
    kept = staff.post("/device-groups/gates/delete", {"typed": "wrong"})
    page(staff, "/device-groups/gates/delete", typed="gates")

    assert "There is no device gate-9." in missing.content.decode()
    assert "2 devices came into Gates." in text
    assert members == [first]
    assert kept.status_code == 422
    assert not DeviceGroup.objects.exists()


def test_second_group_of_a_slug_is_refused_at_its_field(staff: Client) -> None:
    DeviceGroupFactory(slug="gates")

    answer = staff.post("/device-groups/", {"name": "Other", "slug": "gates", "priority": 0})

    assert answer.status_code == 422
    assert "already exists" in answer.content.decode()


def test_group_that_a_token_leads_into_is_kept(staff: Client) -> None:
    group = DeviceGroupFactory(slug="gates")
    create_token(actor=SYSTEM, name="June", group=group, expires_at=timezone.now() + timedelta(days=1))

    answer = staff.post("/device-groups/gates/delete", {"typed": "gates"})

    assert "Something still refers to this group" in answer.content.decode()
    assert DeviceGroup.objects.exists()


def test_viewer_changes_no_group_and_sees_no_form(viewer: Client) -> None:
    group = DeviceGroupFactory(slug="gates")
    group.devices.add(DeviceFactory(name="gate-1"))

    assert viewer.post("/device-groups/", {"name": "More", "slug": "more", "priority": 0}).status_code == 403
    assert viewer.post("/device-groups/gates", {"names": "gate-1"}).status_code == 403
    text = page(viewer, "/device-groups/gates")
    assert "gate-1" in text
    assert "<textarea" not in text
