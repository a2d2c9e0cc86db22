"""What the hub asks of an engine: a handful of verbs, and the plain data that crosses that door.

An engine runs workloads on one node. It never sees a model, never touches the database and lets no SDK type out.
Every verb is idempotent, bounded in time (`Engine.timeout_seconds`) and raises only `EngineError`. Long work (pulling
an image) reports through a callback and stops between two events when that callback says so.

Names are deterministic (`hub-<kind>-<id>`), and everything an engine makes carries the labels of `labels_for`, so
that a workload can be found, fenced and cleaned up without the database.
"""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

LABEL_KIND = "kutanga.kind"
LABEL_ID = "kutanga.id"
LABEL_GENERATION = "kutanga.generation"
LABEL_OWNER = "kutanga.owner"
LABEL_TEAM = "kutanga.team"
LABEL_EXPIRES = "kutanga.expires"
UUID_LENGTH = 36
GRANT_OPTION = "allow_grants"
"""The node's option that marks it for workloads with extra capabilities or privileges."""


class Reason(StrEnum):
    """Why an engine could not do what it was asked."""

    UNAVAILABLE = "unavailable"  # the engine itself does not answer
    TIMED_OUT = "timed_out"
    ADDRESS_TAKEN = "address_taken"  # a leased IP and port is in use by something else
    ADDRESS_MISSING = "address_missing"  # the node does not have that IP
    IMAGE_MISSING = "image_missing"
    DISK_FULL = "disk_full"
    REFUSED = "refused"  # the specification is not acceptable here
    STALE = "stale"  # a newer generation exists
    NOT_RUNNING = "not_running"
    CANCELLED = "cancelled"  # the progress callback asked to stop
    INTERNAL = "internal"


