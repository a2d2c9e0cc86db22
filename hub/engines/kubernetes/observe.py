"""From a workload's namespace, its pods and services to an `Observation`."""

from __future__ import annotations

import ipaddress
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..base import (
    LABEL_GENERATION,
    LABEL_ID,
    LABEL_KIND,
    EngineError,
    Observation,
    Obstacle,
    PortBinding,
    Reason,
    State,
)
from ..docker.references import pin
from . import names
from .errors import is_about_limits, is_of_own_quota, sentence, waits_for_another
from .network import service_name
from .options import LOAD_BALANCER

Object = Mapping[str, Any]

SIGNALS = 32
STUCK_SECONDS = 300
NOTED = timedelta(seconds=20)
PREPARING = "The cluster is preparing it."
LATE = timedelta(minutes=1)
IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
# What MetalLB says of an IP that somebody has, of a port of it; all else is about its configuration, not the address.
WHOLE_IP_TAKEN = ("sharing key", "also in use")
PORT_TAKEN = "already in use"
CONFIG_REASONS = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")


@dataclass
class View:
    """All that was looked up of one workload."""

    namespace: Object
    pods: Sequence[Object] = ()
    services: Sequence[Object] = ()
    deployment: Object | None = None
    events: Sequence[Object] = field(default=())

    @property
    def notes(self) -> Mapping[str, str]:
        return self.namespace["metadata"].get("annotations") or {}

    @property
    def labels(self) -> Mapping[str, str]:
        return self.namespace["metadata"].get("labels") or {}

    @property
    def generation(self) -> int:
        return int(self.labels[LABEL_GENERATION])

    @property
    def run(self) -> str:
        return self.labels.get(names.LABEL_RUN, "")

    @property
    def is_kept(self) -> bool:
        return self.labels.get(names.LABEL_KEPT) == "yes"

    @property
    def is_removing(self) -> bool:
        """Whether all but its volume is on its way out."""
        return self.labels.get(names.LABEL_KEPT) == "removing"

    @property
    def is_terminating(self) -> bool:
        return bool(self.namespace["metadata"].get("deletionTimestamp"))

    @property
    def is_leaving(self) -> bool:
        return self.is_terminating or self.is_removing or self.is_kept

    @property
    def ended(self) -> dict[str, Any] | None:
        """What was noted when the workload was asked to end; None while it is to run."""
        if not (text := self.notes.get(names.NOTE_ENDED)):
            return None
        try:
            noted = json.loads(text)
        except ValueError:
            return {}
        return noted if isinstance(noted, dict) else {}

    @property
    def pod(self) -> Object | None:
        """The pod of the present run, or the last one that is still there."""
        return self._own[-1] if self._own else None

    @property
    def is_late(self) -> bool:
        """Whether its pod has been waiting longer than most images take."""
        made_at = moment(self.pod["metadata"]["creationTimestamp"]) if self.pod else None
        return made_at is not None and datetime.now(UTC) - made_at > LATE

    @property
    def lost_pods(self) -> Sequence[Object]:
        """Those of the present run that the cluster has ended (one may have needed too much disk) and replaced."""
        return [pod for pod in self._own[:-1] if (pod.get("status") or {}).get("phase") == "Failed"]

    @property
    def _own(self) -> list[Object]:
        own = [pod for pod in self.pods if pod["metadata"].get("labels", {}).get(names.LABEL_RUN) == self.run]
        own.sort(key=lambda pod: ("deletionTimestamp" not in pod["metadata"], pod["metadata"]["creationTimestamp"]))
        return own


def is_ours(namespace: Object) -> bool:
    """Whether a namespace is that of a workload."""
    metadata = namespace["metadata"]
    labels = metadata.get("labels") or {}
    try:
        kind, id = labels[LABEL_KIND], uuid.UUID(labels[LABEL_ID])
        return metadata["name"] == f"hub-{kind}-{id}" and int(labels[LABEL_GENERATION]) >= 0
    except (KeyError, ValueError):
        return False


def observe(view: View, *, exposure: str) -> Observation:
    """What can be said of one workload now. Its image is nailed to what the cluster has found under the name."""
    seen = _observe(view, exposure=exposure)
    return replace(seen, image=_pinned(seen.image, seen.image_digest))


