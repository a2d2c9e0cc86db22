"""The map of states: complete, and never colour alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from challenges.choices import Outcome
from devices.bundles.choices import BundleStatus
from devices.choices import DeviceStatus, Health, KeyState, Liveness, LogLevel
from devices.deployments.choices import DeploymentStatus, TargetStatus
from hub.nodes.choices import AddressState, AdminState, ObservedStatus, OperationStatus
from hub.pages.states import STATES, badge, workload_badge


@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        ("workload", ObservedStatus.values),
        ("operation", OperationStatus.values),
        ("address", AddressState.values),
        ("admin", [state for state in AdminState.values if state]),
        ("answer", Outcome.values),
        ("device", DeviceStatus.values),
        ("liveness", Liveness.values),
        ("health", Health.values),
        ("device_key", KeyState.values),
        ("level", LogLevel.values),
        ("target", TargetStatus.values),
        ("bundle", BundleStatus.values),
        ("deployment", DeploymentStatus.values),
    ],
)
def test_every_status_of_the_database_has_its_badge(kind, choices):
    assert set(choices) <= set(STATES[kind])


def test_states_differ_in_word_within_a_kind():
    for kind, states in STATES.items():
        words = [word for _, word in states.values()]

        assert len(set(words)) == len(words), kind


def test_unknown_value_is_shown_as_itself():
    assert badge("workload", "half_asleep").word == "Half asleep"


def server(**values):
    usual = {
        "observed_status": "running",
        "desired_status": "running",
        "admin_state": "",
        "status_reason": "",
        "progress_percent": None,
    }
    return SimpleNamespace(**{**usual, **values})


def test_progress_stands_in_the_word_and_as_a_bar():
    shown = workload_badge(server(observed_status="pulling", progress_percent=64))

    assert (shown.word, shown.percent, shown.tone) == ("Pulling image, 64 %", 64, "busy")


def test_wish_to_stop_shows_before_the_engine_answers():
    assert workload_badge(server(desired_status="stopped")).word == "Stopping"


def test_wish_to_delete_shows_before_the_engine_answers():
    assert workload_badge(server(desired_status="deleted")).word == "Deleting"


def test_suspension_hides_the_run_state():
    shown = workload_badge(server(admin_state="suspended", observed_status="stopped", status_reason="Unpaid."))

    assert (shown.word, shown.why) == ("Suspended", "Unpaid.")
