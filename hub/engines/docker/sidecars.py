"""The containers beside a workload's own: in its network, with its files, from its start to its end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import docker.errors

from ..base import Sidecar, WorkloadSpec
from .client import Client
from .containers import Account, Image, sidecar_config
from .errors import translate
from .names import LABEL_MAIN, LABEL_NAMESPACE, Names, sidecar_name

SHOWN = 100


class Sidecars:
    """The sidecars of one namespace."""

    def __init__(self, client: Client, names: Names) -> None:
        self.client = client
        self.names = names

    def of(self, workload: str) -> list[Mapping[str, Any]]:
        """A workload's sidecars as Docker lists them, running or not."""
        return self._list(f"{LABEL_MAIN}={workload}")

    def states(self) -> dict[str, dict[str, str]]:
        """What Docker says of each sidecar by its name, for every workload that has some; "" for one that runs."""
        found: dict[str, dict[str, str]] = {}
        for listed in self._list(LABEL_MAIN):
            main = listed["Labels"][LABEL_MAIN]
            name = listed["Names"][0].lstrip("/").removeprefix(f"{main}-")
            found.setdefault(main, {})[name] = "" if listed["State"] == "running" else listed["Status"][:SHOWN]
        return found

    def start(
        self,
        spec: WorkloadSpec,
        main_id: str,
        image_for: Callable[[str], tuple[Image, Account]],
        planted: Mapping[str, Mapping[str, str]],
    ) -> None:
        """Make and start all of them anew: those of an earlier run hold on to a network that is gone."""
        self.remove(spec.name)
        for sidecar in spec.sidecars:
            self._start_one(spec, sidecar, main_id, image_for(sidecar.image), planted.get(sidecar.name))

    def remove(self, workload: str) -> None:
        """Remove those of a workload with their unnamed volumes."""
        for listed in self.of(workload):
            with _unless_gone():
                self.client.api.remove_container(listed["Id"], v=True, force=True)

    def signal(self, workload: str, signal: str) -> None:
        """Signal those that run."""
        for listed in self.of(workload):
            with _unless_gone():
                if listed["State"] == "running":
                    self.client.api.kill(listed["Id"], signal)

    def _start_one(
        self,
        spec: WorkloadSpec,
        sidecar: Sidecar,
        main_id: str,
        made_from: tuple[Image, Account],
        files: Mapping[str, str] | None,
    ) -> None:
        config = sidecar_config(spec, sidecar, *made_from, main_id=main_id, namespace=self.names.namespace, files=files)
        try:
            made = self.client.api.create_container_from_config(config, name=sidecar_name(spec.name, sidecar.name))
            self.client.api.start(made["Id"])
        except docker.errors.APIError as error:
            raise translate(error) from error

    def _list(self, label: str) -> list[Mapping[str, Any]]:
        filters = {"label": [label, f"{LABEL_NAMESPACE}={self.names.namespace}"]}
        listed: list[Mapping[str, Any]] = self.client.get("/containers/json", all=True, filters=filters)
        return listed


@contextlib.contextmanager
def _unless_gone() -> Any:
    """A container that has ended, or is being removed by somebody else, is none any more."""
    try:
        yield
    except docker.errors.APIError as error:
        if error.status_code not in (404, 409):
            raise


def trouble(wanted: Sequence[str], states: Mapping[str, str]) -> str:
    """Which of the sidecars of a running workload does not run, or ""."""
    for name in wanted:
        if state := states.get(name, "missing"):
            return f"Its container {name} does not run ({state})."
    return ""
