"""Pods of the stand-in: their arguments run as processes of this machine, restarted as a kubelet does."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from .store import Object, now

if TYPE_CHECKING:
    from .server import Cluster

VARIABLE = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")
PRE_STOP = re.compile(r"kill -s (\w+) -?1;")
PATH = "/usr/local/bin:/usr/bin:/bin"
UNSEEN_SECONDS = 5.0
SINGLE_RESTART = 1  # the first restart is at once, the next ones back off


class Pod:
    """One pod: a thread that runs its container until it is told to end."""

    def __init__(self, cluster: Cluster, pod: Object) -> None:
        self.cluster = cluster
        self.namespace, self.name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        self.spec = pod["spec"]
        self.ip = cluster.next_ip()
        self.ends_within: float | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.beside: dict[str, subprocess.Popen[bytes]] = {}
        self.lines: list[tuple[str, str]] = []
        self.previous: list[tuple[str, str]] | None = None
        self.restarts = 0
        self.started = ""
        self.last: Object | None = None
        self.used = (0.0, time.monotonic())
        self.change = threading.Condition()
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    @property
    def container(self) -> Object:
        return self.spec["containers"][0]

    def end(self, grace_seconds: float | None = None) -> None:
        """Ask it to end; a shorter grace than before counts."""
        grace = self.spec.get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds
        with self.change:
            self.ends_within = grace if self.ends_within is None else min(grace, self.ends_within)
            self.change.notify_all()

    def write(self, data: bytes) -> None:
        if self.process is not None and self.process.stdin is not None:
            with contextlib.suppress(OSError):
                self.process.stdin.write(data)
                self.process.stdin.flush()

    def usage(self) -> tuple[float, float, int]:
        """Cores used on average since the last time, over how many seconds, and memory."""
        spent, memory = 0.0, 0
        if self.process is not None:
            with contextlib.suppress(psutil.Error):
                one = psutil.Process(self.process.pid)
                for process in (one, *one.children(recursive=True)):
                    times = process.cpu_times()
                    spent += times.user + times.system
                    memory += process.memory_info().rss
        before, at = self.used
        moment = time.monotonic()
        self.used = (spent, moment)
        window = max(moment - at, 0.001)
        return max(0.0, spent - before) / window, window, memory

    # The life of a pod.

    def _live(self) -> None:
        self._status({"waiting": {"reason": "ContainerCreating"}}, phase="Pending")
        if not self._pause(self.cluster.ready_seconds) or not self._is_let_run():
            return self._gone()
        if fault := self.cluster.image_fault(self.container["image"]):
            self._status({"waiting": {"reason": "ErrImagePull", "message": fault}}, phase="Pending")
            self._pause(None)
            return self._gone()
        self._run_beside()
        while True:
            ended = self._run()
            if self.ends_within is not None:
                self._status({"terminated": ended}, phase="Failed" if ended["exitCode"] else "Succeeded")
                self._linger()
                return self._gone()
            self.last = ended
            if self.restarts >= SINGLE_RESTART:
                message = "back-off 10s restarting failed container=main"
                self._status({"waiting": {"reason": "CrashLoopBackOff", "message": message}}, phase="Running")
                if not self._pause(self.cluster.backoff_seconds):
                    return self._gone()
            self.restarts += 1
            self.previous, self.lines = self.lines, []

    def _run_beside(self) -> None:
        """Programs beside the main one, each with what its own container says; one that ends stays ended."""
        for container in self.spec["containers"][1:]:
            if self.cluster.image_fault(container["image"]):
                continue
            self.beside[container["name"]] = subprocess.Popen(
                [self._expanded(word, container) for word in container.get("args") or ("sleep", "300")],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={"PATH": PATH, **self._variables(container)},
                cwd=tempfile.gettempdir(),
                start_new_session=True,
            )

    def said_beside(self, name: str) -> str:
        """What a program beside the main one has said until it ended."""
        output = self.beside[name].stdout
        assert output is not None
        return output.read().decode()

    def _state_beside(self, container: Object) -> Object:
        name = container["name"]
        process = self.beside.get(name)
        if fault := self.cluster.image_fault(container["image"]):
            return {"waiting": {"reason": "ErrImagePull", "message": fault}}
        if name in self.cluster.broken_sidecars:
            return {"waiting": {"reason": "CrashLoopBackOff"}}
        if process is None:
            return {"waiting": {"reason": "ContainerCreating"}}
        code = process.poll()
        if code is None:
            return {"running": {"startedAt": now()}}
        return {"terminated": {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": now()}}

    def _run(self) -> Object:
        args = [self._expanded(word) for word in self.container.get("args") or ("sleep", "300")]
        args = self.cluster.plays(args)
        home = self._volume()
        try:
            self.process = subprocess.Popen(
                args,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(home),
                cwd=home,
                start_new_session=True,
            )
        except OSError as error:
            return {
                "exitCode": 127,
                "reason": "StartError",
                "message": str(error),
                "startedAt": now(),
                "finishedAt": now(),
            }
        self.started = now()
        reader = threading.Thread(target=self._read, args=(self.process, self.lines), daemon=True)
        reader.start()
        self._status({"running": {"startedAt": self.started}}, phase="Running")
        code = self._wait(self.process)
        reader.join(10)  # what it has said is there before its end is told
        return {
            "exitCode": 128 - code if code < 0 else code,
            "reason": "OOMKilled"
            if self.namespace in self.cluster.out_of_memory
            else "Completed"
            if not code
            else "Error",
            "startedAt": self.started,
            "finishedAt": now(),
        }

    def _wait(self, process: subprocess.Popen[bytes]) -> int:
        asked: float | None = None
        while (code := process.poll()) is None:
            if self.ends_within is not None:
                if asked is None:
                    asked = time.monotonic()
                    self._signal(process, self._stop_signal())
                if time.monotonic() - asked >= self.ends_within:
                    self._signal(process, signal.SIGKILL)
            time.sleep(0.02)
        self._signal(process, signal.SIGKILL)  # what it has left behind
        return code

    def _stop_signal(self) -> signal.Signals:
        hook = (self.container.get("lifecycle") or {}).get("preStop")
        found = PRE_STOP.search(" ".join(hook["exec"]["command"])) if hook else None
        return signal.Signals[f"SIG{found[1]}"] if found else signal.SIGTERM

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)

    def _read(self, process: subprocess.Popen[bytes], lines: list[tuple[str, str]]) -> None:
        assert process.stdout is not None
        last = 0
        for line in process.stdout:
            last = max(last + 1, time.time_ns())
            seconds, rest = divmod(last, 1_000_000_000)
            at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
            lines.append((f"{at}.{rest:09d}Z", line.decode(errors="replace").rstrip("\n")))

    def _pause(self, seconds: float | None) -> bool:
        """Wait; False when it is to end."""
        with self.change:
            self.change.wait_for(lambda: self.ends_within is not None, seconds)
            return self.ends_within is None

    def _is_let_run(self) -> bool:
        """Wait until the test lets it; False when it is to end."""
        while not self.cluster.may_run.wait(0.02):
            if self.ends_within is not None:
                return False
        return True

    def _linger(self) -> None:
        """Stay until somebody has listed it as it ended, however slow the machine; not if its namespace goes."""
        if not self.cluster.linger_seconds:
            return
        version, deadline = self.cluster.store.version, time.monotonic() + UNSEEN_SECONDS
        while not (self._is_listed_since(version) or self.cluster.closing or time.monotonic() > deadline):
            time.sleep(0.01)
        time.sleep(self.cluster.linger_seconds)

    def _is_listed_since(self, version: int) -> bool:
        home = self.cluster.store.objects.get(("namespaces", "", self.namespace))
        if home is None or home["metadata"].get("deletionTimestamp"):
            return True
        return max(self.cluster.pods_read.get(name, 0) for name in ("", self.namespace)) >= version

    def _gone(self) -> None:
        for process in self.beside.values():
            self._signal(process, signal.SIGKILL)
            process.wait()
        with self.cluster.store.lock:
            self.cluster.pods.pop((self.namespace, self.name), None)
            self.cluster.store.remove("pods", self.namespace, self.name)
        self.cluster.wake()

    def _status(self, state: Object, *, phase: str) -> None:
        status: Object = {"name": "main", "state": state, "restartCount": self.restarts, "ready": self._is_ready(state)}
        status |= {"image": self.container["image"], "imageID": self.cluster.image_id(self.container["image"])}
        status["lastState"] = {"terminated": self.last} if self.last else {}
        beside = [
            {"name": container["name"], "state": self._state_beside(container), "restartCount": 0}
            for container in self.spec["containers"][1:]
        ]
        with self.cluster.store.lock:
            found = self.cluster.store.objects.get(("pods", self.namespace, self.name))
            if found is not None:
                found["status"] = {"phase": phase, "podIP": self.ip, "containerStatuses": [status, *beside]}
                self.cluster.store.touch("pods", self.namespace, self.name)

    def _is_ready(self, state: Object) -> bool:
        """Running, and its probe gets an answer: the test says which probes get none."""
        return "running" in state and not (
            self.container.get("readinessProbe") and self.namespace in self.cluster.unready
        )

    def _volume(self) -> str:
        """The directory behind the claim, or a scratch one."""
        claims = [v["persistentVolumeClaim"]["claimName"] for v in self.spec["volumes"] if "persistentVolumeClaim" in v]
        return self.cluster.volume(self.namespace, claims[0]) if claims else tempfile.gettempdir()

    def _environment(self, home: str) -> dict[str, str]:
        values = self._variables(self.container)
        paths = {mount["mountPath"] for mount in self.container["volumeMounts"] if mount["name"] == "data"}
        return {"PATH": PATH, **{name: home if text in paths else text for name, text in values.items()}}

    def _variables(self, container: Object) -> dict[str, str]:
        """What a program finds in its environment: values, and the keys of secrets that are named one by one."""
        values = {}
        for entry in container.get("env") or ():
            if "value" in entry:
                values[entry["name"]] = entry["value"]
                continue
            wanted = entry["valueFrom"]["secretKeyRef"]
            with self.cluster.store.lock:
                data = self.cluster.store.get("secrets", self.namespace, wanted["name"])["data"]
            values[entry["name"]] = base64.b64decode(data[wanted["key"]]).decode()
        return values

    def _expanded(self, word: str, container: Object | None = None) -> str:
        entries = (container or self.container).get("env") or ()
        values = {entry["name"]: entry["value"] for entry in entries if "value" in entry}
        return VARIABLE.sub(lambda found: "$" if found[0] == "$$" else values.get(found[1], found[0]), word)


def remove_tree(path: str) -> None:
    shutil.rmtree(Path(path), ignore_errors=True)
