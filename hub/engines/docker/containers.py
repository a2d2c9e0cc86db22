"""The container of a workload: what may run in it, how much it may take, and what it can reach. Everything is closed
that a server does not need; what is opened stands here.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..base import GRANT_OPTION, LABEL_EXPIRES, LABEL_GENERATION, Limits, Sidecar, WorkloadSpec, labels_for
from .errors import refusal
from .names import (
    LABEL_CONFIG,
    LABEL_DIGEST,
    LABEL_DISK_MB,
    LABEL_IMAGE,
    LABEL_MAIN,
    LABEL_NAMESPACE,
    LABEL_PORTS,
    LABEL_SIDECARS,
    dump_ports,
    volume_name,
)
from .references import pin

MIB = 1024**2
CPU_PERIOD_US = 100_000
LEAST_MEMORY_MB = 6  # Docker's own
INIT_PROCESSES = 1
STOP_SPARE_SECONDS = 10
SIDECAR_RETRIES = 5
OOM_SCORE = 500  # when the whole machine runs out of memory, a workload goes before the hub
LOGS = {"Type": "local", "Config": {"max-size": "5m", "max-file": "2", "mode": "non-blocking", "max-buffer-size": "2m"}}
MASK_VARIABLE = "KUTANGA_MASK"
USER = re.compile(r"(\d{1,9})(?::(\d{1,9}))?")
DATA_PATH = re.compile(r"(?:/[A-Za-z0-9._-]+)+")
SIGNAL = re.compile(r"SIG[A-Z0-9]{1,10}")
CAPABILITY = re.compile(r"[A-Z][A-Z_]{2,30}")
SIDECAR = re.compile(r"[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?")
ROOT = "0:0"
SYSTEM_PATHS = ("/proc", "/sys", "/dev")
RESERVED_PATHS = ("/proc", "/sys", "/dev", "/etc", "/bin", "/sbin", "/lib", "/lib64", "/usr")


@dataclass(frozen=True)
class Account:
    """Whom a workload runs as, inside its container. Never root, but for one with extra rights."""

    uid: int
    gid: int

    def __str__(self) -> str:
        return f"{self.uid}:{self.gid}"

    @classmethod
    def choose(cls, image_user: str, node_user: str) -> Account:
        """An image that names a user by number has its files made for that one; all others get the node's."""
        for text in (image_user, node_user):
            if (match := USER.fullmatch(text)) and int(match[1]):
                return cls(int(match[1]), int(match[2] or match[1]))
        raise refusal("This node's option `user` must be numbers, such as 1000:1000, and not root.")


@dataclass(frozen=True)
class Image:
    """What an image says about itself, as far as it concerns the container."""

    id: str
    digest: str
    user: str
    volumes: Sequence[str]

    @classmethod
    def parse(cls, found: Mapping[str, Any], digest: str) -> Image:
        config = found.get("Config") or {}
        return cls(found["Id"], digest, config.get("User") or "", tuple(config.get("Volumes") or ()))


def check(spec: WorkloadSpec, options: Mapping[str, Any] = MappingProxyType({})) -> None:
    """Refuse what no container can be made from, before anything is made."""
    if spec.needs_grant and not options.get(GRANT_OPTION):
        raise refusal("This node is not marked for workloads with extra rights.")
    if not all(CAPABILITY.fullmatch(name) for name in spec.added_capabilities):
        raise refusal("The extra capabilities are not valid.")
    names = [sidecar.name for sidecar in spec.sidecars]
    if len(set(names)) < len(names) or not all(SIDECAR.fullmatch(name) for name in names):
        raise refusal("The names of its sidecars are not valid.")
    _check_part(spec)
    for sidecar in spec.sidecars:
        _check_part(sidecar)
    if spec.data_path and not is_data_path(spec.data_path):
        raise refusal(f"{spec.data_path!r} cannot be a directory for data.")
    if not SIGNAL.fullmatch(spec.stop_signal):
        raise refusal(f"{spec.stop_signal!r} is not a signal.")


