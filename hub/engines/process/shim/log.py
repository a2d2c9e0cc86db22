"""A workload's output on disk: bounded, whole lines, no secrets."""

from __future__ import annotations

import contextlib
import os
import time

NOTICE = b"[hub] "


class Log:
    """The workload's output in segments `log.<n>` of bounded size, secrets masked, floods dropped.

    Only whole lines are written. A line that is too long is cut, and enough of its end held back that a secret split
    over two reads is still seen.
    """

    segment_bytes = 5 * 1024 * 1024
    segments = 2
    line_bytes = 8 * 1024
    rate_bytes = 1024 * 1024  # kept each second
    flood_bytes = 16 * 1024 * 1024  # read each second; beyond, the program waits

    def __init__(self, directory: str, secrets: list[str]) -> None:
        self.directory = directory
        parts = {part.strip().encode() for secret in secrets for part in secret.splitlines()}
        self.secrets = sorted((part for part in parts if len(part) >= 3), key=len, reverse=True)
        self.hold = len(self.secrets[0]) - 1 if self.secrets else 0
        self.line_bytes = max(self.line_bytes, 2 * self.hold)
        self.partial = b""
        self.is_skipping = False
        self.is_flooded = False
        self.window_ends = 0.0
        self.seen = self.dropped = 0
        self._open(max(self._numbers(), default=int(time.time())))

    def feed(self, data: bytes, now: float) -> None:
        """Take what the program wrote."""
        self._roll(now)
        self.seen += len(data)
        if self.seen > self.rate_bytes:
            self._drop(data)
            return
        if self.is_skipping:
            _, newline, data = data.partition(b"\n")
            if not newline:
                return
            self.is_skipping = False
        *lines, self.partial = (self.partial + data).split(b"\n")
        self._write([piece for line in lines for piece in self._pieces(self.mask(line))])
        if len(self.partial) > self.line_bytes:
            self._cut()

    def pause(self, now: float) -> float:
        """How long to leave the program's output alone, because it floods."""
        return max(0.0, self.window_ends - now) if self.seen > self.flood_bytes else 0.0

    def notice(self, text: str) -> None:
        """Add a line of our own."""
        self._write([NOTICE + text.encode()])

    def close(self) -> None:
        """Write what is left of an unfinished line."""
        if self.partial:
            self._write(self._pieces(self.mask(self.partial)))
            self.partial = b""
        os.close(self.fd)

    def mask(self, line: bytes) -> bytes:
        """Replace each secret."""
        for secret in self.secrets:
            if secret in line:
                line = line.replace(secret, b"***")
        return line

    def _roll(self, now: float) -> None:
        """Begin a new second; a second without loss ends the flood."""
        if now >= self.window_ends:
            self.is_flooded = self.is_flooded and self.dropped > 0
            self.window_ends = now + 1.0
            self.seen = self.dropped = 0

    def _drop(self, data: bytes) -> None:
        if not self.is_flooded:
            self.is_flooded = True
            self.notice("More than 1 MiB of output in a second: lines are dropped until it calms down.")
        self.dropped += len(data)
        self.partial = b""
        self.is_skipping = not data.endswith(b"\n")

    def _cut(self) -> None:
        """Write most of an endless line. A secret that begins before the cut is whole in the buffer, and masked."""
        masked = self.mask(self.partial)
        cut = len(masked) - self.hold
        self._write(self._pieces(masked[:cut]))
        self.partial = masked[cut:]

    def _pieces(self, line: bytes) -> list[bytes]:
        return [line[i : i + self.line_bytes] for i in range(0, len(line), self.line_bytes)] or [b""]

    def _write(self, lines: list[bytes]) -> None:
        """Append lines; a full disk loses them, never the program."""
        if not lines:
            return
        block = b"\n".join(lines) + b"\n"
        if self.size + len(block) > self.segment_bytes:
            os.close(self.fd)
            self._open(max(self.number + 1, int(time.time())))
        with contextlib.suppress(OSError):
            self.size += os.write(self.fd, block)

    def _open(self, number: int) -> None:
        """Open a segment for appending and remove old ones; numbers are times and never used twice."""
        self.number = number
        self.fd = os.open(f"{self.directory}/log.{number}", os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self.size = os.fstat(self.fd).st_size
        if self.size and os.pread(self.fd, 1, self.size - 1) != b"\n":
            self._write([b""])
        for old in sorted(self._numbers())[: -self.segments]:
            with contextlib.suppress(OSError):
                os.unlink(f"{self.directory}/log.{old}")

    def _numbers(self) -> list[int]:
        names = os.listdir(self.directory)
        return [int(name[4:]) for name in names if name.startswith("log.") and name[4:].isdigit()]
