#!/usr/bin/env python3
"""A small game server that speaks what real ones speak, in one file that needs nothing but Python 3.9.

The game: connect with `nc HOST PORT`, give a name, guess a number, chat; scores outlive a restart. On the game port it
also answers the Minecraft list ping (TCP) and the Steam query A2S (UDP); Source RCON has a port of its own, and the
same commands work on standard input. SAMPLE_MODE makes it misbehave on purpose, so that whoever runs game servers can
see what happens: see MODES below. Everything runs in one thread around one selector.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import selectors
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

VERSION = "sample-1"
TICK_SECONDS = 0.25
AUTOSAVE_SECONDS = 30.0
SNIFF_SECONDS = 1.0
SETTLE_SECONDS = 60.0
MAX_CONNECTIONS = 128
LONGEST_LINE = 256
LARGEST_INPUT = 8192
LARGEST_BACKLOG = 256 * 1024
RCON_PIECE = 4096
MAX_SCORES = 1000
MEBIBYTE = 1024 * 1024
NAME = re.compile(r"[A-Za-z0-9_-]{1,16}")
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MODES = {
    "graceful": "SIGTERM saves and exits 0",
    "ungraceful": "SIGTERM kills without saving; only the command stop exits 0",
    "stubborn": "ignores SIGTERM and SIGINT",
    "crash_after": "crash_after:SECONDS[:CODE] exits without saving (code 1)",
    "hang_after": "hang_after:SECONDS stays alive and answers nothing, not even SIGTERM",
    "slow_start": "slow_start:SECONDS before the ports open",
    "never_ready": "opens no port",
    "oom": "oom[:MEBIBYTES] takes memory until it is killed or has that much (4096)",
    "fork_bomb_limited": "fork_bomb_limited:COUNT children that sleep",
    "fill_disk": "fill_disk:MEBIBYTES writes a file of that size to its data",
}


def read_settings(arguments: list[str], environment: dict[str, str]) -> argparse.Namespace:
    """Return the settings or leave with code 2 and a sentence; a password in a flag would show in the process list."""
    modes = "; ".join(f"{name}: {meaning}" for name, meaning in MODES.items())
    rcon_note = "RCON needs $RCON_PASSWORD or $RCON_PASSWORD_FILE."
    parser = argparse.ArgumentParser(description="A sample game server.", epilog=f"{rcon_note} Modes: {modes}.")

    def setting(flag: str, variable: str, default: str, kind: Callable[[str], Any]) -> None:
        chosen = environment.get(variable) or default
        parser.add_argument(flag, default=chosen, type=kind, help=f"${variable} ({default or 'none'})")

    setting("--ip", "SERVER_IP", "0.0.0.0", str)  # noqa: S104 - a container does not know its address
    setting("--port", "SERVER_PORT", "25565", int)
    setting("--rcon-ip", "RCON_IP", "", str)  # empty: that of the game
    setting("--rcon-port", "RCON_PORT", "-1", int)
    setting("--name", "SERVER_NAME", "Sample server", lambda text: clean(text)[:64])
    setting("--max-players", "MAX_PLAYERS", "20", int)
    setting("--motd", "MOTD", "Guess the number", lambda text: clean(text)[:128])
    setting("--welcome", "WELCOME", "Welcome!", lambda text: clean(text)[:LONGEST_LINE])
    setting("--data-dir", "DATA_DIR", "data", Path)
    setting("--mode", "SAMPLE_MODE", "graceful", str)
    settings = parser.parse_args(arguments)
    settings.rcon_password = environment.get("RCON_PASSWORD", "")
    try:
        if environment.get("RCON_PASSWORD_FILE"):
            settings.rcon_password = Path(environment["RCON_PASSWORD_FILE"]).read_text(encoding="utf-8").strip("\r\n")
        if not 1 <= settings.max_players <= 100:
            raise ValueError("the number of players lies between 1 and 100")
        if not (0 <= settings.port <= 65535 and -1 <= settings.rcon_port <= 65535):
            raise ValueError("a port lies between 1 and 65535")
        settings.mode, *numbers = settings.mode.split(":")
        settings.mode_arguments = [float(number) for number in numbers]
        if settings.mode not in MODES or (MODES[settings.mode].startswith(settings.mode + ":") and not numbers):
            raise ValueError(f"the mode is not one of: {modes}")
    except (ValueError, OSError) as error:
        parser.error(str(error))
    return settings


def clean(text: str) -> str:
    """Return text that cannot forge a line in a log or a chat."""
    return UNPRINTABLE.sub("", text).strip()


def log(text: str) -> None:
    """Write one line to standard output; a full disk or a reader that went away is no reason to stop a game."""
    with contextlib.suppress(OSError):
        os.write(1, f"{time.strftime('[%H:%M:%S]')} {text}\n".encode(errors="replace"))


class World:
    """What outlives a restart."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "world.json"
        self.starts = 0
        self.scores: dict[str, int] = {}
        self.is_dirty = False

    def load(self) -> None:
        """Read the file if there is one; raise ValueError for one that is damaged rather than overwrite it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if self.file.exists():
            stored = json.loads(self.file.read_text(encoding="utf-8"))
            self.starts = int(stored["starts"])
            self.scores = {str(name): int(score) for name, score in stored["scores"].items()}
        self.starts += 1

    def save(self) -> bool:
        """Write the file whole or not at all; say whether it was possible."""
        part = self.file.with_suffix(".part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                json.dump({"starts": self.starts, "scores": self.scores}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(self.file)
        except OSError as error:
            log(f"Cannot save: {error.strerror}")
            return False
        self.is_dirty = False
        return True

    def add_point(self, name: str) -> int:
        """Give a player a point."""
        if name in self.scores or len(self.scores) < MAX_SCORES:
            self.scores[name] = self.scores.get(name, 0) + 1
        self.is_dirty = True
        return self.scores.get(name, 0)


# --- packets ---


def varint(value: int) -> bytes:
    """Encode a length as Minecraft does."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(encoded) + bytes([value])


