"""A node whose games are containers of a Docker daemon of the run's own, to be killed. Needs root and dockerd."""

from __future__ import annotations

import socket
from collections.abc import Callable

from hub.tests.dockerd import PrivateDaemon, inside

from .nodes import OtherNode, run
from .world import Broken, World

SAMPLE = """
from hub.nodes.engines import engine_for
from servers.images import provide_sample
problem = provide_sample(engine_for(node))
assert not problem, problem
"""


class DockNode(OtherNode):
    """The node `dock`, where the sample server runs in a container."""

    node, engine = "dock", "docker"
    game_ip = "10.213.78.1"  # not loopback, which a process of Docker's serves that dies with it

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.daemon = PrivateDaemon()

    def start(self) -> None:
        self.daemon.start()
        run("ip", "-n", self.daemon.network, "address", "add", f"{self.game_ip}/32", "dev", "lo")
        own = {"socket": str(self.daemon.socket), "state_dir": str(self.daemon.directory), "namespace": "chaos"}
        self.make(own, SAMPLE)
        self.start_agent(self.daemon.network)
        self.create_server("sample")

    def play(self) -> None:
        """Somebody there joins the game."""
        host, _, port = self.game.rpartition(":")
        with inside(self.daemon), socket.create_connection((host, int(port)), timeout=2):
            pass

    def close(self) -> None:
        super().close()
        self.daemon.close()


def kill_docker(world: World) -> Callable[[], None]:
    """Kill the daemon, see that its game goes on, and start it again as a machine's init does."""
    dock = world.others["docker"]
    assert isinstance(dock, DockNode)
    crashes = dock.seen()["restart_count"]
    dock.daemon.kill()

    def undo() -> None:
        if not world.plays_on(dock.play):
            raise Broken("the game on Docker did not outlive the daemon")
        dock.daemon.start()
        world.also = is_as_before

    def is_as_before() -> bool:
        seen = dock.seen()
        if seen.get("restart_count") not in (None, crashes):
            raise Broken("the end of the daemon was counted as a crash of the game")
        return dock.is_in("running") and world.plays_on(dock.play)

    return undo
