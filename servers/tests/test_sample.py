"""The sample server as an engine runs it: a process with an environment, a console, signals and ports."""

import ast
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import a2s
import pytest
from mcstatus import JavaServer

from hub.testing import free_port, wait_until
from servers.protocols import AuthenticationFailed, ProtocolError, TimedOut, Unreachable, query
from servers.protocols.rcon import Dialect, RconClient

SERVER = Path(__file__).parent.parent / "sample" / "server.py"
PASSWORD = "correct-horse-battery"


class Sample:
    """A running sample server."""

    def __init__(self, directory: Path, settings: dict[str, str], limits: Callable[[], None] | None = None) -> None:
        self.directory = directory
        self.log_file = directory / "log"
        environment = {
            "SERVER_IP": "127.0.0.1",
            "SERVER_PORT": "0",
            "RCON_PORT": "0",
            "RCON_PASSWORD": PASSWORD,
            "DATA_DIR": str(directory / "data"),
        } | settings
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-I", str(SERVER)],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=limits,
            )

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def wait_for(self, pattern: str, timeout: float = 60.0) -> re.Match[str]:
        """Return the first match in the log, soon."""
        end = time.monotonic() + timeout
        while not (found := re.search(pattern, self.log)):
            assert time.monotonic() < end, f"no {pattern!r} in: {self.log}"
            time.sleep(0.01)
        return found

    @property
    def port(self) -> int:
        return int(self.wait_for(r"Server ready on 127\.0\.0\.1:(\d+)")[1])

    def rcon(self, password: str = PASSWORD, dialect: Dialect = Dialect.SOURCE) -> RconClient:
        port = int(self.wait_for(r"RCON listens on 127\.0\.0\.1:(\d+)")[1])
        return RconClient("127.0.0.1", port, password, dialect=dialect)

    def type(self, line: str) -> None:
        """Enter a line at the console."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def terminate(self) -> int:
        self.process.terminate()
        return self.process.wait(60)

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()


class Start(Protocol):
    """Start a sample server in the test's directory."""

    def __call__(self, limits: Callable[[], None] | None = None, **settings: str) -> Sample: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    samples: list[Sample] = []

    def launch(limits: Callable[[], None] | None = None, **settings: str) -> Sample:
        samples.append(Sample(tmp_path, settings, limits))
        return samples[-1]

    yield launch

    for sample in samples:
        sample.close()