def take_minecraft_packet(buffer: bytearray) -> bytes | None:
    """Remove and return one packet, None while it is incomplete; raise ValueError for nonsense."""
    length = 0
    for position in range(3):
        if position >= len(buffer):
            return None
        length |= (buffer[position] & 0x7F) << (7 * position)
        if not buffer[position] & 0x80:
            break
    start = position + 1
    if not 1 <= length <= 1024:
        raise ValueError("bad packet length")
    if len(buffer) < start + length:
        return None
    packet = bytes(buffer[start : start + length])
    del buffer[: start + length]
    return packet


def minecraft_string(value: Any) -> bytes:
    """Encode packet 0 with one JSON string, which is a status as well as a refusal to let a player in."""
    text = json.dumps(value).encode()
    packet = b"\0" + varint(len(text)) + text
    return varint(len(packet)) + packet


def rcon_packet(packet_id: int, packet_type: int, body: bytes = b"") -> bytes:
    """Encode an RCON packet."""
    return struct.pack("<iii", len(body) + 10, packet_id, packet_type) + body + b"\0\0"


def text_field(text: str) -> bytes:
    """Encode a text of an A2S answer."""
    return text.encode(errors="replace")[:120] + b"\0"


@dataclass
class Connection:
    """One TCP client; `kind` is unknown until its first bytes say whether it is a player or a Minecraft client."""

    socket: socket.socket
    kind: str
    opened_at: float
    received: bytearray = field(default_factory=bytearray)
    backlog: bytearray = field(default_factory=bytearray)
    name: str = ""
    is_logged_in: bool = False
    is_closing: bool = False
    next_state: int = 0


