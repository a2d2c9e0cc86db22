"""A worker that is killed in the middle of a node's task delays it; the next tick brings it to its fate."""

from __future__ import annotations

import signal

import pytest
from django.db.models.functions import Now

from accounts.actors import SYSTEM
from hub.engines.fake import FakeEngine
from hub.failpoints import FAILPOINTS
from hub.nodes import chores, tasks
from hub.nodes.choices import OperationStatus, TaskVerb
from hub.nodes.models import NodeTask
from hub.testing import empty_queues, wait_until

from .factories import make_node
from .faults import ending_of, in_child

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("point", sorted(name for name in FAILPOINTS if name.startswith("tasks.")))
def test_killed_workers_task_is_done_by_the_next_tick(point: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeEngine.reset()
    monkeypatch.setattr(tasks, "LEASE_SECONDS", 0.5)
    empty_queues()
    node = make_node()
    task = tasks.ask(node, TaskVerb.LIST_IMAGES, actor=SYSTEM)

    ending = ending_of(in_child(lambda: chores.do_task(task.pk), failpoint=point))
    wait_until(lambda: NodeTask.objects.filter(pk=task.pk, lease_until__lt=Now()).exists(), what="the end of its lease")
    chores.take_up(node)

    task.refresh_from_db()
    assert ending == -signal.SIGKILL
    assert (task.status, task.attempts) == (OperationStatus.DONE, 2)
