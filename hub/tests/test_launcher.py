"""What stops a start is one sentence that names the way out."""

import dataclasses
import errno
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hub.launcher import bootstrap, errors, plan, up, watch
from hub.launcher.__main__ import main
from hub.launcher.bootstrap import Packages, check_venv_module, run_installer
from hub.launcher.console import Console, columns
from hub.launcher.errors import AlreadyRunning, LaunchError
from hub.launcher.place import Lock, Place, check_address, check_space, read_json, write_json
from hub.launcher.processes import Identity
from hub.launcher.supervisor import Stopped
from hub.testing import free_port

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "checkout").mkdir()
    return Place(data=tmp_path / "data", checkout=tmp_path / "checkout")


@pytest.fixture
def busy_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def _installer(place: Place, script: str) -> None:
    run_installer([sys.executable, "-c", script], "The packages", place, lambda line: None)


# --- sentences ---


def test_old_python_is_named_before_anything_else_is_imported():
    script = "import sys; sys.version_info = (3, 9, 2); import hub.launcher.__main__"

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=CHECKOUT)

    assert done.returncode == 1
    assert done.stderr.startswith("Python 3.11 or newer is needed and this is 3.9:")
    assert len(done.stderr.splitlines()) == 1


def test_missing_venv_names_the_package(monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ensurepip" else real(name))

    with pytest.raises(LaunchError, match="apt install python3-venv"):
        check_venv_module()


def test_venv_that_complains_of_ensurepip_names_the_package(place):
    with pytest.raises(LaunchError, match="apt install python3-venv"):
        _installer(place, "print('The virtual environment was not created: ensurepip is not available'); exit(1)")


def test_taken_port_is_named_with_another_choice(busy_port):
    with pytest.raises(LaunchError, match=rf"Port {busy_port} on 127.0.0.1 .*HUB_PORT={busy_port + 1}"):
        check_address("127.0.0.1", busy_port)


def test_address_of_another_machine_is_refused():
    with pytest.raises(LaunchError, match="HUB_BIND"):
        check_address("192.0.2.1", 8000)


def test_unknown_host_name_is_refused():
    with pytest.raises(LaunchError, match="HUB_BIND"):
        check_address("no such host", 8000)


def test_port_that_is_no_number_is_refused():
    for port in ("80a", "0", "70000", "-1"):
        with pytest.raises(LaunchError, match="HUB_PORT"):
            Place.from_environment({"HUB_PORT": port})


def test_addresses_may_come_from_files(tmp_path, monkeypatch):
    for name in ("DATABASE_URL", "REDIS_URL", "HUB_PORT"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
        (tmp_path / name).write_text("9000\n" if name == "HUB_PORT" else f"{name}-of-mine\n")

    found = Place.from_environment()

    assert (found.database_url, found.redis_url, found.port) == ("DATABASE_URL-of-mine", "REDIS_URL-of-mine", 9000)
    given = plan.hub_environment(found)  # what the launcher has read is not given twice
    assert (given["HUB_PORT"], "HUB_PORT_FILE" in given, "DATABASE_URL_FILE" in given) == ("9000", False, True)


def test_address_in_a_file_that_is_not_there_stops_the_start(tmp_path):
    with pytest.raises(LaunchError, match="DATABASE_URL_FILE cannot be read: No such file"):
        Place.from_environment({"DATABASE_URL_FILE": str(tmp_path / "none")})


def test_full_disk_is_named_before_work_begins(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - 2**20, 2**20))

    with pytest.raises(LaunchError, match="has 1 MB free and 300 MB are needed"):
        check_space(tmp_path / "not" / "there" / "yet", 300)


def test_disk_that_fills_while_installing_is_named(place):
    with pytest.raises(LaunchError, match="MB are needed: make room"):
        _installer(place, "print('OSError: [Errno 28] No space left on device'); exit(1)")


@pytest.mark.parametrize(
    "line",
    [
        "Retrying after connection broken by NewConnectionError: Temporary failure in name resolution",
        "npm error code ENOTFOUND",
        "npm error code EAI_AGAIN",
        "ProxyError('Cannot connect to proxy.')",
        "ERROR: Network is unreachable",
    ],
)
def test_missing_network_is_told_apart_from_a_failed_install(place, line):
    with pytest.raises(LaunchError, match="check the network or proxy"):
        _installer(place, f"print({line!r}); exit(1)")


def test_failed_install_points_at_its_log(place):
    with pytest.raises(LaunchError, match=re.escape(str(place.checkout / ".venv.log"))):
        _installer(place, "print('ERROR: no matching distribution'); exit(1)")

    assert "no matching distribution" in (place.checkout / ".venv.log").read_text()


def test_data_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()

    for data in (tmp_path / "file" / "data", tmp_path / "file"):
        with pytest.raises(LaunchError, match="HUB_DATA"):
            Place(data=data).claim()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_data_directory_of_somebody_else_is_refused():
    with pytest.raises(LaunchError, match="cannot be written by this user"):
        Place(data=Path("/usr/kutanga")).claim()


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["reset", "--yes"]])
def test_data_directory_that_may_not_be_looked_into_is_named(command, monkeypatch, tmp_path, capsys):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("HUB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(Path, "is_file", closed)

    assert main(command) == 1

    assert "cannot be written by this user" in capsys.readouterr().err


def test_disk_that_is_full_from_the_beginning_is_named(monkeypatch, tmp_path, capsys):
    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setenv("HUB_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HUB_PORT", str(free_port()))
    monkeypatch.setattr(Path, "mkdir", full)

    assert main(["up"]) == 1

    told = capsys.readouterr().err
    assert re.fullmatch(r"The disk is full \(.+ could not be written\): make room and run this again\.\n", told)


@pytest.mark.parametrize("free", [0, 2**20])
def test_step_that_fails_on_a_full_disk_is_not_blamed(free, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(2**30, 2**30 - free, free))

    for failed in (errors.step_failed, errors.service_failed):
        assert ("The disk is full" in str(failed("migrate", "exit code 1", tmp_path / "migrate.log"))) == (free == 0)


def test_copy_that_fills_the_disk_and_another_trouble_are_told_apart():
    copying = shutil.Error([("a", "b", "[Errno 28] No space left on device: 'b'")])

    assert [errors.is_full_disk(each) for each in (copying, OSError(errno.EIO, "Input/output error"))] == [True, False]


def test_sentence_goes_to_standard_error_and_the_exit_code_is_not_zero(busy_port, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HUB_PORT", str(busy_port))
    monkeypatch.setenv("HUB_DATA", str(tmp_path / "data"))

    code = main(["up"])

    assert code == 1
    assert capsys.readouterr().err.startswith(f"Port {busy_port} on 127.0.0.1 is in use")
    assert not (tmp_path / "data").exists()


# --- the data directory ---


def test_data_directory_is_marked_and_private(place):
    place.claim()

    assert place.is_ours()
    assert stat.S_IMODE((place.data / "logs").stat().st_mode) == 0o700
    assert stat.S_IMODE(place.data.stat().st_mode) == (0o755 if os.geteuid() == 0 else 0o700)


def test_existing_empty_directory_keeps_its_mode(place):
    place.data.mkdir(mode=0o750)
    place.data.chmod(0o750)

    place.claim()

    assert stat.S_IMODE(place.data.stat().st_mode) == 0o750


def test_directory_of_another_program_is_left_alone(place):
    place.data.mkdir()
    (place.data / "precious").touch()

    with pytest.raises(LaunchError, match="left alone"):
        place.claim()
    with pytest.raises(LaunchError, match="left alone"):
        up.reset(place, Console(), sure=True)

    assert [path.name for path in place.data.iterdir()] == ["precious"]


def test_reset_removes_what_we_made(place):
    place.claim()

    assert up.reset(place, Console(), sure=True) == 0

    assert not place.data.exists()


def test_reset_empties_a_directory_that_was_there_before(place):
    place.data.mkdir()
    place.claim()
    (place.data / "link").symlink_to(place.checkout)

    up.reset(place, Console(), sure=True)

    assert list(place.data.iterdir()) == []
    assert place.checkout.exists()


def test_reset_asks_first(place, monkeypatch):
    place.claim()
    monkeypatch.setattr("builtins.input", lambda prompt: "y")

    assert up.reset(place, Console(), sure=False) == 1

    assert place.is_ours()


def test_reset_without_anybody_to_ask_deletes_nothing(place, monkeypatch, capsys):
    def nobody(prompt):
        raise EOFError

    place.claim()
    monkeypatch.setattr("builtins.input", nobody)

    assert up.reset(place, Console(), sure=False) == 1

    assert place.is_ours()
    assert "YES=1" in capsys.readouterr().out


def test_keys_are_made_once_and_private(place):
    place.claim()
    place.secrets()
    first = read_json(place.data / "secrets.json")

    place.secrets()

    assert read_json(place.data / "secrets.json") == first
    assert re.fullmatch(r"1:[\w-]{43}=", first["HUB_SECRET_KEYS"])
    assert len(first["HUB_SECRET_KEY"]) >= 50
    assert stat.S_IMODE((place.data / "secrets.json").stat().st_mode) == 0o600


# --- one launcher at a time ---


def test_second_up_tells_the_address_of_the_running_hub(place, capsys):
    place.claim()
    write_json(place.state_file, {"phase": "running", "address": "http://localhost:8123"})
    holder = Lock(place.data / "hub.lock")
    assert holder.take()

    assert up.up(place, Console(), detach=False) == 0

    assert "http://localhost:8123" in capsys.readouterr().out


def test_second_up_does_not_join_a_start(place):
    place.claim()
    write_json(place.state_file, {"phase": "starting"})
    holder = Lock(place.data / "hub.lock")
    assert holder.take()

    with pytest.raises(AlreadyRunning, match="starting the hub"):
        up.up(place, Console(), detach=False)


def test_lock_is_free_again_when_its_holder_is_gone(place):
    place.claim()
    first, second = Lock(place.data / "hub.lock"), Lock(place.data / "hub.lock")
    assert first.take()
    assert not second.take()

    first.release()

    assert second.is_free()
    assert second.take()


def test_down_and_status_of_a_hub_that_does_not_run(place, capsys):
    assert up.down(place, Console()) == 0
    assert watch.status(place, Console()) == 3

    assert capsys.readouterr().out.count("not running") == 2


@pytest.fixture
def sleeper():
    """A process that lives until it is asked to go."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        yield process
        process.kill()


def _state_of(process: subprocess.Popen[bytes], **changes: str) -> dict[str, object]:
    identity = Identity.of(process.pid)
    assert identity is not None
    return {"pid": identity.pid, "identity": identity.started, **changes}


def test_down_asks_a_hub_that_has_not_written_its_state_yet(place, sleeper, monkeypatch):
    monkeypatch.setattr(up, "STOP_SECONDS", 10)
    place.claim()
    holder = Lock(place.data / "hub.lock")
    holder.take()

    def begin() -> None:
        write_json(place.state_file, _state_of(sleeper))
        sleeper.wait(60)
        holder.release()

    beginning = threading.Timer(0.2, begin)
    beginning.start()

    assert up.down(place, Console()) == 0

    beginning.join()
    assert sleeper.returncode == -signal.SIGTERM


def test_down_leaves_another_program_under_an_old_number_alone(place, sleeper, monkeypatch):
    monkeypatch.setattr(up, "STOP_SECONDS", 0.2)
    place.claim()
    holder = Lock(place.data / "hub.lock")
    holder.take()
    write_json(place.state_file, _state_of(sleeper, identity="another boot:1"))

    with pytest.raises(LaunchError, match="does not stop"):
        up.down(place, Console())

    holder.release()
    assert sleeper.poll() is None


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        (LaunchError("It does not come up."), 1),
        (OSError(errno.ENOSPC, "No space left on device", "secrets.json"), 1),
        (Stopped(), 0),
        (None, 0),
    ],
)
def test_generated_password_is_told_once_however_the_start_ends(place, monkeypatch, capsys, ending, code):
    class Quiet:
        """Starts nothing; its command makes the first records, and the one for the first server ends as it is told."""

        def __init__(self, *_):
            pass

        def save(self):
            pass

        def start(self, *_):
            pass

        def run(self, command, *_):
            if "first_server" in command and ending:
                raise ending
            return b'{"admin_password": "Generated-Once"}' if "bootstrap" in command else b""

        def watch(self):
            pass

        def stop_all(self, **_):
            pass

    monkeypatch.setattr(up, "Supervisor", Quiet)
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    monkeypatch.setattr("logging.raiseExceptions", True)  # and back to what it was
    place.claim()
    elsewhere = dataclasses.replace(place, database_url="postgresql://elsewhere/", redis_url="redis://elsewhere/")

    assert up._serve(elsewhere, Console()) == code

    told = capsys.readouterr()
    assert told.out.count("admin / Generated-Once ") == 1
    assert ("The disk is full (secrets.json could not be written)" in told.err) == isinstance(ending, OSError)


# --- packages ---


@pytest.fixture
def packages(place, monkeypatch):
    (place.checkout / "requirements.txt").write_text("one==1\n")
    (place.checkout / "requirements-dev.txt").write_text("-r requirements.txt\ntwo==2\n")
    place.venv.mkdir()
    commands: list[list[str]] = []
    monkeypatch.setattr(bootstrap, "run_installer", lambda command, *rest, **more: commands.append(list(command)))
    monkeypatch.setattr(Packages, "_venv_works", lambda self: True)
    return Packages(place, Console()), commands


def test_packages_are_installed_only_when_their_pins_change(packages, place):
    subject, commands = packages
    assert not subject.are_installed("requirements.txt")

    subject.install("requirements.txt")

    assert subject.are_installed("requirements.txt")
    assert not subject.are_installed("requirements-dev.txt")
    (place.checkout / "requirements.txt").write_text("one==1.1\n")
    assert not subject.are_installed("requirements.txt")
    assert len(commands) == 1


def test_development_packages_include_the_runtime_ones(packages):
    subject, _ = packages

    subject.install("requirements-dev.txt")

    assert subject.are_installed("requirements.txt")


def test_failed_install_is_not_remembered(packages, monkeypatch):
    subject, _ = packages

    def fail(*args, **kwargs):
        raise LaunchError("no")

    monkeypatch.setattr(bootstrap, "run_installer", fail)
    with pytest.raises(LaunchError):
        subject.install("requirements.txt")

    assert not subject.are_installed("requirements.txt")


def test_front_end_files_lose_their_source_map_comments(place):
    (place.checkout / "package-lock.json").write_text("{}")
    modules = place.checkout / "node_modules"
    for source in bootstrap.VENDOR_FILES:
        (modules / source).parent.mkdir(parents=True, exist_ok=True)
        comment = "/*# sourceMappingURL=a.css.map */" if source.endswith(".css") else "//# sourceMappingURL=a.js.map\n"
        (modules / source).write_text(f"body{comment}")

    bootstrap._copy_assets(modules, place)

    assert bootstrap.assets_are_there(place)
    vendor = place.checkout / "static" / "vendor"
    assert {(vendor / name).read_text() for name in bootstrap.VENDOR_FILES.values()} <= {"body", "body\n"}
    assert all(
        path.stat().st_mode & 0o044 == 0o044 for path in vendor.iterdir()
    )  # in an image another user serves them
    (place.checkout / "package-lock.json").write_text("{ }")
    assert not bootstrap.assets_are_there(place)


def test_every_front_end_file_belongs_to_a_pinned_package():
    pinned = json.loads((CHECKOUT / "package.json").read_text())["dependencies"]

    for source in bootstrap.VENDOR_FILES:
        assert any(source.startswith(f"{name}/") for name in pinned)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())


@pytest.mark.parametrize(("told", "accepted"), [("9.2.0", True), ("6.14.4", False), ("", False)])
def test_only_an_npm_that_reads_our_lock_file_is_used(monkeypatch, tmp_path, told, accepted):
    npm = tmp_path / "npm"
    npm.write_text(f"#!/bin/sh\necho {told}\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    assert bootstrap._system_npm() == ([str(npm)] if accepted else None)


# --- tools ---


@pytest.mark.parametrize(
    "rest", [["--durations=5"], ["-k", "lease", "-x"], ["hub/tests", "-q"], ["--help"], ["accounts", "-m", "not slow"]]
)
def test_arguments_of_a_tool_reach_it_as_they_are(monkeypatch, rest):
    given = []
    monkeypatch.setattr("hub.launcher.__main__.run_tool", lambda *arguments: given.append(arguments[:2]) or 0)

    assert main(["test", *rest]) == 0

    assert given == [("test", rest)]


def test_other_commands_take_no_unknown_arguments(capsys):
    with pytest.raises(SystemExit):
        main(["down", "--now"])

    assert "down does not know --now" in capsys.readouterr().err


# --- logs and words ---


def test_follower_begins_with_the_last_lines_and_survives_a_cut(tmp_path):
    path = tmp_path / "web.log"
    path.write_text("".join(f"line {number}\n" for number in range(100)))
    follower = watch.Follower(path)

    assert follower.read() == [f"line {number}" for number in range(100 - watch.TAIL_LINES, 100)]
    with path.open("a") as file:
        file.write("whole\nhalf")
    assert follower.read() == ["whole"]
    path.write_text("new\n")
    assert follower.read() == ["new"]


def test_follower_of_a_short_or_empty_file(tmp_path):
    path = tmp_path / "web.log"
    path.write_text("only\n")
    assert watch.Follower(path).read() == ["only"]

    path.write_text("")
    assert watch.Follower(path).read() == []


def test_logs_of_an_unknown_name_lists_the_known(place):
    place.claim()
    place.log("web").touch()

    with pytest.raises(LaunchError, match="choose one of web"):
        watch.logs(place, Console(), "nonsense")


def test_logs_of_a_hub_that_never_ran_are_not_waited_for(place):
    with pytest.raises(LaunchError, match="make up"):
        watch.logs(place, Console())


def test_steps_are_told_with_their_seconds(capsys):
    console = Console()

    with console.step("Packages"):
        console.note("half")

    out = capsys.readouterr().out
    assert "Packages ..." in out
    assert "half" in out
    assert console.table()[-1].startswith("  Total")


def test_columns_are_aligned():
    assert columns([("a", "b"), ("long", "c")]) == ["a     b", "long  c"]


def test_address_for_people_uses_a_name_for_loopback():
    assert Place(data=Path("/d")).address == "http://localhost:8000"
    assert Place(data=Path("/d"), bind="10.0.0.5", port=81).address == "http://10.0.0.5:81"
    assert Place(data=Path("/d"), bind="2001:db8::1").address == "http://[2001:db8::1]:8000"
    assert Place(data=Path("/d"), url="https://hub.example.org").address == "https://hub.example.org"
