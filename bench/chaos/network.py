"""An agent of a second node on the far side of a network that can be cut. Needs root, for namespaces."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import subprocess
import threading
from collections.abc import Callable
from urllib.parse import parse_qs, unquote, urlsplit

from .nodes import OtherNode, run
from .world import Broken, World

HERE, THERE = "10.213.77.1", "10.213.77.2"


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


class FarNode(OtherNode):
    """The node `far`, whose network can be cut."""

    node, engine = "far", "process"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.name = f"kutanga-chaos-{os.getpid()}"
        self.link = f"kchaos{os.getpid() % 100_000}"

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
        database, redis = urlsplit(str(self.services["database_url"])), urlsplit(str(self.services["redis_url"]))
        asked = parse_qs(database.query)
        postgres = Bridge(f"{unquote(asked['host'][0])}/.s.PGSQL.{asked.get('port', ['5432'])[0]}")
        valkey = Bridge(redis.path)
        self.make({"root": str(self.world.root / "far" / "workloads")})
        self.start_agent(
            self.name,
            DATABASE_URL=f"postgresql://{asked['user'][0]}@{HERE}:{postgres.port}{database.path}",
            REDIS_URL=f"redis://{HERE}:{valkey.port}/0",
        )
        self.create_server(self.world.json("GET", f"/api/v1/servers/{self.world.server}")["template"]["slug"])

    def cut(self, *, is_cut: bool) -> None:
        run("ip", "link", "set", self.link, "down" if is_cut else "up")

    def close(self) -> None:
        super().close()
        for words in (["link", "delete", self.link], ["netns", "delete", self.name]):
            subprocess.run(["ip", *words], capture_output=True, check=False)


def cut_network(world: World) -> Callable[[], None]:
    """Cut, and wish for something; the way back mends the network and waits until the wish came true."""
    far = world.others["network"]
    assert isinstance(far, FarNode)
    far.cut(is_cut=True)
    world.json("POST", f"/api/v1/servers/{far.server}/stop")

    def undo() -> None:
        if not far.is_in("running"):
            raise Broken("the wish was fulfilled over a network that was cut")
        far.cut(is_cut=False)
        world.also = lambda: far.is_in("stopped")

    return undo
