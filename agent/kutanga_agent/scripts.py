"""Run a bundle's script: with a time limit for all that it starts, and no more of its output than is asked for."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from .errors import WorkError

MOST_OUTPUT = 100_000
TELL_SECONDS = 15.0
KEPT_VARIABLES = ("PATH", "HOME", "LANG", "TZ")


def run(
    script: Path,
    root: Path,
    *,
    seconds: float,
    values: dict[str, str],
    arguments: Sequence[str] = (),
    tell: Callable[[], None] = lambda: None,
) -> str:
    """The end of its output; raises `WorkError` when it fails or does not end in time.

    `tell` is called every few seconds while it runs, and does not raise.
    """
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ} | values
    deadline = time.monotonic() + seconds
    try:
        process = subprocess.Popen(
            [*([] if os.access(script, os.X_OK) else ["/bin/sh"]), str(script), *arguments],
            cwd=root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise WorkError("script", f"The script cannot be started: {error}") from None
    output = bytearray()
    try:
        _read(process, deadline, output, tell)
        code = process.wait(timeout=max(0.1, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, TimeoutError):
        raise WorkError("script_timeout", f"The script did not end within {seconds:.0f} s.", _text(output)) from None
    finally:
        _end(process)
    if code != 0:
        raise WorkError("script", f"The script ended with {code}.", _text(output))
    return _text(output)


def _read(process: subprocess.Popen[bytes], deadline: float, kept: bytearray, tell: Callable[[], None]) -> None:
    """Keep the end of what it writes, until it closes its output. Raises TimeoutError."""
    pipe, told_at = process.stdout, time.monotonic()
    if pipe is None:
        return
    with selectors.DefaultSelector() as waiting:
        waiting.register(pipe, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if time.monotonic() - told_at >= TELL_SECONDS:
                tell()
                told_at = time.monotonic()
            if not waiting.select(min(left, 1.0)):
                if process.poll() is not None:  # something that it started holds the pipe
                    return
                continue
            block = os.read(pipe.fileno(), 65_536)
            if not block:
                return
            kept += block
            del kept[:-MOST_OUTPUT]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it and all that it has started in its session."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()


def _text(raw: bytes | bytearray) -> str:
    return raw.decode(errors="replace").replace("\x00", "")
