"""The agent's life: call, do what is asked, send the log, wait."""

from __future__ import annotations

import base64
import logging
import threading
from collections import deque
from datetime import UTC, datetime
from typing import Any

from . import VERSION, configure, deploy, manual, work
from .health import Meter, hardware
from .hub import Hub, HubError
from .keys import NEXT, Key, KeyStore
from .state import State

logger = logging.getLogger(__name__)
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_KEPT_LINES, LINES_PER_BATCH = 2000, 200
LEVELS = {"CRITICAL": "ERROR", "ERROR": "ERROR", "WARNING": "WARNING", "INFO": "INFO", "DEBUG": "DEBUG"}


class LogShipper(logging.Handler):
    """Keeps lines until the hub has taken them; when it is long away the oldest are dropped."""

    def __init__(self, state: State) -> None:
        super().__init__(logging.INFO)
        self.state = state
        self.lines: deque[dict[str, Any]] = deque(maxlen=MOST_KEPT_LINES)
        self.batch: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        at = datetime.fromtimestamp(record.created + self.state.memory.clock_offset, tz=UTC).isoformat()
        message = record.getMessage().replace("\x00", "")[:2000] or "-"
        level = LEVELS.get(record.levelname, "INFO")
        self.lines.append({"at": at, "level": level, "source": record.name[-50:], "message": message})

    def send(self, hub: Hub) -> None:
        """Send a batch under a number that it keeps until it is taken, so that none is stored twice."""
        if not self.batch:
            while self.lines and len(self.batch) < LINES_PER_BATCH:
                self.batch.append(self.lines.popleft())
            if not self.batch:
                return
            self.state.memory.log_sequence += 1
            self.state.save()
        body = {"sequence": self.state.memory.log_sequence, "lines": self.batch}
        answer = hub.signed("POST", f"/api/v1/devices/{self.state.memory.device_id}/logs/batch", body)
        if answer.get("sequence", 0) > body["sequence"]:  # our count was lost: nothing was stored, and it goes on above
            self.state.memory.log_sequence = answer["sequence"] + 1
            self.state.save()
            return
        self.batch = []


class Agent:
    """One device."""

    def __init__(self, state: State, store: KeyStore, key: Key) -> None:
        self.state, self.store = state, store
        self.hub = Hub(state, key)
        self.meter = Meter(state.place)
        self.shipper = LogShipper(state)
        self.stopping = threading.Event()
        self.pause = FIRST_PAUSE
        self._key_of = 0

    def enrol(self, *, token: str = "") -> dict[str, Any]:
        """Prove the key and get the record; the same again is the same record."""
        memory = self.state.memory
        nonce = self.hub.open("POST", "/api/v1/devices/nonce")["nonce"]
        body: dict[str, Any] = {"public_key": self.hub.key.public_pem, "hardware_metadata": hardware()}
        body |= {"identity": memory.identity} if memory.identity else {}
        body |= {"device_type": memory.device_type} if memory.device_type else {}
        body |= {"enrolment_token": token} if token else {}
        answer: dict[str, Any] = self.hub.signed("POST", "/api/v1/devices/register", body, tag="hub-enrol", nonce=nonce)
        memory.device_id = answer["device_id"]
        memory.sealing_key = ""  # told again: the hub may be one that was recovered from before it
        self.state.save()
        return answer

    def run(self) -> None:
        """Call until somebody stops it."""
        deploy.recover(self)
        manual.recover(self)
        configure.apply(self)
        while not self.stopping.is_set():
            self.stopping.wait(self.step())

    def step(self) -> float:
        """One call with all it leads to; answers how long to wait."""
        try:
            self._follow_key()
            deploy.deliver(self)
            manual.deliver(self)
            answer = self.beat()
            deploy.register_sealing_key(self)
            is_done = True
            for command in answer["commands"]:
                is_done = work.do(self, command) and is_done
                self.meter.forget()
            self.shipper.send(self.hub)
        except HubError as error:
            pause = max(self.pause, error.retry_after)
            self.pause = min(2 * self.pause, LONGEST_PAUSE)
            logger.warning("%s (%s); again in %.0f s", error.message, error.code, pause)
            return pause
        except OSError as error:  # such as a full disk: what was said is said, and the next call comes in its time
            logger.warning("the state cannot be stored: %s", error)
            return LONGEST_PAUSE
        self.pause = FIRST_PAUSE
        # What went wrong is offered again with the next heartbeat: that comes in its time.
        return 0.0 if answer["commands"] and is_done else float(answer["next_in_seconds"])

    def beat(self) -> dict[str, Any]:
        """Send a heartbeat; answers what is wanted."""
        memory, reading = self.state.memory, self.meter.read()
        report: dict[str, Any] = {
            "agent_version": VERSION,
            "status": reading.status,
            "memory_mb": reading.memory_mb,
            "cpu_pct": reading.cpu,
            "disk_pct": round(reading.disk, 1),
            "load": round(reading.load, 2),
            # Also when there is none: after a new installation the hub is not to believe what was said before it.
            "bundle_version": memory.bundle_version,
            "config_version": memory.config_version,
        }
        answer: dict[str, Any] = self.hub.signed("POST", f"/api/v1/devices/{memory.device_id}/heartbeat", report)
        return answer

    def rotate_key(self, kind: str) -> Key:
        """Make the next key, have the hub take it, and sign with it from now on.

        It is kept before the hub hears of it, so whatever is cut short, the hub knows a key that we have.
        """
        memory, present = self.state.memory, self.hub.key
        following = self.store.load(NEXT) or Key.make(kind)
        self.store.save(following, NEXT)
        message = "\n".join(["hub-rotate-v1", memory.device_id, present.fingerprint, following.fingerprint]).encode()
        proof = base64.b64encode(following.sign(message)).decode()
        body = {"public_key": following.public_pem, "proof": proof}
        self.hub.signed("POST", f"/api/v1/devices/{memory.device_id}/key", body)
        self.use(following)
        self.beat()
        self.store.promote()
        logger.info("signs with key %s now", following.fingerprint[:16])
        return following

    def _follow_key(self) -> None:
        """Take up the key that `rotate-key`, a program beside this one, has put in the place of ours."""
        if (changed_at := self.store.changed_at) == self._key_of:
            return
        key, self._key_of = self.store.load(), changed_at
        if key is not None and key.fingerprint != self.hub.key.fingerprint:
            logger.info("takes up key %s", key.fingerprint[:16])
            self.use(key)

    def use(self, key: Key) -> None:
        """Sign with another key from now on; its token is another, too."""
        self.hub = Hub(self.state, key)
        configure.apply(self)