class Player:
    """Somebody with netcat."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.seen = ""

    def type(self, text: str) -> None:
        self.connection.sendall(text.encode() + b"\n")

    def read_until(self, pattern: str) -> re.Match[str]:
        """Return the first match in what came and forget everything before its end."""
        while not (found := re.search(pattern, self.seen)):
            piece = self.connection.recv(4096).decode()
            assert piece, f"hung up before {pattern!r}: {self.seen}"
            self.seen += piece
        self.seen = self.seen[found.end() :]
        return found

    def is_hung_up(self) -> bool:
        with suppress(ConnectionResetError):
            while self.connection.recv(4096):
                pass
        return True


@contextmanager
def playing(port: int, name: str) -> Iterator[Player]:
    player = Player(port)
    with player.connection:
        player.type(name)
        player.read_until(f"Hello {name}")
        yield player


def win(player: Player) -> None:
    """Find the number by halving."""
    low, high = 1, 100
    while True:
        middle = (low + high) // 2
        player.type(str(middle))
        answer = player.read_until(r"(Higher|Lower|found the number)")[1]
        if answer == "Higher":
            low = middle + 1
        elif answer == "Lower":
            high = middle - 1
        else:
            return


def test_one_port_answers_list_ping_steam_query_and_players(start):
    sample = start(SERVER_NAME="Zone 1", MOTD="§aHello", MAX_PLAYERS="8")
    port = sample.port

    with playing(port, "alice"):
        ping = query("minecraft", "127.0.0.1", port)
        steam = query("a2s", "127.0.0.1", port)
        reachable = query("tcp", "127.0.0.1", port)

    assert (ping.players, ping.max_players, ping.version, ping.detail) == (1, 8, "sample-1", "Hello")
    assert (steam.players, steam.max_players, steam.version) == (1, 8, "sample-1")
    assert steam.detail.startswith("Zone 1, map lobby")
    assert reachable.detail == "accepts connections"


def test_libraries_of_others_understand_it_too(start):
    sample = start()
    address = ("127.0.0.1", sample.port)

    with playing(sample.port, "alice") as alice:
        win(alice)
        entry = JavaServer(*address)
        info = a2s.info(address)
        players = a2s.players(address)

        assert [player.name for player in entry.status().players.sample or []] == ["alice"]
        assert entry.ping() > 0
        assert (info.player_count, info.port) == (1, sample.port)
        assert [(player.name, player.score) for player in players] == [("alice", 1)]


def test_silent_player_is_greeted(start):
    sample = start(SERVER_NAME="Zone 1", WELCOME="Mind the gap")

    player = Player(sample.port)

    with player.connection:
        player.read_until(r"Zone 1: Mind the gap\nWhat is your name\?")


def test_minecraft_player_who_tries_to_join_is_told_why_not(start):
    sample = start()

    with socket.create_connection(("127.0.0.1", sample.port), timeout=5) as connection:
        connection.sendall(b"\x10\x00\xff\x05\x09127.0.0.1\x63\xdd\x02" + b"\x07\x00\x05alice")
        answer = connection.recv(4096)

    assert b"sample server" in answer


def test_players_chat_and_see_each_other(start):
    sample = start()

    with playing(sample.port, "alice") as alice, playing(sample.port, "bob") as bob:
        alice.type("hello \x1b[31mall\x07")
        heard = bob.read_until(r"<alice> (.*)\n")[1]
        bob.type("/who")
        bob.read_until("2 of a max of 20 players online: alice, bob")

    assert heard == "hello [31mall"
    sample.wait_for("<alice> hello")


@pytest.mark.parametrize("name", ["Alice", "", "a b", "x" * 17, "<script>"])
def test_name_that_is_taken_or_odd_is_refused(start, name):
    sample = start()

    with playing(sample.port, "alice"):
        other = Player(sample.port)
        with other.connection:
            other.type(name)
            other.read_until("taken or has odd characters")


def test_full_server_turns_players_away(start):
    sample = start(MAX_PLAYERS="1")

    with playing(sample.port, "alice"):
        bob = Player(sample.port)
        bob.type("bob")
        bob.read_until("server is full")

        assert bob.is_hung_up()


def test_scores_survive_a_restart(start):
    first = start()
    with playing(first.port, "alice") as alice:
        win(alice)
        assert first.terminate() == 0

    second = start()
    with playing(second.port, "bob") as bob:
        bob.type("/scores")
        bob.read_until("alice 1")
    second.wait_for("Start number 2, 1 scores known")


def test_damaged_data_is_not_overwritten(start, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "world.json").write_text("{")

    sample = start()

    assert sample.process.wait(60) == 3
    assert (tmp_path / "data" / "world.json").read_text() == "{"


@pytest.mark.parametrize("dialect", list(Dialect))
def test_rcon_commands(start, dialect):
    sample = start(SERVER_NAME="Zone 1")

    with playing(sample.port, "alice") as alice, sample.rcon(dialect=dialect) as rcon:
        answers = {
            name: rcon.command(name) for name in ("list", "say hi", "save", "status", "help", "echo a b", "kick alice")
        }
        alice.read_until(r"\[Server\] hi")
        assert alice.is_hung_up()

    assert answers["list"] == "There are 1 of a max of 20 players online: alice"
    assert answers["save"] == "Saved the game"
    assert answers["status"].startswith("Zone 1, sample-1, port ")
    assert len(answers["help"].splitlines()) == 8
    assert answers["echo a b"] == "a b"
    assert answers["kick alice"] == "Kicked alice"


def test_unknown_command_is_named(start):
    with start().rcon() as rcon:
        assert rcon.command("frobnicate") == "Unknown command 'frobnicate'. Try help."


def test_wrong_rcon_password_is_refused_and_nothing_is_answered_without_one(start):
    sample = start()

    with pytest.raises(AuthenticationFailed):
        sample.rcon("wrong").command("stop")

    with socket.create_connection(("127.0.0.1", sample.rcon().port), timeout=5) as connection:
        connection.sendall(b"\x0e\0\0\0\x01\0\0\0\x02\0\0\0stop\0\0")
        assert connection.recv(100) == b""
    assert sample.process.poll() is None


def test_rcon_password_may_come_from_a_file(start, tmp_path):
    (tmp_path / "secret").write_text("from-a-file-1234\n")
    sample = start(RCON_PASSWORD="", RCON_PASSWORD_FILE=str(tmp_path / "secret"))

    with sample.rcon("from-a-file-1234") as rcon:
        assert rcon.command("echo ok") == "ok"


def test_without_a_password_there_is_no_rcon(start):
    sample = start(RCON_PASSWORD="", RCON_PORT=str(free_port()))

    assert sample.port
    assert "RCON" not in sample.log


def test_rcon_password_is_never_printed(start):
    sample = start()
    with suppress(AuthenticationFailed):
        sample.rcon("wrong").command("list")
    with sample.rcon() as rcon:
        for command in ("help", "status", "list"):
            assert PASSWORD not in rcon.command(command)
    sample.type("status")
    sample.wait_for("mode graceful")
    sample.terminate()

    assert PASSWORD not in sample.log


def test_console_takes_the_same_commands(start):
    sample = start()
    assert sample.port

    sample.type("echo from the console")
    sample.wait_for("from the console")
    sample.type("stop")

    assert sample.process.wait(60) == 0
    assert "Saved. Goodbye." in sample.log


def test_console_may_be_absent(start, tmp_path):
    sample = start()
    assert sample.process.stdin is not None
    sample.process.stdin.close()

    assert query("minecraft", "127.0.0.1", sample.port).players == 0
    assert sample.terminate() == 0


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "rcon", "console"])
def test_graceful_server_saves_and_exits_0(start, how):
    sample = start(SAMPLE_MODE="graceful")
    with playing(sample.port, "alice") as alice:
        win(alice)
        if how == "rcon":
            sample.rcon().command("stop", may_close=True)
        elif how == "console":
            sample.type("stop")
        else:
            sample.process.send_signal(signal.Signals[how])
        alice.read_until("Goodbye")

        assert sample.process.wait(60) == 0
    assert '"alice": 1' in (sample.directory / "data" / "world.json").read_text()


def test_ungraceful_server_dies_of_the_signal_unsaved(start):
    sample = start(SAMPLE_MODE="ungraceful")
    with playing(sample.port, "alice") as alice:
        win(alice)

        assert sample.terminate() == -signal.SIGTERM
    assert "alice" not in (sample.directory / "data" / "world.json").read_text()


def test_ungraceful_server_exits_0_on_its_own_command(start):
    sample = start(SAMPLE_MODE="ungraceful")

    sample.rcon().command("stop", may_close=True)

    assert sample.process.wait(60) == 0


def test_stubborn_server_ignores_signals(start):
    sample = start(SAMPLE_MODE="stubborn")
    assert sample.port

    sample.process.send_signal(signal.SIGTERM)
    sample.process.send_signal(signal.SIGINT)
    time.sleep(0.6)

    assert query("minecraft", "127.0.0.1", sample.port).players == 0


@pytest.mark.parametrize(("mode", "code"), [("crash_after:0.3", 1), ("crash_after:0:42", 42)])
def test_crashing_server_exits_with_its_code(start, mode, code):
    sample = start(SAMPLE_MODE=mode)

    assert sample.process.wait(60) == code
    assert "Server ready" in sample.log
    assert "Saved. Goodbye." not in sample.log


def test_hanging_server_is_alive_and_mute(start):
    sample = start(SAMPLE_MODE="hang_after:0.2")
    port, rcon = sample.port, sample.rcon()
    rcon.timeout = 0.3
    sample.wait_for("Hanging on purpose")

    for ask in (
        lambda: query("minecraft", "127.0.0.1", port, 0.3),
        lambda: query("a2s", "127.0.0.1", port, 0.3),
        lambda: rcon.command("list"),
    ):
        with pytest.raises(TimedOut):
            ask()
    sample.process.terminate()
    time.sleep(0.3)

    assert query("tcp", "127.0.0.1", port).detail == "accepts connections"
    assert sample.process.poll() is None


def test_slow_server_opens_its_ports_late(start):
    port = free_port()
    sample = start(SAMPLE_MODE="slow_start:3", SERVER_PORT=str(port))
    sample.type("echo awake")
    sample.wait_for("awake")

    with pytest.raises(Unreachable):
        query("tcp", "127.0.0.1", port)
    assert sample.port == port
    assert query("minecraft", "127.0.0.1", port).players == 0


def test_server_that_is_never_ready_still_stops(start):
    port = free_port()
    sample = start(SAMPLE_MODE="never_ready", SERVER_PORT=str(port))
    sample.type("echo awake")
    sample.wait_for("awake")

    with pytest.raises(ProtocolError):
        query("tcp", "127.0.0.1", port)
    assert sample.terminate() == 0
    assert "Server ready" not in sample.log


def test_memory_hog_stops_at_its_cap(start):
    sample = start(SAMPLE_MODE="oom:48")
    sample.wait_for("Holding 48 MiB")

    resident_kb = int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{sample.process.pid}/status").read_text())[0])

    assert resident_kb > 48 * 1024
    assert query("minecraft", "127.0.0.1", sample.port).players == 0


def test_memory_hog_dies_at_a_limit(start):
    limit = 300 * 1024 * 1024
    sample = start(lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)), SAMPLE_MODE="oom:1000")

    assert sample.process.wait(60) == 1
    assert "MemoryError" in sample.log


def test_forks_are_counted_and_gone_after_the_end(start):
    sample = start(SAMPLE_MODE="fork_bomb_limited:5")
    sample.wait_for("Forked 5 children")
    children = Path(f"/proc/{sample.process.pid}/task/{sample.process.pid}/children").read_text().split()

    assert sample.terminate() == 0

    assert len(children) == 5
    wait_until(lambda: not any(map(is_running, children)), what="the end of the children")


def is_running(pid: str) -> bool:
    """Say whether a process exists and is more than an entry that nobody has waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_disk_is_filled_to_the_wanted_size(start):
    sample = start(SAMPLE_MODE="fill_disk:3")

    sample.wait_for("Wrote 3 MiB")

    assert (sample.directory / "data" / "fill.bin").stat().st_size == 3 * 1024 * 1024