class Server:
    """The game, its ports and its console."""

    def __init__(self, settings: argparse.Namespace) -> None:
        self.settings = settings
        self.world = World(settings.data_dir)
        self.selector = selectors.DefaultSelector()
        self.connections: list[Connection] = []
        self.port = settings.port
        self.challenge_key = secrets.token_bytes(16)
        self.number = self.new_number()
        self.started_at = time.monotonic()
        self.saved_at = self.started_at
        self.stop_reason = ""
        self.console = bytearray()
        self.mischief: Iterator[None] | None = None
        self.mischief_at = self.started_at
        self.children: list[int] = []

    # --- life ---

    def run(self) -> int:
        """Play until told to stop; return the exit code."""
        try:
            self.world.load()
        except (ValueError, KeyError, TypeError, AttributeError):
            log(f"The file {self.world.file} is damaged; move it away to start anew")
            return 3
        except OSError as error:
            log(f"Cannot use the data directory {self.settings.data_dir}: {error.strerror}")
            return 1
        if not self.world.save():
            return 1
        self.install_signals()
        self.watch_console()
        self.start_mischief()
        if self.settings.mode == "slow_start":
            self.play_until(self.started_at + self.argument(0, 5))
        if self.settings.mode != "never_ready" and not self.stop_reason:
            self.open_ports()
        self.play_until(float("inf"))
        return self.shut_down()

    def argument(self, position: int, default: float) -> float:
        """Return an argument of the mode."""
        arguments = self.settings.mode_arguments
        return arguments[position] if position < len(arguments) else default

    def install_signals(self) -> None:
        """Make SIGTERM mean what the mode says; as process 1 the default action would be to ignore it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if self.settings.mode == "stubborn":
                signal.signal(number, signal.SIG_IGN)
            elif self.settings.mode != "ungraceful":
                signal.signal(number, lambda got, _: self.stop(signal.Signals(got).name))
            elif os.getpid() == 1:
                signal.signal(number, lambda got, _: os._exit(128 + got))
            else:
                signal.signal(number, signal.SIG_DFL)

    def stop(self, reason: str) -> None:
        """End the loop soon."""
        self.stop_reason = self.stop_reason or reason

    def play_until(self, end: float) -> None:
        """Serve whoever calls until the time has come or somebody said stop."""
        while not self.stop_reason and time.monotonic() < end:
            now = time.monotonic()
            is_busy = self.mischief is not None and now >= self.mischief_at
            for key, events in self.selector.select(0 if is_busy else TICK_SECONDS):
                key.data(events)
            for connection in list(self.connections):
                self.check_age(connection, now)
            if self.world.is_dirty and now - self.saved_at > AUTOSAVE_SECONDS:
                self.saved_at = now
                self.world.save()
            if self.mischief and is_busy and next(self.mischief, "done") == "done":
                self.mischief = None

    def shut_down(self) -> int:
        """Save, say goodbye and return the exit code."""
        log(f"Stopping ({self.stop_reason})")
        self.broadcast("The server stops. Goodbye.")
        is_saved = self.world.save()
        for connection in list(self.connections):
            self.flush(connection)
            self.drop(connection)
        for child in self.children:
            os.kill(child, signal.SIGKILL)
        log("Saved. Goodbye." if is_saved else "Stopped without saving")
        return 0 if is_saved else 1

    # --- misbehaviour ---

    def start_mischief(self) -> None:
        """Prepare what the mode asks for."""
        makers: dict[str, Callable[[], Iterator[None]]] = {
            "crash_after": self.crash,
            "hang_after": self.hang,
            "oom": self.hog_memory,
            "fill_disk": self.fill_disk,
        }
        if self.settings.mode == "fork_bomb_limited":
            self.fork_children(int(self.argument(0, 100)))
        elif self.settings.mode in makers:
            self.mischief = makers[self.settings.mode]()
        if self.settings.mode in {"crash_after", "hang_after"}:
            self.mischief_at += self.argument(0, 0)

    def crash(self) -> Iterator[None]:
        yield
        log("Crashing on purpose")
        os._exit(int(self.argument(1, 1)) & 0xFF)

    def hang(self) -> Iterator[None]:
        yield
        log("Hanging on purpose")
        while True:
            time.sleep(3600)

    def hog_memory(self) -> Iterator[None]:
        held: list[bytes] = []
        most = int(self.argument(0, 4096))
        while len(held) * 16 < most:
            held.append(b"\x01" * (16 * MEBIBYTE))
            time.sleep(0.02)
            yield
        log(f"Holding {most} MiB")
        while held:
            time.sleep(0.05)
            yield

    def fill_disk(self) -> Iterator[None]:
        wanted, written = int(self.argument(0, 0)), 0
        try:
            with (self.settings.data_dir / "fill.bin").open("wb", buffering=0) as stream:
                while written < wanted:
                    stream.write(b"\x01" * MEBIBYTE)
                    written += 1
                    yield
        except OSError as error:
            log(f"Disk full after {written} MiB: {error.strerror}")
        else:
            log(f"Wrote {written} MiB")

    def fork_children(self, count: int) -> None:
        try:
            for _ in range(count):
                child = os.fork()
                if child == 0:
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    time.sleep(300)
                    os._exit(0)
                self.children.append(child)
        except OSError as error:
            log(f"Forked {len(self.children)} of {count} children: {error.strerror}")
        else:
            log(f"Forked {count} children")

    # --- ports ---

    def open_ports(self) -> None:
        """Listen on exactly the given address, the game on TCP and UDP of one number."""
        ip = self.settings.ip
        game = self.listen(ip, self.settings.port, "unknown")
        self.port = game.getsockname()[1]
        udp = self.bind(socket.SOCK_DGRAM, ip, self.port)
        self.selector.register(udp, selectors.EVENT_READ, lambda _: self.answer_query(udp))
        if self.settings.rcon_password and self.settings.rcon_port >= 0:
            rcon_ip = self.settings.rcon_ip or ip
            rcon = self.listen(rcon_ip, self.settings.rcon_port, "rcon")
            log(f"RCON listens on {rcon_ip}:{rcon.getsockname()[1]}")
        log(f"Start number {self.world.starts}, {len(self.world.scores)} scores known")
        log(f"Server ready on {ip}:{self.port}")

    @staticmethod
    def bind(kind: int, ip: str, port: int) -> socket.socket:
        """Return a bound socket or end with code 1 and the reason."""
        bound = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, kind)
        if kind == socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a restart follows the last player closely
        try:
            bound.bind((ip, port))
        except OSError as error:
            log(f"Cannot listen on {ip}:{port}: {error.strerror}")
            sys.exit(1)
        bound.setblocking(False)
        return bound

    def listen(self, ip: str, port: int, kind: str) -> socket.socket:
        listener = self.bind(socket.SOCK_STREAM, ip, port)
        listener.listen(64)
        self.selector.register(listener, selectors.EVENT_READ, lambda _: self.accept(listener, kind))
        return listener

    def accept(self, listener: socket.socket, kind: str) -> None:
        try:
            accepted, _ = listener.accept()
        except OSError:
            return
        if len(self.connections) >= MAX_CONNECTIONS:
            accepted.close()
            return
        accepted.setblocking(False)
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = Connection(accepted, kind, time.monotonic())
        self.connections.append(connection)
        self.selector.register(accepted, selectors.EVENT_READ, lambda events: self.serve(connection, events))

    def serve(self, connection: Connection, events: int) -> None:
        """Read what came, act on it, write what waits."""
        if events & selectors.EVENT_READ:
            try:
                piece = connection.socket.recv(4096)
            except BlockingIOError:
                piece = None
            except OSError:
                piece = b""
            if piece == b"":
                self.drop(connection)
                return
            connection.received += piece or b""
            try:
                self.understand(connection)
            except (ValueError, IndexError, struct.error):
                connection.is_closing = True
            if len(connection.received) > LARGEST_INPUT:
                connection.is_closing = True
        self.flush(connection)

    def understand(self, connection: Connection) -> None:
        if connection.kind == "unknown":
            self.sniff(connection)
        if connection.kind == "game":
            self.read_lines(connection)
        elif connection.kind == "minecraft":
            self.read_minecraft(connection)
        elif connection.kind == "rcon":
            self.read_rcon(connection)

    def sniff(self, connection: Connection) -> None:
        """A Minecraft packet has the byte 0 behind its length, a line of text never has."""
        data = connection.received
        behind_length = 2 if data[:1] >= b"\x80" else 1
        if len(data) <= behind_length:
            return
        if data[behind_length] == 0:
            connection.kind = "minecraft"
        else:
            self.greet(connection)

    def check_age(self, connection: Connection, now: float) -> None:
        """Greet a silent player, who waits for us to speak first, and drop whoever never gets to the point."""
        age = now - connection.opened_at
        if connection.kind == "unknown" and age > SNIFF_SECONDS:
            self.greet(connection)
            self.understand(connection)
        if age > SETTLE_SECONDS and not (connection.name or connection.is_logged_in):
            self.drop(connection)

    def send(self, connection: Connection, data: bytes) -> None:
        if len(connection.backlog) + len(data) > LARGEST_BACKLOG:
            connection.is_closing = True
        else:
            connection.backlog += data
        self.flush(connection)

    def flush(self, connection: Connection) -> None:
        """Write what the client takes now, and close if that was the last word."""
        if connection not in self.connections:
            return
        try:
            while connection.backlog:
                del connection.backlog[: connection.socket.send(connection.backlog)]
        except BlockingIOError:
            pass
        except OSError:
            self.drop(connection)
            return
        if connection.is_closing:
            self.drop(connection)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.backlog else 0)
        self.selector.modify(connection.socket, events, self.selector.get_key(connection.socket).data)

    def drop(self, connection: Connection) -> None:
        if connection not in self.connections:
            return
        self.connections.remove(connection)
        self.selector.unregister(connection.socket)
        connection.socket.close()
        if connection.name:
            log(f"{connection.name} left ({len(self.players())}/{self.settings.max_players})")

    # --- the game ---

    @staticmethod
    def new_number() -> int:
        return secrets.randbelow(100) + 1

    def players(self) -> list[Connection]:
        return [connection for connection in self.connections if connection.name]

    def say(self, connection: Connection, text: str) -> None:
        self.send(connection, text.encode(errors="replace") + b"\n")

    def broadcast(self, text: str) -> None:
        for player in self.players():
            self.say(player, text)

    def greet(self, connection: Connection) -> None:
        connection.kind = "game"
        self.say(connection, f"{self.settings.name}: {self.settings.welcome}")
        self.say(connection, "What is your name?")

    def read_lines(self, connection: Connection) -> None:
        while not connection.is_closing and (end := connection.received.find(b"\n")) >= 0:
            line = clean(connection.received[:end].decode(errors="replace"))[:LONGEST_LINE]
            del connection.received[: end + 1]
            if not connection.name:
                self.join(connection, line)
            elif line:
                self.play(connection, line)
        if len(connection.received) > LONGEST_LINE:
            raise ValueError("line too long")

    def join(self, connection: Connection, name: str) -> None:
        if not NAME.fullmatch(name) or any(player.name.lower() == name.lower() for player in self.players()):
            self.say(connection, "That name is taken or has odd characters. What is your name?")
        elif len(self.players()) >= self.settings.max_players:
            self.say(connection, "The server is full.")
            connection.is_closing = True
        else:
            connection.name = name
            log(f"{name} joined ({len(self.players())}/{self.settings.max_players})")
            self.say(connection, f"Hello {name}. Guess my number from 1 to 100. /scores /who /quit, or just chat.")

    def play(self, connection: Connection, line: str) -> None:
        """A number is a guess, a slash starts a command, the rest is chat."""
        if line.isdecimal():
            self.guess(connection, int(line[:9]))
        elif line == "/quit":
            self.say(connection, "Goodbye.")
            connection.is_closing = True
        elif line == "/who":
            self.say(connection, self.do_list(""))
        elif line == "/scores":
            best = sorted(self.world.scores.items(), key=lambda entry: -entry[1])[:10]
            self.say(connection, ", ".join(f"{name} {score}" for name, score in best) or "No scores yet.")
        else:
            log(f"<{connection.name}> {line}")
            self.broadcast(f"<{connection.name}> {line}")

    def guess(self, connection: Connection, number: int) -> None:
        if number != self.number:
            self.say(connection, "Higher." if number < self.number else "Lower.")
            return
        points = self.world.add_point(connection.name)
        self.number = self.new_number()
        log(f"{connection.name} found the number and has {points} points")
        self.broadcast(f"{connection.name} found the number and has {points} points. I have a new one.")

    # --- Minecraft list ping, Steam query, RCON ---

    def read_minecraft(self, connection: Connection) -> None:
        while not connection.is_closing and (packet := take_minecraft_packet(connection.received)):
            if connection.next_state == 0:
                connection.next_state = packet[-1]
            elif connection.next_state != 1:
                self.send(connection, minecraft_string({"text": "This is the sample server: use nc or telnet."}))
                connection.is_closing = True
            elif packet[0] == 0:
                players = self.players()
                status = {
                    "version": {"name": VERSION, "protocol": 0},
                    "players": {
                        "max": self.settings.max_players,
                        "online": len(players),
                        "sample": [{"name": p.name, "id": f"00000000-0000-0000-0000-{i:012x}"}
                                   for i, p in enumerate(players[:10])],
                    },
                    "description": {"text": self.settings.motd},
                }  # fmt: skip
                self.send(connection, minecraft_string(status))
            else:
                self.send(connection, varint(len(packet)) + packet)
                connection.is_closing = True

    def answer_query(self, udp: socket.socket) -> None:
        """Answer A2S, but only senders who have proved that they receive at their address."""
        try:
            request, sender = udp.recvfrom(2048)
        except OSError:
            return
        is_info = request.startswith(b"\xff\xff\xff\xffTSource Engine Query\0")
        if not is_info and not request.startswith(b"\xff\xff\xff\xffU"):
            return
        challenge = hashlib.blake2s(repr(sender).encode(), key=self.challenge_key, digest_size=4).digest()
        players = self.players()
        if request[25 if is_info else 5 :] != challenge:
            answer = b"A" + challenge
        elif is_info:
            answer = b"I\x11" + text_field(self.settings.name) + text_field("lobby") + text_field("sample")
            answer += text_field("Guess the number") + struct.pack(
                "<HBBB", 0, len(players), self.settings.max_players, 0
            )
            answer += b"dl\0\0" + text_field(VERSION) + b"\x80" + struct.pack("<H", self.port)
        else:
            answer = b"D" + bytes([len(players[:40])])
            for index, player in enumerate(players[:40]):
                seconds = time.monotonic() - player.opened_at
                answer += bytes([index]) + text_field(player.name)
                answer += struct.pack("<if", self.world.scores.get(player.name, 0), seconds)
        try:
            udp.sendto(b"\xff\xff\xff\xff" + answer, sender)
        except OSError:
            return

    def read_rcon(self, connection: Connection) -> None:
        while not connection.is_closing and len(connection.received) >= 4:
            (size,) = struct.unpack_from("<i", connection.received)
            if not 10 <= size <= 4106:
                raise ValueError("bad packet size")
            if len(connection.received) < size + 4:
                return
            packet_id, packet_type = struct.unpack_from("<ii", connection.received, 4)
            body = bytes(connection.received[12 : size + 2])
            del connection.received[: size + 4]
            if packet_type == 3:
                self.log_in(connection, packet_id, body)
            elif not connection.is_logged_in:
                raise ValueError("not logged in")
            elif packet_type == 2:
                answer = self.execute(body.decode(errors="replace"), "RCON").encode(errors="replace")
                for start in range(0, len(answer) or 1, RCON_PIECE):
                    self.send(connection, rcon_packet(packet_id, 0, answer[start : start + RCON_PIECE]))
            else:
                self.send(connection, rcon_packet(packet_id, 0) + rcon_packet(packet_id, 0, b"\0\1\0\0"))

    def log_in(self, connection: Connection, packet_id: int, password: bytes) -> None:
        """Answer as Source does, with an empty packet in front."""
        connection.is_logged_in = hmac.compare_digest(password, self.settings.rcon_password.encode())
        self.send(connection, rcon_packet(packet_id, 0))
        self.send(connection, rcon_packet(packet_id if connection.is_logged_in else -1, 2))
        if not connection.is_logged_in:
            log("RCON log-in refused")
            connection.is_closing = True

    # --- commands, the same on every console ---

    def watch_console(self) -> None:
        try:
            self.selector.register(0, selectors.EVENT_READ, lambda _: self.read_console())
        except (OSError, ValueError):
            return  # no standard input, or a file such as /dev/null that cannot be watched

    def read_console(self) -> None:
        try:
            piece = os.read(0, 4096)
        except OSError:  # the terminal is gone
            piece = b""
        if not piece:
            self.selector.unregister(0)
        self.console += piece
        while (end := self.console.find(b"\n")) >= 0:
            line = self.console[:end].decode(errors="replace")
            del self.console[: end + 1]
            if line.strip():
                log(self.execute(line, "console"))
        if len(self.console) > LARGEST_INPUT:
            self.console.clear()

    def execute(self, line: str, source: str) -> str:
        """Run a command and return its answer."""
        name, _, argument = clean(line).partition(" ")
        command: Callable[[str], str] | None = getattr(self, f"do_{name.lower()}", None)
        if command is None:
            return f"Unknown command {name!r}. Try help."
        if source != "console":
            log(f"{source} command {name.lower()}")
        return command(argument.strip())

    def do_help(self, _: str) -> str:
        """this list"""
        commands = [name for name in sorted(dir(self)) if name.startswith("do_")]
        return "\n".join(f"{name[3:]}: {getattr(self, name).__doc__}" for name in commands)

    def do_list(self, _: str) -> str:
        """who plays"""
        names = [player.name for player in self.players()]
        return f"There are {len(names)} of a max of {self.settings.max_players} players online: {', '.join(names)}"

    def do_say(self, text: str) -> str:
        """say TEXT to all players"""
        self.broadcast(f"[Server] {text}")
        return f"[Server] {text}"

    def do_echo(self, text: str) -> str:
        """answer with TEXT"""
        return text

    def do_save(self, _: str) -> str:
        """write the scores to disk"""
        return "Saved the game" if self.world.save() else "The game could not be saved"

    def do_kick(self, name: str) -> str:
        """kick NAME off the server"""
        for player in self.players():
            if player.name.lower() == name.lower():
                self.say(player, "You were kicked.")
                self.drop(player)
                return f"Kicked {player.name}"
        return f"No player {name!r} is online"

    def do_status(self, _: str) -> str:
        """how the server is"""
        uptime = int(time.monotonic() - self.started_at)
        return (
            f"{self.settings.name}, {VERSION}, port {self.port}, players {len(self.players())}/"
            f"{self.settings.max_players}, up {uptime} s, start {self.world.starts}, mode {self.settings.mode}"
        )

    def do_stop(self, _: str) -> str:
        """save and end"""
        self.stop("command")
        return "Stopping the server"


if __name__ == "__main__":
    sys.exit(Server(read_settings(sys.argv[1:], dict(os.environ))).run())
