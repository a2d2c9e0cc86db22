"""The Kubernetes engine: a node is a whole cluster, a workload a namespace with one deployment.

The namespace is the lock and the memory: its labels carry generation and run, its annotations what was asked. It is
made or changed first, by one request that fails when somebody else was faster (a name that exists, a version that has
moved on), and everything inside follows from it by server-side apply, which may be repeated.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from ..base import (
    Capabilities,
    Check,
    Enforcement,
    Engine,
    EngineError,
    KeptData,
    LogChunk,
    Observation,
    ProgressCallback,
    PullProgress,
    Reason,
    Usage,
    WorkloadSpec,
)
from . import console, manifests, names
from .ends import GONE_SECONDS, KILL_GRACE_SECONDS, Ends
from .errors import Raced, Refused, refusal, translate
from .examine import Examination
from .gateway import PAUSE_SECONDS, Gateway
from .launches import Launches
from .logs import read_log
from .looks import Looks
from .observe import View, container_status, end_of, moment, terminating
from .options import LOAD_BALANCER, Options
from .pools import Pools
from .resources import NAMESPACES, POD_METRICS, PODS, SECRETS
from .usage import Meters

RACES = 5
MIB = 1024**2

P = ParamSpec("P")
R = TypeVar("R")


def _verb(method: Callable[Concatenate[KubernetesEngine, P], R]) -> Callable[Concatenate[KubernetesEngine, P], R]:
    """Let only EngineError out, in bounded time."""

    @functools.wraps(method)
    def call(self: KubernetesEngine, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with self.gateway.bounded():
                return method(self, *args, **kwargs)
        except Raced:
            raise EngineError("It is being changed by others.", reason=Reason.INTERNAL) from None
        except Refused as error:
            raise translate(error) from error

    return call


class KubernetesEngine(Engine):
    """Options, all with a default: those of `Options`; credentials: `kubeconfig` (without one, the account of the pod
    the agent runs in), `registries`.
    """

    capabilities = Capabilities(
        isolates_strangers=True,
        restarts_by_itself=True,
        stdin=True,
        usage=True,
        disk_quota=False,
        volumes=True,
        sidecars=True,
        images=True,
        relabels=True,
        limits={
            "memory": Enforcement.ENFORCED,
            "swap": Enforcement.ABSENT,
            "cpu": Enforcement.ENFORCED,
            "pids": Enforcement.ABSENT,
            "disk": Enforcement.ABSENT,
            "files": Enforcement.ABSENT,
        },
    )

    def __init__(self, *, node: str, options: Mapping[str, Any]) -> None:
        super().__init__(node=node, options=options)
        credentials = options.get("credentials") or {}
        self.policy = Options.parse(node, options)
        self.registries: Sequence[Mapping[str, str]] = credentials.get("registries") or ()
        self.gateway = Gateway(credentials.get("kubeconfig") or "", timeout_seconds=self.timeout_seconds)
        self.pools = Pools(self.gateway, self.policy.address_pool, hub=self.policy.hub)
        self.meters = Meters()
        self.looks = Looks(self.gateway, self.policy)
        self.launches = Launches(self.gateway, self.looks, self.pools, self.registries)
        self.ends = Ends(self.gateway)
        self._half_removed: list[str] | None = None

    @classmethod
    def preload(cls) -> None:
        import kubernetes.client  # noqa: F401 - takes over 100 ms of CPU

    def limits(self) -> Mapping[str, Enforcement]:
        """A volume's size is a bound only where the cluster's storage says so."""
        disk = Enforcement.ENFORCED if self.policy.volume_quota else Enforcement.ABSENT
        return {**self.capabilities.limits, "disk": disk}

    def examine(self, ips: Sequence[str]) -> list[Check]:
        return Examination(self.gateway, self.policy, ips).all()

    # Workloads.

    @_verb
    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Answers when all objects are there, mostly before the program runs."""
        manifests.check(spec, self.policy)
        for _ in range(RACES):
            try:
                return self.launches.ensure(spec)
            except Raced:
                time.sleep(PAUSE_SECONDS)
        raise EngineError(f"{spec.name} is being changed by others.", reason=Reason.INTERNAL)

    @_verb
    def put_off(self, name: str, moment: datetime) -> None:
        """On the namespace, where the janitor looks."""
        view = self.looks.look(name, with_services=False)
        if view is not None and not view.is_terminating and not view.is_kept:
            self.gateway.change_seen(NAMESPACES, view.namespace, names.end_of(moment))

    @_verb
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        """The signal is the one it was launched with: a pod's way to end cannot be changed while it runs."""
        if not manifests.SIGNAL.fullmatch(signal):
            raise refusal(f"{signal!r} is not a signal.")
        view = self.looks.look(name)
        if view is not None and not view.is_terminating and not view.is_kept:
            self.ends.end(view, {})

    @_verb
    def kill(self, name: str) -> None:
        """The cluster confirms each pod's end by removing it."""
        view = self.looks.look(name)
        if view is None or view.is_terminating or view.is_kept:
            return
        runs = self.looks.observe(view).is_running
        self.ends.end(view, {"code": -9} if runs else {})
        for pod in view.pods:
            if (status := container_status(pod)) is None or status["state"].get("running"):
                self.gateway.delete(PODS, pod["metadata"]["name"], name, grace_seconds=KILL_GRACE_SECONDS)

    @_verb
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        """Raises TIMED_OUT while the cluster is still deleting: only a namespace that is not found is gone."""
        view = self.looks.look(name)
        if view is None:
            return
        if view.is_terminating:
            self.ends.end_pods(name)
            raise EngineError(terminating(view.namespace), reason=Reason.TIMED_OUT)
        if keep_data and view.notes.get(names.NOTE_DATA):
            if not view.is_kept:
                self.ends.keep(view)
            return
        self.gateway.delete(NAMESPACES, name)
        self.ends.end_pods(name)
        found = self.gateway.await_gone(NAMESPACES, name, seconds=GONE_SECONDS)
        if found is not None:
            text = terminating(found) if found["metadata"].get("deletionTimestamp") else "It is not deleted yet."
            raise EngineError(text, reason=Reason.TIMED_OUT)

    @_verb
    def kept_data(self) -> list[KeptData]:
        """Namespaces that hold nothing but a volume; its size is what it was made with."""
        found = []
        for namespace in self.looks.namespaces(f",{names.LABEL_KEPT}=yes"):
            view = View(namespace)
            if view.is_terminating:
                continue
            kept_at = moment(view.notes.get(names.NOTE_KEPT_AT))
            found.append(
                KeptData(
                    name=namespace["metadata"]["name"],
                    created_at=moment(namespace["metadata"]["creationTimestamp"]),
                    changed_at=kept_at,
                    size_bytes=int(view.notes.get(names.NOTE_DATA) or 0) * MIB,
                    labels={label: view.notes[label] for label in names.OUR_LABELS if label in view.notes},
                )
            )
        return found

    @_verb
    def tidy(self) -> None:
        """Go on where the removal of a workload, data kept, was interrupted. A sweep has just listed everything, and is
        not asked to do so again.
        """
        found, self._half_removed = self._half_removed, None
        if found is None:
            listed = self.looks.namespaces(f",{names.LABEL_KEPT}=removing")
            found = [namespace["metadata"]["name"] for namespace in listed]
        for name in found:
            view = self.looks.look(name)
            if view is not None and not view.is_terminating and view.is_removing:
                with contextlib.suppress(Raced):
                    self.ends.empty(view)

    @_verb
    def inspect(self, name: str) -> Observation | None:
        if (seen := self.looks.starting(name)) is not None:
            return seen
        view = self.looks.look(name)
        if view is None or view.is_kept:
            return None
        seen = self.looks.observe(view)
        if view.ended is not None and "code" not in view.ended and (told := end_of(container_status(view.pod))):
            with contextlib.suppress(Raced):
                self.ends.note_seen(view, {**view.ended, **told})
        return seen

    @_verb
    def list_owned(self) -> list[Observation]:
        """Three lists and nothing else, however many workloads there are: `inspect` tells why one does not run."""
        views = self.looks.all()
        self._half_removed = [view.namespace["metadata"]["name"] for view in views if view.is_removing]
        return [self.looks.seen(view) for view in views if not view.is_kept]

    def prepare(self) -> None:
        """Have what a sweep has just listed kept up by watches, so that launches can be looked at for nothing."""
        self.looks.keep_up()

    @_verb
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        view = self.looks.look(name, with_services=False)
        pod = view.pod if view is not None and not view.is_kept else None
        if pod is None:
            return LogChunk((), cursor if view is not None else "")
        secret = self.gateway.get(SECRETS, names.SECRET, name)
        status = container_status(pod)
        return read_log(
            self.gateway,
            name,
            pod["metadata"]["name"],
            restarted=bool(status and status.get("restartCount") and status["state"].get("running")),
            tail=tail,
            cursor=cursor,
            secrets=manifests.masked_texts(secret),
        )

    @_verb
    def usage(self) -> dict[str, Usage]:
        """Nothing where the cluster has no metrics-server."""
        selector = f"{names.LABEL_HUB}={self.policy.hub}"
        try:
            metrics = self.gateway.find(POD_METRICS, selector=selector)
        except Refused as error:
            if error.status in (404, 503):
                return {}
            raise
        running = {}
        for pod in self.gateway.find(PODS, selector=selector):
            status = container_status(pod)
            if status is not None and status["state"].get("running"):
                running[pod["metadata"]["namespace"]] = {**pod, "restarts": status.get("restartCount", 0)}
        return self.meters.read(running, metrics)

    @_verb
    def send_input(self, name: str, line: str) -> None:
        data = console.encode_line(line)
        view = self.looks.look(name, with_services=False)
        pod = view.pod if view is not None else None
        status = container_status(pod)
        if pod is None or status is None or not status["state"].get("running"):
            raise EngineError("It is not running.", reason=Reason.NOT_RUNNING)
        console.write_line(self.gateway, name, pod["metadata"]["name"], data)

    # Images and addresses.

    @_verb
    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float = 900.0) -> str:
        """The cluster pulls on the machine that it chooses, once it has chosen one."""
        if not progress(PullProgress("The cluster pulls the image when it starts it.")):
            raise EngineError("Given up.", reason=Reason.CANCELLED)
        return ""

    def hold_addresses(self, ips: Sequence[str]) -> None:
        """The load balancer announces them; noted is what the hub could lease, for when it has none of these."""
        self.pools.leasable = ips

    @_verb
    def probe_address(self, ip: str, port: int) -> str:
        """Whether a pool has the address, and whether a service of others uses it; leases know of our own."""
        if self.policy.exposure == LOAD_BALANCER:
            self.pools.need(ip, port)
        node_ports = self.policy.exposure != LOAD_BALANCER
        return self.pools.user_of(ip, port, hub=self.policy.hub, node_ports=node_ports)
