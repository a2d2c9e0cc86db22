"""Names, labels and annotations of what we make in a cluster.

Labels can be selected by and hold only plain short words; annotations hold the exact values. Both stand on every
object, so that a janitor needs no database.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from ..base import (
    LABEL_EXPIRES,
    LABEL_GENERATION,
    LABEL_ID,
    LABEL_KIND,
    LABEL_OWNER,
    LABEL_TEAM,
    PortBinding,
    WorkloadSpec,
    labels_for,
)

WORKLOAD = re.compile(r"hub-[a-z][a-z0-9-]{0,19}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
HUB = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")

LABEL_HUB = "kutanga.hub"
LABEL_RUN = "kutanga.run"
LABEL_KEPT = "kutanga.kept"
MANAGED_BY = {"app.kubernetes.io/managed-by": "kutanga-hub"}

NOTE_PORTS = "kutanga.ports"
NOTE_CONFIG = "kutanga.config"
NOTE_IMAGE = "kutanga.image"
NOTE_DATA = "kutanga.data-mb"
NOTE_ENDED = "kutanga.ended"
NOTE_KEPT_AT = "kutanga.kept-at"
OUR_LABELS = (LABEL_KIND, LABEL_ID, LABEL_GENERATION, LABEL_OWNER, LABEL_TEAM, LABEL_EXPIRES)

# What is in each workload's namespace.
DEPLOYMENT = "workload"
CONTAINER = "main"
SECRET = "environment"  # noqa: S105 - a name
REGISTRIES = "registries"
FILES = "files"
CLAIM = "data"
QUOTA = "bounds"
LIMIT_RANGE = "defaults"
POLICY = "walls"

# No variable can be named so: what begins with a digit is for the cluster and the hub, or for another container.
KEY_MASK = "0.mask"
KEY_FILES = "0.files"
KEY_BESIDE = "0.beside"


def is_workload(name: str) -> bool:
    """Whether a name can be one of ours; then it is a valid name of a namespace too."""
    return len(name) <= 63 and WORKLOAD.fullmatch(name) is not None


def variable_key(container: str, name: str) -> str:
    """Where in the secret a container's variable stands."""
    return name if container == CONTAINER else f"{KEY_BESIDE}.{container}.{name}"


def file_key(container: str, number: int) -> str:
    """Where in the secret a file's text stands that is planted in a container."""
    return f"{KEY_FILES}.{container}.{number}"


def plain(value: str) -> str:
    """A value as a label may have it: itself, or a short name for it."""
    if LABEL_VALUE.fullmatch(value):
        return value
    return hashlib.sha256(value.encode()).hexdigest()[:32]


def labels_of(spec: WorkloadSpec, hub: str) -> dict[str, str]:
    """What every object of a workload can be selected by."""
    labels = {key: plain(value) for key, value in labels_for(spec).items()}
    labels[LABEL_EXPIRES] = _as_label(spec.expires_at) if spec.expires_at else ""
    return {**MANAGED_BY, **labels, LABEL_HUB: hub}


def end_of(moment: datetime) -> dict[str, dict[str, str]]:
    """What the metadata of a workload say of its last moment."""
    return {"labels": {LABEL_EXPIRES: _as_label(moment)}, "annotations": {LABEL_EXPIRES: moment.isoformat()}}


def _as_label(moment: datetime) -> str:
    return plain(str(int(moment.timestamp())))


def dump_ports(ports: Sequence[PortBinding]) -> str:
    """The ports of a workload as an annotation."""
    return json.dumps([[port.name, port.ip, port.port, port.target_port, port.public] for port in ports])


def load_ports(notes: Mapping[str, str]) -> tuple[PortBinding, ...]:
    """The ports that an annotation tells; none when somebody else wrote it."""
    try:
        return tuple(PortBinding(*fields) for fields in json.loads(notes.get(NOTE_PORTS, "[]")))
    except (ValueError, TypeError):
        return ()
