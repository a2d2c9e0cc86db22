"""The pod of a workload: what may run in it and how much it may take. Everything is closed that it does not need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..base import LABEL_ID, Limits, Probe, ProbeKind, Sidecar, WorkloadSpec
from .names import CLAIM, CONTAINER, FILES, REGISTRIES, SECRET, file_key, variable_key
from .options import Options

STOP_SPARE_SECONDS = 10
LOGS_MB = 64  # what the kubelet may keep of its output, besides its scratch space
TMP = "/tmp"  # noqa: S108 - inside the container
DEFAULT_SIGNAL = "SIGTERM"
PROBE_SECONDS = 5
PROBE_ANSWER_SECONDS = 2
PROTOCOLS = ("TCP", "UDP")

Object = dict[str, Any]
Part = WorkloadSpec | Sidecar


def deployment(spec: WorkloadSpec, options: Options, *, has_registries: bool) -> Object:
    """One replica that is never beside another: both would write the same data."""
    return {
        "replicas": 1,
        "revisionHistoryLimit": 0,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {LABEL_ID: str(spec.id)}},
        "template": {"metadata": {}, "spec": _pod(spec, options, has_registries=has_registries)},
    }


def parts(spec: WorkloadSpec) -> dict[str, Part]:
    """The program and those beside it, by the names of their containers."""
    return {CONTAINER: spec, **{sidecar.name: sidecar for sidecar in spec.sidecars}}


def amounts(limits: Limits) -> dict[str, int]:
    """What a container may take: milli-cores and MiB."""
    return {
        "cpu": max(1, limits.cpu_percent * 10),
        "memory": limits.memory_mb,
        "ephemeral-storage": limits.tmp_mb + LOGS_MB,
    }


def quantities(amounts: Mapping[str, int]) -> dict[str, str]:
    """Amounts as Kubernetes writes them."""
    return {name: f"{number}m" if name == "cpu" else f"{number}Mi" for name, number in amounts.items()}


def planted(spec: WorkloadSpec) -> dict[str, str]:
    """All planted files: under which name of the secret each one's text stands."""
    return {
        file_key(container, number): text
        for container, part in parts(spec).items()
        for number, (_, text) in enumerate(sorted(part.files.items()))
    }


def _pod(spec: WorkloadSpec, options: Options, *, has_registries: bool) -> Object:
    security: Object = {"seccompProfile": {"type": "RuntimeDefault"}}
    if options.group is not None:
        security |= {"fsGroup": options.group, "fsGroupChangePolicy": "OnRootMismatch"}
    pod: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The pause container reaps orphans, and signals end programs that do not expect to be process 1. With others
        # beside it a program must not see theirs.
        "shareProcessNamespace": not spec.sidecars,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": spec.stop_grace_seconds + STOP_SPARE_SECONDS,
        "securityContext": security,
        "containers": [_container(name, part, spec, options) for name, part in parts(spec).items()],
        "volumes": list(_volumes(spec)),
    }
    if spec.sidecars:
        pod["hostAliases"] = [{"ip": "127.0.0.1", "hostnames": [sidecar.name for sidecar in spec.sidecars]}]
    if options.runtime_class:
        pod["runtimeClassName"] = options.runtime_class
    if has_registries:
        pod["imagePullSecrets"] = [{"name": REGISTRIES}]
    return pod


