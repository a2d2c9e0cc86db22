"""Devices that call, in a process of their own: `python -m bench._fleet_load PLAN.pickle`, says when they
begin and then what came of it, each in a line of JSON.

Each call is signed when it is due, and its latency counts from then, so a hub that falls behind is not asked less.
"""

from __future__ import annotations

import base64
import http.client
import json
import pickle
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_der_private_key

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "agent"))
from kutanga_agent.keys import Key  # found by the line above

COVERED = '("@method" "@path" "@query" "content-digest")'
BODY = json.dumps(
    {"agent_version": "0.1.0", "status": "healthy", "memory_mb": 700, "cpu_pct": 12.5, "bundle_version": "1.0"}
).encode()


@dataclass(frozen=True)
class Signing:
    """A device that signs: its id and its private key in DER."""

    id: str
    fingerprint: str
    der: bytes


@dataclass
class Plan:
    """Who calls: each device again after so many seconds, or all once as fast as they get through."""

    port: int
    devices: list[Signing]
    seconds: float
    every_seconds: float
    threads: int = 32
    anew: bool = False  # every call on a connection of its own, as after a power cut


@dataclass
class Told:
    """What came of it."""

    calls: list[tuple[float, float]] = field(default_factory=list)  # when due, in seconds, and how long it took
    statuses: Counter[int] = field(default_factory=Counter)
    commands: int = 0


class Crowd:
    """The devices of a plan, with their keys read."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.keys = [Key(load_der_private_key(device.der, None)) for device in plan.devices]
        self.turn, self.lock, self.told = 0, threading.Lock(), Told()
        self.counter = time.time_ns() // 1000
        pace = plan.every_seconds / len(plan.devices)
        self.turns = int(plan.seconds / pace) if pace else len(plan.devices)
        self.pace = pace
        self.start = time.perf_counter()

    def stop(self, *_: object) -> None:
        """Nothing that is due later is begun; what is due by now comes through, however late it is."""
        if self.pace:
            self.turns = min(self.turns, int((time.perf_counter() - self.start) / self.pace))

    def run(self) -> Told:
        threads = [threading.Thread(target=self._work) for _ in range(self.plan.threads)]
        self.start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self.told

    def _work(self) -> None:
        client = http.client.HTTPConnection("127.0.0.1", self.plan.port, timeout=60)
        while True:
            with self.lock:
                turn, self.turn = self.turn, self.turn + 1
            if turn >= self.turns:
                return
            due = self.start + turn * self.pace
            if (wait := due - time.perf_counter()) > 0:
                time.sleep(wait)
                if turn >= self.turns:  # told to stop meanwhile
                    return
            began = due if self.pace else time.perf_counter()
            status, commands = self._call(client, turn % len(self.keys))
            taken = time.perf_counter() - began
            with self.lock:
                self.told.calls.append((began - self.start, taken))
                self.told.statuses[status] += 1
                self.told.commands += commands

    def _call(self, client: http.client.HTTPConnection, number: int) -> tuple[int, int]:
        device, key = self.plan.devices[number], self.keys[number]
        path = f"/api/v1/devices/{device.id}/heartbeat"
        if self.plan.anew:
            client.close()
        for last in (False, True):
            with self.lock:
                self.counter += 1
                counter = self.counter
            try:
                client.request("POST", path, BODY, headers_of(path, device.fingerprint, key, counter))
                answer = client.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):  # the server closes a connection that was idle
                client.close()
                if last:
                    return 0, 0
            else:
                return answer.status, len(json.loads(content)["commands"]) if answer.status == 200 else 0
        return 0, 0


def headers_of(path: str, fingerprint: str, key: Key, counter: int) -> dict[str, str]:
    """Sign one heartbeat."""
    digest = f"sha-256=:{base64.b64encode(sha256(BODY).digest()).decode()}:"
    params = f'{COVERED};created={int(time.time())};nonce="{counter}";keyid="{fingerprint}";tag="hub-device"'
    lines = ['"@method": POST', f'"@path": {path}', '"@query": ?', f'"content-digest": {digest}']
    signature = key.sign("\n".join([*lines, f'"@signature-params": {params}']).encode())
    return {
        "Content-Type": "application/json",
        "Content-Digest": digest,
        "Signature-Input": f"hub={params}",
        "Signature": f"hub=:{base64.b64encode(signature).decode()}:",
    }


def main(path: str) -> None:
    with open(path, "rb") as file:
        plan: Plan = pickle.load(file)  # noqa: S301 - written by the benchmark itself
    crowd = Crowd(plan)
    signal.signal(signal.SIGTERM, crowd.stop)
    print(time.time(), flush=True)  # the keys are read: now they call
    began = time.perf_counter()
    told = crowd.run()
    print(
        json.dumps(
            {
                "seconds": time.perf_counter() - began,
                "calls": told.calls,
                "statuses": dict(told.statuses),
                "commands": told.commands,
            }
        )
    )


if __name__ == "__main__":
    from bench import _fleet_load  # the plan names its class by this module

    _fleet_load.main(sys.argv[1])
