"""Source RCON: the remote console of Source servers, Minecraft and their many imitators.

Our own client, because each of the four libraries we tried against a scripted server failed. `rcon` and `opengsq`
time out when a Source server sends its empty packet before the login answer; `mcrcon` and `aio-mc-rcon` take that
packet for the answer and return nothing. The last two cut long answers at 4096 bytes, all four raise on a byte that
is not UTF-8, `aio-mc-rcon` gives a command the late answer of the one before, and `mcrcon` replaces the SIGALRM
handler that an RQ work-horse needs for its own time limit.

The wire: little-endian size, id and type, then a body and two NULs; size counts everything after itself. Answers
carry the id of their command. A long answer comes in several packets with no end mark, so something else must tell
its end:

- Source: an empty packet sent right behind the command comes back mirrored, after the last piece.
- Minecraft reads one packet per read() and may lose a second one sent back to back. It cuts answers at 4096
  characters, so a shorter first piece is the whole answer; only after a full one do we send the end mark, and where
  an imitator does not answer that, half a second of silence ends the answer and the connection.

Rules: one deadline per command, log-in included; the connection is dropped after any failure, since the late answer
would reach the next command; a refused password is never tried again, since SRCDS bans the address for it. RCON is
not encrypted: it belongs on loopback or on the workload's own network.
"""

import re
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from types import TracebackType
from typing import NamedTuple, Self

from servers.protocols.errors import (
    AuthenticationFailed,
    InvalidRequest,
    Malformed,
    TimedOut,
    Unreachable,
)
from servers.protocols.sockets import Deadline, TcpStream
from servers.protocols.status import clean_text

RESPONSE, COMMAND, LOGIN_ANSWER, LOGIN = 0, 2, 2, 3
LOGIN_REFUSED = -1
SMALLEST_SIZE = 10
# The paper says 4096, Minecraft counts characters of up to three bytes, some imitators never split at all.
LARGEST_SIZE = 65536
FULL_PIECE = 4086
MAX_ANSWER_BYTES = 1024 * 1024
MAX_STRAY_PACKETS = 16
PAUSE_SECONDS = 0.003
QUIET_SECONDS = 0.5

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


class Dialect(StrEnum):
    """How a server marks the end of an answer."""

    SOURCE = "source"
    MINECRAFT = "minecraft"


LONGEST_BODY = {Dialect.SOURCE: 4086, Dialect.MINECRAFT: 1446}


class Packet(NamedTuple):
    """One RCON packet without its framing."""

    id: int
    type: int
    body: bytes


def encode_packet(packet: Packet) -> bytes:
    """Return the packet as it travels."""
    return struct.pack("<iii", len(packet.body) + SMALLEST_SIZE, packet.id, packet.type) + packet.body + b"\0\0"


def decode_size(header: bytes) -> int:
    """Return the announced size; refuse one that would make us wait or store without end."""
    (size,) = struct.unpack("<i", header)
    if not SMALLEST_SIZE <= size <= LARGEST_SIZE:
        raise Malformed(f"The server announces an RCON packet of {size} bytes.")
    return int(size)


def decode_packet(payload: bytes) -> Packet:
    """Return the packet in what follows the size field; imitators do not agree on the number of closing NULs."""
    if len(payload) < SMALLEST_SIZE:
        raise Malformed(f"The server sent an RCON packet of {len(payload)} bytes.")
    packet_id, packet_type = struct.unpack_from("<ii", payload)
    return Packet(packet_id, packet_type, payload[8:].rstrip(b"\0"))


def decode_answer(body: bytes) -> str:
    """Return readable text: old servers send the section sign as one Latin-1 byte, which is not UTF-8."""
    text = body.decode("utf-8", errors="surrogateescape").replace("\udca7", "§")
    return clean_text(_ESCAPED_BYTE.sub("\ufffd", text))


def encode_command(command: str, dialect: Dialect) -> bytes:
    """Return the command's bytes; refuse line breaks, which would smuggle in a second command."""
    if not command.strip():
        raise InvalidRequest("The command is empty.")
    if _CONTROL.search(command):
        raise InvalidRequest("A command is one line without control characters.")
    try:
        body = command.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest("The command contains characters that cannot be sent.") from error
    if len(body) > LONGEST_BODY[dialect]:
        raise InvalidRequest(f"A command may have {LONGEST_BODY[dialect]} bytes; this one has {len(body)}.")
    return body