def _pinned(image: str, digest: str) -> str:
    try:
        return image if "@" in image else pin(image, digest)
    except EngineError:  # a name that the cluster understands and we do not
        return image


def _observe(view: View, *, exposure: str) -> Observation:
    facts: dict[str, Any] = {
        "kind": view.labels[LABEL_KIND],
        "id": uuid.UUID(view.labels[LABEL_ID]),
        "generation": view.generation,
        "ports": names.load_ports(view.notes),
        "image": view.notes.get(names.NOTE_IMAGE, ""),
        "labels": {label: view.notes[label] for label in names.OUR_LABELS if label in view.notes},
    }
    if view.is_terminating:
        return Observation(state=State.EXITED, detail=terminating(view.namespace), **facts)
    if view.is_removing:
        return Observation(state=State.EXITED, detail="The cluster is deleting all but its data.", **facts)
    pod = view.pod
    status = container_status(pod)
    if status is not None:
        facts["restart_count"] = int(status.get("restartCount") or 0) + len(view.lost_pods)
        facts["image_digest"] = digest_of(status)
    if view.ended is not None:
        return _ending(view, pod, status, facts)
    if pod is None:
        return Observation(state=State.CREATED, **_without_pod(view), **facts)
    return _running(view, pod, status or {}, facts, exposure=exposure)


def _ending(view: View, pod: Object | None, status: Object | None, facts: dict[str, Any]) -> Observation:
    """A workload that was asked to end: as long as its container runs, it does."""
    if status is not None and (running := status["state"].get("running")):
        facts |= {"host": _host(pod), "started_at": moment(running["startedAt"])}
        return Observation(state=State.RUNNING, is_ending=True, **facts)
    noted = view.ended or {}
    if (told := end_of(status)) and "code" not in noted:
        noted = told
    facts["restart_count"] = int(noted.get("restarts") or 0)
    facts["image_digest"] = str(noted.get("digest") or "")
    code = noted.get("code")
    return Observation(
        state=State.EXITED,
        exit_code=code if isinstance(code, int) else None,
        oom_killed=bool(noted.get("oom")),
        started_at=moment(noted.get("started")),
        finished_at=moment(noted.get("finished")),
        **facts,
    )


def end_of(status: Object | None) -> dict[str, Any] | None:
    """How a container has ended, as it is noted."""
    if status is None:
        return None
    over = status["state"].get("terminated") or (status.get("lastState") or {}).get("terminated")
    if not over or status["state"].get("running"):
        return None
    return {
        "code": exit_code_of(int(over.get("exitCode", 0))),
        "oom": over.get("reason") == "OOMKilled",
        "started": over.get("startedAt"),
        "finished": over.get("finishedAt"),
        "restarts": int(status.get("restartCount") or 0),
        "digest": digest_of(status),
    }


def _running(view: View, pod: Object, status: Object, facts: dict[str, Any], *, exposure: str) -> Observation:
    state = status.get("state") or {}
    last = (status.get("lastState") or {}).get("terminated")
    if running := state.get("running"):
        facts |= {"host": _host(pod), "started_at": moment(running["startedAt"])}
        if exposure == LOAD_BALANCER and (missing := address_fault(view)) is not None:
            return Observation(state=State.CREATED, detail=missing.message, obstacle=missing, **facts)
        if (told := _sidecar_not_made(pod)) is not None:
            return Observation(state=State.CREATED, detail=told[0], obstacle=told[1], **facts)
        facts["restart_cause"] = _after_restart(last) if last else _after_loss(view.lost_pods)
        is_ready = bool(status.get("ready")) if _has_probe(pod) else None
        return Observation(state=State.RUNNING, detail=sidecar_trouble(pod), is_ready=is_ready, **facts)
    waiting = state.get("waiting") or {}
    if last and waiting.get("reason") == "CrashLoopBackOff":
        end = end_of(status) or {}
        return Observation(
            state=State.EXITED,
            exit_code=end["code"],
            oom_killed=end["oom"],
            started_at=moment(end["started"]),
            finished_at=moment(end["finished"]),
            **facts,
        )
    if over := state.get("terminated") or last:
        return Observation(state=State.CREATED, detail=_after_restart(over), **facts)
    detail, obstacle = _why_not_yet(view, pod, waiting)
    return Observation(state=State.CREATED, detail=detail, obstacle=obstacle, **facts)


