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
ENV_NAME = re.compile(r"[-._a-zA-Z][-._a-zA-Z0-9]{0,199}")  # a key of a secret has 253, and says whose it is
IMAGE = re.compile(r"[^\s\x00-\x1f\x7f]{1,500}")
MOST_SECRET_BYTES = 1_000_000
MOST_COMMAND_BYTES = 200_000
MOST_VARIABLES = 1000
MOST_SECONDS = 86_400
CAPABILITY = re.compile(r"[A-Z][A-Z_]{2,30}")
SIDECAR = re.compile(r"[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?")
PROBE_PATH = re.compile(r"/[\x21-\x7e]{0,499}")
DATA_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
SYSTEM_PATHS = ("/proc", "/sys", "/dev")
LEAST_MEMORY_MB = 6
MOST_MB = 100_000_000
MIB = 1024**2


def check(spec: WorkloadSpec, options: Options) -> None:
    """Refuse what no cluster would take."""
    if not names.is_workload(spec.name):
        raise refusal(f"{spec.name!r} is no name for a workload.")
    if spec.needs_grant and not options.allow_grants:
        raise refusal("This node is not marked for workloads with extra rights.")
    if not all(CAPABILITY.fullmatch(name) for name in spec.added_capabilities):
        raise refusal("The extra capabilities are not valid.")
    if spec.data_path and not is_data_path(spec.data_path):
        raise refusal(f"{spec.data_path!r} cannot be a directory for data.")
    if not SIGNAL.fullmatch(spec.stop_signal):
        raise refusal(f"{spec.stop_signal!r} is not a signal.")
    if not 0 <= spec.stop_grace_seconds <= MOST_SECONDS:
        raise refusal("The time to stop is not a number of seconds that can be waited for.")
    beside = [sidecar.name for sidecar in spec.sidecars]
    if len({*beside, names.CONTAINER}) <= len(beside) or not all(SIDECAR.fullmatch(name) for name in beside):
        raise refusal("The names of its sidecars are not valid.")
    for part in pods.parts(spec).values():
        _check_part(part)
    if spec.probe is not None and not (0 < spec.probe.port < 65536 and PROBE_PATH.fullmatch(spec.probe.path)):
        raise refusal("Where it is asked whether it is ready is not valid.")
    _check_size(spec)
    _check_ports(spec, options)


def _check_part(part: pods.Part) -> None:
    """What holds for the main program and for each beside it."""
    if not IMAGE.fullmatch(part.image):
        raise refusal("No image is named." if not part.image else f"{part.image!r} names no image.")
    limits = part.limits
    if limits.memory_mb < LEAST_MEMORY_MB:
        raise refusal(f"A workload needs at least {LEAST_MEMORY_MB} MB of memory.")
    if limits.cpu_percent < 1 or limits.disk_mb < 1 or limits.tmp_mb < 1:
        raise refusal("Processor, disk and scratch space must be more than nothing.")
    if max(limits.memory_mb, limits.cpu_percent, limits.disk_mb, limits.tmp_mb) > MOST_MB:
        raise refusal("A limit is larger than any machine.")
    if len(part.env) > MOST_VARIABLES:
        raise refusal("There are too many environment variables for Kubernetes.")
    for name in part.env:
        if not ENV_NAME.fullmatch(name) or name.startswith("..") or name == ".":
            raise refusal(f"Kubernetes cannot pass on a variable named {name!r}.")
    if any("\0" in text for text in (*part.command, *part.env.values())):
        raise refusal("The command or an environment variable cannot be passed on.")
    for path in (*part.files, *part.writable_paths):
        if not is_path(path):
            raise refusal(f"{path!r} can be neither a planted file nor writable.")
    paths = pods.mount_paths(part)
    if len(set(paths)) < len(paths):
        raise refusal("The same path is named twice.")