class RconClient:
    """One console session; connects when needed, and one command at a time whichever thread asks."""

    def __init__(
        self, host: str, port: int, password: str, timeout: float = 5.0, dialect: Dialect | str = Dialect.SOURCE
    ) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        try:
            self.dialect = Dialect(dialect)
        except ValueError as error:
            raise InvalidRequest(f"There is no RCON dialect {dialect!r}.") from error
        self._password = password
        self._refused = False
        self._stream: TcpStream | None = None
        self._lock = threading.Lock()
        self._last_id = 0
        self._last_sent = 0.0

    def __repr__(self) -> str:
        return f"<RconClient {self.host} port {self.port} ({self.dialect})>"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect and log in unless that is done already."""
        deadline = Deadline(self.timeout)
        with self._turn(deadline):
            self._session(deadline)

    def command(self, command: str, timeout: float | None = None, *, may_close: bool = False) -> str:
        """Run one command and return its answer.

        Never sent twice: after a failure the caller cannot know whether the server ran it. `may_close` is for the
        command that ends the server, where a closed connection is as good as an answer.
        """
        deadline = Deadline(self.timeout if timeout is None else timeout)
        body = encode_command(command, self.dialect)
        with self._turn(deadline):
            stream = self._session(deadline)
            answer = bytearray()
            try:
                self._exchange(stream, body, answer, deadline)
            except Unreachable:
                if not may_close:
                    raise
                self._drop()
            return decode_answer(bytes(answer))

    def close(self) -> None:
        """Close the connection; the next command opens another."""
        with self._lock:
            self._drop()

    @contextmanager
    def _turn(self, deadline: Deadline) -> Iterator[None]:
        """Hold the connection alone, and drop it when anything goes wrong: a late answer must meet nobody."""
        if not self._lock.acquire(timeout=deadline.remaining()):
            raise TimedOut("Another command on this connection is still running.")
        try:
            yield
        except BaseException:
            self._drop()
            raise
        finally:
            self._lock.release()

    def _session(self, deadline: Deadline) -> TcpStream:
        """Return a logged-in connection."""
        if self._refused:
            raise AuthenticationFailed("The server refused this RCON password before; it is not tried again.")
        if self._stream is None:
            stream = TcpStream(self.host, self.port, deadline)
            try:
                self._log_in(stream, deadline)
            except BaseException:
                stream.close()
                raise
            self._stream = stream
        return self._stream

    def _log_in(self, stream: TcpStream, deadline: Deadline) -> None:
        try:
            secret = encode_command(self._password, self.dialect)
        except InvalidRequest:
            raise InvalidRequest("The RCON password is empty, too long or not one line.") from None
        login_id = self._send(stream, LOGIN, secret, deadline)
        for _ in range(MAX_STRAY_PACKETS):
            packet = self._receive(stream, deadline)
            if packet.type != LOGIN_ANSWER:
                continue  # Source sends an empty response first
            if packet.id == login_id:
                return
            if packet.id == LOGIN_REFUSED:
                self._refused = True
                raise AuthenticationFailed("The server refused the RCON password.")
        raise Malformed("The server answers the RCON log-in with something else.")

    def _exchange(self, stream: TcpStream, body: bytes, answer: bytearray, deadline: Deadline) -> None:
        """Send the command and collect the pieces of its answer."""
        command_id = self._send(stream, COMMAND, body, deadline)
        end_id = self._send(stream, RESPONSE, b"", deadline) if self.dialect is Dialect.SOURCE else None
        stray = 0
        while stray < MAX_STRAY_PACKETS:
            try:
                packet = self._receive(stream, self._patience(end_id, deadline))
            except TimedOut:
                if self.dialect is Dialect.SOURCE or end_id is None:
                    raise
                deadline.remaining()
                self._drop()  # this imitator never answers the end mark: what came is all there is
                return
            if packet.id == end_id:
                return
            if packet.id != command_id or not packet.body:
                stray += 1  # the second half of an earlier mirrored end mark, or a flood of nothing
            if packet.id != command_id:
                continue
            answer += packet.body
            if len(answer) > MAX_ANSWER_BYTES:
                raise Malformed(f"The answer exceeds {MAX_ANSWER_BYTES} bytes.")
            if end_id is None:
                if len(packet.body) < FULL_PIECE:
                    return
                # From here on only the mark's answer ends it: a mark still unread would swallow the next command.
                end_id = self._send(stream, RESPONSE, b"", deadline)
        raise Malformed("The server sends RCON packets that answer nothing.")

    def _patience(self, end_id: int | None, deadline: Deadline) -> Deadline:
        """Wait for the whole answer, but for a Minecraft end mark only briefly."""
        if self.dialect is Dialect.SOURCE or end_id is None:
            return deadline
        return Deadline(min(QUIET_SECONDS, deadline.remaining()))

    def _send(self, stream: TcpStream, packet_type: int, body: bytes, deadline: Deadline) -> int:
        if self.dialect is Dialect.MINECRAFT:
            time.sleep(max(0.0, self._last_sent + PAUSE_SECONDS - time.monotonic()))
        self._last_id = self._last_id % 0x7FFFFFF0 + 1
        stream.send(encode_packet(Packet(self._last_id, packet_type, body)), deadline)
        self._last_sent = time.monotonic()
        return self._last_id

    def _receive(self, stream: TcpStream, deadline: Deadline) -> Packet:
        return decode_packet(stream.read(decode_size(stream.read(4, deadline)), deadline))

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
