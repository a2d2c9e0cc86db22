"""What the tests of the Docker engine share."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from hub.engines.base import Engine, WorkloadSpec
from hub.engines.docker import DockerEngine
from hub.testing import wait_until

from .docker_images import image
from .harnesses import DockerHarness
from .process_helpers import shell


class Lab(DockerHarness):
    """A part of the machine's Docker Engine for one test."""

    engine: DockerEngine

    def __init__(self, **options: Any) -> None:
        self.options = {"namespace": f"test-{uuid.uuid4().hex[:8]}", **options}
        super().__init__()

    def factory(self) -> tuple[type[Engine], Mapping[str, Any]]:
        return DockerEngine, self.options

    def script(self, script: str, *, image_name: str = "busybox", **changes: Any) -> WorkloadSpec:
        """A workload that runs a shell script."""
        return self.spec(shell(script), image=image(image_name), **changes)

    def output_of(self, script: str, **changes: Any) -> list[str]:
        """Run a script to its end and return what it printed."""
        spec = self.script(script, **changes)
        self.engine.ensure(spec)
        wait_until(lambda: not self.engine.inspect(spec.name).is_running, what="the end of the script")
        return list(self.engine.logs(spec.name).lines)

    def container(self, spec: WorkloadSpec) -> Mapping[str, Any]:
        """What Docker tells about a workload's container."""
        found: Mapping[str, Any] = self.engine.client.get(f"/containers/{spec.name}/json")
        return found

    @property
    def api(self) -> Any:
        return self.engine.client.api
