"""Files planted in a workload, such as a flag: they lie in a volume of the node's and are bound read-only.

Beside them lies what `logs` has to hide although the program does not have it in its variables. Nothing of that is
bound: a container whose variables can be read would tell the flags of the others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import docker.errors

from ..base import WorkloadSpec, labels_for
from .client import Client
from .containers import known_secrets
from .names import LABEL_NAMESPACE, Names, files_volume_name

MAIN = ""
MASK = "mask.json"


class Planted:
    """The planted files of one namespace."""

    def __init__(self, client: Client, names: Names) -> None:
        self.client = client
        self.names = names

    def lay(self, spec: WorkloadSpec) -> dict[str, dict[str, str]]:
        """Write them; says for the main program ("") and each sidecar where on the node the file of a path lies."""
        parts = {MAIN: spec.files, **{sidecar.name: sidecar.files for sidecar in spec.sidecars}}
        wanted = {part: files for part, files in parts.items() if files}
        hidden = sorted(set(spec.secrets) - set(known_secrets(spec)) - {""})
        if not wanted and not hidden:
            return {}
        labels = {**labels_for(spec), LABEL_NAMESPACE: self.names.namespace}
        volume = self.client.api.create_volume(files_volume_name(spec.name), labels=labels)
        root = Path(volume["Mountpoint"])
        if hidden:
            mask = root / MASK
            mask.touch(mode=0o600)
            mask.write_text(json.dumps(hidden), encoding="utf-8")
        return {part: _write(root / (part or "main"), files) for part, files in wanted.items()}

    def hidden(self, workload: str) -> list[str]:
        """What is to be hidden in the output of a workload, beside what stands in its variables."""
        try:
            volume = self.client.api.inspect_volume(files_volume_name(workload))
        except docker.errors.APIError as error:
            if error.status_code != 404:
                raise
            return []
        mask = Path(volume["Mountpoint"]) / MASK
        return list(json.loads(mask.read_text(encoding="utf-8"))) if mask.exists() else []

    def remove(self, workload: str) -> None:
        """Delete those of a workload."""
        try:
            self.client.api.remove_volume(files_volume_name(workload))
        except docker.errors.APIError as error:
            if error.status_code != 404:
                raise


def _write(directory: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Numbered, because two paths may end in the same name; nobody but root comes as far as this directory."""
    directory.mkdir(exist_ok=True)
    places = {}
    for number, (path, text) in enumerate(sorted(files.items())):
        place = directory / str(number)
        place.write_text(text, encoding="utf-8")
        place.chmod(0o444)
        places[path] = str(place)
    return places
