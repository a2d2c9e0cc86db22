"""What goes wrong between a client and the stand-in."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


@dataclass
class Fault:
    """Strikes requests that match, `times` times (None: always).

    `status` answers an error; `reset` closes the connection, `after` once the request has taken effect; `hang_seconds`
    holds the answer back; `text` is answered in place of JSON.
    """

    verb: str = ""
    resource: str = ""
    status: int = 0
    reason: str = ""
    message: str = "told to fail"
    retry_after: str = ""
    reset: bool = False
    after: bool = False
    hang_seconds: float = 0.0
    text: str = ""
    times: int | None = 1
    skip: int = 0
    struck: int = 0


@dataclass
class Faults:
    """Those that are armed, in order."""

    armed: list[Fault] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, fault: Fault) -> Fault:
        with self.lock:
            self.armed.append(fault)
        return fault

    def take(self, verb: str, resource: str) -> Fault | None:
        """The fault that strikes this request."""
        with self.lock:
            for fault in self.armed:
                if fault.verb not in ("", verb) or fault.resource not in ("", resource):
                    continue
                if fault.skip:
                    fault.skip -= 1
                    continue
                if fault.times is not None and fault.struck >= fault.times:
                    continue
                fault.struck += 1
                return fault
        return None

    def clear(self) -> None:
        with self.lock:
            self.armed.clear()
