"""Names and labels of what we make in Docker.

The namespace keeps several hubs on one Docker host apart: each sees, sweeps and removes only its own.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..base import PortBinding
from .errors import refusal

WORKLOAD = re.compile(r"hub-[a-z][a-z0-9-]{0,19}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NAMESPACE = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,38}[a-z0-9])?")

LABEL_NAMESPACE = "kutanga.namespace"
LABEL_PORTS = "kutanga.ports"
LABEL_CONFIG = "kutanga.config"
LABEL_IMAGE = "kutanga.image"
LABEL_DIGEST = "kutanga.digest"
LABEL_DISK_MB = "kutanga.disk-mb"
LABEL_SIDECARS = "kutanga.sidecars"
LABEL_MAIN = "kutanga.main"
"""On the container of a sidecar: the workload it belongs to."""


@dataclass(frozen=True)
class Names:
    """How everything of one namespace is called."""

    namespace: str

    def __post_init__(self) -> None:
        if not NAMESPACE.fullmatch(self.namespace):
            raise refusal(f"{self.namespace!r} cannot name this hub's part of a Docker host.")

    @property
    def tag(self) -> str:
        """Short enough for interface names."""
        return hashlib.sha256(self.namespace.encode()).hexdigest()[:5]

    @property
    def bridges(self) -> str:
        """What every bridge of ours begins with; firewall rules match on it."""
        return f"hub{self.tag}"

    @property
    def network(self) -> str:
        """The network that workloads share."""
        return f"hub-{self.namespace}"

    @property
    def bridge(self) -> str:
        return f"{self.bridges}-0"

    @property
    def closed_bridges(self) -> str:
        """What the bridges of workloads begin with that reach nothing; no bridge of the others does."""
        return f"{self.bridges}x"

    @property
    def closed_network(self) -> tuple[str, str]:
        """Network and bridge that workloads share which reach nothing."""
        return f"hub-{self.namespace}-closed", f"{self.closed_bridges}0"

    @property
    def addresses_device(self) -> str:
        """The dummy interface that carries load-balancer addresses; no rule for bridges matches its name."""
        return f"hublb{self.tag}"

    def own_network(self, workload: str, *, is_closed: bool = False) -> tuple[str, str]:
        """Network and bridge of a workload that has a subnet to itself."""
        digest = hashlib.sha256(workload.encode()).hexdigest()
        return workload, f"{self.closed_bridges}{digest[:6]}" if is_closed else f"{self.bridges}{digest[:7]}"


def is_workload(name: str) -> bool:
    """Whether a name can be one of ours, whatever path it spells."""
    return WORKLOAD.fullmatch(name) is not None


def volume_name(workload: str) -> str:
    return f"{workload}-data"


def files_volume_name(workload: str) -> str:
    """The volume of the files that are planted in a workload."""
    return f"{workload}-files"


def sidecar_name(workload: str, sidecar: str) -> str:
    return f"{workload}-{sidecar}"


def workload_of(volume: str) -> str:
    """Whose data a volume holds; "" when it is none of ours."""
    workload = volume.removesuffix("-data")
    return workload if workload != volume and is_workload(workload) else ""


def dump_ports(ports: Sequence[PortBinding]) -> str:
    """The ports of a workload as a label."""
    return json.dumps(
        [[port.name, port.ip, port.port, port.target_port, port.public] for port in ports], separators=(",", ":")
    )


def load_ports(labels: Mapping[str, str]) -> tuple[PortBinding, ...]:
    """The ports that a label tells; none when somebody else wrote it."""
    try:
        return tuple(PortBinding(*fields) for fields in json.loads(labels.get(LABEL_PORTS, "[]")))
    except (ValueError, TypeError):
        return ()
