"""Data that lie with an engine: copied each night, in the snapshot with all the rest, and brought back by a command."""

from __future__ import annotations

import uuid
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hub.backups import files, reports
from hub.engines.base import Engine, EngineError, Limits, Reason, WorkloadSpec
from hub.engines.fake import FakeEngine
from hub.jobs import node_queue
from hub.models import BackupReport
from hub.nodes import volumes
from hub.nodes.choices import EngineKind, OperationStatus, TaskVerb
from hub.nodes.engines import engine_for
from hub.nodes.models import Node, NodeTask
from hub.testing import run_jobs, wait_until
from hub.tests.docker_helpers import Lab

from .factories import NodeFactory

pytestmark = pytest.mark.django_db
FINE = OperationStatus.DONE


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings: Any) -> Path:
    settings.HUB_DATA, settings.HUB_BACKUPS, settings.HUB_BACKUP_PASSPHRASE = tmp_path, "", ""
    return tmp_path


def workload(engine: FakeEngine, *, is_running: bool = False) -> str:
    limits = Limits(memory_mb=64, cpu_percent=10, disk_mb=64)
    spec = WorkloadSpec(
        kind="server", id=uuid.uuid4(), generation=1, owner="1", command=("run",), limits=limits, data_path="/data"
    )
    engine.ensure(spec)
    if not is_running:
        engine.kill(spec.name)
    return spec.name


def night(node: Node) -> NodeTask:
    """What the schedule does, and the node's worker after it."""
    volumes.ask_all()
    run_jobs(node_queue(node.name))
    return NodeTask.objects.filter(node=node, verb=TaskVerb.BACK_UP_DATA).latest("created_at")


def test_copies_are_in_the_snapshot_and_come_back_from_it(node: Node, engine: FakeEngine, data: Path) -> None:
    name, said = workload(engine), StringIO()
    task = night(node)
    snapshot = files.take_snapshot()
    engine.remove(name)
    (data / "volumes" / node.name / f"{name}.tar.gz").unlink()

    call_command("restore", "files", "--yes", stdout=StringIO())
    call_command("restore_volumes", "--node", node.name, "--yes", stdout=said)

    assert (task.status, task.message) == (FINE, "Data of 1 workload copied.")
    assert f"volumes/{node.name}/{name}.tar.gz" in snapshot.sums
    assert list(engine.data()) == [name]
    assert f"- {name} is back\nData of 1 workload restored." in said.getvalue()


def test_what_has_not_changed_takes_no_room_twice(node: Node, engine: FakeEngine, data: Path) -> None:
    copy = data / "volumes" / node.name / f"{workload(engine)}.tar.gz"
    night(node)
    first = copy.stat().st_ino

    night(node)

    assert copy.stat().st_ino == first


def test_data_that_are_there_are_kept_in_a_file(node: Node, engine: FakeEngine, data: Path) -> None:
    name = workload(engine)
    night(node)

    assert volumes.restore(node, engine, [name], print) == 1

    (kept,) = data.glob(f"before-*/volumes/{node.name}/{name}.tar.gz")
    assert kept.read_text() == name


def test_what_runs_is_left_alone(node: Node, engine: FakeEngine, data: Path) -> None:
    name, said = workload(engine, is_running=True), []
    night(node)

    assert volumes.restore(node, engine, [], said.append) == 0

    assert said == [f"{name} stays as it is: It is running: stop it first."]
    assert not engine.calls("import_data")


def test_copies_go_with_their_data(node: Node, engine: FakeEngine, data: Path) -> None:
    name = workload(engine)
    night(node)
    engine.remove(name)

    night(node)

    assert not list((data / "volumes").rglob("*.tar.gz"))
    with pytest.raises(CommandError, match="no copy of the data"):
        call_command("restore_volumes", name, "--node", node.name, "--yes")


def test_one_that_fails_is_told_and_the_others_are_copied(node: Node, engine: FakeEngine, data: Path) -> None:
    names = sorted((workload(engine), workload(engine)))
    engine.fail("export_data", EngineError("This node's disk is full.", reason=Reason.DISK_FULL))

    task = night(node)

    assert task.status == OperationStatus.FAILED
    assert [path.name for path in (data / "volumes").rglob("*.tar.gz")] == [f"{names[1]}.tar.gz"]
    assert "disk is full" in BackupReport.objects.get(kind="volumes").detail
    assert not list(data.glob(".volumes-*"))


def test_what_one_round_has_no_time_for_follows(
    node: Node, engine: FakeEngine, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload(engine)
    workload(engine)
    monkeypatch.setattr(volumes, "ROUND_SECONDS", -1.0)

    night(node)
    run_jobs(node_queue(node.name))

    messages = NodeTask.objects.order_by("created_at").values_list("message", flat=True)
    assert list(messages) == ["Data of 1 workload copied; the rest follows.", "Data of 2 workloads copied."]
    assert len(engine.calls("export_data")) == 2


def test_agent_that_is_still_at_it_is_not_asked_again(node: Node, engine: FakeEngine) -> None:
    volumes.ask_all()
    volumes.ask_all()

    assert NodeTask.objects.filter(node=node).count() == 1


def test_engine_without_archives_is_not_asked() -> None:
    NodeFactory(engine=EngineKind.PROCESS)

    volumes.ask_all()

    assert not NodeTask.objects.exists()


def test_node_that_failed_is_not_hidden_by_one_that_did_not() -> None:
    BackupReport.objects.create(kind="volumes", name="a", is_good=False)
    BackupReport.objects.create(kind="volumes", name="b", is_good=True)

    assert reports.newest()["volumes"].name == "a"


@pytest.mark.docker
@pytest.mark.slow
def test_volume_that_was_destroyed_comes_back_with_the_same_bytes(data: Path) -> None:
    lab = Lab()
    node = NodeFactory(engine=EngineKind.DOCKER, options=lab.options)
    engine: Engine = engine_for(node)
    script = "if [ -e /data/world ]; then touch /data/new; else head -c 300000 /dev/urandom > /data/world; fi"
    script += "; ln -sf world /data/latest; sha256sum /data/latest; stat -c %u:%a /data/world; sleep 300"
    spec = lab.script(script, data_path="/data")

    def run() -> list[str]:
        engine.ensure(spec)
        wait_until(lambda: len(engine.logs(spec.name).lines) == 2, what="its output")
        return list(engine.logs(spec.name).lines)

    try:
        before = run()
        assert night(node).status == FINE
        snapshot = files.take_snapshot()
        engine.remove(spec.name)
        assert not engine.data()

        files.restore_files(snapshot)
        assert volumes.restore(node, engine, [], print) == 1

        assert run() == before
        assert before[1].startswith("1000:")
    finally:
        lab.close()
