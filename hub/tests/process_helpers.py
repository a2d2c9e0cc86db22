"""What the tests of the process engine share."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from hub.engines.base import WorkloadSpec
from hub.engines.fake import Behaviour
from hub.engines.process.home import Home
from hub.engines.process.processes import Process, workload_processes

from .harnesses import BareProcessHarness, ProcessHarness, Program

ALONE = Program("exec sleep 300", Behaviour())
READY_ALONE = Program("echo ready; exec sleep 300", Behaviour(output=("ready",)))
ESCAPES = Program(  # its grandchild leaves the session and loses its parent; "ready" comes once it is there
    """exec 3>&1; : "$(setsid sh -c 'echo escaped >&3; exec sleep 300 >&3' &)"; echo ready; exec sleep 300""",
    Behaviour(output=("ready",)),
)
BOTH = [pytest.param(ProcessHarness, id="cgroups"), pytest.param(BareProcessHarness, id="bare")]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the user")


def shell(script: str) -> Program:
    """A program that runs a script."""
    return Program(script, Behaviour())


def home_of(harness: ProcessHarness, spec: WorkloadSpec) -> Home:
    return Home(harness.root / "workloads", spec.name)


def status_of(harness: ProcessHarness, spec: WorkloadSpec) -> dict[str, Any]:
    return home_of(harness, spec).read("status.json") or {}


def living(spec: WorkloadSpec) -> list[Process]:
    """All processes of a workload, whatever became of its shim."""
    return workload_processes(spec.name, session=-1)


def output_of(harness: ProcessHarness, script: str, **changes: Any) -> list[str]:
    """Run a script to its end and return what it printed."""
    spec = harness.start(shell(script), **changes)
    harness.wait_for_exit(spec.name)
    return list(harness.engine.logs(spec.name).lines)


def in_child(action: Callable[[], object], failpoint: str = "") -> int:
    """Run an action in a forked child, which a failpoint may kill; returns its exit status as `os.waitpid` says it."""
    pid = os.fork()
    if pid == 0:
        if failpoint:
            os.environ["HUB_FAILPOINT"] = f"{failpoint}=kill"
        try:
            action()
        finally:
            os._exit(0)
    return os.waitpid(pid, 0)[1]
