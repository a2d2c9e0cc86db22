"""Sockets under one deadline: a server that drips a byte per second gains no time, and closes are always paired."""

import socket
import struct
import time
from collections.abc import Callable
from typing import Any, TypeVar

from servers.protocols.errors import InvalidRequest, Malformed, ProtocolError, TimedOut, Unreachable

MAX_DATAGRAM = 65535
MAX_DATAGRAMS_PER_QUESTION = 64
RESEND_SECONDS = 1.0

T = TypeVar("T")


class Deadline:
    """A point in time shared by every step of one question."""

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds <= 3600:
            raise InvalidRequest("The time limit must lie between 0 and 3600 seconds.")
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds left; raise TimedOut when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"No complete answer within {self.seconds:g} seconds.")
        return left


def _resolve(host: str, port: int, kind: socket.SocketKind) -> list[tuple[socket.AddressFamily, Any]]:
    """Return the addresses to try. A name's look-up has the resolver's own time limit; the hub passes addresses."""
    if not 0 < port < 65536:
        raise InvalidRequest(f"{port} is not a port number.")
    try:
        found = socket.getaddrinfo(host, port, type=kind)
    except (OSError, ValueError) as error:  # ValueError: a name that cannot be encoded
        raise Unreachable(f"The address {host!r} cannot be resolved.") from error
    return [(entry[0], entry[4]) for entry in found]


class TcpStream:
    """A TCP connection with exact reads under a deadline that is set per question."""

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        self._name = f"{host} port {port}"
        self._buffer = bytearray()
        self._socket = self._connect(host, port, deadline)

    def _connect(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        reason: OSError | None = None
        for family, address in _resolve(host, port, socket.SOCK_STREAM):
            connection = socket.socket(family, socket.SOCK_STREAM)
            try:
                connection.settimeout(deadline.remaining())
                connection.connect(address)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            except OSError as error:
                connection.close()
                reason = error
            except ProtocolError:
                connection.close()
                raise
            else:
                return connection
        if isinstance(reason, TimeoutError):
            raise TimedOut(f"No connection to {self._name} within {deadline.seconds:g} seconds.") from reason
        raise Unreachable(f"No connection to {self._name}: {_words(reason)}.") from reason

    def send(self, data: bytes, deadline: Deadline) -> None:
        """Send everything or raise."""
        self._socket.settimeout(deadline.remaining())
        try:
            self._socket.sendall(data)
        except TimeoutError as error:
            raise TimedOut(f"{self._name} stopped reading.") from error
        except OSError as error:
            raise Unreachable(f"The connection to {self._name} broke: {_words(error)}.") from error

    def read(self, count: int, deadline: Deadline) -> bytes:
        """Return exactly `count` bytes, however they were cut on the way."""
        while len(self._buffer) < count:
            self._fill(deadline)
        return self._take(count)

    def read_line(self, limit: int, deadline: Deadline) -> bytes:
        """Return one line without its line feed; refuse a longer one than `limit`."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if searched > limit:
                raise Malformed(f"{self._name} sent a line longer than {limit} bytes.")
            self._fill(deadline)
        if end > limit:
            raise Malformed(f"{self._name} sent a line longer than {limit} bytes.")
        return self._take(end + 1)[:-1]

    def _fill(self, deadline: Deadline) -> None:
        self._socket.settimeout(deadline.remaining())
        try:
            piece = self._socket.recv(65536)
        except TimeoutError as error:
            raise TimedOut(f"{self._name} gave no complete answer within {deadline.seconds:g} seconds.") from error
        except OSError as error:
            raise Unreachable(f"The connection to {self._name} broke: {_words(error)}.") from error
        if not piece:
            raise Unreachable(f"{self._name} closed the connection.")
        self._buffer += piece

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def reset_on_close(self) -> None:
        """End with a reset, which leaves the server no TIME_WAIT even if it hung up first."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Close the connection; safe to repeat."""
        self._socket.close()


class UdpPeer:
    """A connected UDP socket: the kernel drops datagrams of strangers and reports a closed port at once."""

    def __init__(self, host: str, port: int, deadline: Deadline) -> None:
        self._name = f"{host} port {port}"
        self._deadline = deadline
        family, address = _resolve(host, port, socket.SOCK_DGRAM)[0]
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError as error:
            self._socket.close()
            raise Unreachable(f"No way to {self._name}: {_words(error)}.") from error

    def ask(self, question: bytes, parse: Callable[[bytes], T | None], resend_seconds: float = RESEND_SECONDS) -> T:
        """Send until `parse` accepts an answer; it returns None for a datagram that belongs to something else.

        A garbled datagram does not end the wait, since the right one may follow, but it names the error if none does.
        """
        garbled: Malformed | None = None
        received = 0
        while received < MAX_DATAGRAMS_PER_QUESTION:
            try:
                self.send(question)
                resend_at = time.monotonic() + resend_seconds
                while (answer := self._receive(resend_at)) is not None and received < MAX_DATAGRAMS_PER_QUESTION:
                    received += 1
                    try:
                        accepted = parse(answer)
                    except Malformed as error:
                        garbled = error
                    else:
                        if accepted is not None:
                            return accepted
            except TimedOut:
                if garbled is not None:
                    raise garbled from None
                raise
        raise garbled or Malformed(f"{self._name} floods us with answers to nothing.")

    def send(self, datagram: bytes) -> None:
        """Send one datagram and expect nothing."""
        try:
            self._socket.send(datagram)
        except OSError as error:
            raise Unreachable(f"Nothing listens at {self._name}: {_words(error)}.") from error

    def _receive(self, until: float) -> bytes | None:
        """Return one datagram, None when it is time to send again."""
        wait = min(self._deadline.remaining(), until - time.monotonic())
        if wait <= 0:
            return None
        self._socket.settimeout(wait)
        try:
            return self._socket.recv(MAX_DATAGRAM)
        except TimeoutError:
            self._deadline.remaining()
            return None
        except OSError as error:
            raise Unreachable(f"Nothing listens at {self._name}: {_words(error)}.") from error

    def close(self) -> None:
        """Close the socket; safe to repeat."""
        self._socket.close()


def _words(error: OSError | None) -> str:
    return ((error and error.strerror) or "no address").lower()
