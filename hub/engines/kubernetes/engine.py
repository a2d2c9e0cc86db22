"""The Kubernetes engine: a node is a whole cluster, a workload a namespace with one deployment.

The namespace is the lock and the memory: its labels carry generation and run, its annotations what was asked. It is
made or changed first, by one request that fails when somebody else was faster (a name that exists, a version that has
moved on), and everything inside follows from it by server-side apply, which may be repeated.
"""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar

from hub.failpoints import declare, failpoint

from ..base import (
    LABEL_ID,
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
    State,
    Usage,
    WorkloadSpec,
)
from . import console, manifests, names
from .errors import Refused, refusal, translate, unavailable
from .examine import Examination
from .gateway import (
    CLAIMS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    POD_METRICS,
    PODS,
    SECRETS,
    SERVICES,
    Gateway,
)
from .logs import read_log
from .observe import View, container_status, digest_of, end_of, is_ours, moment, observe, terminating
from .options import LOAD_BALANCER, Options
from .pools import Pools
from .usage import Meters

declare(
    "kubernetes.ensure.after_namespace",
    "kubernetes.ensure.before_deployment",
    "kubernetes.ensure.after_deployment",
    "kubernetes.remove.after_mark",
    "kubernetes.remove.after_contents",
)

GONE_SECONDS = 3.0
PAUSE_SECONDS = 0.1
KILL_GRACE_SECONDS = 1  # with 0 the API forgets the pod before its processes are gone
RACES = 5
QUOTA_SECONDS = 5.0
MIB = 1024**2

P = ParamSpec("P")
R = TypeVar("R")


class Raced(Exception):
    """What was found has changed before it was acted on."""


