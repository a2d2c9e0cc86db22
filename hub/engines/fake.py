"""An engine that lives in memory: the same semantics as the real ones, and told to fail, hang, crash or be slow.

State belongs to a node, not to an instance, as on a real node: every `FakeEngine(node="n1", …)` of this process sees
the same workloads. `FakeEngine.reset()` forgets all nodes.

    engine = FakeEngine(node="n1", options={})
    engine.fail("ensure", EngineError("no", reason=Reason.UNAVAILABLE), times=2)
    gate = engine.hang("stop")          # blocks until gate.set(), or TIMED_OUT after `timeout_seconds`
    engine.crash(spec.name, code=137, oom=True)
"""

from __future__ import annotations

import functools
import hashlib
import signal as signals
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

from .base import (
    GRANT_OPTION,
    LABEL_EXPIRES,
    Capabilities,
    Enforcement,
    Engine,
    EngineError,
    ImageInfo,
    KeptData,
    LogChunk,
    Observation,
    ProgressCallback,
    PullProgress,
    Reason,
    State,
    Usage,
    WorkloadSpec,
    labels_for,
)

MASK = "***"
MAX_LOG_BYTES = 64 * 1024
FAKE_IMAGE_BYTES = 10 * 1024**2
FAKE_DATA_BYTES = 1024**2
DEFAULT_PULL = (PullProgress("Pulling", None), PullProgress("Downloading", 50), PullProgress("Complete", 100))

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Call:
    """One verb as it was called."""

    verb: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass
class Fault:
    """What goes wrong at a verb: wait `delay_seconds`, wait for `gate`, then raise `error`; `times` None means always.

    `after` lets the verb take effect first, as when the answer of a real engine is lost.
    """

    verb: str
    error: Exception | None = None
    delay_seconds: float = 0.0
    gate: threading.Event | None = None
    times: int | None = 1
    after: bool = False

    def strike(self, patience_seconds: float) -> None:
        """Be slow, hang or fail."""
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        if self.gate is not None and not self.gate.wait(patience_seconds):
            raise EngineError(f"The engine did not answer {self.verb} in time.", reason=Reason.TIMED_OUT)
        if self.error is not None:
            raise self.error


@dataclass(frozen=True)
class Behaviour:
    """How a workload's program acts once it runs.

    `exits_at_start` is the exit code of a program that ends at once; `stop_code` that of one asked to stop (by default
    the negative signal number); `ignores_stop` one that must be killed; `echoes_input` prints what it reads.
    """

    output: Sequence[str] = ()
    exits_at_start: int | None = None
    stop_code: int | None = None
    ignores_stop: bool = False
    echoes_input: bool = False


@dataclass(frozen=True)
class FakeImage:
    """A pullable image: its digest and the events that a pull reports; `missing` when no registry has it."""

    digest: str
    steps: Sequence[PullProgress] = DEFAULT_PULL
    missing: bool = False


@dataclass
class FakeWorkload:
    """One workload on a fake node."""

    spec: WorkloadSpec
    observation: Observation
    run: int = 0
    lines: list[str] = field(default_factory=list)
    dropped_lines: int = 0
    input: list[str] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)


