"""Write to a container's standard input, which Docker keeps open for as long as it runs."""

from __future__ import annotations

import contextlib
import socket

from ..base import EngineError, Reason
from .client import Client
from .errors import refusal, unavailable

INPUT_BYTES = 4096
INPUT_SECONDS = 5.0


def encode_line(line: str) -> bytes:
    """One console line as bytes; two lines in one would be two commands, so they are refused."""
    data = line.rstrip("\r\n").encode() + b"\n"
    if any(character in data[:-1] for character in b"\r\n\0"):
        raise refusal("The console takes one line at a time.")
    if len(data) > INPUT_BYTES:
        raise refusal(f"A console line may have {INPUT_BYTES - 1} bytes at most.")
    return data


def write_line(client: Client, container_id: str, data: bytes) -> None:
    """Attach, write, and wait until the daemon has passed it all on."""
    request = (
        f"POST {client.prefix}/containers/{container_id}/attach?stdin=1&stream=1 HTTP/1.1\r\n"
        "Host: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    with contextlib.closing(client.connect()) as connection:
        connection.sendall(request.encode("ascii"))
        status = _status(connection)
        if status in (404, 409):
            raise EngineError("It is not running.", reason=Reason.NOT_RUNNING)
        if status not in (101, 200):
            raise unavailable("Docker does not open its console.")
        connection.settimeout(INPUT_SECONDS)
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        try:
            while connection.recv(1024):
                pass
        except TimeoutError:
            raise EngineError("It does not read its console.", reason=Reason.TIMED_OUT) from None


def _status(connection: socket.socket) -> int:
    """Read the head of the answer and nothing beyond."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = connection.recv(1)
        if not byte or len(head) > 16_384:
            return 0
        head += byte
    return int(head.split(b" ", 2)[1])