def _has_probe(pod: Object) -> bool:
    return any(one["name"] == names.CONTAINER and one.get("readinessProbe") for one in pod["spec"]["containers"])


def _why_not_yet(view: View, pod: Object, waiting: Object) -> tuple[str, Obstacle | None]:
    """Why a pod has no running container: in words, and as an obstacle when waiting will not help."""
    if (told := _not_made(waiting, pod["spec"]["containers"][0])) is not None:
        return told
    status = pod.get("status") or {}
    if status.get("phase") == "Failed":
        return _after_loss([pod]), None
    for condition in status.get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"No machine of the cluster can take it: {sentence(condition.get('message') or '')}", None
    warnings = [one for one in view.events if one.get("type") == "Warning" and _is_about(one, pod)]
    if warnings:
        return f"The cluster is preparing it: {sentence(warnings[-1].get('message') or '')}", None
    return PREPARING, None


def _not_made(waiting: Object, container: Object) -> tuple[str, Obstacle | None] | None:
    """Why there can be no container: its image or what is configured; None when it waits for something else."""
    reason, message = waiting.get("reason") or "", sentence(waiting.get("message") or "")
    if reason in IMAGE_REASONS:
        text = f"The image {container['image']} cannot be pulled: {message or reason}"
        is_final = reason in ("InvalidImageName", "ErrImageNeverPull") or _says_missing(message)
        return text, Obstacle(Reason.IMAGE_MISSING, text, permanent=True) if is_final else None
    if reason in CONFIG_REASONS:
        text = f"The cluster cannot make the container: {message or reason}"
        return text, Obstacle(Reason.REFUSED, text, permanent=True) if reason == CONFIG_REASONS[0] else None
    return None


def _sidecar_not_made(pod: Object) -> tuple[str, Obstacle | None] | None:
    """Why a program beside the workload's own could not be brought up with it."""
    containers = {one["name"]: one for one in pod["spec"]["containers"]}
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = status["state"].get("waiting") or {}
        if status["name"] != names.CONTAINER and (told := _not_made(waiting, containers[status["name"]])) is not None:
            return told
    return None


def _says_missing(message: str) -> bool:
    return any(words in message.lower() for words in ("not found", "manifest unknown", "does not exist"))


def _without_pod(view: View) -> dict[str, Any]:
    """Why there is no pod yet: admission has refused it, or it is too early."""
    for condition in ((view.deployment or {}).get("status") or {}).get("conditions") or ():
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message") or ""
            text = f"The cluster refused its pod: {sentence(message)}"
            is_final = is_about_limits(message) and not waits_for_another(message) and not _is_fresh(condition)
            return {"detail": text, "obstacle": Obstacle(Reason.REFUSED, text, permanent=True) if is_final else None}
    return {"detail": PREPARING}


def _is_fresh(condition: Object) -> bool:
    """Whether a refusal by our own quota is so young that it may be by what the quota was before."""
    began = moment(condition.get("lastTransitionTime"))
    is_young = began is not None and datetime.now(UTC) - began < NOTED
    return is_young and is_of_own_quota(condition.get("message") or "")


def address_fault(view: View) -> Obstacle | None:
    """What stands between the leased addresses and what the load balancer has given; None when they are the same."""
    public = [binding for binding in names.load_ports(view.notes) if binding.public]
    services = {service["metadata"]["name"]: service for service in view.services}
    for binding in public:
        ip = str(ipaddress.ip_address(binding.ip))
        service = services.get(service_name(ip))
        if service is None:
            return Obstacle(Reason.UNAVAILABLE, f"The service for {binding.ip} is missing.")
        if not (found := _addresses_of(service)):
            return _pending(view, service, binding)
        if ip not in found:
            text = f"The cluster gave {found[0]} instead of the leased address {binding.ip}."
            return Obstacle(Reason.REFUSED, text, permanent=True)  # by a load balancer that does not read our wish
    return None


