"""A second node of the hub, in a network namespace of its own: its agent, and a game server on it. Needs root."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from typing import Any

from hub.launcher.place import read_json
from hub.launcher.processes import follow_parent

from .world import CHECKOUT, Broken, World

MAKE = """
from hub.nodes.models import AddressPool, Node, Region
from hub.nodes.leases import fill_pool
local = Node.objects.get(name="local")
options = (local.options if local.engine == ENGINE else {}) | OPTIONS
region = Region.objects.create(slug=NAME, name=NAME.capitalize())
node = Node.objects.create(name=NAME, region=region, engine=ENGINE, options=options)
pool = AddressPool.objects.create(node=node, name="games", first_ip=GAME_IP, first_port=25565, last_port=25570)
fill_pool(pool)
inner = AddressPool.objects.create(
    node=node, name="inner", is_public=False, first_ip="127.0.0.1", first_port=27100, last_port=27110
)
fill_pool(inner)
"""


def run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"{' '.join(words)}: {done.stderr}")


class OtherNode:
    """What every second node has; where it is and what its engine needs, each says itself."""

    node = ""
    engine = ""
    game_ip = "127.0.0.1"

    def __init__(self, world: World) -> None:
        self.world = world
        self.server = self.game = ""
        self.agent: subprocess.Popen[bytes] | None = None
        self.services = read_json(world.data / "services.json")

    def make(self, options: dict[str, Any], more: str = "") -> None:
        """Write the node down; its workloads are its own: what an agent does not know at its place it would end."""
        facts = f"NAME, ENGINE, OPTIONS, GAME_IP = {self.node!r}, {self.engine!r}, {options!r}, {self.game_ip!r}"
        self.world.manage("shell", "--no-imports", "-c", f"{facts}\n{MAKE}\n{more}")

    def start_agent(self, namespace: str, **environment: str) -> None:
        secrets = read_json(self.world.data / "secrets.json")
        user = re.findall(r"HUB_WORKLOAD_USER=(\w+)", environ_of(self.world.pid("agent")))
        with (self.world.root / f"{self.node}.log").open("ab") as log:
            self.agent = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "manage.py", "agent", "--node", self.node],
                cwd=CHECKOUT,
                env={
                    **self.world.environment,
                    **{name: str(value) for name, value in secrets.items()},
                    "DATABASE_URL": str(self.services["database_url"]),
                    "REDIS_URL": str(self.services["redis_url"]),
                    "HUB_DATA": str(self.world.root / self.node),
                    **({"HUB_WORKLOAD_USER": user[0]} if user else {}),
                    **environment,
                },
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=follow_parent(signal.SIGTERM),
            )

    def create_server(self, template: str) -> None:
        asked_for = {"name": f"{self.node}-light", "template": template, "region": self.node}
        made = self.world.json("POST", "/api/v1/servers", asked_for)
        self.server = made["id"]
        self.wait_for("running", 60)
        self.game = self.world.json("GET", f"/api/v1/servers/{self.server}")["address"]

    def seen(self) -> dict[str, Any]:
        """What the API tells of its server; nothing where it does not answer."""
        _, found = self.world.ask("GET", f"/api/v1/servers/{self.server}")
        return found if isinstance(found, dict) else {}

    def is_in(self, state: str) -> bool:
        return bool(self.seen().get("status") == state)

    def wait_for(self, state: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_in(state):
            if time.monotonic() > deadline:
                log = (self.world.root / f"{self.node}.log").read_text()[-2000:]
                raise Broken(f"The server on {self.node} is not {state}: {self.seen()} {log}")
            time.sleep(0.1)

    def close(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.terminate()
            try:
                self.agent.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.agent.pid, signal.SIGKILL)


def environ_of(pid: int) -> str:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().replace(b"\0", b"\n").decode(errors="replace")