@dataclass
class FakeNode:
    """What one fake node holds."""

    workloads: dict[str, FakeWorkload] = field(default_factory=dict)
    data: set[str] = field(default_factory=set)
    images: dict[str, FakeImage] = field(default_factory=dict)
    local_images: dict[str, str] = field(default_factory=dict)
    occupied: set[tuple[str, int]] = field(default_factory=set)
    missing_ips: set[str] = field(default_factory=set)
    held_ips: set[str] = field(default_factory=set)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    default_behaviour: Behaviour = Behaviour()
    faults: list[Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def take_fault(self, verb: str, *, after: bool) -> Fault | None:
        """The next fault of a verb, counted down."""
        with self.lock:
            for fault in self.faults:
                if fault.verb in (verb, "*") and fault.after == after and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None


def _verb(method: Callable[Concatenate[FakeEngine, P], R]) -> Callable[Concatenate[FakeEngine, P], R]:
    """Record the call and let the node's faults strike before and after it."""
    verb = method.__name__

    @functools.wraps(method)
    def call(self: FakeEngine, *args: P.args, **kwargs: P.kwargs) -> R:
        node = self.state
        with node.lock:
            node.calls.append(Call(verb, args, kwargs))
        if fault := node.take_fault(verb, after=False):
            fault.strike(self.timeout_seconds)
        with node.lock:
            result = method(self, *args, **kwargs)
        if fault := node.take_fault(verb, after=True):
            fault.strike(self.timeout_seconds)
        return result

    return call


class FakeEngine(Engine):
    """The engine of tests."""

    capabilities = Capabilities(
        isolates_strangers=True,
        restarts_by_itself=False,
        stdin=True,
        usage=True,
        disk_quota=True,
        volumes=True,
        sidecars=True,
        images=True,
        relabels=True,
        archives=True,
        limits=dict.fromkeys(("memory", "swap", "cpu", "pids", "disk", "files"), Enforcement.ENFORCED),
    )
    timeout_seconds = 60.0
    nodes: ClassVar[dict[str, FakeNode]] = {}

    @classmethod
    def reset(cls) -> None:
        """Forget every node; let go of whoever hangs."""
        for node in cls.nodes.values():
            for fault in node.faults:
                if fault.gate is not None:
                    fault.gate.set()
        cls.nodes.clear()

    @property
    def state(self) -> FakeNode:
        """What this engine's node holds."""
        return self.nodes.setdefault(self.node, FakeNode())

    # What tests script.

    def fail(self, verb: str, error: Exception, *, times: int | None = 1, after: bool = False) -> None:
        """Let a verb ("*" for all) raise `error`; with `after`, once it has taken effect."""
        self.state.faults.append(Fault(verb, error=error, times=times, after=after))

    def slow(self, verb: str, seconds: float, *, times: int | None = 1) -> None:
        """Let a verb take its time."""
        self.state.faults.append(Fault(verb, delay_seconds=seconds, times=times))

    def hang(self, verb: str, *, times: int | None = 1, after: bool = False) -> threading.Event:
        """Let a verb block until the returned event is set; it raises TIMED_OUT after `timeout_seconds`."""
        gate = threading.Event()
        self.state.faults.append(Fault(verb, gate=gate, times=times, after=after))
        return gate

    def heal(self) -> None:
        """Drop every fault."""
        self.state.faults.clear()

    def behave(self, behaviour: Behaviour, name: str = "") -> None:
        """Say how the program of one workload, or of all, acts."""
        if name:
            self.state.behaviours[name] = behaviour
        else:
            self.state.default_behaviour = behaviour

    def crash(self, name: str, *, code: int | None = 1, oom: bool = False, detail: str = "") -> None:
        """End a running workload without being asked."""
        with self.state.lock:
            self._end(self.state.workloads[name], code, oom=oom, detail=detail)

    def restart_engine(self) -> None:
        """End every running workload as a restart of the engine or the host does."""
        with self.state.lock:
            for workload in self.state.workloads.values():
                if workload.observation.is_running:
                    self._end(workload, None)
                    workload.observation = replace(workload.observation, engine_restarted=True)

    def lose(self, name: str) -> None:
        """Let a workload vanish, as when someone removes it by hand."""
        self.state.workloads.pop(name, None)

    def write_log(self, name: str, *lines: str) -> None:
        """Let a workload print."""
        self.state.workloads[name].lines.extend(lines)

    def calls(self, verb: str = "") -> list[Call]:
        """The calls so far, of one verb or of all."""
        return [call for call in self.state.calls if verb in ("", call.verb)]

    def input_of(self, name: str) -> list[str]:
        """The lines that a workload was sent."""
        return list(self.state.workloads[name].input)

    # The contract.

    @_verb
    def ensure(self, spec: WorkloadSpec) -> Observation:
        node = self.state
        known = node.workloads.get(spec.name)
        if known is not None:
            if known.spec.generation > spec.generation:
                raise EngineError(f"{spec.name} has a newer generation.", reason=Reason.STALE, permanent=True)
            if known.observation.is_running:
                if known.spec.generation == spec.generation:
                    return known.observation
                raise EngineError(
                    f"{spec.name} still runs an older generation; stop it first.", reason=Reason.REFUSED, permanent=True
                )
        for binding in spec.ports:
            if taken := self._obstacle(binding.ip, binding.port):
                raise EngineError(taken, reason=Reason.ADDRESS_TAKEN, ip=binding.ip, port=binding.port)
        if spec.needs_grant and not self.options.get(GRANT_OPTION):
            raise EngineError("This node is not marked for that.", reason=Reason.REFUSED, permanent=True)
        for image in filter(None, spec.images):
            if not self._local_digest(image):
                raise EngineError(f"The image {image} is not here.", reason=Reason.IMAGE_MISSING)
        return self._start(spec, known)

    @_verb
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        if not (workload := self._running(name)):
            return
        workload.signals.append(signal)
        behaviour = self._behaviour(name)
        if signal == "SIGKILL" or not behaviour.ignores_stop:
            code = behaviour.stop_code
            self._end(workload, -getattr(signals, signal) if code is None or signal == "SIGKILL" else code)

    @_verb
    def kill(self, name: str) -> None:
        if workload := self._running(name):
            workload.signals.append("SIGKILL")
            self._end(workload, -signals.SIGKILL)

    @_verb
    def put_off(self, name: str, moment: datetime) -> None:
        if workload := self.state.workloads.get(name):
            labels = {**workload.observation.labels, LABEL_EXPIRES: moment.isoformat()}
            workload.observation = replace(workload.observation, labels=labels)

    @_verb
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        self.state.workloads.pop(name, None)
        if not keep_data:
            self.state.data.discard(name)

    @_verb
    def kept_data(self) -> list[KeptData]:
        left = sorted(self.state.data - set(self.state.workloads))
        return [KeptData(name, size_bytes=FAKE_DATA_BYTES) for name in left]

    @_verb
    def data(self) -> Mapping[str, Mapping[str, str]]:
        return {name: {} for name in sorted(self.state.data)}

    @_verb
    def export_data(self, name: str, target: Path, *, going_on: Callable[[], bool]) -> None:
        if name not in self.state.data:
            raise EngineError(f"{name} has no data here.", reason=Reason.REFUSED, permanent=True)
        if not going_on():
            raise EngineError("Given up on the way.", reason=Reason.CANCELLED)
        target.write_text(name)

    @_verb
    def import_data(self, name: str, source: Path) -> None:
        if source.read_text() != name:
            raise EngineError(f"{source.name} is damaged.", reason=Reason.REFUSED, permanent=True)
        if self._running(name):
            raise EngineError(f"{name} is running: stop it first.", reason=Reason.REFUSED, permanent=True)
        self.state.data.add(name)

    @_verb
    def inspect(self, name: str) -> Observation | None:
        workload = self.state.workloads.get(name)
        return workload.observation if workload else None

    @_verb
    def list_owned(self) -> list[Observation]:
        return [workload.observation for workload in self.state.workloads.values()]

    @_verb
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        workload = self.state.workloads.get(name)
        if workload is None:
            return LogChunk((), "")
        end = workload.dropped_lines + len(workload.lines)
        if cursor:
            first = max(int(cursor), workload.dropped_lines)
            lines = _fitting(workload, workload.lines[first - workload.dropped_lines :])
            return LogChunk(tuple(lines), str(first + len(lines)), truncated=first > int(cursor))
        last = workload.lines[-tail:] if tail else []
        newest_first = _fitting(workload, list(reversed(last)))
        return LogChunk(tuple(reversed(newest_first)), str(end), truncated=len(newest_first) < len(last))

    @_verb
    def usage(self) -> dict[str, Usage]:
        now = datetime.now(UTC)
        return {
            name: _usage_of(workload, now)
            for name, workload in self.state.workloads.items()
            if workload.observation.is_running
        }

    @_verb
    def send_input(self, name: str, line: str) -> None:
        if not (workload := self._running(name)):
            raise EngineError(f"{name} is not running.", reason=Reason.NOT_RUNNING)
        workload.input.append(line)
        if self._behaviour(name).echoes_input:
            workload.lines.append(line)

    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float = 900.0) -> str:
        """Report the image's events; faults of "pull" strike first, those of "pull.step" before each event."""
        node = self.state
        node.calls.append(Call("pull", (image,), {"deadline_seconds": deadline_seconds}))
        deadline = time.monotonic() + deadline_seconds
        if fault := node.take_fault("pull", after=False):
            fault.strike(deadline_seconds)
        name, _, pinned = image.partition("@")
        if pinned and self._local_digest(image):
            return pinned
        found = node.images.get(name) or FakeImage(f"sha256:{hashlib.sha256(name.encode()).hexdigest()}")
        if found.missing or (pinned and found.digest != pinned):
            raise EngineError(f"No registry has the image {image}.", reason=Reason.IMAGE_MISSING, permanent=True)
        for step in found.steps:
            if fault := node.take_fault("pull.step", after=False):
                fault.strike(max(0.0, deadline - time.monotonic()))
            if time.monotonic() > deadline:
                raise EngineError(f"Pulling {image} took too long.", reason=Reason.TIMED_OUT)
            if not progress(step):
                raise EngineError(f"Pulling {image} was given up.", reason=Reason.CANCELLED)
        node.local_images[image] = found.digest
        return found.digest

    def pin(self, image: str, digest: str) -> str:
        return f"{image.partition('@')[0]}@{digest}"

    @_verb
    def images(self) -> list[ImageInfo]:
        names: dict[str, list[str]] = {}
        for name, digest in self.state.local_images.items():
            names.setdefault(digest, []).append(name)
        return [ImageInfo(id, each, FAKE_IMAGE_BYTES, used_by=self._users_of(each)) for id, each in names.items()]

    @_verb
    def import_image(self, archive: Path, names: Sequence[str], *, command: Sequence[str] = ()) -> None:
        digest = f"sha256:{hashlib.sha256(archive.read_bytes() + repr(command).encode()).hexdigest()}"
        self.state.local_images.update(dict.fromkeys(names, digest))

    @_verb
    def remove_images(self, ids: Sequence[str]) -> dict[str, str]:
        left = {}
        for image in self.images():
            if image.id in ids:
                left[image.id] = f"It is used by {', '.join(image.used_by)}." if image.used_by else ""
                for name in () if image.used_by else image.names:
                    del self.state.local_images[name]
        return left

    @_verb
    def probe_address(self, ip: str, port: int) -> str:
        return self._obstacle(ip, port)

    @_verb
    def hold_addresses(self, ips: Sequence[str]) -> None:
        self.state.held_ips = set(ips)

    # How a fake workload lives.

    def _obstacle(self, ip: str, port: int) -> str:
        if ip in self.state.missing_ips:
            raise EngineError(f"This node has no address {ip}.", reason=Reason.ADDRESS_MISSING, ip=ip, port=port)
        return f"{ip}:{port} is in use by another program." if (ip, port) in self.state.occupied else ""

    def _users_of(self, images: Sequence[str]) -> tuple[str, ...]:
        workloads = self.state.workloads.items()
        return tuple(name for name, workload in workloads if workload.spec.image.partition("@")[0] in images)

    def _local_digest(self, image: str) -> str:
        """The digest of an image on this node, by name or pinned; "" when it is not here."""
        name, _, digest = image.partition("@")
        local = self.state.local_images
        return local.get(name, "") if not digest else digest if digest in local.values() else ""

    def _behaviour(self, name: str) -> Behaviour:
        return self.state.behaviours.get(name, self.state.default_behaviour)

    def _running(self, name: str) -> FakeWorkload | None:
        workload = self.state.workloads.get(name)
        return workload if workload and workload.observation.is_running else None

    def _start(self, spec: WorkloadSpec, known: FakeWorkload | None) -> Observation:
        observation = Observation(
            kind=spec.kind,
            id=spec.id,
            generation=spec.generation,
            state=State.RUNNING,
            host="127.0.0.1",
            started_at=datetime.now(UTC),
            ports=tuple(spec.ports),
            image=spec.image,
            image_digest=self._local_digest(spec.image),
            labels=labels_for(spec),
        )
        workload = known or FakeWorkload(spec, observation)
        workload.spec, workload.observation, workload.run = spec, observation, workload.run + 1
        behaviour = self._behaviour(spec.name)
        workload.lines.extend(behaviour.output)
        self.state.workloads[spec.name] = workload
        self.state.data.add(spec.name)
        if behaviour.exits_at_start is not None:
            self._end(workload, behaviour.exits_at_start)
        return workload.observation

    @staticmethod
    def _end(workload: FakeWorkload, code: int | None, *, oom: bool = False, detail: str = "") -> None:
        workload.observation = replace(
            workload.observation,
            state=State.EXITED,
            finished_at=datetime.now(UTC),
            exit_code=code,
            oom_killed=oom,
            detail=detail,
        )


def _fitting(workload: FakeWorkload, lines: Sequence[str]) -> list[str]:
    """The first lines that fit into one answer, secrets masked."""
    taken, size = [], 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > MAX_LOG_BYTES:
            break
        for secret in workload.spec.secrets:
            line = line.replace(secret, MASK) if secret else line
        taken.append(line)
    return taken


def _usage_of(workload: FakeWorkload, now: datetime) -> Usage:
    """Counters that rise with the time a workload has run."""
    started = workload.observation.started_at or now
    seconds = (now - started).total_seconds()
    return Usage(
        epoch=str(workload.run),
        at=now,
        cpu_seconds_total=seconds / 10,
        memory_bytes=64 * 1024**2,
        memory_limit_bytes=workload.spec.limits.memory_mb * 1024**2,
        disk_bytes=1024**2,
        pids=1,
        net_in_bytes_total=int(seconds * 1000),
        net_out_bytes_total=int(seconds * 2000),
        block_read_bytes_total=0,
        block_write_bytes_total=int(seconds * 100),
    )