def test_full_disk_is_reported_and_survived(start):
    limit = 2 * 1024 * 1024
    sample = start(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)), SAMPLE_MODE="fill_disk:5")

    sample.wait_for("Disk full after 2 MiB")

    assert query("minecraft", "127.0.0.1", sample.port).players == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"SAMPLE_MODE": "dance"},
        {"SAMPLE_MODE": "crash_after"},
        {"SAMPLE_MODE": "crash_after:soon"},
        {"SERVER_PORT": "game"},
        {"SERVER_PORT": "65536"},
        {"MAX_PLAYERS": "0"},
        {"RCON_PASSWORD_FILE": "/does/not/exist"},
    ],
)
def test_bad_setting_is_named_and_ends_with_code_2(start, settings):
    sample = start(**settings)

    assert sample.process.wait(60) == 2
    assert "error:" in sample.log


def test_flags_win_over_the_environment(tmp_path):
    environment = {"SAMPLE_MODE": "dance", "SERVER_PORT": "nonsense", "DATA_DIR": str(tmp_path)}
    flags = ["--mode", "crash_after:0:7", "--ip", "127.0.0.1", "--port", "0"]

    done = subprocess.run([sys.executable, "-I", str(SERVER), *flags], env=environment, capture_output=True, timeout=10)

    assert done.returncode == 7