def _check_size(spec: WorkloadSpec) -> None:
    every = pods.parts(spec).values()
    try:
        sizes = [sum(len(text.encode()) for text in (*part.env, *part.env.values())) for part in every]
        masks = sum(len(json.dumps(text)) for text in spec.secrets)
        files = sum(len(text.encode()) for part in every for text in part.files.values())
        command = sum(len(text.encode()) for part in every for text in part.command)
        names.dump_ports(spec.ports).encode()
        " ".join((spec.owner, *spec.secrets)).encode()
    except UnicodeEncodeError:
        raise refusal("The command, a file or an environment variable is not text.") from None
    if sum(sizes) + files + masks > MOST_SECRET_BYTES or command > MOST_COMMAND_BYTES:
        raise refusal("The command, the files or the environment are too long for Kubernetes.")


def is_path(path: str) -> bool:
    """Whether something may be laid there: a plain path, and not over what the kernel shows."""
    is_plain = DATA_PATH.fullmatch(path) is not None and not {".", ".."} & set(path.split("/"))
    return is_plain and not path.startswith(SYSTEM_PATHS)


def _check_ports(spec: WorkloadSpec, options: Options) -> None:
    for binding in spec.ports:
        if not (0 < binding.port < 65536 and 0 < binding.target_port < 65536):
            raise refusal(f"{binding.port} or {binding.target_port} is not a port.")
        try:
            if getattr(ipaddress.ip_address(binding.ip), "scope_id", None):
                raise ValueError(binding.ip)  # fe80::1%eth0 means something on one machine only
        except ValueError:
            raise refusal(f"{binding.ip!r} is not an address.") from None
    public = [(str(ipaddress.ip_address(one.ip)), one.port) for one in spec.ports if one.public]
    if len(set(public)) != len(public):
        raise refusal("The same address is asked for twice.")
    if options.exposure == LOAD_BALANCER:
        closed = [ip for ip, _ in public if not network.players(options, ip)]
        if closed:
            raise refusal(f"No network of the option `player_networks` could reach {closed[0]}.")
    else:
        targets = [(str(ipaddress.ip_address(one.ip)), one.target_port) for one in spec.ports if one.public]
        if len(set(targets)) != len(targets) or len({port for _, port in public}) != len(public):
            raise refusal("On node ports every port of a workload needs one of its own.")


def namespace(spec: WorkloadSpec, options: Options, *, run: str, config: str) -> Object:
    """The lock of a workload, and the one place that says what is wanted of it."""
    labels = names.labels_of(spec, options.hub)
    for mode in ("enforce", "audit", "warn"):
        labels[f"pod-security.kubernetes.io/{mode}"] = _pod_security(spec)
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
    ]
    secret = {"type": "Opaque", "data": _secret(spec)}
    made.append(_object(spec, options, "v1", "Secret", names.SECRET, secret))
    walls = {"spec": network.policy(spec, options)}
    made.append(_object(spec, options, "networking.k8s.io/v1", "NetworkPolicy", names.POLICY, walls))
    if registries:
        content: Object = {
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": _registries(registries)},
        }
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


def _pod_security(spec: WorkloadSpec) -> str:
    if spec.needs_grant:
        return "privileged"
    return "restricted"


def _hard(spec: WorkloadSpec) -> Object:
    """The bounds of the whole namespace: just what the workload has, so that nothing can be added beside it."""
    every = [pods.amounts(part.limits) for part in pods.parts(spec).values()]
    total = pods.quantities({name: sum(one[name] for one in every) for name in every[0]})
    hard = {f"{kind}.{name}": amount for kind in ("limits", "requests") for name, amount in total.items()}
    return {
        **hard,
        "pods": "2",  # one that ends, and the next
        "persistentvolumeclaims": "1" if spec.data_path else "0",
        "requests.storage": f"{spec.limits.disk_mb if spec.data_path else 0}Mi",
    }


def _defaults(spec: WorkloadSpec) -> Object:
    """For a container that names no limits, which the quota would refuse; and none may have more than the largest."""
    every = [pods.amounts(part.limits) for part in pods.parts(spec).values()]
    most = pods.quantities({name: max(one[name] for one in every) for name in every[0]})
    return {"type": "Container", "default": most, "defaultRequest": dict(most), "max": dict(most)}


def _secret(spec: WorkloadSpec) -> dict[str, str]:
    """All that is secret in one object: variables of every container, planted files, and what is masked in logs."""
    values = {
        names.variable_key(container, name): text
        for container, part in pods.parts(spec).items()
        for name, text in part.env.items()
    }
    values |= pods.planted(spec)
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
