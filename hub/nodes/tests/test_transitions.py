"""The table of observed statuses: every arrow holds, everything else is refused."""

from __future__ import annotations

import itertools

import pytest

from hub.exceptions import Conflict
from hub.nodes.choices import WORKLOAD_TRANSITIONS, ObservedStatus

S = ObservedStatus
PAIRS = list(itertools.permutations(S, 2))


def test_deleted_is_the_end() -> None:
    assert not any(WORKLOAD_TRANSITIONS.allows(S.DELETED, status) for status in S if status != S.DELETED)


def test_every_status_but_deleted_can_be_deleted() -> None:
    assert all(WORKLOAD_TRANSITIONS.allows(status, S.DELETED) for status in S)


@pytest.mark.parametrize(("old", "new"), [pair for pair in PAIRS if pair[0] == S.STOPPED])
def test_a_stopped_workload_is_queued_before_anything_else(old: str, new: str) -> None:
    allowed = {S.QUEUED, S.PULLING, S.STARTING, S.STOPPING, S.FAILED, S.DELETING, S.DELETED}

    assert WORKLOAD_TRANSITIONS.allows(old, new) == (new in allowed)


@pytest.mark.parametrize(("old", "new"), [(S.DELETING, S.RUNNING), (S.STOPPED, S.RUNNING), (S.FAILED, S.CRASHED)])
def test_illegal_moves_are_refused(old: str, new: str) -> None:
    with pytest.raises(Conflict):
        WORKLOAD_TRANSITIONS.check(old, new)