def _verb(method: Callable[Concatenate[KubernetesEngine, P], R]) -> Callable[Concatenate[KubernetesEngine, P], R]:
    """Let only EngineError out, in bounded time."""

    @functools.wraps(method)
    def call(self: KubernetesEngine, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with self.gateway.bounded():
                return method(self, *args, **kwargs)
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
        self.pools = Pools(self.gateway, self.policy.address_pool)
        self.meters = Meters()
        self._half_removed: list[str] | None = None

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
                return self._ensure_once(spec)
            except Raced:
                time.sleep(PAUSE_SECONDS)
        raise EngineError(f"{spec.name} is being changed by others.", reason=Reason.INTERNAL)

    @_verb
    def stop(self, name: str, *, signal: str = "SIGTERM") -> None:
        """The signal is the one it was launched with: a pod's way to end cannot be changed while it runs."""
        if not manifests.SIGNAL.fullmatch(signal):
            raise refusal(f"{signal!r} is not a signal.")
        view = self._look(name)
        if view is not None and not view.is_terminating and not view.is_kept:
            self._end(view, {})

    @_verb
    def kill(self, name: str) -> None:
        """The cluster confirms each pod's end by removing it."""
        view = self._look(name)
        if view is None or view.is_terminating or view.is_kept:
            return
        runs = self._observe(view).is_running
        self._end(view, {"code": -9} if runs else {})
        for pod in view.pods:
            if (status := container_status(pod)) is None or status["state"].get("running"):
                self.gateway.delete(PODS, pod["metadata"]["name"], name, grace_seconds=KILL_GRACE_SECONDS)

    @_verb
    def remove(self, name: str, *, keep_data: bool = False) -> None:
        """Raises TIMED_OUT while the cluster is still deleting: only a namespace that is not found is gone."""
        view = self._look(name)
        if view is None:
            return
        if view.is_terminating:
            self._end_pods(name)
            raise EngineError(terminating(view.namespace), reason=Reason.TIMED_OUT)
        if keep_data and view.notes.get(names.NOTE_DATA):
            if not view.is_kept:
                self._keep(name)
            return
        self.gateway.delete(NAMESPACES, name)
        self._end_pods(name)
        found = self.gateway.await_gone(NAMESPACES, name, seconds=GONE_SECONDS)
        if found is not None:
            text = terminating(found) if found["metadata"].get("deletionTimestamp") else "It is not deleted yet."
            raise EngineError(text, reason=Reason.TIMED_OUT)

    @_verb
    def kept_data(self) -> list[KeptData]:
        """Namespaces that hold nothing but a volume; its size is what it was made with."""
        found = []
        for namespace in self._namespaces(f",{names.LABEL_KEPT}=yes"):
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
            listed = self._namespaces(f",{names.LABEL_KEPT}=removing")
            found = [namespace["metadata"]["name"] for namespace in listed]
        for name in found:
            view = self._look(name)
            if view is not None and not view.is_terminating and not view.is_kept:
                self._empty(name)

    @_verb
    def inspect(self, name: str) -> Observation | None:
        view = self._look(name)
        if view is None or view.is_kept:
            return None
        seen = self._observe(view)
        if view.ended is not None and "code" not in view.ended and (told := end_of(container_status(view.pod))):
            self._note_end(view, {**view.ended, **told})
        return seen

    @_verb
    def list_owned(self) -> list[Observation]:
        """Three lists and nothing else, however many workloads there are: `inspect` tells why one does not run."""
        namespaces = self._namespaces("")
        self._half_removed = [
            one["metadata"]["name"] for one in namespaces if View(one).labels.get(names.LABEL_KEPT) == "removing"
        ]
        selector = f"{names.LABEL_HUB}={self.policy.hub}"
        pods = _by_namespace(self.gateway.find(PODS, selector=selector))
        services = _by_namespace(self.gateway.find(SERVICES, selector=selector))
        views = [
            View(namespace, pods.get(name, ()), services.get(name, ()))
            for namespace in namespaces
            for name in (namespace["metadata"]["name"],)
        ]
        return [self._seen(view) for view in views if not view.is_kept]

    @_verb
    def logs(self, name: str, *, tail: int = 200, cursor: str = "") -> LogChunk:
        view = self._look(name, with_services=False)
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
        view = self._look(name, with_services=False)
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

    @_verb
    def probe_address(self, ip: str, port: int) -> str:
        """Whether a pool has the address, and whether a service of others uses it; leases know of our own."""
        if self.policy.exposure == LOAD_BALANCER and not self.pools.have(ip):
            raise EngineError(f"No pool of the cluster's load balancer has {ip}.", reason=Reason.ADDRESS_MISSING, ip=ip)
        node_ports = self.policy.exposure != LOAD_BALANCER
        return self.pools.user_of(ip, port, hub=self.policy.hub, node_ports=node_ports)

    # Steps.

    def _ensure_once(self, spec: WorkloadSpec) -> Observation:
        config = manifests.fingerprint(spec, self.policy, self.registries)
        view = self._look(spec.name)
        if view is None:
            run = uuid.uuid4().hex[:12]
            found = self._make_namespace(manifests.namespace(spec, self.policy, run=run, config=config))
            view = View(found)
        else:
            seen = self._fence(view, spec)
            if seen is not None:
                return seen
            same = view.ended is None and names.LABEL_KEPT not in view.labels
            same = same and view.notes.get(names.NOTE_CONFIG) == config
            is_new_run = not same or view.generation != spec.generation or self._observe(view).state is State.EXITED
            if not is_new_run and self.gateway.get(DEPLOYMENTS, names.DEPLOYMENT, spec.name) is not None:
                return self._observe(view)
            run = uuid.uuid4().hex[:12] if is_new_run else view.run
            if is_new_run:
                change = manifests.namespace(spec, self.policy, run=run, config=config)["metadata"]
                found = self._change_namespace(view, change)
                view = replace(view, namespace=found, services=self.gateway.find(SERVICES, spec.name))
        failpoint("kubernetes.ensure.after_namespace")
        deployment = self._fill(spec, view, run)
        failpoint("kubernetes.ensure.after_deployment")
        return self._observe(replace(view, pods=(), services=(), deployment=deployment))

    def _fence(self, view: View, spec: WorkloadSpec) -> Observation | None:
        """What runs already at this generation; refuse what must not be touched."""
        if view.is_terminating:
            raise unavailable("Its namespace is still being deleted.")
        if view.is_kept:
            return None
        if view.generation > spec.generation:
            raise EngineError(f"{spec.name} has a newer generation.", reason=Reason.STALE, permanent=True)
        seen = self._observe(view)
        if not seen.is_running:
            return None
        if seen.generation < spec.generation:
            raise refusal(f"{spec.name} still runs an older generation; it must be stopped first.")
        return None if view.ended is not None else seen

    def _make_namespace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.gateway.create(manifest)
        except Refused as error:
            if error.status == 409:
                raise Raced from None
            raise

    def _change_namespace(self, view: View, change: Mapping[str, Any]) -> dict[str, Any]:
        """Begin another run, unless somebody has changed the namespace since it was looked at."""
        metadata = {
            "resourceVersion": view.namespace["metadata"]["resourceVersion"],
            "labels": {**change["labels"], names.LABEL_KEPT: None},
            "annotations": {**change["annotations"], names.NOTE_ENDED: None, names.NOTE_KEPT_AT: None},
        }
        try:
            found = self.gateway.patch(NAMESPACES, view.namespace["metadata"]["name"], "", {"metadata": metadata})
        except Refused as error:
            if error.status == 409:
                raise Raced from None
            raise
        if found is None:
            raise Raced
        return found

    def _fill(self, spec: WorkloadSpec, view: View, run: str) -> dict[str, Any]:
        """Bring about all that a namespace holds; answers with the last of it, the deployment."""
        applied: dict[str, Any] = {}
        made = manifests.contents(spec, self.policy, run=run, registries=self.registries)
        wanted = {one["metadata"]["name"] for one in made if one["kind"] == "Service"}
        for service in view.services:
            if service["metadata"]["name"] not in wanted:
                self.gateway.delete(SERVICES, service["metadata"]["name"], spec.name)
        for manifest in made:
            if manifest["kind"] == "Deployment":
                failpoint("kubernetes.ensure.before_deployment")
            try:
                applied = self._apply(manifest)
            except Refused as error:
                if error.status == 404:  # the namespace is gone again
                    raise unavailable("Its namespace was deleted meanwhile.") from None
                if manifest["kind"] == "PersistentVolumeClaim" and self._has_claim(spec.name, error):
                    continue
                if manifest["kind"] == "Service" and _is_node_port_taken(error):
                    raise _node_port_taken(spec, error) from error
                raise
        return applied

    def _apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """A quota refuses everything it bounds until the cluster has counted what is there, which takes a moment."""
        deadline = time.monotonic() + QUOTA_SECONDS
        while True:
            try:
                return self.gateway.apply(manifest)
            except Refused as error:
                if not error.is_unsettled_quota or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)

    def _has_claim(self, name: str, error: Refused) -> bool:
        """Most storage cannot change the size of a volume: then what is there stays."""
        return error.status in (403, 422) and self.gateway.get(CLAIMS, names.CLAIM, name) is not None

    def _end(self, view: View, noted: dict[str, Any]) -> None:
        """Note the end first: what is seen afterwards was meant. Whoever died between the two left a pod that stays."""
        name = view.namespace["metadata"]["name"]
        if view.ended is None:
            told = end_of(container_status(view.pod)) or self._observed_start(view)
            self._note_end(view, {**told, **noted})
        elif noted and "code" not in view.ended:
            self._note_end(view, {**view.ended, **noted})
        if view.ended is None or any("deletionTimestamp" not in pod["metadata"] for pod in view.pods):
            self.gateway.patch(DEPLOYMENTS, names.DEPLOYMENT, name, {"spec": {"replicas": 0}})

    def _observed_start(self, view: View) -> dict[str, Any]:
        status = container_status(view.pod)
        if status is None or not (running := status["state"].get("running")):
            return {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"started": running["startedAt"], "finished": now, "digest": digest_of(status)}

    def _note_end(self, view: View, noted: Mapping[str, Any]) -> None:
        change = {"metadata": {"annotations": {names.NOTE_ENDED: json.dumps(noted)}}}
        self.gateway.patch(NAMESPACES, view.namespace["metadata"]["name"], "", change)

    def _keep(self, name: str) -> None:
        self._mark(name, "removing")
        failpoint("kubernetes.remove.after_mark")
        self._empty(name)

    def _empty(self, name: str) -> None:
        """Leave nothing in a namespace but the volume."""
        self.gateway.delete(DEPLOYMENTS, names.DEPLOYMENT, name)
        for service in self.gateway.find(SERVICES, name):
            self.gateway.delete(SERVICES, service["metadata"]["name"], name)
        for secret in (names.SECRET, names.REGISTRIES):
            self.gateway.delete(SECRETS, secret, name)
        deadline = time.monotonic() + GONE_SECONDS
        while self._end_pods(name):
            if time.monotonic() > deadline:
                raise EngineError(f"The cluster has not ended {name} yet.", reason=Reason.TIMED_OUT)
            time.sleep(PAUSE_SECONDS)
        failpoint("kubernetes.remove.after_contents")
        self._mark(name, "yes")

    def _end_pods(self, name: str) -> int:
        """End what still runs without its grace; says how many pods are left."""
        pods = self.gateway.find(PODS, name)
        for pod in pods:
            self.gateway.delete(PODS, pod["metadata"]["name"], name, grace_seconds=KILL_GRACE_SECONDS)
        return len(pods)

    def _mark(self, name: str, kept: str) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = {"labels": {names.LABEL_KEPT: kept}, "annotations": {names.NOTE_KEPT_AT: now}}
        self.gateway.patch(NAMESPACES, name, "", {"metadata": change})

    def _look(self, name: str, *, with_services: bool = True) -> View | None:
        """A workload's namespace and what is in it, if it is ours."""
        if not names.is_workload(name):
            return None
        namespace = self.gateway.get(NAMESPACES, name)
        if namespace is None:
            return None
        labels = namespace["metadata"].get("labels") or {}
        if not is_ours(namespace) or labels.get(names.LABEL_HUB) != self.policy.hub:
            raise refusal(f"Somebody else has a namespace named {name}.")
        view = View(namespace)
        if view.is_terminating or view.is_kept:
            return view
        view.pods = self.gateway.find(PODS, name, selector=f"{LABEL_ID}={view.labels[LABEL_ID]}")
        has_public = any(port.public for port in names.load_ports(view.notes))
        if with_services and has_public and view.ended is None:
            view.services = self.gateway.find(SERVICES, name)
        return view

    def _observe(self, view: View) -> Observation:
        """Tell of a workload; what else explains why it does not run is looked up when it does not."""
        seen = self._seen(view)
        name = view.namespace["metadata"]["name"]
        if seen.state is not State.CREATED:
            return seen
        if view.pod is None and view.deployment is None:
            view.deployment = self.gateway.get(DEPLOYMENTS, names.DEPLOYMENT, name)
            return self._seen(view)
        if seen.obstacle is not None and seen.obstacle.reason is Reason.UNAVAILABLE and not view.events:
            view.events = self.gateway.find(EVENTS, name, fields="involvedObject.kind=Service")
            return self._seen(view)
        return seen

    def _seen(self, view: View) -> Observation:
        """From where pods' addresses are not reached, the leased ones are all there is to ask at."""
        seen = observe(view, exposure=self.policy.exposure)
        return seen if self.policy.reach_pods else replace(seen, host="")

    def _namespaces(self, more: str) -> list[dict[str, Any]]:
        found = self.gateway.find(NAMESPACES, selector=f"{names.LABEL_HUB}={self.policy.hub}{more}")
        return [namespace for namespace in found if is_ours(namespace)]


def _by_namespace(objects: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in objects:
        found.setdefault(one["metadata"]["namespace"], []).append(one)
    return found


def _is_node_port_taken(error: Refused) -> bool:
    return error.status == 422 and "port is already allocated" in error.message


def _node_port_taken(spec: WorkloadSpec, error: Refused) -> EngineError:
    """The server names the port that another service has."""
    for binding in spec.ports:
        if binding.public and str(binding.port) in error.message:
            return EngineError(
                f"Port {binding.port} is in use by another service of the cluster.",
                reason=Reason.ADDRESS_TAKEN,
                ip=binding.ip,
                port=binding.port,
            )
    return translate(error)
