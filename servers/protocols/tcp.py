"""Does the port accept a connection: the weakest sign of life, for programs that speak nothing we know.

Docker's user-land proxy accepts before the program listens, and the kernel accepts for a program that hangs. Use a
real protocol where there is one.
"""

import time
from contextlib import closing

from servers.protocols.sockets import Deadline, TcpStream
from servers.protocols.status import GameStatus


def query(host: str, port: int, timeout: float) -> GameStatus:
    """Connect and hang up."""
    started = time.monotonic()
    with closing(TcpStream(host, port, Deadline(timeout))):
        latency_ms = (time.monotonic() - started) * 1000
    return GameStatus(None, None, "", "accepts connections", latency_ms)
