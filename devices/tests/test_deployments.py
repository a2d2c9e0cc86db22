"""Deployments: who gets what, and each way in which one goes on, ends, comes late or comes twice."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from devices.bundles import services as bundle_services
from devices.bundles.models import DeviceSealingKey
from devices.deployments import results, services, suits
from devices.deployments.choices import SILENCE_SECONDS, TargetStatus
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.services import Chosen, Terms
from devices.models import Device, DeviceBeat
from devices.services import decommission_device
from hub.exceptions import Conflict, HubError, Invalid, NotAllowed, NotFound, TooMany

from .deployment_helpers import age, beat, deploy, make_bundle, only, report, run_through
from .factories import DeviceFactory, DeviceGroupFactory, make_key

pytestmark = pytest.mark.django_db
T = TargetStatus


@pytest.fixture
def device() -> Device:
    return DeviceFactory()


def refusals(bundle: Any, device: Device) -> list[tuple[suits.Candidate, list[suits.Reason]]]:
    return services.preview_deployment(bundle, Chosen(devices=[device.pk]), Terms(), actor=SYSTEM).refused


def codes(reasons: list[suits.Reason]) -> list[str]:
    return [each.code for each in reasons]


# Who gets it ------------------------------------------------------------------------------------------------------


def test_a_command_says_what_to_install(device: Device) -> None:
    bundle = make_bundle("2.0")
    deployment = deploy(bundle, device)

    (command,) = beat(device)

    target = only(deployment)
    assert command == {
        "type": "deploy",
        "deployment_id": str(deployment.pk),
        "number": target.number,
        "attempt": 1,
        "bundle_id": str(bundle.pk),
        "bundle_name": "camera",
        "bundle_version": "2.0",
        "checksum_sha256": "a" * 64,
        "size_bytes": 1000,
        "timeout_seconds": 300,
        "work_url": f"/api/v1/deployments/{deployment.pk}/work",
    }
    assert 0 < target.number < 2**31
    assert target.status == T.OFFERED


def test_each_device_has_its_own_row() -> None:
    """X60: the first device to poll must not take the command away from the others."""
    first, second = DeviceFactory(), DeviceFactory()
    deploy(make_bundle(), first, second)

    assert len(beat(first)) == len(beat(second)) == 1


def test_groups_and_all_are_resolved_once() -> None:
    group = DeviceGroupFactory()
    inside, outside, pending = DeviceFactory(), DeviceFactory(), DeviceFactory(status="pending")
    for each in (inside, pending):
        each.groups.add(group)
    bundle = make_bundle()

    made = services.create_deployment(bundle, Chosen(groups=[group.slug]), actor=SYSTEM)
    everybody = services.preview_deployment(bundle, Chosen(all=True), Terms(), actor=SYSTEM)

    assert [target.device for target in made.deployment.targets.all()] == [inside]
    assert {each.id for each in everybody.eligible} == {inside.pk, outside.pk}


@pytest.mark.parametrize(
    ("of_device", "of_bundle", "code"),
    [
        ({"status": "suspended"}, {}, "not_accepted"),
        ({"device_type": "pi4"}, {"device_types": ["pi5"]}, "other_type"),
        ({}, {"is_sealed": True}, "no_sealing_key"),
        ({"beat__bundle_version": "1.10"}, {"version": "1.9"}, "downgrade"),
        ({"beat__agent_version": "0.9"}, {"manifest": {"min_agent_version": "0.10"}}, "agent_too_old"),
    ],
)
def test_why_a_device_does_not_get_it(of_device: Any, of_bundle: Any, code: str) -> None:
    device, bundle = DeviceFactory(**of_device), make_bundle(**of_bundle)

    with pytest.raises(Conflict) as refusal:
        deploy(bundle, device)

    assert refusal.value.code == "no_device"
    assert codes(suits.why_not(device, bundle)) == [code, "never_deployed"]


def test_who_cannot_is_left_out_and_named(device: Device) -> None:
    other = DeviceFactory(device_type="pi5")
    bundle = make_bundle(device_types=["gateway"])

    made = services.create_deployment(bundle, Chosen(devices=[device.pk, other.pk]), actor=SYSTEM)

    assert [target.device for target in made.deployment.targets.all()] == [device]
    assert [(candidate.id, codes(reasons)) for candidate, reasons in made.refused] == [(other.pk, ["other_type"])]


def test_a_downgrade_goes_when_it_is_meant(device: Device) -> None:
    DeviceBeat.objects.update(bundle_version="2.0")

    assert deploy(make_bundle("1.0"), device, allow_downgrade=True).targets.count() == 1


def test_what_has_become_a_downgrade_is_not_offered() -> None:
    """It was asked for when the device ran something older, and waited for its time."""
    device = DeviceFactory(beat__bundle_version="1.0")
    waits, meant = make_bundle("1.5"), make_bundle("1.6")
    deployment = deploy(waits, device, starts_at=timezone.now() + timedelta(hours=1))
    Deployment.objects.filter(pk=deployment.pk).update(starts_at=timezone.now())
    services.follow_deployments()

    assert beat(device, bundle_version="2.0") == []
    target = only(deployment)
    assert (target.status, "2.0" in target.error_message) == ("superseded", True)
    assert Deployment.objects.get(pk=deployment.pk).status == "finished"
    deploy(meant, device, allow_downgrade=True)
    assert [each["bundle_version"] for each in beat(device, bundle_version="2.0")] == ["1.6"]


def test_versions_of_different_bundles_are_not_compared(device: Device) -> None:
    camera = make_bundle("1.0", name="camera")
    run_through(camera, device)
    run_through(make_bundle("2.0", name="gate"), device)

    update = deploy(make_bundle("1.5", name="camera"), device)
    assert [each["bundle_version"] for each in beat(device, bundle_version="2.0")] == ["1.5"]
    report(device, update, "failed")

    assert [reason.code for _, (reason,) in refusals(make_bundle("1.9", name="gate"), device)] == ["downgrade"]


def test_going_back_from_a_bundle_of_the_same_version(device: Device) -> None:
    camera, gate = (make_bundle("1.0", name=name, stored_name=f"{name}.bin") for name in ("camera", "gate"))
    for bundle in (camera, gate):
        run_through(bundle, device)

    (way,) = services.ways_back(Device.objects.all())
    back = services.rollback_devices(Device.objects.all(), actor=SYSTEM, terms=Terms(soak_seconds=0)).deployment
    beat(device, bundle_version="1.0")
    report(device, back, "success")

    assert way.bundle == camera
    past = DeploymentTarget.objects.exclude(deployment=back)
    assert dict(past.values_list("bundle__name", "status")) == {"camera": T.SUCCEEDED, "gate": T.ROLLED_BACK}


def test_an_ed25519_device_opens_bundles_with_its_second_key(device: Device) -> None:
    make_key(device)
    bundle = make_bundle(is_sealed=True)
    assert "no_sealing_key" in codes(suits.why_not(device, bundle))

    DeviceSealingKey.objects.create(device=device, public_key="A" * 44)

    assert deploy(bundle, device).targets.count() == 1


def test_what_runs_already_is_not_sent_again(device: Device) -> None:
    bundle = make_bundle()
    run_through(bundle, device)

    assert suits.why_not(device, bundle) == []
    with pytest.raises(Conflict, match="runs on the device already"):
        deploy(bundle, device)


@pytest.mark.parametrize(
    ("chosen", "code"),
    [
        (Chosen(), "invalid"),
        (Chosen(groups=["nowhere"]), "no_such_group"),
        (Chosen(devices=["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"]), "no_such_device"),  # type: ignore[list-item]
    ],
)
def test_targets_must_be_there(chosen: Chosen, code: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.create_deployment(make_bundle(), chosen, actor=SYSTEM)

    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"timeout_seconds": 1}, "timeout_seconds"),
        ({"soak_seconds": 100_000}, "soak_seconds"),
        ({"max_attempts": 0}, "max_attempts"),
        ({"window_starts_at": time(3)}, "window_minutes"),
        ({"window_timezone": "Mars/Olympus"}, "window_timezone"),
        ({"window_timezone": "../../etc/passwd"}, "window_timezone"),
        ({"description": "x" * 301}, "description"),
    ],
)
def test_terms_have_bounds(device: Device, terms: Any, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        deploy(make_bundle(), device, **terms)

    assert refusal.value.field == field


@pytest.mark.parametrize("role", ["Viewer", "Player"])
def test_only_staff_deploys(device: Device, role: str) -> None:
    with pytest.raises(NotAllowed):
        services.create_deployment(make_bundle(), Chosen(devices=[device.pk]), actor=UserFactory(role=role))


def test_an_operator_of_regions_reaches_no_other(device: Device) -> None:
    operator = UserFactory(role="Operator", regions=["elsewhere"])

    with pytest.raises(Invalid) as refusal:
        services.create_deployment(make_bundle(), Chosen(devices=[device.pk]), actor=operator)

    assert refusal.value.code == "no_such_device"
    assert not Deployment.objects.visible_to(operator).exists()


def test_an_operator_of_regions_does_not_call_off_what_others_get() -> None:
    mine, other = DeviceFactory(region__slug="here"), DeviceFactory(region__slug="there")
    operator = UserFactory(role="Operator", regions=["here"])
    both, own = deploy(make_bundle("1.0"), mine, other), deploy(make_bundle("2.0"), mine)

    with pytest.raises(NotAllowed) as refusal:
        services.cancel_deployment(both, actor=operator)
    services.cancel_deployment(own, actor=operator)

    assert refusal.value.code == "other_region"
    assert both.targets.get(device=other).status == T.WAITING


def test_an_invalidated_bundle_goes_nowhere(device: Device) -> None:
    bundle = make_bundle()
    waiting = deploy(bundle, device)
    bundle_services.invalidate_bundle(bundle, actor=SYSTEM, reason="Broken")
    bundle.refresh_from_db()

    assert beat(device) == []
    assert (only(waiting).status, only(waiting).error_code) == (T.FAILED, "invalidated")
    with pytest.raises(Conflict) as refusal:
        deploy(bundle, device)
    assert refusal.value.code == "invalidated"


# Leases, deadlines, attempts --------------------------------------------------------------------------------------


def test_a_lost_command_is_offered_again(device: Device) -> None:
    """X61."""
    deployment = deploy(make_bundle(), device)
    assert len(beat(device)) == 1
    assert beat(device) == []

    age(deployment, 301)

    assert len(beat(device)) == 1
    assert only(deployment).offers == 2


def test_one_that_is_never_answered_is_given_up(device: Device) -> None:
    deployment = deploy(make_bundle(), device, max_attempts=1)
    for _ in range(10):
        assert len(beat(device)) == 1
        age(deployment, 301)

    assert beat(device) == []
    assert (only(deployment).status, only(deployment).error_code) == (T.FAILED, "timeout")


@pytest.mark.parametrize(("interval", "status"), [(60, T.FAILED), (3600, T.OFFERED)])
def test_an_offer_to_a_device_that_fell_silent_is_given_up(device: Device, interval: int, status: str) -> None:
    """Not before it had the time to call again, after which it is offered it anew."""
    DeviceBeat.objects.filter(device=device).update(interval_seconds=interval)
    deployment = deploy(make_bundle(), device, max_attempts=1)
    beat(device)
    age(deployment, 301)
    services.follow_deployments()
    assert only(deployment).status == T.OFFERED

    age(deployment, SILENCE_SECONDS + 3 * 60)
    services.follow_deployments()

    assert (only(deployment).status, only(deployment).error_code) == (status, "timeout" if status == T.FAILED else "")
    deployment.refresh_from_db()
    assert deployment.is_open is (status == T.OFFERED)


@pytest.mark.parametrize("has_begun", [False, True])
def test_a_deployment_does_not_wait_for_ever_for_a_dead_device(device: Device, has_begun: bool) -> None:
    deployment = deploy(make_bundle(), device)
    if has_begun:  # and has attempts left
        beat(device)
        report(device, deployment, "downloading")
        age(deployment, 301)
        services.follow_deployments()
    began = Deployment.objects.filter(pk=deployment.pk)

    statuses = []
    for days in (6, 8):
        began.update(started_at=timezone.now() - timedelta(days=days))
        services.follow_deployments()
        statuses.append((only(deployment).status, began.get().status))

    assert statuses == [(T.WAITING, "running"), (T.FAILED, "finished")]
    assert only(deployment).error_message == "The device did not take it within 7 days."


def test_a_device_that_does_not_finish_is_given_another_attempt(device: Device) -> None:
    deployment = deploy(make_bundle(), device, max_attempts=2)
    beat(device)
    report(device, deployment, "downloading")
    age(deployment, 301)

    services.follow_deployments()

    assert (only(deployment).status, only(deployment).attempt) == (T.WAITING, 2)
    assert beat(device) == []
    age(deployment, 61)
    assert beat(device)[0]["attempt"] == 2


@pytest.mark.parametrize(
    ("code", "status"),
    [("download", T.WAITING), ("corrupted", T.WAITING), ("busy", T.WAITING), ("signature", T.FAILED)]
    + [(code, T.FAILED) for code in ("script", "archive", "incompatible", "space", "decryption", "nonsense", "")],
)
def test_what_may_go_well_another_time_is_tried_again(device: Device, code: str, status: str) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)

    assert report(device, deployment, "failed", error_code=code, error_message="No.") == (status, True)


def test_attempts_end(device: Device) -> None:
    deployment = deploy(make_bundle(), device, max_attempts=2)
    for _ in range(2):
        beat(device)
        report(device, deployment, "failed", error_code="download")
        age(deployment, 3600)

    assert only(deployment).status == T.FAILED
    deployment.refresh_from_db()
    assert deployment.status == "finished"


def test_nothing_new_is_offered_while_one_is_under_way(device: Device) -> None:
    """X96."""
    first, second = deploy(make_bundle("1.0"), device), deploy(make_bundle("2.0"), device)
    assert only(first).status == T.SUPERSEDED
    beat(device)

    third = deploy(make_bundle("3.0"), device)

    assert only(second).status == T.OFFERED
    assert beat(device) == []
    report(device, second, "success")
    assert beat(device)[0]["bundle_version"] == "3.0"
    assert only(third).status == T.OFFERED


def test_a_failure_is_not_tried_again_when_something_newer_waits(device: Device) -> None:
    first = deploy(make_bundle("1.0"), device)
    beat(device)
    deploy(make_bundle("2.0"), device)

    assert report(device, first, "failed", error_code="download") == (T.FAILED, True)
    assert beat(device)[0]["bundle_version"] == "2.0"


# Success is proven ------------------------------------------------------------------------------------------------


def test_success_needs_the_version_and_health_for_the_soak_time(device: Device) -> None:
    deployment = deploy(make_bundle("2.0"), device, soak_seconds=120)
    beat(device)
    assert report(device, deployment, "installed") == (T.SOAKING, True)

    beat(device, bundle_version="2.0", health="healthy")
    assert only(deployment).status == T.SOAKING
    age(deployment, 121)
    beat(device, bundle_version="2.0", health="degraded")

    assert only(deployment).status == T.SUCCEEDED
    deployment.refresh_from_db()
    assert deployment.status == "finished"
    assert deployment.finished_at is not None


@pytest.mark.parametrize(
    ("said", "code"),
    [({"bundle_version": "1.0"}, "wrong_version"), ({"bundle_version": "2.0", "health": "error"}, "unhealthy")],
)
def test_who_does_not_prove_itself_has_failed(device: Device, said: Any, code: str) -> None:
    deployment = deploy(make_bundle("2.0"), device, soak_seconds=120)
    beat(device)
    report(device, deployment, "success")

    beat(device, **said)

    assert (only(deployment).status, only(deployment).error_code) == (T.FAILED, code)


def test_silence_after_the_soak_time_is_no_success(device: Device) -> None:
    deployment = deploy(make_bundle("2.0"), device, soak_seconds=60)
    beat(device)
    report(device, deployment, "success")
    age(deployment, 60 + 901)

    services.follow_deployments()

    assert (only(deployment).status, only(deployment).error_code) == (T.FAILED, "timeout")


def test_a_device_that_falls_back_later_flips_the_record(device: Device) -> None:
    deployment = run_through(make_bundle(), device)

    assert report(device, deployment, "rolled_back") == (T.ROLLED_BACK, True)
    assert report(device, deployment, "rolled_back") == (T.ROLLED_BACK, False)


# Late, twice, and from strangers ----------------------------------------------------------------------------------


def test_a_result_counts_once(device: Device) -> None:
    """X68: repeat results added history again."""
    deployment = deploy(make_bundle(), device)
    beat(device)

    assert report(device, deployment, "success") == (T.SUCCEEDED, True)
    assert report(device, deployment, "success") == (T.SUCCEEDED, False)
    assert report(device, deployment, "failed", error_message="Late") == (T.SUCCEEDED, False)
    assert DeploymentTarget.objects.filter(device=device).history().count() == 1
    assert only(deployment).events.filter(status=T.SUCCEEDED).count() == 1


def test_a_success_that_comes_after_the_time_was_over_counts(device: Device) -> None:
    deployment = deploy(make_bundle(), device, max_attempts=1)
    beat(device)
    report(device, deployment, "installing")
    age(deployment, 301)
    services.follow_deployments()
    assert only(deployment).status == T.FAILED

    assert report(device, deployment, "success") == (T.SUCCEEDED, True)
    assert only(deployment).error_code == ""


def test_a_success_that_comes_after_that_of_something_newer_is_not_what_runs(device: Device) -> None:
    late = deploy(make_bundle("1.0"), device, max_attempts=1)
    beat(device)
    report(device, late, "installing")
    age(late, 301)
    services.follow_deployments()
    newer = run_through(make_bundle("2.0"), device)

    assert report(device, late, "success") == (T.FAILED, False)

    assert suits.candidates(Device.objects.all())[0].proven == newer.bundle_id
    assert DeviceBeat.objects.get(device=device).bundle_version == "2.0"


def test_waiting_for_a_restart_is_noted_once(device: Device) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)

    for word in ("installing", "restarting", "restarting"):
        report(device, deployment, word)

    assert [each.message for each in only(deployment).events.all()][:2] == ["Restarts", "Installs"]


def test_an_attempt_that_was_given_up_may_still_succeed(device: Device) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)
    report(device, deployment, "downloading")
    age(deployment, 301)
    services.follow_deployments()
    assert only(deployment).status == T.WAITING

    assert report(device, deployment, "success") == (T.SUCCEEDED, True)
    assert beat(device) == []


@pytest.mark.parametrize(
    ("status", "kind", "code", "http"),
    [
        ("exploded", Invalid, "invalid", 400),
        ("", Invalid, "invalid", 400),
        ("cancelled", Conflict, "not_cancelling", 409),
    ],
)
def test_wrong_words_are_refused(device: Device, status: str, kind: Any, code: str, http: int) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)

    with pytest.raises(kind) as refusal:
        report(device, deployment, status)

    assert (refusal.value.code, refusal.value.status) == (code, http)


def test_a_stranger_reports_nothing(device: Device) -> None:
    deployment = deploy(make_bundle(), device)

    with pytest.raises(NotAllowed) as refusal:
        report(DeviceFactory(), deployment, "success")

    assert refusal.value.code == "not_a_target"
    assert only(deployment).status == T.WAITING
    with pytest.raises(NotFound):
        report(device, device.pk, "success")


def test_progress_after_the_end_is_gone(device: Device) -> None:
    deployment = run_through(make_bundle(), device)

    with pytest.raises(results.Closed) as refusal:
        report(device, deployment, "downloading")

    assert refusal.value.status == 410


def test_progress_has_a_quota_and_the_end_has_none(device: Device) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)
    report(device, deployment, "downloading", progress_percent=50)
    assert only(deployment).progress_percent == 50
    deployment.targets.update(reports=results.MOST_REPORTS)

    with pytest.raises(TooMany):
        report(device, deployment, "downloading")

    assert report(device, deployment, "success") == (T.SUCCEEDED, True)


def test_long_output_is_cut_at_its_beginning(device: Device) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)

    report(device, deployment, "failed", output="x" * 150_000 + "the end", error_message="y" * 5000)

    assert len(only(deployment).output) == 100_000
    assert only(deployment).output.endswith("the end")
    assert len(only(deployment).error_message) == 2000


# Schedules, windows, cancelling -----------------------------------------------------------------------------------


def test_a_scheduled_one_begins_at_its_time(device: Device) -> None:
    earlier = deploy(make_bundle("1.0"), device)
    later = deploy(make_bundle("2.0"), device, starts_at=timezone.now() + timedelta(hours=1))

    services.follow_deployments()
    assert (only(earlier).status, only(later).status) == (T.WAITING, T.SCHEDULED)
    Deployment.objects.filter(pk=later.pk).update(starts_at=timezone.now() - timedelta(seconds=1))
    services.follow_deployments()

    assert (only(earlier).status, only(later).status) == (T.SUPERSEDED, T.WAITING)
    assert beat(device)[0]["bundle_version"] == "2.0"


@pytest.mark.parametrize(
    ("zone", "hour", "is_open"),
    [("UTC", 23, True), ("UTC", 0, True), ("UTC", 1, False), ("UTC", 22, False), ("Africa/Harare", 21, True)],
)
def test_a_window_may_go_over_midnight(zone: str, hour: int, is_open: bool) -> None:
    deployment = Deployment(window_starts_at=time(23), window_minutes=120, window_timezone=zone)

    assert deployment.is_window_open(datetime(2026, 3, 1, hour, 30, tzinfo=UTC)) is is_open


@pytest.mark.parametrize(
    ("start", "moment", "is_open"),
    [
        (time(2, 30), datetime(2026, 10, 25, 0, 45, tzinfo=UTC), True),  # 02:45, summer
        (time(2, 30), datetime(2026, 10, 25, 1, 45, tzinfo=UTC), False),  # 02:45 once more, winter
        (time(2, 15), datetime(2026, 3, 29, 1, 20, tzinfo=UTC), True),  # 02:15 is left out: it is 03:20
    ],
)
def test_a_window_has_its_length_also_when_the_clock_is_changed(start: time, moment: datetime, is_open: bool) -> None:
    deployment = Deployment(window_starts_at=start, window_minutes=30, window_timezone="Europe/Berlin")

    assert deployment.is_window_open(moment) is is_open


def test_a_lost_offer_is_not_repeated_outside_its_window(device: Device) -> None:
    soon = (timezone.now() - timedelta(minutes=5)).time()
    deployment = deploy(make_bundle(), device, window_starts_at=soon, window_minutes=60, max_attempts=1)
    assert len(beat(device)) == 1
    age(deployment, 301)
    Deployment.objects.update(window_starts_at=(timezone.now() + timedelta(hours=6)).time())

    assert beat(device) == []
    assert (only(deployment).status, only(deployment).attempt) == (T.WAITING, 1)
    Deployment.objects.update(window_starts_at=soon)
    assert len(beat(device)) == 1


def test_nothing_is_offered_outside_its_window(device: Device) -> None:
    elsewhere = (timezone.now() + timedelta(hours=6)).time().replace(microsecond=0)
    deployment = deploy(make_bundle(), device, window_starts_at=elsewhere, window_minutes=60)
    assert beat(device) == []
    assert "window" in codes(suits.why_not(device, only(deployment).bundle))

    Deployment.objects.update(window_starts_at=(timezone.now() - timedelta(minutes=5)).time())

    assert len(beat(device)) == 1


def test_cancelling_asks_those_who_work_on_it() -> None:
    busy, waiting = DeviceFactory(), DeviceFactory()
    deployment = deploy(make_bundle(), busy, waiting)
    beat(busy)
    services.cancel_deployment(deployment, actor=SYSTEM, reason="Wrong bundle.")

    assert beat(waiting) == []
    assert deployment.targets.get(device=waiting).status == T.CANCELLED
    assert beat(busy)[0]["type"] == "cancel"
    with pytest.raises(Conflict, match="called off"):
        report(busy, deployment, "downloading")
    assert report(busy, deployment, "cancelled") == (T.CANCELLED, True)
    assert beat(busy) == []
    assert AuditEntry.objects.filter(action="deployment.cancelled").count() == 1


def test_what_was_called_off_does_not_wait_for_ever_for_a_dead_device(device: Device, settings: Any) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)
    services.cancel_deployment(deployment, actor=SYSTEM)
    services.follow_deployments()
    assert only(deployment).status == T.CANCELLING
    long_ago = timezone.now() - timedelta(days=settings.HUB_DEPLOYMENT_DAYS, seconds=1)
    Deployment.objects.update(finished_at=long_ago)

    services.follow_deployments()

    assert only(deployment).status == T.CANCELLED


def test_a_device_may_have_been_quicker_than_the_cancelling(device: Device) -> None:
    deployment = deploy(make_bundle(), device, soak_seconds=60)
    beat(device)
    services.cancel_deployment(deployment, actor=SYSTEM)

    assert report(device, deployment, "success") == (T.SUCCEEDED, True)


def test_force_quit_ends_it_without_the_device(device: Device) -> None:
    deployment = deploy(make_bundle(), device)
    beat(device)

    services.force_quit(only(deployment), actor=SYSTEM)

    assert only(deployment).status == T.CANCELLED
    with pytest.raises(Conflict) as refusal:
        services.force_quit(only(deployment), actor=SYSTEM)
    assert refusal.value.code == "target_over"


def test_what_is_open_ends_with_its_device(device: Device) -> None:
    other = DeviceFactory()
    offered = deploy(make_bundle("1.0"), device)
    beat(device)
    waiting = deploy(make_bundle("2.0"), device)
    both = deploy(make_bundle("3.0"), other, device, starts_at=timezone.now() + timedelta(hours=1))

    decommission_device(device, actor=SYSTEM)

    assert [only(each).status for each in (offered, waiting)] == [T.CANCELLED, T.CANCELLED]
    assert {each.device: each.status for each in both.targets.all()} == {device: T.CANCELLED, other: T.SCHEDULED}
    assert set(Deployment.objects.values_list("pk", "status")) == {
        (offered.pk, "finished"),
        (waiting.pk, "finished"),
        (both.pk, "scheduled"),
    }


def test_only_what_failed_is_tried_again() -> None:
    good, bad = DeviceFactory(), DeviceFactory()
    deployment = deploy(make_bundle(), good, bad)
    for device, status in ((good, "success"), (bad, "failed")):
        beat(device)
        report(device, deployment, status)

    again = services.retry_failed(deployment, actor=SYSTEM)

    assert [target.device for target in again.targets.all()] == [bad]
    assert again.parent == deployment


# Rollback ---------------------------------------------------------------------------------------------------------


def test_each_device_goes_back_to_its_own_last_good_bundle() -> None:
    first, second, fresh = DeviceFactory(), DeviceFactory(), DeviceFactory()
    one, two, three = make_bundle("1.0"), make_bundle("2.0"), make_bundle("3.0")
    run_through(one, first)
    run_through(two, second)
    run_through(three, first, second, fresh)

    made = services.rollback_devices(Device.objects.all(), actor=SYSTEM, terms=Terms(soak_seconds=0))

    assert {target.device: target.bundle for target in made.deployment.targets.all()} == {first: one, second: two}
    assert [(candidate.id, codes(reasons)) for candidate, reasons in made.refused] == [(fresh.pk, ["no_good_bundle"])]
    assert beat(first)[0]["type"] == "rollback"
    report(first, made.deployment, "success")
    assert DeviceBeat.objects.get(device=first).bundle_version == "1.0"
    assert DeploymentTarget.objects.get(device=first, bundle=three).status == T.ROLLED_BACK


def test_going_back_twice_does_not_go_forward(device: Device) -> None:
    for version in ("1.0", "2.0", "3.0"):
        run_through(make_bundle(version), device)
    for expected in ("2.0", "1.0"):
        made = services.rollback_devices(Device.objects.all(), actor=SYSTEM, terms=Terms(soak_seconds=0))
        assert beat(device)[0]["bundle_version"] == expected
        report(device, made.deployment, "success")

    with pytest.raises(Conflict) as refusal:
        services.rollback_devices(Device.objects.all(), actor=SYSTEM)
    assert refusal.value.code == "no_way_back"


def test_requirements_are_checked_first(device: Device) -> None:
    one, two, three = (make_bundle(version) for version in ("1.0", "2.0", "3.0"))
    for bundle in (one, two, three):
        run_through(bundle, device)
    bundle_services.invalidate_bundle(two, actor=SYSTEM, reason="Bad")

    (way,) = services.ways_back(Device.objects.all())
    assert (way.bundle, way.is_open) == (one, True)

    bundle_services.invalidate_bundle(one, actor=SYSTEM, reason="Bad")
    (way,) = services.ways_back(Device.objects.all())
    assert (way.is_open, codes(list(way.reasons))) == (False, ["invalidated"])


def test_a_rollback_to_a_version_needs_a_success_of_it(device: Device) -> None:
    """X71."""
    run_through(make_bundle("1.0"), device)
    never = make_bundle("9.0")

    with pytest.raises(Invalid, match=r"no successful deployment of version 9\.0"):
        services.rollback_devices(Device.objects.all(), actor=SYSTEM, to=never, all_or_none=True)


def test_a_device_that_failed_is_sent_back_when_that_was_asked(device: Device) -> None:
    run_through(make_bundle("1.0"), device)
    deployment = deploy(make_bundle("2.0"), device, rolls_back_on_failure=True, soak_seconds=60)
    beat(device)
    report(device, deployment, "success")
    beat(device, bundle_version="2.0", health="error")
    assert only(deployment).status == T.FAILED

    services.follow_deployments()
    services.follow_deployments()

    (command,) = beat(device, bundle_version="2.0", health="error")
    assert (command["type"], command["bundle_version"]) == ("rollback", "1.0")
    assert Deployment.objects.filter(parent=deployment).count() == 1


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        ("script", ["2.0"]),
        ("unhealthy", ["2.0"]),
        ("other", ["2.0"]),
        ("download", []),
        ("signature", []),
        ("space", []),
    ],
)
def test_a_failed_update_goes_back_to_what_ran_before_it_and_no_further(
    device: Device, code: str, sent: list[str]
) -> None:
    """It still says the version before: where a script failed that is put right, where nothing was begun it runs on."""
    for version in ("1.0", "2.0"):
        run_through(make_bundle(version), device)
    deployment = deploy(make_bundle("3.0"), device, rolls_back_on_failure=True, max_attempts=1)
    beat(device, bundle_version="2.0")
    report(device, deployment, "failed", error_code=code)

    services.follow_deployments()

    assert [each["bundle_version"] for each in beat(device, bundle_version="2.0")] == sent


@pytest.mark.parametrize(("word", "sent"), [("downloading", []), ("installing", ["1.0"])])
def test_who_fell_silent_is_sent_back_when_he_had_begun_to_install(device: Device, word: str, sent: list[str]) -> None:
    run_through(make_bundle("1.0"), device)
    deployment = deploy(make_bundle("2.0"), device, rolls_back_on_failure=True, max_attempts=1)
    beat(device, bundle_version="1.0")
    report(device, deployment, word)
    age(deployment, 301)
    beat(device, bundle_version="1.0")
    assert only(deployment).error_code == "timeout"

    services.follow_deployments()

    assert [each["bundle_version"] for each in beat(device, bundle_version="1.0")] == sent


# Cost -------------------------------------------------------------------------------------------------------------


def test_previews_and_rollbacks_cost_the_same_for_many() -> None:
    bundle = make_bundle()
    counts = []
    for _ in range(2):
        for _ in range(3):
            DeviceFactory()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            services.preview_deployment(bundle, Chosen(all=True), Terms(), actor=SYSTEM)
            services.ways_back(Device.objects.all())
        counts.append(len(queries))

    assert counts[0] == counts[1]


@pytest.mark.slow
def test_ten_thousand_targets_take_few_statements() -> None:
    """How long they take is measured by `make bench`."""
    region = DeviceFactory().region
    rows = [
        Device(name=f"d{n}", identity_hash=f"{n:064x}", region=region, status="accepted")
        for n in range(10**6, 10**6 + 10_000)
    ]
    Device.objects.bulk_create(rows)
    DeviceBeat.objects.bulk_create([DeviceBeat(device=each) for each in rows])

    with CaptureQueriesContext(connection) as asked:
        made = services.create_deployment(make_bundle(), Chosen(all=True), actor=SYSTEM)

    assert made.deployment.targets.count() == 10_001
    assert len(asked) <= 15


def test_errors_of_services_are_ours() -> None:
    assert issubclass(results.Closed, HubError)