def _check_part(part: WorkloadSpec | Sidecar) -> None:
    """What holds for the main program and for each beside it."""
    if not part.image:
        raise refusal("No image is named.")
    if part.limits.memory_mb < LEAST_MEMORY_MB:
        raise refusal(f"Docker gives at least {LEAST_MEMORY_MB} MB of memory.")
    texts = [*part.command, *part.env, *part.env.values(), *part.files.values()]
    if any("\0" in text for text in texts) or any("=" in name or not name for name in part.env):
        raise refusal("The command or an environment variable cannot be passed on.")
    for path in part.files:
        if not DATA_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")) or path.startswith(SYSTEM_PATHS):
            raise refusal(f"{path!r} cannot be a planted file.")
    for path in part.writable_paths:
        if not DATA_PATH.fullmatch(path) or {".", ".."} & set(path.split("/")) or path.startswith(SYSTEM_PATHS):
            raise refusal(f"{path!r} cannot be writable.")


def is_data_path(path: str) -> bool:
    """Whether a volume may be put there: below the root, and not over what the system needs."""
    parts = path.split("/")
    inside = any(path == reserved or path.startswith(f"{reserved}/") for reserved in RESERVED_PATHS)
    return bool(DATA_PATH.fullmatch(path)) and ".." not in parts and "." not in parts and not inside


