"""Places where tests can kill a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from django.conf import settings

from hub import failpoints


@pytest.fixture(autouse=True)
def _forget_passages() -> None:
    failpoints._passed.clear()


def test_unarmed_failpoint_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUB_FAILPOINT", raising=False)

    failpoints.failpoint("a.b")


def test_other_failpoints_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_FAILPOINT", "a.b=raise")

    failpoints.failpoint("a.c")


def test_armed_failpoint_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_FAILPOINT", "x.y=sleep:0,a.b=raise")

    with pytest.raises(failpoints.FailpointError, match=r"a\.b"):
        failpoints.failpoint("a.b")


def test_numbered_failpoint_acts_at_that_passage_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_FAILPOINT", "a.b@2=raise,a.b@4=raise")
    failpoints.failpoint("a.b")

    with pytest.raises(failpoints.FailpointError):
        failpoints.failpoint("a.b")
    failpoints.failpoint("a.b")
    with pytest.raises(failpoints.FailpointError):
        failpoints.failpoint("a.b")


def test_unknown_action_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_FAILPOINT", "a.b=explode")

    with pytest.raises(ValueError, match=r"a\.b cannot explode"):
        failpoints.failpoint("a.b")


def test_kill_ends_the_process_at_once() -> None:
    code = "from hub.failpoints import failpoint; failpoint('a.b'); print('survived')"
    environment = {**os.environ, "HUB_FAILPOINT": "a.b=kill"}

    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environment, capture_output=True, check=False
    )

    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout == b""


def test_every_failpoint_in_the_code_is_declared() -> None:
    used = {}
    for path in sorted(settings.BASE_DIR.glob("[a-z]*/**/*.py")):
        module = path.relative_to(settings.BASE_DIR)
        if "tests" in module.parts or module == Path("hub/failpoints.py"):
            continue
        source = path.read_text()
        if re.search(r"^declare\(", source, re.MULTILINE):
            import_module(".".join(module.with_suffix("").parts))
        used.update({name: str(module) for name in re.findall(r"(?<![.\w])failpoint\(\"([^\"]+)\"\)", source)})

    assert {name: module for name, module in used.items() if name not in failpoints.FAILPOINTS} == {}
