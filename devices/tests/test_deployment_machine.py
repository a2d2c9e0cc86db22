"""One device under any order of words, heartbeats, delays and people: what must hold, always holds."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from django.db.models import Count
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from accounts.actors import SYSTEM
from devices.deployments import services
from devices.deployments.choices import ACTIVE, ENDED, TARGET_TRANSITIONS, Reported, TargetStatus
from devices.deployments.models import Deployment, DeploymentTarget, TargetEvent
from devices.models import Device
from hub.exceptions import HubError

from .deployment_helpers import age, beat, deploy, make_bundle, report
from .factories import DeviceFactory

T = TargetStatus
_runs = count()


class TargetMachine(RuleBasedStateMachine):
    """Two versions, one device, and everybody does as he likes."""

    def __init__(self) -> None:
        super().__init__()
        self.device: Device = DeviceFactory()
        run = next(_runs)
        self.bundles = [make_bundle(f"{run}.{number}") for number in (1, 2)]
        self.seen: dict[int, str] = {}
        self.counted: dict[int, int] = {}

    @property
    def deployments(self) -> list[Deployment]:
        return list(Deployment.objects.filter(targets__device=self.device).order_by("created_at"))

    def _pick(self, number: int) -> Deployment | None:
        known = self.deployments
        return known[number % len(known)] if known else None

    @rule(which=st.integers(0, 1), soak=st.sampled_from([0, 60]))
    def deploy(self, which: int, soak: int) -> None:
        with suppress(HubError):
            deploy(self.bundles[which], self.device, soak_seconds=soak, allow_downgrade=True, max_attempts=2)

    @rule(version=st.sampled_from(["", "first", "second", "other"]), health=st.sampled_from([None, "healthy", "error"]))
    def heartbeat(self, version: str, health: str | None) -> None:
        known = {"first": self.bundles[0].version, "second": self.bundles[1].version, "other": "x"}
        said: dict[str, Any] = {"bundle_version": known[version]} if version else {}
        commands = beat(self.device, **said, health=health)
        assert len(commands) <= 1

    @rule(which=st.integers(0, 5), word=st.sampled_from(Reported.values), code=st.sampled_from(["", "download"]))
    def say(self, which: int, word: str, code: str) -> None:
        deployment = self._pick(which)
        if deployment is None:
            return
        with suppress(HubError):
            report(self.device, deployment, word, error_code=code)

    @rule(seconds=st.sampled_from([61, 400, 2000]), which=st.integers(0, 5))
    def time_passes(self, seconds: int, which: int) -> None:
        if deployment := self._pick(which):
            age(deployment, seconds)

    @rule()
    def the_clock(self) -> None:
        services.follow_deployments()

    @rule(which=st.integers(0, 5))
    def cancel(self, which: int) -> None:
        if deployment := self._pick(which):
            with suppress(HubError):
                services.cancel_deployment(deployment, actor=SYSTEM)

    @rule(which=st.integers(0, 5))
    def quit_by_force(self, which: int) -> None:
        deployment = self._pick(which)
        target = deployment and deployment.targets.filter(device=self.device).first()
        if target:
            with suppress(HubError):
                services.force_quit(target, actor=SYSTEM)

    @rule()
    def roll_back(self) -> None:
        with suppress(HubError):
            services.rollback_devices(Device.objects.filter(pk=self.device.pk), actor=SYSTEM)

    @invariant()
    def one_active_and_one_waiting(self) -> None:
        rows = DeploymentTarget.objects.filter(device=self.device)
        assert rows.filter(status__in=ACTIVE).count() <= 1
        assert rows.filter(status=T.WAITING).count() <= 1

    @invariant()
    def each_move_is_in_the_table(self) -> None:
        """Several moves may lie between two looks: there must be a way."""
        for pk, status in DeploymentTarget.objects.filter(device=self.device).values_list("pk", "status"):
            before = self.seen.get(pk, T.WAITING)
            assert status in _reachable(before), (before, status)
            self.seen[pk] = status

    @invariant()
    def an_end_is_noted_once_and_has_a_time(self) -> None:
        rows = DeploymentTarget.objects.filter(device=self.device)
        assert not rows.filter(status__in=ENDED, finished_at=None).exists()
        events = TargetEvent.objects.filter(target__device=self.device, status__in=ENDED)
        doubled = events.values("target", "status").annotate(number=Count("id")).filter(number__gt=1)
        assert not doubled.exists()

    @invariant()
    def work_has_a_limit(self) -> None:
        """Nothing stands still for ever: what a device works on has a lease, a deadline, or is judged."""
        rows = DeploymentTarget.objects.filter(device=self.device)
        assert not rows.filter(status=T.OFFERED, lease_until=None).exists()
        assert not rows.filter(status__in=(T.DOWNLOADING, T.INSTALLING), deadline_at=None).exists()
        assert not rows.filter(status=T.SOAKING, soak_until=None).exists()


def _reachable(status: str) -> set[str]:
    found, left = {str(status)}, [str(status)]
    while left:
        for following in TARGET_TRANSITIONS.table.get(left.pop(), frozenset()) - found:
            found.add(following)
            left.append(following)
    return found


@pytest.mark.slow
class TestMachine(TestCase):
    """Each example has a device of its own."""

    def test_what_must_hold_always_holds(self) -> None:
        quick = settings(
            max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
        )
        run_state_machine_as_test(TargetMachine, settings=quick)


@pytest.mark.parametrize("status", TargetStatus.values)
def test_every_status_can_end(status: str) -> None:
    assert _reachable(status) & {str(each) for each in ENDED}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (T.SUCCEEDED, T.WAITING),
        (T.CANCELLED, T.SUCCEEDED),
        (T.SUPERSEDED, T.OFFERED),
        (T.ROLLED_BACK, T.SUCCEEDED),
        (T.SCHEDULED, T.OFFERED),
        (T.SOAKING, T.WAITING),
        (T.CANCELLING, T.OFFERED),
    ],
)
def test_there_is_no_such_arrow(old: str, new: str) -> None:
    assert not TARGET_TRANSITIONS.allows(old, new)
