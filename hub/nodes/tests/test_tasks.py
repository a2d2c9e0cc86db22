"""What an agent is asked comes to its fate: by the queue, by the tick when the queue fails, never twice at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.actors import SYSTEM
from hub.engines.base import EngineError, PullProgress, Reason
from hub.engines.fake import FakeEngine, FakeImage
from hub.jobs import node_queue
from hub.nodes import chores, images, tasks
from hub.nodes.choices import OperationStatus, TaskVerb
from hub.nodes.models import Node, NodeTask
from hub.testing import empty_queues, run_jobs

pytestmark = pytest.mark.django_db


def ask(node: Node, verb: TaskVerb = TaskVerb.LIST_IMAGES, **arguments: object) -> NodeTask:
    return tasks.ask(node, verb, actor=SYSTEM, **arguments)


def let_time_pass(task: NodeTask) -> None:
    NodeTask.objects.filter(pk=task.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_task_is_done_by_the_nodes_queue(node: Node, engine: FakeEngine) -> None:
    task = ask(node)

    run_jobs(node_queue(node.name))

    task.refresh_from_db()
    assert (task.status, task.message) == (OperationStatus.DONE, "0 images.")
    assert task.finished_at is not None


def test_asking_twice_while_it_is_open_is_one_task(node: Node) -> None:
    assert ask(node).pk == ask(node).pk
    assert ask(node, TaskVerb.PULL_IMAGE, image="a").pk != ask(node, TaskVerb.PULL_IMAGE, image="b").pk


def test_lost_job_is_taken_up_by_the_tick(node: Node, engine: FakeEngine) -> None:
    task = ask(node)
    empty_queues()
    chores.take_up(node)
    task.refresh_from_db()
    at_once = task.status
    let_time_pass(task)

    chores.take_up(node)

    task.refresh_from_db()
    assert (at_once, task.status) == (OperationStatus.QUEUED, OperationStatus.DONE)


def test_long_task_whose_job_is_lost_is_sent_again(node: Node, engine: FakeEngine) -> None:
    task = ask(node, TaskVerb.PULL_IMAGE, image="nginx")
    empty_queues()
    let_time_pass(task)

    chores.take_up(node)
    task.refresh_from_db()
    waiting = task.status
    run_jobs(node_queue(node.name))

    task.refresh_from_db()
    assert (waiting, task.status) == (OperationStatus.QUEUED, OperationStatus.DONE)


def test_task_of_a_dead_worker_is_begun_again_and_given_up_after_three(node: Node, engine: FakeEngine) -> None:
    task = ask(node)
    for _ in range(tasks.MAX_ATTEMPTS):
        assert tasks.claim(task.pk) is not None
        let_time_pass(task)

    chores.take_up(node)

    task.refresh_from_db()
    assert task.status == OperationStatus.FAILED
    assert "several times" in task.message


def test_one_worker_at_a_time(node: Node) -> None:
    task = ask(node)

    assert tasks.claim(task.pk) is not None
    assert tasks.claim(task.pk) is None


def test_late_worker_cannot_store_its_fate(node: Node, engine: FakeEngine) -> None:
    late = tasks.claim(ask(node).pk)
    assert late is not None
    let_time_pass(late)
    assert tasks.claim(late.pk) is not None

    tasks.finish(late, OperationStatus.DONE, "by the late one")

    assert not tasks.note_progress(late, "half of it")
    late.refresh_from_db()
    assert late.status == OperationStatus.RUNNING


def test_refusal_of_the_engine_is_the_fate(node: Node, engine: FakeEngine) -> None:
    engine.fail("pull", EngineError("No registry has it.", reason=Reason.IMAGE_MISSING, permanent=True))
    task = ask(node, TaskVerb.PULL_IMAGE, image="nothing")

    chores.do_task(task.pk, engine=engine)

    task.refresh_from_db()
    assert (task.status, task.message) == (OperationStatus.FAILED, "No registry has it.")


def test_stumbling_agent_fails_the_task_and_raises(
    node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(images, "report", stumble)
    task = ask(node)

    with pytest.raises(ZeroDivisionError):
        chores.do_task(task.pk, engine=engine)

    task.refresh_from_db()
    assert (task.status, task.message) == (OperationStatus.FAILED, chores.FAILED_WORDS)


def test_pull_tells_how_far_it_is_and_is_given_up_when_taken_over(
    node: Node, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    note = tasks.note_progress

    def remember(task: NodeTask, message: str, percent: int | None = None) -> bool:
        told.append((message, percent))
        if percent == 50:
            let_time_pass(task)
            tasks.claim(task.pk)
        return note(task, message, percent)

    monkeypatch.setattr(tasks, "note_progress", remember)
    steps = [PullProgress("Downloading", 10), PullProgress("Downloading", 50), PullProgress("Complete", 100)]
    engine.state.images["big"] = FakeImage("sha256:1", steps=steps)
    task = ask(node, TaskVerb.PULL_IMAGE, image="big")

    chores.do_task(task.pk, engine=engine)

    assert told == [("Downloading", 10), ("Downloading", 50)]
    assert "big" not in engine.state.local_images