class EngineError(Exception):
    """A verb failed; `permanent` says that asking again will not help, `reason` why, the message is for users.

    `ip` and `port` name the address when the reason is about one.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: Reason = Reason.INTERNAL,
        permanent: bool = False,
        ip: str = "",
        port: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.permanent = permanent
        self.ip = ip
        self.port = port


class Enforcement(StrEnum):
    """How a limit is kept: by the kernel, by looking now and then, or not at all."""

    ENFORCED = "enforced"
    WATCHED = "watched"
    ABSENT = "absent"


@dataclass(frozen=True)
class Capabilities:
    """What placement and pages may rely on.

    `limits` maps memory, swap, cpu, pids, disk and files to an `Enforcement`.
    """

    isolates_strangers: bool
    restarts_by_itself: bool
    stdin: bool
    usage: bool
    disk_quota: bool
    volumes: bool
    sidecars: bool
    images: bool
    limits: Mapping[str, Enforcement] = field(default_factory=dict)
    relabels: bool = False  # what a workload's labels say of its end can be changed while it runs
    archives: bool = False  # data that lie with the engine, and can be written to a file and brought back


@dataclass(frozen=True)
class Limits:
    """Upper bounds of one workload; `cpu_percent` counts 100 for one core, `swap_mb` comes on top of memory."""

    memory_mb: int
    cpu_percent: int
    disk_mb: int
    pids: int = 256
    swap_mb: int = 0
    open_files: int = 4096
    tmp_mb: int = 64


@dataclass(frozen=True)
class PortBinding:
    """A leased address: `ip` and `port` on the node, `target_port` inside the workload.

    `public` is False for ports that only the agent reaches (RCON, query).
    """

    name: str
    ip: str
    port: int
    target_port: int
    public: bool = True


class ProbeKind(StrEnum):
    """How an engine may ask whether a program answers."""

    TCP = "tcp"
    HTTP = "http"


@dataclass(frozen=True)
class Probe:
    """Where a program answers once it is ready: asked by engines that can (`Observation.is_ready`), beside the hub."""

    kind: ProbeKind
    port: int
    path: str = "/"


@dataclass(frozen=True)
class Sidecar:
    """A program beside the main one. All of a workload share one network: each reaches the others on loopback, and
    under their names. It lives and ends with the workload, has no data of its own and no address outside.
    """

    name: str
    image: str
    limits: Limits
    command: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    writable_paths: Sequence[str] = ()
    is_read_only: bool = True


@dataclass(frozen=True)
class WorkloadSpec:
    """All an engine needs to run one generation of one workload.

    `command` may hold any text; it is never given to a shell. `env` and `files` (path to text, read-only for the
    workload) may hold secrets: engines never log them and never pass them as an argument. `secrets` lists the values
    to be masked in what `logs` returns. `data_path` is where the persistent data appears to the workload, or empty for
    none; `writable_paths` are scratch space in memory. `subnet` is a leased network (CIDR) that the workload gets for
    itself; without one it shares the node's. `is_read_only` is about all the rest of the file system. With `egress`
    off it reaches nothing outside itself and only answers. `team` is whose it is beside its owner, `probe` how it can
    be asked whether it is ready, and `shares_address` whether others may use its IP on other ports (None: as the node
    says; only engines that announce addresses care).
    `added_capabilities` and `is_privileged` are an admin's grant, refused on nodes that are not marked for it.
    """

    kind: str
    id: uuid.UUID
    generation: int
    owner: str
    command: Sequence[str]
    limits: Limits
    image: str = ""
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    ports: Sequence[PortBinding] = ()
    data_path: str = ""
    stop_signal: str = "SIGTERM"
    stop_grace_seconds: int = 30
    expires_at: datetime | None = None
    secrets: Sequence[str] = field(default=(), repr=False)
    subnet: str = ""
    sidecars: Sequence[Sidecar] = ()
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    writable_paths: Sequence[str] = ()
    is_read_only: bool = True
    egress: bool = True
    added_capabilities: Sequence[str] = ()
    is_privileged: bool = False
    team: str = ""
    probe: Probe | None = None
    shares_address: bool | None = None

    @property
    def name(self) -> str:
        return workload_name(self.kind, self.id)

    @property
    def needs_grant(self) -> bool:
        """Whether it asks for more rights than any workload has."""
        return self.is_privileged or bool(self.added_capabilities)

    @property
    def images(self) -> list[str]:
        """Every image it is made from, each once."""
        return list(dict.fromkeys([self.image, *(sidecar.image for sidecar in self.sidecars)]))


class State(StrEnum):
    """What an engine can see of a workload; a workload it does not know has no observation at all."""

    CREATED = "created"  # made, never ran
    RUNNING = "running"
    PAUSED = "paused"
    EXITED = "exited"


@dataclass(frozen=True)
class Obstacle:
    """What keeps a workload that was made from running; `permanent` says that waiting will not help.

    Engines that answer `ensure` before the program runs tell so later what others raise at once.
    """

    reason: Reason
    message: str
    permanent: bool = False
    ip: str = ""
    port: int | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Observation:
    """One workload as the engine sees it now.

    `host` is where the agent reaches ports that are not published; `exit_code` is None while running or when the exit
    was not seen; a code below zero is the negative signal number. `detail` of a running one tells what is wrong
    with it, such as a sidecar that has ended; `restart_cause` why the engine itself has last started it again, which it
    goes on telling however well it runs. `engine_restarted` marks an exit that the engine's or the host's own
    restart explains. `image` is the very image it was made from, as `pin` names it. `labels` are
    those of `labels_for`. `obstacle` belongs to a workload that was made and does not run yet. `is_ready` is what the
    engine's own probe says, None where it has none. `is_ending` marks one that runs although it was asked to end, as
    far as an engine that restarts by itself has noted it.
    """

    kind: str
    id: uuid.UUID
    generation: int
    state: State
    host: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    engine_restarted: bool = False
    restart_count: int = 0
    detail: str = ""
    restart_cause: str = ""
    ports: Sequence[PortBinding] = ()
    image: str = ""
    image_digest: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    obstacle: Obstacle | None = None
    is_ready: bool | None = None
    is_ending: bool = False

    @property
    def name(self) -> str:
        return workload_name(self.kind, self.id)

    @property
    def is_running(self) -> bool:
        return self.state in (State.RUNNING, State.PAUSED)


@dataclass(frozen=True)
class Usage:
    """Counters and gauges of one workload; `*_total` only ever rise while `epoch` (a start identity) stays the same.

    `memory_bytes` leaves the page cache out. None means that this engine cannot tell.
    """

    epoch: str
    at: datetime
    cpu_seconds_total: float | None = None
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    disk_bytes: int | None = None
    pids: int | None = None
    net_in_bytes_total: int | None = None
    net_out_bytes_total: int | None = None
    block_read_bytes_total: int | None = None
    block_write_bytes_total: int | None = None


@dataclass(frozen=True)
class LogChunk:
    """Lines of a workload's output and the cursor to ask for what follows; `truncated` when older lines were
    dropped.
    """

    lines: Sequence[str]
    cursor: str
    truncated: bool = False


@dataclass(frozen=True)
class ImageInfo:
    """One image on the node; `used_by` names the workloads and other containers made from it, running or not."""

    id: str
    names: Sequence[str]
    size_bytes: int
    created_at: datetime | None = None
    used_by: Sequence[str] = ()


@dataclass(frozen=True)
class KeptData:
    """Data on the node whose workload was removed without them; `name` is the workload's.

    `changed_at` is when something at their top was last changed, `size_bytes` None while they are not counted, and
    `labels` those of `labels_for` where the engine still has them.
    """

    name: str
    created_at: datetime | None = None
    changed_at: datetime | None = None
    size_bytes: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PullProgress:
    """How far a pull is: `percent` is None while the total is unknown; nothing has come for `silent_seconds`."""

    message: str
    percent: int | None = None
    silent_seconds: float = 0.0


class Verdict(StrEnum):
    """What an examination has shown."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Check:
    """One thing that was examined around a node's workloads: what was found, and what to do about it."""

    name: str
    verdict: Verdict
    found: str
    advice: str = ""