def test_help_names_every_setting_and_mode():
    done = subprocess.run([sys.executable, "-I", str(SERVER), "--help"], env={}, capture_output=True, timeout=10)
    text = " ".join(done.stdout.decode().split())

    for name in ("SERVER_IP", "SERVER_PORT", "RCON_PORT", "SERVER_NAME", "MAX_PLAYERS", "MOTD", "WELCOME", "DATA_DIR"):
        assert f"${name} " in text
    assert "fork_bomb_limited:COUNT" in text


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_taken_port_is_named(start, kind):
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]

        sample = start(SERVER_PORT=str(port))

        assert sample.process.wait(60) == 1
    assert f"Cannot listen on 127.0.0.1:{port}: Address already in use" in sample.log


def test_address_that_the_machine_lacks_is_named(start):
    sample = start(SERVER_IP="192.0.2.1", SERVER_PORT="25565")

    assert sample.process.wait(60) == 1
    assert "Cannot listen on 192.0.2.1:25565: Cannot assign requested address" in sample.log


@pytest.mark.parametrize(
    "flood",
    [b"x" * 100_000, b"\xff" * 100_000, b"\x10\x00" + b"\xff" * 5000, b"\xff\xff\x7f\x00" * 5000, b"\n" * 5000],
)
def test_flood_of_nonsense_does_no_harm(start, flood):
    sample = start()
    port, rcon = sample.port, sample.rcon()

    for target in (port, rcon.port):
        with (
            socket.create_connection(("127.0.0.1", target), timeout=5) as connection,
            suppress(ConnectionResetError, BrokenPipeError, TimeoutError),
        ):
            connection.settimeout(0.5)
            connection.sendall(flood)
            while connection.recv(65536):
                pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.sendto(flood[:1400], ("127.0.0.1", port))

    assert query("minecraft", "127.0.0.1", port).players == 0
    assert rcon.command("echo alive") == "alive"


def test_crowd_of_connections_is_limited(start):
    sample = start()
    crowd = [socket.create_connection(("127.0.0.1", sample.port), timeout=5) for _ in range(140)]

    try:
        assert crowd[-1].recv(100) == b""
    finally:
        for connection in crowd:
            connection.close()

    sample.type("status")
    sample.wait_for("players 0/20")


def test_steam_query_never_answers_more_than_it_was_asked_without_a_challenge(start):
    address = ("127.0.0.1", start().port)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        for question in (b"\xff\xff\xff\xffTSource Engine Query\0", b"\xff\xff\xff\xffU\xff\xff\xff\xff"):
            udp.sendto(question, address)
            answer = udp.recv(2048)

            assert answer[:5] == b"\xff\xff\xff\xffA"
            assert len(answer) <= len(question)


def test_file_stands_alone_on_python_3_9():
    tree = ast.parse(SERVER.read_text(), feature_version=(3, 9))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }

    assert imported <= set(sys.stdlib_module_names)
