"""Teeworlds econ: a text console over TCP, the only way to end a Teeworlds server in order.

Seen on teeworlds-server 0.7.5: each line ends with a line feed and two NULs; the server repeats our command in a line
of its own, then prints what the command says among whatever else happens on the server, with no end mark. So an
`echo` of a random word follows every command, and its line is the end. A line of about 1400 bytes makes the server
drop the connection, three wrong passwords make it hang up (and ban, if so configured), and only four consoles may be
open at once: connect, ask, close. The server binds without SO_REUSEADDR, so a console that it closed itself (as it
does on `shutdown`) would keep the port for a minute, and a server started again in that time runs without econ and
says so only in its log: therefore we hang up with a reset.
"""

import re
import secrets
from types import TracebackType
from typing import Self

from servers.protocols.errors import AuthenticationFailed, InvalidRequest, Malformed, Unreachable
from servers.protocols.sockets import Deadline, TcpStream
from servers.protocols.status import clean_text

LONGEST_COMMAND = 1000
LONGEST_LINE = 8192
MAX_LINES = 5000
MAX_GREETING_LINES = 20

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_PREFIX = re.compile(r"^\[[\d :-]+\]\[[^\]]{1,40}\]: ")
_OWN_COMMAND = re.compile(r": cid=\d+ cmd='")


def strip_prefix(line: str) -> str:
    """Return the message of a console line without its time and the name of the part that spoke."""
    return _PREFIX.sub("", line)


class EconClient:
    """One console session on one connection."""

    def __init__(self, host: str, port: int, password: str, timeout: float = 5.0) -> None:
        self.host = host
        self.port = port
        self.timeout = timeout
        self._password = password
        self._stream: TcpStream | None = None

    def __repr__(self) -> str:
        return f"<EconClient {self.host} port {self.port}>"

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect and log in."""
        if not self._password or _CONTROL.search(self._password):
            raise InvalidRequest("The econ password is empty or not one line.")
        deadline = Deadline(self.timeout)
        stream = TcpStream(self.host, self.port, deadline)
        stream.reset_on_close()
        try:
            self._log_in(stream, deadline)
        except BaseException:
            stream.close()
            raise
        self._stream = stream

    def command(self, command: str, timeout: float | None = None, *, may_close: bool = False) -> str:
        """Run one command and return what the console printed until it was done.

        Lines of other events may stand between. `may_close` is for the command that ends the server, where a closed
        connection is as good as an answer. After a failure the connection is closed.
        """
        if not command.strip() or _CONTROL.search(command):
            raise InvalidRequest("A command is one line without control characters.")
        body = command.encode(errors="replace")
        if len(body) > LONGEST_COMMAND:
            raise InvalidRequest(f"A command may have {LONGEST_COMMAND} bytes; this one has {len(body)}.")
        if self._stream is None:
            raise Unreachable("The console is not connected.")
        lines: list[str] = []
        deadline = Deadline(self.timeout if timeout is None else timeout)
        try:
            self._exchange(self._stream, body, lines, deadline)
        except Unreachable:
            self.close()
            if not may_close:
                raise
        except BaseException:
            self.close()
            raise
        return "\n".join(lines)

    def close(self) -> None:
        """Close the connection; safe to repeat."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _log_in(self, stream: TcpStream, deadline: Deadline) -> None:
        asked = False
        for _ in range(MAX_GREETING_LINES):
            line = _read_line(stream, deadline)
            if not asked and line.startswith("Enter password"):
                asked = True
                stream.send(self._password.encode(errors="replace") + b"\n", deadline)
            elif asked and line.startswith("Authentication successful"):
                # The server's own note of the log-in follows and would stand in the first answer.
                self._exchange(stream, b"", [], deadline)
                return
            elif line.startswith(("Wrong password", "Too many authentication tries", "You are banned")):
                raise AuthenticationFailed("The server refused the econ password.")
        raise Malformed("The server does not greet like an econ console.")

    def _exchange(self, stream: TcpStream, body: bytes, lines: list[str], deadline: Deadline) -> None:
        mark = "end-" + secrets.token_hex(8)
        stream.send(body + b"\necho " + mark.encode() + b"\n", deadline)
        for _ in range(MAX_LINES):
            line = _read_line(stream, deadline)
            if _OWN_COMMAND.search(line):
                continue
            if line.endswith(mark):
                return
            lines.append(strip_prefix(line))
        raise Malformed(f"The answer exceeds {MAX_LINES} lines.")


def _read_line(stream: TcpStream, deadline: Deadline) -> str:
    raw = stream.read_line(LONGEST_LINE, deadline).replace(b"\0", b"")
    return clean_text(raw.decode(errors="replace")).strip("\r\n")
