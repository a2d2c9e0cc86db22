"""The Docker engine: one container, one volume and one leased address per workload, on networks of the hub's own.

All it keeps is in Docker and in the kernel: labels fence generations, names are deterministic, so any agent finds what
another has left. Between finding a container and acting on it somebody else may act: everything is done by the id that
was found, and whoever is too late looks again.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import docker.errors
import requests.exceptions
import urllib3.exceptions

from hub.failpoints import declare, failpoint

from ..base import (
    LABEL_GENERATION,
    Capabilities,
    Enforcement,
    Engine,
    EngineError,
    ImageInfo,
    KeptData,
    LogChunk,
    Observation,
    ProgressCallback,
    Reason,
    Usage,
    WorkloadSpec,
)
from ..probe import probe
from . import addresses, console
from .client import Client, socket_path
from .containers import SIGNAL, Account, Image, check, container_config, masked_texts
from .errors import refusal, translate
from .firewall import Firewall, policy_of
from .images import Images, digest_of
from .logs import read_log
from .names import LABEL_CONFIG, LABEL_DISK_MB, LABEL_NAMESPACE, LABEL_SIDECARS, Names, is_workload
from .networks import Networks
from .observe import generation_of, is_ours, moment, observation
from .planted import MAIN, Planted
from .references import Reference, pin
from .sidecars import Sidecars, trouble
from .usage import Meters
from .volumes import Volumes, give, over_limit

declare(
    "docker.ensure.after_replace",
    "docker.ensure.after_volume",
    "docker.ensure.after_create",
    "docker.ensure.after_start",
    "docker.remove.after_container",
    "docker.remove.after_volume",
)

RACE_SECONDS = 10.0
PAUSE_SECONDS = 0.05
PREPARED_SECONDS = 5.0
GONE_SECONDS = 10.0
DEFAULT_USER = "1000:1000"
STATE_DIR = "/run/kutanga-hub"

P = ParamSpec("P")
R = TypeVar("R")


class Raced(Exception):
    """What was found has changed before it was acted on, or a name is taken by what cannot be seen yet."""


def _verb(method: Callable[Concatenate[DockerEngine, P], R]) -> Callable[Concatenate[DockerEngine, P], R]:
    """Let only EngineError out."""

    @functools.wraps(method)
    def call(self: DockerEngine, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except (
            docker.errors.DockerException,
            requests.exceptions.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as error:
            raise translate(error) from error

    return call


class DockerEngine(Engine):
    """Options, all with a default: `socket`, `namespace` (of this hub on a shared Docker host), `user`, `subnet`,
    `subnet6`, `dns`, `allowed_networks`, `cgroup_root`, `state_dir`; credentials: `registries`.
    """

    capabilities = Capabilities(
        isolates_strangers=True,
        restarts_by_itself=False,
        stdin=True,
        usage=True,
        disk_quota=False,
        volumes=True,
        sidecars=True,
        images=True,
        archives=True,
        limits={
            "memory": Enforcement.ENFORCED,
            "swap": Enforcement.ABSENT,
            "cpu": Enforcement.ENFORCED,
            "pids": Enforcement.ENFORCED,
            "disk": Enforcement.WATCHED,
            "files": Enforcement.ENFORCED,
        },
    )

    def __init__(self, *, node: str, options: Mapping[str, Any]) -> None:
        super().__init__(node=node, options=options)
        self.names = Names(options.get("namespace") or node)
        self.policy = policy_of(options)
        state_dir = Path(options.get("state_dir", STATE_DIR))
        self.client = Client(socket_path(options.get("socket", "")), self.timeout_seconds)
        self.firewall = Firewall(self.names, self.policy, state_dir)
        self.networks = Networks(self.client, self.names)
        self.volumes = Volumes(self.client, self.names, state_dir)
        self.sidecars = Sidecars(self.client, self.names)
        self.planted = Planted(self.client, self.names)
        self.images_here = Images(self.client, (options.get("credentials") or {}).get("registries", ()))
        self.meters = Meters(Path(options.get("cgroup_root", "/sys/fs/cgroup")))
        self._prepared_until = 0.0
        self._running: dict[str, Mapping[str, Any]] = {}  # inspections that cannot change while the run lasts

    @_verb
    def limits(self) -> Mapping[str, Enforcement]:
        """Swap can be limited where the kernel accounts for it."""
        found = self.client.get("/info")
        swap = Enforcement.ENFORCED if found["SwapLimit"] else Enforcement.ABSENT
        return {**self.capabilities.limits, "swap": swap}

    # What stands around workloads.

    @_verb
    def prepare(self) -> None:
        """Rules first, so that no network of ours is ever without them."""
        self.firewall.lay()
        subnets = [self.options[name] for name in ("subnet", "subnet6") if self.options.get(name)]
        self.networks.ensure_shared(subnets)
        self._prepared_until = time.monotonic() + PREPARED_SECONDS

    @_verb
    def teardown(self) -> None:
        if self._list():
            raise refusal("There are workloads on this node.")
        self.networks.remove_all()
        self.firewall.remove()
        addresses.hold(self.names.addresses_device, [])
        for book in (self.volumes.book, self.volumes.kept_book):
            book.path.unlink(missing_ok=True)
        self._prepared_until = 0.0

    # Workloads.

    @_verb
    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Nothing starts on a node whose firewall could not be laid."""
        check(spec, self.options)
        if not is_workload(spec.name):
            raise refusal(f"{spec.name!r} is no name for a workload.")
        if time.monotonic() > self._prepared_until:
            self.prepare()
        deadline = time.monotonic() + RACE_SECONDS
        while True:
            try:
                return self._ensure_once(spec)
            except Raced:
                if time.monotonic() > deadline:
                    raise EngineError(f"{spec.name} is being changed by others.", reason=Reason.INTERNAL) from None
                time.sleep(PAUSE_SECONDS)

    @_verb
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        if not SIGNAL.fullmatch(signal):
            raise refusal(f"{signal!r} is not a signal.")
        self._signal(name, signal)
        self.sidecars.signal(name, signal)

    @_verb
    def kill(self, name: str) -> None:
        """Docker answers once every process is gone."""
        self._signal(name, "SIGKILL")
        self.sidecars.remove(name)

    @_verb
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        if not is_workload(name):
            return
        self.sidecars.remove(name)
        deadline = time.monotonic() + GONE_SECONDS
        while (found := self._find(name)) is not None:
            self._remove_container(found["Id"])
            if time.monotonic() > deadline:
                raise EngineError(f"Docker has not removed {name} yet.", reason=Reason.TIMED_OUT)
        failpoint("docker.remove.after_container")
        self.networks.remove_own(name)
        self.planted.remove(name)
        if not keep_data:
            self.volumes.remove(name)
            failpoint("docker.remove.after_volume")

    @_verb
    def kept_data(self) -> list[KeptData]:
        return self.volumes.kept(lambda: {found["Names"][0].lstrip("/") for found in self._list()})

    @_verb
    def data(self) -> Mapping[str, Mapping[str, str]]:
        return {name: one.get("Labels") or {} for name, one in self.volumes.found().items()}

    @_verb
    def export_data(self, name: str, target: Path, *, going_on: Callable[[], bool]) -> None:
        self.volumes.pack(name, target, going_on)

    @_verb
    def import_data(self, name: str, source: Path) -> None:
        seen = self.inspect(name)
        if seen is not None and seen.is_running:
            raise refusal(f"{name} is running: stop it first.")
        self.volumes.unpack(name, source)

    @_verb
    def inspect(self, name: str) -> Observation | None:
        found = self._find(name)
        return None if found is None else self._observe([found])[0]

    @_verb
    def list_owned(self) -> list[Observation]:
        """One listing; what it does not tell is asked of each container, of a running one once in its run."""
        running: dict[str, Mapping[str, Any]] = {}
        containers = []
        for listed in self._list():
            key = f"{_epoch(listed)}:{listed['State']}"
            found = self._running.get(key) or self.client.get(f"/containers/{listed['Id']}/json")
            if found is None:
                continue
            containers.append(found)
            if listed["State"] == found["State"]["Status"] == "running":
                running[key] = found
        self._running = running
        return self._observe(containers)

    @_verb
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        found = self._find(name)
        if found is None:
            return LogChunk((), "")
        secrets = masked_texts(found, self.planted.hidden(name))
        return read_log(self.client, found["Id"], tail=tail, cursor=cursor, secrets=secrets)

    @_verb
    def usage(self) -> dict[str, Usage]:
        listed = {found["Names"][0].lstrip("/"): found for found in self._list(status=["running", "paused"])}
        volumes = {name: path for name, found in listed.items() if (path := _volume_path(found)) is not None}
        counts = self.volumes.count(volumes)
        self.meters.forget_others({found["Id"] for found in listed.values()})
        usages = {}
        for name, found in listed.items():
            container_id = found["Id"]
            if not self.meters.knows(container_id) and (inspected := self._find(name)):
                self.meters.learn_place(container_id, inspected["State"]["Pid"])
            used = self.meters.read(container_id, epoch=_epoch(found), disk_bytes=counts.get(name))
            if used is not None:
                usages[name] = used
        return usages

    @_verb
    def send_input(self, name: str, line: str) -> None:
        data = console.encode_line(line)
        found = self._find(name)
        if found is None or not found["State"]["Running"]:
            raise EngineError("It is not running.", reason=Reason.NOT_RUNNING)
        console.write_line(self.client, found["Id"], data)

    # Images and addresses.

    @_verb
    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float = 900.0) -> str:
        return self.images_here.pull(image, progress=progress, deadline_seconds=deadline_seconds)

    @_verb
    def pin(self, image: str, digest: str) -> str:
        return pin(image, digest)

    @_verb
    def images(self) -> Sequence[ImageInfo]:
        return self.images_here.list()

    @_verb
    def import_image(self, archive: Path, names: Sequence[str], *, command: Sequence[str] = ()) -> None:
        self.images_here.make(archive, names, command=command)

    @_verb
    def remove_images(self, ids: Sequence[str]) -> dict[str, str]:
        return self.images_here.remove(ids)

    @_verb
    def probe_address(self, ip: str, port: int) -> str:
        """The agent lives in the host's network, where Docker binds."""
        return probe(ip, port)

    @_verb
    def hold_addresses(self, ips: Sequence[str]) -> None:
        addresses.hold(self.names.addresses_device, ips)

    # Steps.

    def _ensure_once(self, spec: WorkloadSpec) -> Observation:
        known = self._find(spec.name)
        if known is not None:
            generation = generation_of(known)
            if generation > spec.generation:
                raise EngineError(f"{spec.name} has a newer generation.", reason=Reason.STALE, permanent=True)
            if known["State"]["Running"]:
                if generation < spec.generation:
                    raise refusal(f"{spec.name} still runs an older generation; it must be stopped first.")
                return self._mended(self._observe([known])[0], known, spec)
        image, account = self._image_for(spec.image)
        network = self.networks.ensure_for(spec.name, spec.subnet, egress=spec.egress)
        planted = self.planted.lay(spec)
        config = container_config(
            spec,
            image,
            account,
            network=network,
            namespace=self.names.namespace,
            dns=self.policy.dns,
            files=planted.get(MAIN),
        )
        if known is not None and not _is_same(known, config):
            self._remove_container(known["Id"])
            failpoint("docker.ensure.after_replace")
            known = None
        volume = self.volumes.ensure(spec) if spec.data_path else None
        failpoint("docker.ensure.after_volume")
        container_id = known["Id"] if known else self._create(spec, config)
        failpoint("docker.ensure.after_create")
        if volume is not None:
            give(volume, account.uid, account.gid)
        self._start(container_id, spec)
        if spec.sidecars:
            self.sidecars.start(spec, container_id, self._image_for, planted)
        failpoint("docker.ensure.after_start")
        return self._observe([self._inspect_or_race(container_id)])[0]

    def _mended(self, seen: Observation, known: Mapping[str, Any], spec: WorkloadSpec) -> Observation:
        """Start the sidecars of a running workload again when one of them does not run."""
        if not _trouble(known, self.sidecars.states()):
            return seen
        self.sidecars.start(spec, known["Id"], self._image_for, self.planted.lay(spec))
        return self._observe([known])[0]

    def _image_for(self, name: str) -> tuple[Image, Account]:
        reference = Reference.parse(name)
        found = self.images_here.find(reference)
        if found is None:
            raise EngineError(f"The image {name} is not on this node.", reason=Reason.IMAGE_MISSING)
        image = Image.parse(found, digest_of(found, reference))
        return image, Account.choose(image.user, str(self.options.get("user") or DEFAULT_USER))

    def _create(self, spec: WorkloadSpec, config: Mapping[str, Any]) -> str:
        try:
            return str(self.client.api.create_container_from_config(config, name=spec.name)["Id"])
        except docker.errors.APIError as error:
            if error.status_code == 409:
                raise Raced from None
            raise translate(error, spec.ports) from error

    def _start(self, container_id: str, spec: WorkloadSpec) -> None:
        """A container that cannot start is removed, unless another agent has started it meanwhile."""
        try:
            self.client.api.start(container_id)
        except docker.errors.APIError as error:
            if error.status_code == 404 and "no such container" in str(error.explanation).lower():
                raise Raced from None
            self._remove_container(container_id, force=False)
            raise translate(error, spec.ports) from error

    def _signal(self, name: str, signal: str) -> None:
        found = self._find(name)
        if found is None or not found["State"]["Running"]:
            return
        try:
            self.client.api.kill(found["Id"], signal)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):  # it has just ended
                raise

    def _remove_container(self, container_id: str, *, force: bool = True) -> None:
        """Remove a container with its unnamed volumes; one that is being removed already is left to that."""
        try:
            self.client.api.remove_container(container_id, v=True, force=force)
        except docker.errors.APIError as error:
            if error.status_code not in (404, 409):
                raise
            if error.status_code == 409:
                time.sleep(PAUSE_SECONDS)

    def _find(self, name: str) -> Mapping[str, Any] | None:
        """The container of a workload, if it is ours."""
        if not is_workload(name):
            return None
        found: Mapping[str, Any] | None = self.client.get(f"/containers/{name}/json")
        if found is not None and not is_ours(found["Config"]["Labels"] or {}):
            raise refusal(f"Somebody else has a container named {name}.")
        return found

    def _inspect_or_race(self, container_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] | None = self.client.get(f"/containers/{container_id}/json")
        if found is None:
            raise Raced
        return found

    def _list(self, *, status: Sequence[str] = ()) -> list[Mapping[str, Any]]:
        filters = {"label": [f"{LABEL_NAMESPACE}={self.names.namespace}"], "status": list(status)}
        listed = self.client.get("/containers/json", all=True, filters=filters)
        return [found for found in listed if is_ours(found["Labels"])]

    def _observe(self, containers: Sequence[Mapping[str, Any]]) -> list[Observation]:
        """Tell of containers; the daemon's own age only matters for those that have ended."""
        has_ended = any(not found["State"]["Running"] for found in containers)
        since = self._daemon_started_at() if has_ended else None
        counts = self.volumes.book.read()
        states = self.sidecars.states() if any(map(_sidecars_of, containers)) else {}
        return [
            observation(found, daemon_started_at=since, detail=_disk_detail(found, counts) or _trouble(found, states))
            for found in containers
        ]

    def _daemon_started_at(self) -> datetime | None:
        """Docker makes its default network anew whenever it starts without containers to keep."""
        network = self.client.get("/networks/bridge")
        return moment(network["Created"]) if network else None


