"""Signs of life that health checks of containers go by."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from django.conf import settings as ours

from hub import alive


def check(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a container's health check does."""
    command = [sys.executable, "-S", "-m", "hub.alive", *words]
    return subprocess.run(
        command, cwd=ours.BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_loop_that_went_round_lately_is_alive_and_another_is_not(tmp_path: Path) -> None:
    sign = tmp_path / "alive"
    before = check(HUB_ALIVE=str(sign))
    alive.sign(str(sign))
    now = check(HUB_ALIVE=str(sign))
    os.utime(sign, (time.time() - 90,) * 2)
    late = check(HUB_ALIVE=str(sign))
    patient = check("300", HUB_ALIVE=str(sign))

    assert [each.returncode for each in (before, now, late, patient)] == [1, 0, 1, 0]
    assert "no sign of life for 9" in late.stderr


def test_web_that_does_not_answer_is_told(monkeypatch: Any) -> None:
    monkeypatch.setattr(alive, "WEB", "http://127.0.0.1:1/health/live")
    monkeypatch.delenv(alive.VARIABLE, raising=False)

    assert "refused" in alive.main()


def test_no_sign_is_left_where_none_is_asked_for_and_none_stops_the_loop(tmp_path: Path) -> None:
    alive.sign("")
    alive.sign(str(tmp_path / "nowhere" / "alive"))

    assert list(tmp_path.iterdir()) == []