def _volumes(spec: WorkloadSpec) -> Iterator[Object]:
    for container, part in parts(spec).items():
        size = f"{part.limits.tmp_mb}Mi"
        yield {"name": f"tmp-{container}", "emptyDir": {"sizeLimit": size}}
        for number, _ in enumerate(scratch_paths(part)):
            yield {"name": f"scratch-{container}-{number}", "emptyDir": {"medium": "Memory", "sizeLimit": size}}
    if files := planted(spec):
        items = [{"key": key, "path": key} for key in files]
        yield {"name": FILES, "secret": {"secretName": SECRET, "defaultMode": 0o444, "items": items}}
    if spec.data_path:
        yield {"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}}


def scratch_paths(part: Part) -> list[str]:
    """Writable paths besides those that are writable anyway."""
    data_path = part.data_path if isinstance(part, WorkloadSpec) else ""
    return [path for path in part.writable_paths if path not in (TMP, data_path)]


def mount_paths(part: Part) -> list[str]:
    """Where something is laid over the image; none may be there twice."""
    data = [part.data_path] if isinstance(part, WorkloadSpec) and part.data_path else []
    return [TMP, *data, *scratch_paths(part), *part.files]


def _container(name: str, part: Part, spec: WorkloadSpec, options: Options) -> Object:
    is_main = isinstance(part, WorkloadSpec)
    data_path = spec.data_path if is_main else ""
    container: Object = {
        "name": name,
        "image": part.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": is_main,
        "env": _environment(name, part, home=data_path or TMP),
        "resources": _resources(part.limits),
        "securityContext": _rights(part, options),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": list(_mounts(name, part)),
    }
    if part.command:
        # Kubernetes puts variables in place of $(NAME) in arguments; text stays text.
        container["args"] = [word.replace("$", "$$") for word in part.command]
    if data_path:
        container["workingDir"] = data_path
    targets = sorted({binding.target_port for binding in spec.ports}) if is_main else []
    if targets:
        container["ports"] = [{"containerPort": port, "protocol": kind} for port in targets for kind in PROTOCOLS]
    if is_main and spec.probe is not None:
        container["readinessProbe"] = _probe(spec.probe)
    if is_main and spec.stop_signal != DEFAULT_SIGNAL:
        container["lifecycle"] = {"preStop": {"exec": {"command": _signal_command(spec)}}}
    return container


def _environment(container: str, part: Part, *, home: str) -> list[Object]:
    """Each variable by its name: what else the secret holds is not for the program."""
    told = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": SECRET, "key": variable_key(container, name)}}}
        for name in sorted(part.env)
    ]
    return told if "HOME" in part.env else [{"name": "HOME", "value": home}, *told]


def _probe(probe: Probe) -> Object:
    """Asked by the machine that runs it. Nothing is restarted for it, and players are never kept away by it."""
    asked: Object = {"tcpSocket": {"port": probe.port}}
    if probe.kind is ProbeKind.HTTP:
        asked = {"httpGet": {"port": probe.port, "path": probe.path}}
    return {**asked, "periodSeconds": PROBE_SECONDS, "timeoutSeconds": PROBE_ANSWER_SECONDS, "failureThreshold": 3}


def _resources(limits: Limits) -> Object:
    """Limits and equal requests: nothing is promised twice."""
    told = quantities(amounts(limits))
    return {"limits": told, "requests": dict(told)}


def _rights(part: Part, options: Options) -> Object:
    """None at all, but for what an admin has granted the workload itself; that runs as its image says."""
    if isinstance(part, WorkloadSpec) and part.is_privileged:
        return {"privileged": True}
    rights: Object = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": part.is_read_only,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if isinstance(part, WorkloadSpec) and part.added_capabilities:
        rights["capabilities"]["add"] = [name.removeprefix("CAP_") for name in part.added_capabilities]
        return rights
    rights["runAsNonRoot"] = True
    if options.user is not None:
        rights |= {"runAsUser": options.user, "runAsGroup": options.group}
    return rights


def _mounts(name: str, part: Part) -> Iterator[Object]:
    yield {"name": f"tmp-{name}", "mountPath": TMP}
    for number, path in enumerate(scratch_paths(part)):
        yield {"name": f"scratch-{name}-{number}", "mountPath": path}
    for number, path in enumerate(sorted(part.files)):
        yield {"name": FILES, "mountPath": path, "subPath": file_key(name, number), "readOnly": True}
    if isinstance(part, WorkloadSpec) and part.data_path:
        yield {"name": "data", "mountPath": part.data_path}


def _signal_command(spec: WorkloadSpec) -> list[str]:
    """Ends with the container: whoever ignores the signal is killed when its grace is over. Where process 1 is the
    pause container's, everybody else is meant.
    """
    whom = "1" if spec.sidecars else "-1"
    return ["/bin/sh", "-c", f"kill -s {spec.stop_signal.removeprefix('SIG')} {whom}; while :; do sleep 1; done"]
