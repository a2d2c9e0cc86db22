"""Servers that do exactly what a test tells them, on loopback, for one test."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

Script = Callable[["Peer"], None]


class Packet(NamedTuple):
    """An RCON packet as the scripted server sees it."""

    id: int
    type: int
    body: bytes


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, number: int) -> None:
        self.connection = connection
        self.number = number

    def read(self, count: int) -> bytes:
        """Return exactly `count` bytes; end the script when the client is gone."""
        data = b""
        while len(data) < count:
            piece = self.connection.recv(count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read_rcon(self) -> Packet:
        (size,) = struct.unpack("<i", self.read(4))
        payload = self.read(size)
        packet_id, packet_type = struct.unpack_from("<ii", payload)
        return Packet(packet_id, packet_type, payload[8:-2])

    def read_line(self) -> str:
        line = b""
        while not line.endswith(b"\n"):
            line += self.read(1)
        return line.decode().rstrip("\n")

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def send_rcon(self, packet_id: int, packet_type: int, body: bytes = b"") -> None:
        self.send(rcon_bytes(packet_id, packet_type, body))

    def accept_login(self) -> Packet:
        """Let the client in the way Minecraft does."""
        login = self.read_rcon()
        self.send_rcon(login.id, 2)
        return login

    def wait_for_close(self) -> None:
        """Read on until the client hangs up."""
        while self.connection.recv(4096):
            pass


def rcon_bytes(packet_id: int, packet_type: int, body: bytes = b"") -> bytes:
    """Encode an RCON packet without the code under test."""
    return struct.pack("<iii", 10 + len(body), packet_id, packet_type) + body + b"\0\0"


class ScriptedServer:
    """What a test may ask about a scripted server."""

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.connections = 0


@contextmanager
def tcp_server(script: Script, host: str = "127.0.0.1") -> Iterator[ScriptedServer]:
    """Run `script` for every connection, one after the other, until the block ends."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        server = ScriptedServer(host, listener.getsockname()[1])
        open_connections: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                open_connections.append(connection)
                with connection, contextlib.suppress(OSError, EOFError):
                    script(Peer(connection, server.connections))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            for opened in (listener, *open_connections):
                with contextlib.suppress(OSError):
                    opened.shutdown(socket.SHUT_RDWR)
            thread.join(60)


@contextmanager
def udp_server(answer: Callable[[bytes], list[bytes]]) -> Iterator[ScriptedServer]:
    """Answer each datagram with those that `answer` returns."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        udp.settimeout(0.05)
        server = ScriptedServer("127.0.0.1", udp.getsockname()[1])
        is_done = threading.Event()

        def serve() -> None:
            while not is_done.is_set():
                try:
                    datagram, sender = udp.recvfrom(65535)
                except TimeoutError:
                    continue
                server.connections += 1
                for reply in answer(datagram):
                    udp.sendto(reply, sender)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server
        finally:
            is_done.set()
            thread.join(60)