ProgressCallback = Callable[[PullProgress], bool]
"""Told of each event; returns False to give up (the pull then raises `EngineError` with reason CANCELLED)."""


class Engine(ABC):
    """One node's engine. Instances are cheap, hold no state the node does not hold, and are used by one thread."""

    capabilities: ClassVar[Capabilities]
    timeout_seconds: ClassVar[float] = 30.0

    def __init__(self, *, node: str, options: Mapping[str, Any]) -> None:
        self.node = node
        self.options = options

    @classmethod  # noqa: B027 - most engines have all they need
    def preload(cls) -> None:
        """Import what is otherwise imported with first use: the agent forks a process for every job."""

    def limits(self) -> Mapping[str, Enforcement]:
        """How each limit is kept on this very node, which may be better than what the class declares."""
        return self.capabilities.limits

    def prepare(self) -> None:  # noqa: B027 - most engines need no preparation
        """Lay what workloads need around them on the node (networks, firewall). Cheap when all of it is there.

        The agent calls it at its start and on each sweep, because a restarted daemon or firewall forgets.
        """

    def teardown(self) -> None:  # noqa: B027 - as above
        """Take away what `prepare` has laid. Raises REFUSED while workloads are left."""

    def examine(self, ips: Sequence[str]) -> Sequence[Check]:
        """Look at what the node brings along besides workloads; `ips` are the addresses the hub may lease there.

        May take two minutes, and may run workloads of its own for a moment. Nothing where there is nothing to examine.
        """
        return ()

    def images(self) -> Sequence[ImageInfo]:
        """The images on the node."""
        return ()

    def import_image(self, archive: Path, names: Sequence[str], *, command: Sequence[str] = ()) -> None:
        """Make an image of a file system in a tar archive, under these names, in place of what they named."""
        raise EngineError("This engine makes no images.", reason=Reason.REFUSED, permanent=True)

    def remove_images(self, ids: Sequence[str]) -> dict[str, str]:
        """Remove images that nothing uses; says for each why it is still there, or ""."""
        return {}

    @abstractmethod
    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Bring the workload into being and running at this generation.

        Already running at this generation: only sidecars that do not run are started. An exited or created one of this
        generation is started again; an exited one of an older generation is replaced, its data kept. Raises STALE when
        a newer generation exists, REFUSED (permanent) when an older one is still running (it must be stopped first),
        ADDRESS_TAKEN or ADDRESS_MISSING when a port cannot be bound, IMAGE_MISSING, DISK_FULL, UNAVAILABLE. An engine
        that restarts by itself may answer with one that was made and does not run yet; `inspect` tells how far it is.
        """

    @abstractmethod
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        """Ask a running workload to end and return at once; unknown or ended ones are left alone."""

    @abstractmethod
    def kill(self, name: str) -> None:
        """End a workload and all its processes now; unknown or ended ones are left alone."""

    @abstractmethod
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        """Remove everything that was made for a workload, killing it if needed; unknown ones are left alone.

        After it returns, `inspect` answers None and, unless `keep_data`, the data is gone too.
        """

    def kept_data(self) -> Sequence[KeptData]:
        """Data that no workload here has any more, bounded in time. `remove` deletes them like any other."""
        return ()

    def data(self) -> Mapping[str, Mapping[str, str]]:
        """The workloads that have data here, in use or left behind, with their labels; where there are `archives`."""
        return {}

    def export_data(self, name: str, target: Path, *, going_on: Callable[[], bool]) -> None:
        """Write a workload's data to a new file, whether it runs or not.

        Raises REFUSED when there are none or the engine cannot, DISK_FULL, and CANCELLED when `going_on` says so.
        """
        raise EngineError("This engine writes no data to files.", reason=Reason.REFUSED, permanent=True)

    def import_data(self, name: str, source: Path) -> None:
        """Put what `export_data` has written in the place of a workload's data, or where there are none.

        Raises REFUSED while it runs, and for a file that is damaged; the data then stay as they are.
        """
        raise EngineError("This engine brings no data back.", reason=Reason.REFUSED, permanent=True)

    def put_off(self, name: str, moment: datetime) -> None:  # noqa: B027 - most engines cannot
        """Have a workload's labels say that its last moment is this one, where they can be changed: see `relabels`."""

    @abstractmethod
    def inspect(self, name: str) -> Observation | None:
        """Say what is there now, or None."""

    @abstractmethod
    def list_owned(self) -> list[Observation]:
        """Everything on this node that carries our labels, in one call."""

    @abstractmethod
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        """Output of the workload, secrets masked: the last `tail` lines, or what came after `cursor`.

        At most 64 KiB a call; unknown workloads give an empty chunk.
        """

    @abstractmethod
    def usage(self) -> dict[str, Usage]:
        """Usage of every running workload by name, in one pass."""

    def tidy(self) -> None:  # noqa: B027 - an engine that leaves nothing has nothing to do
        """Finish what an interrupted removal has left; called with every sweep, bounded in time like the verbs."""

    @abstractmethod
    def send_input(self, name: str, line: str) -> None:
        """Write one line to the workload's console. Raises NOT_RUNNING, or REFUSED where there is no stdin."""

    @abstractmethod
    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float = 900.0) -> str:
        """Make an image available and return its digest ("" where the engine has no images)."""

    def pin(self, image: str, digest: str) -> str:
        """The name of that very image, whatever its tag comes to mean; `digest` is what a pull has answered."""
        return image

    def hold_addresses(self, ips: Sequence[str]) -> None:  # noqa: B027 - clusters announce theirs by themselves
        """Make the node answer for exactly these load-balancer addresses, besides those it has anyway."""

    @abstractmethod
    def probe_address(self, ip: str, port: int) -> str:
        """Say what stands in the way of binding this address on the node, TCP or UDP, or "" when it is free.

        Looks in the host's network namespace, without SO_REUSEADDR. Raises ADDRESS_MISSING when the node does not
        have the IP.
        """


def workload_name(kind: str, id: uuid.UUID) -> str:
    """The one deterministic name of a workload on every engine."""
    return f"hub-{kind}-{id}"


def named_workload(name: str) -> tuple[str, uuid.UUID]:
    """Kind and id behind a workload's name. Raises ValueError."""
    kind = name[:-UUID_LENGTH].removeprefix("hub-").rstrip("-")
    id = uuid.UUID(name[-UUID_LENGTH:])
    if workload_name(kind, id) != name:
        raise ValueError(f"{name!r} names no workload")
    return kind, id


def labels_for(spec: WorkloadSpec) -> dict[str, str]:
    """The labels that let a workload be recognised, fenced and expired without the database."""
    return {
        LABEL_KIND: spec.kind,
        LABEL_ID: str(spec.id),
        LABEL_GENERATION: str(spec.generation),
        LABEL_OWNER: spec.owner,
        LABEL_TEAM: spec.team,
        LABEL_EXPIRES: spec.expires_at.isoformat() if spec.expires_at else "",
    }
