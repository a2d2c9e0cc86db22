"""An agent of a second node on the far side of a network that can be cut. Needs root, for namespaces."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from hub.launcher.place import read_json
from hub.launcher.processes import follow_parent

from .world import CHECKOUT, Broken, World

HERE, THERE = "10.213.77.1", "10.213.77.2"
FAR = """
from hub.nodes.models import AddressPool, Node, Region
from hub.nodes.leases import fill_pool
local = Node.objects.get(name="local")
region = Region.objects.create(slug="far", name="Far")
node = Node.objects.create(name="far", region=region, engine="process", options={**local.options, "root": ROOT})
pool = AddressPool.objects.create(node=node, name="games", first_ip="127.0.0.1", first_port=25565, last_port=25570)
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


class Bridge:
    """Carry connections from the network to a socket of this machine, byte by byte."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.server = socket.create_server((HERE, 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.server.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, socket.socket(socket.AF_UNIX) as inside:
            inside.connect(self.path)
            other = {client.fileno(): (client, inside), inside.fileno(): (inside, client)}
            with selectors.DefaultSelector() as ready:
                for number in other:
                    ready.register(number, selectors.EVENT_READ)
                while True:
                    for key, _ in ready.select():
                        source, target = other[key.fd]
                        if not (part := source.recv(65536)):
                            return
                        target.sendall(part)


class FarNode:
    """The node `far`: its agent in a namespace, with a game server on it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.name = f"kutanga-chaos-{os.getpid()}"
        self.link = f"kchaos{os.getpid() % 100_000}"
        self.agent: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", "out", "netns", self.name)
        run("ip", "address", "add", f"{HERE}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        for words in (
            ["address", "add", f"{THERE}/30", "dev", "out"],
            ["link", "set", "out", "up"],
            ["link", "set", "lo", "up"],
        ):
            run("ip", "-n", self.name, *words)
        services = read_json(self.world.data / "services.json")
        database, redis = urlsplit(str(services["database_url"])), urlsplit(str(services["redis_url"]))
        asked = parse_qs(database.query)
        postgres = Bridge(f"{unquote(asked['host'][0])}/.s.PGSQL.{asked.get('port', ['5432'])[0]}")
        valkey = Bridge(redis.path)
        workloads = str(self.world.root / "far" / "workloads")  # its own: what it does not know there it would end
        self.world.manage("shell", "--no-imports", "-c", f"ROOT = {workloads!r}\n{FAR}")
        secrets = read_json(self.world.data / "secrets.json")
        environment = {
            **self.world.environment,
            **{name: str(value) for name, value in secrets.items()},
            "DATABASE_URL": f"postgresql://{asked['user'][0]}@{HERE}:{postgres.port}{database.path}",
            "REDIS_URL": f"redis://{HERE}:{valkey.port}/0",
            "HUB_DATA": str(self.world.root / "far"),
        }
        user = re.findall(r"HUB_WORKLOAD_USER=(\w+)", environ_of(self.world.pid("agent")))
        environment |= {"HUB_WORKLOAD_USER": user[0]} if user else {}
        with (self.world.root / "far.log").open("ab") as log:
            self.agent = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{self.name}", sys.executable, "manage.py", "agent", "--node", "far"],
                cwd=CHECKOUT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=follow_parent(signal.SIGTERM),
            )
        template = self.world.json("GET", f"/api/v1/servers/{self.world.server}")["template"]["slug"]
        asked_for = {"name": "far-light", "template": template, "region": "far"}
        self.server = self.world.json("POST", "/api/v1/servers", asked_for)["id"]
        self.wait_for("running", 60)

    def state(self) -> str:
        _, found = self.world.ask("GET", f"/api/v1/servers/{self.server}")
        return str(found.get("status")) if isinstance(found, dict) else ""

    def wait_for(self, state: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.state() != state:
            if time.monotonic() > deadline:
                raise Broken(f"far-light is {self.state()}: {(self.world.root / 'far.log').read_text()[-2000:]}")
            time.sleep(0.1)

    def cut(self, *, is_cut: bool) -> None:
        run("ip", "link", "set", self.link, "down" if is_cut else "up")

    def close(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.terminate()
            try:
                self.agent.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(self.agent.pid, signal.SIGKILL)
        for words in (["link", "delete", self.link], ["netns", "delete", self.name]):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def environ_of(pid: int) -> str:
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read().replace(b"\0", b"\n").decode(errors="replace")


def cut_network(world: World) -> Callable[[], None]:
    """Cut, and wish for something; the way back mends the network and waits until the wish came true."""
    far = world.far
    assert isinstance(far, FarNode)
    far.cut(is_cut=True)
    world.json("POST", f"/api/v1/servers/{far.server}/stop")

    def undo() -> None:
        if far.state() != "running":
            raise Broken("the wish was fulfilled over a network that was cut")
        far.cut(is_cut=False)
        world.also = lambda: far.state() == "stopped"

    return undo