def _is_same(known: Mapping[str, Any], config: Mapping[str, Any]) -> bool:
    """Whether a container that was left behind may be started again as it is."""
    labels, wanted = known["Config"]["Labels"], config["Labels"]
    is_whole = known["State"]["Status"] in ("created", "exited")
    return is_whole and all(labels.get(label) == wanted[label] for label in (LABEL_GENERATION, LABEL_CONFIG))


def _epoch(listed: Mapping[str, Any]) -> str:
    """A name for the present run of a container: its endpoint on the network is made anew at each start."""
    endpoints = [network["EndpointID"] for network in listed["NetworkSettings"]["Networks"].values()]
    return f"{listed['Id'][:12]}:{''.join(endpoints)[:12]}"


def _volume_path(listed: Mapping[str, Any]) -> Path | None:
    for mount in listed["Mounts"]:
        if mount["Type"] == "volume":
            return Path(mount["Source"])
    return None


def _sidecars_of(container: Mapping[str, Any]) -> list[str]:
    return [name for name in container["Config"]["Labels"].get(LABEL_SIDECARS, "").split(",") if name]


def _trouble(container: Mapping[str, Any], states: Mapping[str, Mapping[str, str]]) -> str:
    """What is wrong beside a running workload; one that has ended takes its sidecars along."""
    if not container["State"]["Running"]:
        return ""
    return trouble(_sidecars_of(container), states.get(container["Name"].lstrip("/"), {}))


def _disk_detail(container: Mapping[str, Any], counts: Mapping[str, tuple[int, float]]) -> str:
    limit = container["Config"]["Labels"].get(LABEL_DISK_MB, "")
    return over_limit(counts, container["Name"].lstrip("/"), int(limit)) if limit.isdigit() else ""