def container_config(
    spec: WorkloadSpec,
    image: Image,
    account: Account,
    *,
    network: str,
    namespace: str,
    dns: Sequence[str],
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The body of Docker's request to create the container; `files` says where on the node each planted one lies."""
    config = {
        "Image": image.id,
        "User": user_of(spec, image, account),
        "Env": _environment(spec),
        "ExposedPorts": {port: {} for port in _published(spec)},
        "OpenStdin": True,
        "StopSignal": spec.stop_signal,
        "StopTimeout": spec.stop_grace_seconds + STOP_SPARE_SECONDS,
        "Healthcheck": {"Test": ["NONE"]},  # the hub asks by the workload's own protocol
        "HostConfig": {
            **_confinement(spec, image, account),
            **_rights(spec, is_read_only=spec.is_read_only),
            "NetworkMode": network,
            "Dns": list(dns),
            "ExtraHosts": [f"{sidecar.name}:127.0.0.1" for sidecar in spec.sidecars],
            "PortBindings": _published(spec),
            "Mounts": [*_mounts(spec), *_planted(files)],
        },
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
    }
    if spec.command:
        config["Cmd"] = list(spec.command)
    if spec.data_path:
        config["WorkingDir"] = spec.data_path
    own_labels = {
        LABEL_SIDECARS: ",".join(sidecar.name for sidecar in spec.sidecars),
        LABEL_NAMESPACE: namespace,
        LABEL_CONFIG: fingerprint(config),
        LABEL_PORTS: dump_ports(spec.ports),
        LABEL_IMAGE: pin(spec.image, image.digest),
        LABEL_DIGEST: image.digest,
        LABEL_DISK_MB: str(spec.limits.disk_mb),
    }
    return {**config, "Labels": {**labels_for(spec), **own_labels}}


def sidecar_config(
    spec: WorkloadSpec,
    sidecar: Sidecar,
    image: Image,
    account: Account,
    *,
    main_id: str,
    namespace: str,
    files: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The same for a sidecar, in the network of the main container. It gets no extra rights."""
    env = {"HOME": "/tmp", **sidecar.env}  # noqa: S108 - inside the container
    labels = {label: text for label, text in labels_for(spec).items() if label in (LABEL_GENERATION, LABEL_EXPIRES)}
    config = {
        "Image": image.id,
        "User": str(account),
        "Env": [f"{name}={value}" for name, value in env.items()],
        "StopTimeout": spec.stop_grace_seconds + STOP_SPARE_SECONDS,
        "Healthcheck": {"Test": ["NONE"]},
        "Labels": {**labels, LABEL_MAIN: spec.name, LABEL_NAMESPACE: namespace},
        "HostConfig": {
            **_confinement(sidecar, image, account),
            **_rights(None, is_read_only=sidecar.is_read_only),
            "NetworkMode": f"container:{main_id}",
            "Mounts": _planted(files),
            "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": SIDECAR_RETRIES},
        },
    }
    if sidecar.command:
        config["Cmd"] = list(sidecar.command)
    return config


def user_of(spec: WorkloadSpec, image: Image, account: Account) -> str:
    """Extra rights are of use to root only, so what was granted some runs as its image says."""
    return (image.user or ROOT) if spec.needs_grant else str(account)


def fingerprint(config: Mapping[str, Any]) -> str:
    """Whether a container that was left behind is still the one that is wanted; too short to tell a secret."""
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]


def known_secrets(spec: WorkloadSpec) -> list[str]:
    """Those that the main program has in its variables anyway."""
    return [secret for secret in spec.secrets if secret and any(secret in value for value in spec.env.values())]


def masked_texts(container: Mapping[str, Any], kept: Sequence[str] = ()) -> list[str]:
    """The secrets that must not appear in what a container printed, with those that are kept beside it."""
    prefix = f"{MASK_VARIABLE}="
    lines = [line.removeprefix(prefix) for line in container["Config"].get("Env") or () if line.startswith(prefix)]
    texts = {text for line in lines for text in json.loads(line)} | set(kept)
    return sorted(texts - {""}, key=lambda text: (-len(text), text))


def _confinement(part: WorkloadSpec | Sidecar, image: Image, account: Account) -> dict[str, Any]:
    """What holds for every container, whatever it runs."""
    limits: Limits = part.limits
    # Games unpack programs there and run them. It belongs to the workload, because runc gives it the mode that the
    # image's own directory has, whatever is asked.
    scratch = f"rw,exec,nosuid,nodev,size={limits.tmp_mb}m,mode=1777,uid={account.uid},gid={account.gid}"
    data_path = part.data_path if isinstance(part, WorkloadSpec) else ""
    covered = [path for path in image.volumes if path.rstrip("/") != data_path]
    return {
        "Memory": limits.memory_mb * MIB,
        "MemorySwap": (limits.memory_mb + limits.swap_mb) * MIB,
        "CpuPeriod": CPU_PERIOD_US,
        "CpuQuota": max(1000, limits.cpu_percent * CPU_PERIOD_US // 100),
        "PidsLimit": limits.pids + INIT_PROCESSES,
        "Ulimits": [
            {"Name": "nofile", "Soft": limits.open_files, "Hard": limits.open_files},
            {"Name": "fsize", "Soft": limits.disk_mb * MIB, "Hard": limits.disk_mb * MIB},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "OomScoreAdj": OOM_SCORE,
        # A volume that the image declares would be writable and unwatched, so memory lies over it.
        "Tmpfs": dict.fromkeys(["/tmp", *covered, *part.writable_paths], scratch),  # noqa: S108 - inside the container
        "ShmSize": limits.tmp_mb * MIB,
        "IpcMode": "private",
        "Init": True,
        "LogConfig": LOGS,
        "RestartPolicy": {"Name": "no"},  # the hub restarts, because only it knows what is wanted
    }


def _rights(spec: WorkloadSpec | None, *, is_read_only: bool) -> dict[str, Any]:
    """None at all, but for what an admin has granted this workload."""
    if spec is not None and spec.is_privileged:
        return {"Privileged": True}
    added = list(spec.added_capabilities) if spec is not None else []
    rights = {"CapDrop": ["ALL"], "SecurityOpt": ["no-new-privileges"], "ReadonlyRootfs": is_read_only}
    return {**rights, "CapAdd": added} if added else rights


def _planted(files: Mapping[str, str] | None) -> list[dict[str, Any]]:
    """Files of the node's that the workload reads and cannot change."""
    return [
        {"Type": "bind", "Source": source, "Target": path, "ReadOnly": True} for path, source in (files or {}).items()
    ]


def _mounts(spec: WorkloadSpec) -> list[dict[str, Any]]:
    if not spec.data_path:
        return []
    return [{"Type": "volume", "Source": volume_name(spec.name), "Target": spec.data_path}]


def _published(spec: WorkloadSpec) -> dict[str, list[dict[str, str]]]:
    """Leased addresses, for TCP and UDP alike."""
    published: dict[str, list[dict[str, str]]] = {}
    for binding in spec.ports:
        if binding.public:
            for protocol in ("tcp", "udp"):
                address = {"HostIp": binding.ip, "HostPort": str(binding.port)}
                published.setdefault(f"{binding.target_port}/{protocol}", []).append(address)
    return published


def _environment(spec: WorkloadSpec) -> list[str]:
    """The workload's variables, a home that it can write to, and what `logs` has to hide of them.

    That goes here and not into a label: labels are shown by `docker ps`, sent with events and kept by monitoring. What
    stands in no variable of the program is not for it to see: `Planted` keeps that.
    """
    values = {"HOME": spec.data_path or "/tmp", **spec.env}  # noqa: S108 - inside the container
    if known := known_secrets(spec):
        values[MASK_VARIABLE] = json.dumps(known)
    return [f"{name}={value}" for name, value in values.items()]
