"""All objects of one generation of a workload, checked before anything is sent.

What is refused here is what a real API server refuses: better a sentence that names the fault than a launch that
stops half-way.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..base import WorkloadSpec, labels_for
from ..docker.containers import is_data_path
from . import names, network, pods
from .errors import refusal
from .options import LOAD_BALANCER, Options

Object = dict[str, Any]

SIGNAL = re.compile(r"SIG[A-Z0-9]{1,10}")
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,252}")
IMAGE = re.compile(r"[^\s\x00-\x1f\x7f]{1,500}")
MOST_SECRET_BYTES = 1_000_000
MOST_ANNOTATION_BYTES = 200_000
LEAST_MEMORY_MB = 6
MOST_MB = 100_000_000
POD_SECURITY = "restricted"
MIB = 1024**2


def check(spec: WorkloadSpec, options: Options) -> None:
    """Refuse what no cluster would take."""
    if not names.is_workload(spec.name):
        raise refusal(f"{spec.name!r} is no name for a workload.")
    if not IMAGE.fullmatch(spec.image):
        raise refusal("No image is named." if not spec.image else f"{spec.image!r} names no image.")
    if spec.data_path and not is_data_path(spec.data_path):
        raise refusal(f"{spec.data_path!r} cannot be a directory for data.")
    if not SIGNAL.fullmatch(spec.stop_signal):
        raise refusal(f"{spec.stop_signal!r} is not a signal.")
    if spec.stop_grace_seconds < 0:
        raise refusal("The time to stop cannot be negative.")
    _check_limits(spec)
    _check_environment(spec)
    _check_ports(spec, options)


def _check_limits(spec: WorkloadSpec) -> None:
    limits = spec.limits
    if limits.memory_mb < LEAST_MEMORY_MB:
        raise refusal(f"A workload needs at least {LEAST_MEMORY_MB} MB of memory.")
    if limits.cpu_percent < 1 or limits.disk_mb < 1 or limits.tmp_mb < 1:
        raise refusal("Processor, disk and scratch space must be more than nothing.")
    if max(limits.memory_mb, limits.cpu_percent, limits.disk_mb, limits.tmp_mb) > MOST_MB:
        raise refusal("A limit is larger than any machine.")


def _check_environment(spec: WorkloadSpec) -> None:
    for name in spec.env:
        if not ENV_NAME.fullmatch(name) or name in (".", "..") or name.startswith(".."):
            raise refusal(f"Kubernetes cannot pass on a variable named {name!r}.")
    if any("\0" in text for text in (*spec.command, *spec.env.values())):
        raise refusal("The command or an environment variable cannot be passed on.")
    try:
        size = sum(len(text.encode()) for text in (*spec.env, *spec.env.values(), *spec.secrets))
        command = sum(len(text.encode()) for text in spec.command)
    except UnicodeEncodeError:
        raise refusal("The command or an environment variable is not text.") from None
    if size > MOST_SECRET_BYTES or command > MOST_ANNOTATION_BYTES:
        raise refusal("The command or the environment is too long for Kubernetes.")


def _check_ports(spec: WorkloadSpec, options: Options) -> None:
    for binding in spec.ports:
        if not (0 < binding.port < 65536 and 0 < binding.target_port < 65536):
            raise refusal(f"{binding.port} or {binding.target_port} is not a port.")
        try:
            ipaddress.ip_address(binding.ip)
        except ValueError:
            raise refusal(f"{binding.ip!r} is not an address.") from None
    public = [(str(ipaddress.ip_address(one.ip)), one.port) for one in spec.ports if one.public]
    if len(set(public)) != len(public):
        raise refusal("The same address is asked for twice.")
    if options.exposure != LOAD_BALANCER:
        targets = [(str(ipaddress.ip_address(one.ip)), one.target_port) for one in spec.ports if one.public]
        if len(set(targets)) != len(targets) or len({port for _, port in public}) != len(public):
            raise refusal("On node ports every port of a workload needs one of its own.")


def namespace(spec: WorkloadSpec, options: Options, *, run: str, config: str) -> Object:
    """The lock of a workload, and the one place that says what is wanted of it."""
    labels = names.labels_of(spec, options.hub)
    for mode in ("enforce", "audit", "warn"):
        labels[f"pod-security.kubernetes.io/{mode}"] = POD_SECURITY
    notes = {**_notes(spec), names.NOTE_CONFIG: config, names.NOTE_IMAGE: spec.image}
    notes[names.NOTE_DATA] = str(spec.limits.disk_mb) if spec.data_path else ""
    notes[names.NOTE_PORTS] = names.dump_ports(spec.ports)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": spec.name, "labels": {**labels, names.LABEL_RUN: run}, "annotations": notes},
    }


def contents(
    spec: WorkloadSpec, options: Options, *, run: str, registries: Sequence[Mapping[str, str]] = ()
) -> list[Object]:
    """What lies in the namespace, in the order in which it is made: bounds and walls first, the program last."""
    made = [
        _object(spec, options, "v1", "ResourceQuota", names.QUOTA, {"spec": {"hard": _hard(spec)}}),
        _object(spec, options, "v1", "LimitRange", names.LIMIT_RANGE, {"spec": {"limits": [_defaults(spec)]}}),
        _object(spec, options, "v1", "Secret", names.SECRET, {"type": "Opaque", "data": _secret(spec)}),
    ]
    for name, content in network.policies(spec, options):
        made.append(_object(spec, options, "networking.k8s.io/v1", "NetworkPolicy", name, {"spec": content}))
    if registries:
        content = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": _registries(registries)}}
        made.append(_object(spec, options, "v1", "Secret", names.REGISTRIES, content))
    if spec.data_path:
        made.append(_object(spec, options, "v1", "PersistentVolumeClaim", names.CLAIM, {"spec": _claim(spec, options)}))
    for name, notes, content in network.services(spec, options):
        made.append(_object(spec, options, "v1", "Service", name, {"spec": content}, notes))
    content = pods.deployment(spec, options, has_registries=bool(registries))
    deployment = _object(spec, options, "apps/v1", "Deployment", names.DEPLOYMENT, {"spec": content})
    own = deployment["metadata"]
    content["template"]["metadata"] = {
        "labels": {**own["labels"], names.LABEL_RUN: run},
        "annotations": dict(own["annotations"]),
    }
    return [*made, deployment]


def fingerprint(spec: WorkloadSpec, options: Options, registries: Sequence[Mapping[str, str]] = ()) -> str:
    """Whether what is there is what is wanted; too short to tell a secret."""
    whole = contents(spec, options, run="", registries=registries)
    return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]


def _object(
    spec: WorkloadSpec,
    options: Options,
    version: str,
    kind: str,
    name: str,
    content: Object,
    notes: Mapping[str, str] | None = None,
) -> Object:
    metadata = {
        "name": name,
        "namespace": spec.name,
        "labels": names.labels_of(spec, options.hub),
        "annotations": {**_notes(spec), **(notes or {})},
    }
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _notes(spec: WorkloadSpec) -> dict[str, str]:
    return labels_for(spec)


def _hard(spec: WorkloadSpec) -> Object:
    """The bounds of the whole namespace: just what the workload has, so that nothing can be added beside it."""
    amounts = pods.resources(spec)["limits"]
    hard = {f"{kind}.{name}": amount for kind in ("limits", "requests") for name, amount in amounts.items()}
    return {
        **hard,
        "pods": "2",  # one that ends, and the next
        "persistentvolumeclaims": "1" if spec.data_path else "0",
        "requests.storage": f"{spec.limits.disk_mb if spec.data_path else 0}Mi",
    }


def _defaults(spec: WorkloadSpec) -> Object:
    """For a container that names no limits, which the quota would refuse; and none may have more."""
    amounts = pods.resources(spec)["limits"]
    return {"type": "Container", "default": amounts, "defaultRequest": dict(amounts), "max": dict(amounts)}


def _secret(spec: WorkloadSpec) -> dict[str, str]:
    values = dict(spec.env)
    if spec.secrets:
        values[names.KEY_MASK] = json.dumps(list(spec.secrets))
    return {name: _encoded(text) for name, text in values.items()}


def _claim(spec: WorkloadSpec, options: Options) -> Object:
    claim: Object = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{spec.limits.disk_mb}Mi"}},
    }
    if options.storage_class:
        claim["storageClassName"] = options.storage_class
    return claim


def _registries(registries: Sequence[Mapping[str, str]]) -> str:
    auths = {
        one["registry"]: {
            "username": one["username"],
            "password": one["password"],
            "auth": _encoded(f"{one['username']}:{one['password']}"),
        }
        for one in registries
    }
    return _encoded(json.dumps({"auths": auths}))


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def masked_texts(secret: Object | None) -> list[str]:
    """The secrets that must not appear in what a workload printed, the longest first."""
    encoded = ((secret or {}).get("data") or {}).get(names.KEY_MASK)
    texts = json.loads(base64.b64decode(encoded)) if encoded else []
    return sorted((text for text in texts if text), key=len, reverse=True)
