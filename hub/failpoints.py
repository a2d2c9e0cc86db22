"""Named places where a test can kill, stop or delay a process for real.

`failpoint("reconcile.after_ensure")` does nothing unless the environment arms it: `HUB_FAILPOINT=<name>=<action>[,…]`
with action `kill` (SIGKILL to this process), `raise`, or `sleep:<seconds>`; `name@n` acts at the n-th passage only.
Every name is listed in `FAILPOINTS`, so that a test can go through all of them; an unknown name is a programming
error.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter

FAILPOINTS: set[str] = set()
_passed: Counter[str] = Counter()


class FailpointError(RuntimeError):
    """Raised by a failpoint armed with `raise`."""


def declare(*names: str) -> None:
    """List failpoints of a module, so that tests can find them."""
    FAILPOINTS.update(names)


def failpoint(name: str) -> None:
    """Act as armed, or do nothing."""
    armed = os.environ.get("HUB_FAILPOINT")
    if not armed:
        return
    _passed[name] += 1
    for item in armed.split(","):
        target, _, action = item.partition("=")
        target, _, nth = target.partition("@")
        if target == name and (not nth or _passed[name] == int(nth)):
            _act(name, action)


def _act(name: str, action: str) -> None:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif action == "raise":
        raise FailpointError(name)
    elif action.startswith("sleep:"):
        time.sleep(float(action.removeprefix("sleep:")))
    else:
        raise ValueError(f"HUB_FAILPOINT: {name} cannot {action or 'do nothing'}")
