"""The pod of a workload: what may run in it and how much it may take. Everything is closed that it does not need."""

from __future__ import annotations

from typing import Any

from ..base import LABEL_ID, WorkloadSpec
from .names import CLAIM, CONTAINER, REGISTRIES, SECRET
from .options import Options

STOP_SPARE_SECONDS = 10
LOGS_MB = 64  # what the kubelet may keep of its output, besides its scratch space
TMP = "/tmp"  # noqa: S108 - inside the container
DEFAULT_SIGNAL = "SIGTERM"

Object = dict[str, Any]


def deployment(spec: WorkloadSpec, options: Options, *, has_registries: bool) -> Object:
    """One replica that is never beside another: both would write the same data."""
    return {
        "replicas": 1,
        "revisionHistoryLimit": 0,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": {LABEL_ID: str(spec.id)}},
        "template": {"metadata": {}, "spec": _pod(spec, options, has_registries=has_registries)},
    }


def resources(spec: WorkloadSpec) -> Object:
    """Limits and equal requests: nothing is promised twice."""
    disk_mb = ephemeral_mb(spec)
    amounts = {
        "cpu": f"{max(1, spec.limits.cpu_percent * 10)}m",
        "memory": f"{spec.limits.memory_mb}Mi",
        "ephemeral-storage": f"{disk_mb}Mi",
    }
    return {"limits": amounts, "requests": dict(amounts)}


def ephemeral_mb(spec: WorkloadSpec) -> int:
    return spec.limits.tmp_mb + LOGS_MB


def _pod(spec: WorkloadSpec, options: Options, *, has_registries: bool) -> Object:
    security: Object = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    if options.user is not None:
        security |= {"runAsUser": options.user, "runAsGroup": options.group, "fsGroup": options.group}
        security["fsGroupChangePolicy"] = "OnRootMismatch"
    pod: Object = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The pause container reaps orphans and lets signals end programs that do not expect to be process 1.
        "shareProcessNamespace": True,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": spec.stop_grace_seconds + STOP_SPARE_SECONDS,
        "securityContext": security,
        "containers": [_container(spec)],
        "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": f"{spec.limits.tmp_mb}Mi"}}],
    }
    if spec.data_path:
        pod["volumes"].append({"name": "data", "persistentVolumeClaim": {"claimName": CLAIM}})
    if options.runtime_class:
        pod["runtimeClassName"] = options.runtime_class
    if has_registries:
        pod["imagePullSecrets"] = [{"name": REGISTRIES}]
    return pod


def _container(spec: WorkloadSpec) -> Object:
    container: Object = {
        "name": CONTAINER,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "stdin": True,
        "env": [{"name": "HOME", "value": spec.data_path.replace("$", "$$") or TMP}],
        "envFrom": [{"secretRef": {"name": SECRET}}],
        "resources": resources(spec),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "tmp", "mountPath": TMP}],
    }
    if "HOME" in spec.env:
        container["env"] = []
    if spec.command:
        # Kubernetes puts variables in place of $(NAME) in arguments; text stays text.
        container["args"] = [word.replace("$", "$$") for word in spec.command]
    if spec.data_path:
        container["workingDir"] = spec.data_path
        container["volumeMounts"].append({"name": "data", "mountPath": spec.data_path})
    targets = sorted({binding.target_port for binding in spec.ports})
    if targets:
        container["ports"] = [
            {"containerPort": port, "protocol": protocol} for port in targets for protocol in ("TCP", "UDP")
        ]
    if spec.stop_signal != DEFAULT_SIGNAL:
        container["lifecycle"] = {"preStop": {"exec": {"command": _signal_command(spec.stop_signal)}}}
    return container


def _signal_command(signal: str) -> list[str]:
    """Ends with the container: whoever ignores the signal is killed when its grace is over."""
    return ["/bin/sh", "-c", f"kill -s {signal.removeprefix('SIG')} -1; while :; do sleep 1; done"]
