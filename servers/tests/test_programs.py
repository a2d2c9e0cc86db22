"""Programs of the hub's own can be run by the user of the workloads."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers import programs


@pytest.fixture(autouse=True)
def _ask_anew() -> Iterator[None]:
    programs.python.cache_clear()
    yield
    programs.python.cache_clear()


@pytest.fixture
def closed_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An interpreter below a directory that only its owner may pass."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    python = home / "python3"
    python.touch(mode=0o755)
    monkeypatch.setattr(sys, "_base_executable", str(python), raising=False)
    return str(python)


def test_root_takes_an_interpreter_that_others_can_reach(closed_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs.shutil, "which", lambda name, path: f"/usr/bin/{name}")

    assert programs.python() == "/usr/bin/python3"


def test_without_root_the_own_interpreter_serves(closed_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    assert programs.python() == closed_python


def test_without_a_system_interpreter_the_own_one_is_named(closed_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(programs.shutil, "which", lambda name, path: None)

    assert programs.python() == closed_python
