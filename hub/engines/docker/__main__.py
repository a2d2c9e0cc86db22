"""`python -m hub.engines.docker stop|clear '{"namespace": …}'`: for the launcher, when hub and database are down.

`stop` ends the game servers that a killed hub has left running. `clear` removes all that a hub has made on this
machine's Docker: containers, data, networks and firewall rules of its namespace. What belongs to others stays.
"""

from __future__ import annotations

import json
import sys
import time

import docker.errors

from hub.engines.base import EngineError

from .engine import DockerEngine
from .errors import translate
from .names import LABEL_NAMESPACE

STOP_SECONDS = 20.0


def main(arguments: list[str]) -> int:
    """Do it and say what was done (nothing when there was nothing), or what stands in the way."""
    verb, options = arguments
    engine = DockerEngine(node="", options=json.loads(options))
    try:
        said = {"stop": stop, "clear": clear}[verb](engine)
    except EngineError as error:
        print(error, file=sys.stderr)
        return 1
    print(said)
    return 0


def stop(engine: DockerEngine) -> str:
    """Ask all that run to end, and kill those that do not."""
    names = [seen.name for seen in engine.list_owned() if seen.is_running]
    for name in names:
        engine.stop(name)
    deadline = time.monotonic() + STOP_SECONDS
    while any(seen.is_running for seen in engine.list_owned()) and time.monotonic() < deadline:
        time.sleep(0.2)
    for name in names:
        engine.kill(name)
    return f"{len(names)} containers of game servers" if names else ""


def clear(engine: DockerEngine) -> str:
    """Remove all of the namespace, data that nobody has any more included."""
    owned = engine.list_owned()
    for seen in owned:
        engine.remove(seen.name)
    try:
        label = f"{LABEL_NAMESPACE}={engine.names.namespace}"
        volumes = engine.client.api.volumes(filters={"label": [label]})["Volumes"] or ()
        for volume in volumes:
            engine.client.api.remove_volume(volume["Name"])
    except docker.errors.DockerException as error:
        raise translate(error) from error
    engine.teardown()
    return f"{len(owned)} containers of game servers with their data" if owned else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