def _pending(view: View, service: Object, binding: PortBinding) -> Obstacle:
    """An address that was not given (yet); the load balancer's own event says why.

    Events outlive what they are about: one of a service of that name from before says nothing of this one. Whether a
    pool has an address for us was looked at before the launch (`Pools.have`). Where that cannot be seen, to go on to
    the next address and the next would take all of them out of use.
    """
    failed = [
        event
        for event in view.events
        if event.get("reason") == "AllocationFailed"
        and event["involvedObject"].get("uid") == service["metadata"]["uid"]
    ]
    if not failed:
        return Obstacle(Reason.UNAVAILABLE, f"Waiting for the load balancer to give {binding.ip}.")
    message = sentence(failed[-1].get("message") or "")
    text = f"The load balancer does not give {binding.ip}:{binding.port}: {message}"
    lowered = message.lower()
    if any(words in lowered for words in WHOLE_IP_TAKEN):
        return Obstacle(Reason.ADDRESS_MISSING, text, ip=binding.ip, port=binding.port)
    if PORT_TAKEN in lowered:
        return Obstacle(Reason.ADDRESS_TAKEN, text, ip=binding.ip, port=binding.port)
    return Obstacle(Reason.UNAVAILABLE, f"{text} The node's examination may say why.")


def _is_about(event: Object, one: Object) -> bool:
    return event["involvedObject"].get("uid") == one["metadata"]["uid"]


def _addresses_of(service: Object) -> list[str]:
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
    return [str(ipaddress.ip_address(one["ip"])) for one in ingress if one.get("ip")]


def terminating(namespace: Object) -> str:
    """How long a namespace has been going, and after five minutes what holds it."""
    since = moment(namespace["metadata"]["deletionTimestamp"])
    seconds = (datetime.now(UTC) - since).total_seconds() if since else 0.0
    if seconds < STUCK_SECONDS:
        return "The cluster is deleting it."
    conditions = (namespace.get("status") or {}).get("conditions") or ()
    holding = [one["message"] for one in conditions if one["status"] == "True" and one.get("message")]
    finalizers = (namespace.get("spec") or {}).get("finalizers") or ()
    what = " ".join(holding) or f"finalizers {', '.join(finalizers)}"
    return f"The cluster has been deleting it for {int(seconds // 60)} minutes. What holds it: {sentence(what)}"


def container_status(pod: Object | None) -> Object | None:
    """The status of the workload's own container."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    return next((one for one in statuses if one["name"] == names.CONTAINER), None)


def sidecar_trouble(pod: Object) -> str:
    """Which program beside a running workload does not run, or ""."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] != names.CONTAINER and not status["state"].get("running"):
            waiting = status["state"].get("waiting") or status["state"].get("terminated") or {}
            return f"Its container {status['name']} does not run ({waiting.get('reason') or 'unknown'})."
    return ""


def exit_code_of(code: int) -> int:
    """128 + n is how a container runtime tells an end by signal n."""
    return 128 - code if 128 < code <= 128 + SIGNALS else code


def moment(text: Any) -> datetime | None:
    """One of Kubernetes' times."""
    try:
        return datetime.fromisoformat(text) if text else None
    except (ValueError, TypeError):
        return None


def _after_restart(over: Object) -> str:
    if over.get("reason") == "OOMKilled":
        return "It ran out of memory and was started again by the cluster."
    code = exit_code_of(int(over.get("exitCode", 0)))
    return f"It ended with exit code {code} and was started again by the cluster."


def _after_loss(lost: Sequence[Object]) -> str:
    """Why the cluster has ended the last of these pods."""
    if not lost:
        return ""
    status = lost[-1].get("status") or {}
    return f"The cluster has ended its pod ({status.get('reason')}): {sentence(status.get('message') or '')}"


def _host(pod: Object | None) -> str:
    return str(((pod or {}).get("status") or {}).get("podIP") or "")


def digest_of(status: Object) -> str:
    """The digest of the image that a container was made from, as far as its runtime tells."""
    _, at, digest = str(status.get("imageID") or "").rpartition("@")
    return digest if at else ""
