"""The same clients against real servers from Debian: what a script imitates must be what the original does."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.testing import free_port
from servers.protocols import AuthenticationFailed, GameStatus, ProtocolError, query
from servers.protocols.econ import EconClient

SEARCH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/games", "/usr/lib/minetest"])
TEEWORLDS = shutil.which("teeworlds-server", path=SEARCH)
MINETEST = shutil.which("minetestserver", path="/usr/lib/minetest") or shutil.which("minetestserver", path=SEARCH)
PASSWORD = "correct-horse-battery"

MAY_SKIP = os.environ.get("HUB_TEST_ALL") != "1"

needs_teeworlds = pytest.mark.skipif(
    MAY_SKIP and TEEWORLDS is None, reason="needs Teeworlds: install it (apt install teeworlds-server)"
)
needs_minetest = pytest.mark.skipif(
    MAY_SKIP and MINETEST is None, reason="needs Minetest: install it (apt install minetest-server)"
)


def answer_within(seconds: float, ask: Callable[[], GameStatus]) -> GameStatus:
    """Repeat a question until the server is up."""
    end = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except ProtocolError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def start(arguments: list[str], directory: Path) -> subprocess.Popen[bytes]:
    """Run a server that writes only below `directory`."""
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(arguments, cwd=directory, stdout=log, stderr=log, env={"HOME": str(directory)})


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(60)


@pytest.fixture
def teeworlds(tmp_path: Path) -> Iterator[tuple[Callable[[], subprocess.Popen[bytes]], int, int]]:
    """Hand out a function that starts the server, its game port and its econ port."""
    game_port, econ_port = free_port(), free_port()
    (tmp_path / "server.cfg").write_text(
        f"sv_port {game_port}\nbindaddr 127.0.0.1\nsv_name Real one\nsv_max_clients 8\n"
        f"ec_port {econ_port}\nec_bindaddr 127.0.0.1\nec_password {PASSWORD}\n"
    )
    started: list[subprocess.Popen[bytes]] = []

    def launch() -> subprocess.Popen[bytes]:
        started.append(start([str(TEEWORLDS), "-f", "server.cfg"], tmp_path))
        return started[-1]

    yield launch, game_port, econ_port

    for process in started:
        kill(process)


@needs_teeworlds
def test_real_teeworlds_tells_its_status(teeworlds):
    launch, game_port, _ = teeworlds
    launch()

    status = answer_within(10, lambda: query("teeworlds", "127.0.0.1", game_port, 0.5))

    assert (status.players, status.max_players) == (0, 8)
    assert status.version.startswith("0.7")
    assert status.detail.startswith("Real one, map dm1")


@needs_teeworlds
def test_real_econ_answers_refuses_and_shuts_down_twice_in_a_row(teeworlds):
    """The second start is the point: a console closed the ordinary way keeps the econ port for a minute."""
    launch, game_port, econ_port = teeworlds
    exit_codes = []

    for _ in range(2):
        process = launch()
        answer_within(10, lambda: query("teeworlds", "127.0.0.1", game_port, 0.5))
        with pytest.raises(AuthenticationFailed):
            EconClient("127.0.0.1", econ_port, "wrong").connect()
        with EconClient("127.0.0.1", econ_port, PASSWORD) as econ:
            assert econ.command("sv_name") == "Value: Real one"
            assert econ.command("echo a; echo b") == "a\nb"
            econ.command("shutdown", may_close=True)
        exit_codes.append(process.wait(60))

    assert exit_codes == [0, 0]


@needs_minetest
def test_real_minetest_greets_and_forgets_us(tmp_path):
    port = free_port()
    (tmp_path / "conf").write_text(f"port = {port}\nbind_address = 127.0.0.1\nserver_announce = false\n")
    arguments = [str(MINETEST), "--config", "conf", "--logfile", "", "--world", "world", "--gameid", "devtest"]
    process = start(arguments, tmp_path)

    try:
        statuses = [answer_within(20, lambda: query("minetest", "127.0.0.1", port, 1.0)) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        exit_code = process.wait(60)
    finally:
        kill(process)

    assert [status.detail for status in statuses] == ["accepts joins"] * 3
    assert statuses[0].version.startswith("protocol ")
    assert exit_code == 0
    assert "hub-status" not in (tmp_path / "log").read_text(errors="replace")
