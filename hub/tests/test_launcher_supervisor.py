"""The supervisor with real processes: what dies comes back, what is asked to stop stops, nothing outlives it."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psycopg
import pytest

from hub.launcher import supervisor as supervisor_module
from hub.launcher import up
from hub.launcher.console import Console
from hub.launcher.embedded import (
    CLEAN_ENVIRONMENT,
    LONGEST_SOCKET,
    Embedded,
    copy_binaries,
    find_binaries,
    make_directory,
)
from hub.launcher.errors import LaunchError
from hub.launcher.place import Place, read_json
from hub.launcher.plan import postgres
from hub.launcher.processes import Identity, spawn
from hub.launcher.supervisor import LOGS_KEPT, Service, Stopped, Supervisor, end_orphans, rotate
from hub.launcher.users import Account, run_as, service_user, unprivileged_user
from hub.testing import wait_until

CHECKOUT = Path(__file__).parents[2]
PATIENT = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


@pytest.fixture
def place(tmp_path):
    place = Place(data=tmp_path / "data")
    place.claim()
    return place


@pytest.fixture
def supervisor(place):
    """A supervisor in this process; the signal handlers that it takes over are given back."""
    numbers = (signal.SIGCHLD, *supervisor_module.STOP_SIGNALS)
    handlers = {number: signal.getsignal(number) for number in numbers}
    said: list[str] = []
    subject = Supervisor(place, said.append)
    yield subject
    subject.stop_all()
    signal.set_wakeup_fd(-1)
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _service(place: Place, name: str, script: str = PATIENT, **more) -> Service:
    def is_up() -> bool:
        return "up" in place.log(name).read_text()

    return Service(name, [sys.executable, "-c", script], dict(os.environ), is_up, **{"start_seconds": 60, **more})


def _watch_until(supervisor: Supervisor, condition) -> None:
    """Let the supervisor watch until the condition holds, then ask it to stop as a person would."""

    def ask() -> None:
        try:
            wait_until(condition)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    asker = threading.Thread(target=ask)
    asker.start()
    supervisor.watch()
    asker.join()


def test_started_service_writes_its_own_log(supervisor, place):
    supervisor.start(_service(place, "web"))

    assert place.log("web").read_text() == "up\n"
    assert read_json(place.state_file)["children"]["web"]["running"] is True


def test_service_that_ends_while_starting_stops_the_start(supervisor, place):
    with pytest.raises(LaunchError, match=r"web did not start \(exit code 3\): broken pieces; see .*web.log"):
        supervisor.start(_service(place, "web", "print('broken pieces'); exit(3)"))


def test_service_that_never_answers_stops_the_start(supervisor, place):
    with pytest.raises(LaunchError, match="no answer in 0 s"):
        supervisor.start(_service(place, "web", "import time; time.sleep(600)", start_seconds=0.2))


def test_service_that_may_start_again_gets_another_try(supervisor, place):
    flag = place.data / "tried"
    script = f"import pathlib, time; p = pathlib.Path({str(flag)!r})\nif not p.exists(): p.touch(); exit(1)\n{PATIENT}"

    supervisor.start(_service(place, "postgres", script, start_again=60))

    assert "up" in place.log("postgres").read_text()


def test_dead_service_comes_back_after_a_pause(supervisor, place, monkeypatch):
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE", 0.1)
    supervisor.start(_service(place, "web"))
    child = supervisor.children[0]
    first = child.process.pid

    child.process.kill()
    _watch_until(supervisor, lambda: place.log("web").read_text() == "up\nup\n")

    assert child.restarts == 1
    assert child.process.pid != first
    assert child.process.poll() is None


def test_pause_doubles_for_a_service_that_dies_at_once(supervisor, place, monkeypatch):
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE", 0.05)
    supervisor.start(_service(place, "web", "import time; print('up', flush=True); time.sleep(0.2)"))
    child = supervisor.children[0]
    child.pause = 0.05

    _watch_until(supervisor, lambda: child.restarts >= 3)

    assert child.pause == pytest.approx(0.05 * 2**child.restarts)


def test_services_stop_last_first(supervisor, place):
    order = place.data / "order"
    script = (
        "import signal, sys, time\n"
        f"def stop(*_): open({str(order)!r}, 'a').write(sys.argv[1]); exit(0)\n"
        f"signal.signal(15, stop); {PATIENT}"
    )
    for name in ("a", "b", "c"):
        service = _service(place, name, script)
        supervisor.start(Service(name, [*service.command, name], service.environment, service.answers))

    supervisor.stop_all()

    assert order.read_text() == "cba"


def test_stubborn_service_is_killed(supervisor, place):
    supervisor.start(_service(place, "web", STUBBORN, stop_seconds=0.2))
    process = supervisor.children[0].process

    supervisor.stop_all()

    assert process.returncode == -signal.SIGKILL


def test_children_of_a_service_end_with_it(supervisor, place):
    helper = place.data / "helper"
    script = (
        "import subprocess, sys\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(helper)!r}, 'w').write(str(helper.pid)); {PATIENT}"
    )
    supervisor.start(_service(place, "web", script))
    identity = Identity.of(int(helper.read_text()))

    supervisor.stop_all()

    assert identity is not None
    wait_until(lambda: not identity.is_alive())


def test_wish_to_stop_ends_a_start(supervisor, place):
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGINT]).start()

    with pytest.raises(Stopped):
        supervisor.start(_service(place, "web", "import time; time.sleep(600)", start_seconds=30))


def test_command_returns_what_it_prints_and_logs_its_errors(supervisor, place):
    script = "import sys; print('{}'); print('careful', file=sys.stderr)"

    output = supervisor.run([sys.executable, "-c", script], dict(os.environ), "migrate", CHECKOUT)

    assert output == b"{}\n"
    assert place.log("migrate").read_text() == "careful\n"


def test_failed_command_is_named_with_its_last_words(supervisor, place):
    with pytest.raises(LaunchError, match=r"The step migrate failed \(exit code 1\): no such table; see"):
        supervisor.run([sys.executable, "-c", "exit('no such table')"], dict(os.environ), "migrate", CHECKOUT)


def test_wish_to_stop_ends_a_command(supervisor, place):
    threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGTERM]).start()

    with pytest.raises(Stopped):
        supervisor.run([sys.executable, "-c", PATIENT], dict(os.environ), "migrate", CHECKOUT)


def test_children_die_with_a_killed_supervisor(place):
    script = (
        "import os, pathlib, sys, time\n"
        "from hub.launcher.place import Place\n"
        "from hub.launcher.supervisor import Service, Supervisor\n"
        f"place = Place(data=pathlib.Path({str(place.data)!r}))\n"
        f"command = [sys.executable, '-c', {PATIENT!r}]\n"
        "is_up = lambda: place.log('web').stat().st_size > 0\n"
        "Supervisor(place, print).start(Service('web', command, dict(os.environ), is_up))\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=CHECKOUT)
    assert process.stdout.readline() == b"ready\n"
    child = Identity.of(read_json(place.state_file)["children"]["web"]["pid"])

    process.kill()
    process.communicate()

    assert child is not None
    wait_until(lambda: not child.is_alive())


def test_orphans_of_a_killed_supervisor_are_ended(supervisor, place):
    supervisor.start(_service(place, "web"))
    supervisor.save()
    process = supervisor.children.pop().process
    threading.Thread(target=process.wait).start()  # an orphan's end is noticed by whoever adopted it

    assert end_orphans(place) == ["web"]

    assert process.wait() == -signal.SIGTERM
    assert not place.state_file.exists()


def test_another_program_under_an_old_number_is_left_alone(supervisor, place):
    supervisor.start(_service(place, "web"))
    state = read_json(place.state_file)
    state["children"]["web"]["identity"] = "another boot:1"
    supervisor_module.write_json(place.state_file, state)

    assert end_orphans(place) == []

    assert supervisor.children[0].process.poll() is None


def test_log_is_cut_and_its_content_kept(place):
    path = place.log("web")
    with path.open("ab") as writer:
        for number in range(LOGS_KEPT + 2):
            writer.write(b"%d\n" % number)
            writer.flush()
            rotate(path)
        writer.write(b"last\n")

    assert path.read_text() == "last\n"
    kept = sorted(each.name for each in place.logs.iterdir())
    assert kept == ["web.log", *(f"web.log.{number}" for number in range(1, LOGS_KEPT + 1))]
    assert path.with_name("web.log.1").read_text() == f"{LOGS_KEPT + 1}\n"


@pytest.fixture
def full_disk(monkeypatch):
    """Nothing can be written any more."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for name in ("write_json", "rotate"):
        monkeypatch.setattr(supervisor_module, name, refuse)


def test_full_disk_neither_ends_the_hub_nor_keeps_it_from_stopping(supervisor, place, full_disk, monkeypatch):
    monkeypatch.setattr(supervisor_module, "LOG_BYTES", 1)
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE", 0.1)
    said: list[str] = []
    supervisor.say = said.append
    supervisor.start(_service(place, "web"))
    supervisor.children[0].process.kill()

    _watch_until(supervisor, lambda: place.log("web").read_text() == "up\nup\n")
    process, ended = supervisor.children[0].process, []
    supervisor.stop_all(after={"web": lambda: ended.append("workloads")})

    assert process.returncode == -signal.SIGTERM
    assert ended == ["workloads"]
    assert [line.partition(" cannot")[0] for line in said if "No space left" in line] == [
        f"  {place.state_file}",
        f"  {place.log('web')}",
    ]


def test_closed_terminal_does_not_keep_the_hub_from_stopping(supervisor, place):
    def refuse(_: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    supervisor.start(_service(place, "web"))
    process, supervisor.say = supervisor.children[0].process, refuse

    supervisor.stop_all()

    assert process.returncode == -signal.SIGTERM


def test_log_that_cannot_be_copied_keeps_those_before_it(place, monkeypatch):
    path = place.log("web")
    for name in ("web.log", "web.log.1"):
        path.with_name(name).write_text(name)

    def fill(source: Path, target: Path) -> None:
        target.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", fill)

    with pytest.raises(OSError, match="No space"):
        rotate(path)

    assert {each.name: each.read_text() for each in place.logs.iterdir()} == {
        "web.log": "web.log",
        "web.log.1": "web.log.1",
    }


def test_service_that_cannot_be_started_again_is_tried_later(supervisor, place, monkeypatch):
    monkeypatch.setattr(supervisor_module, "FIRST_PAUSE", 0.05)
    supervisor.start(_service(place, "web"))
    spawned, refusals = supervisor._spawn, [OSError(errno.EAGAIN, "no process left")]

    def spawn_late(service: Service) -> subprocess.Popen[bytes]:
        if refusals:
            raise refusals.pop()
        return spawned(service)

    monkeypatch.setattr(supervisor, "_spawn", spawn_late)
    supervisor.children[0].pause = 0.05
    supervisor.children[0].process.kill()

    _watch_until(supervisor, lambda: place.log("web").read_text() == "up\nup\n")


# --- accounts ---


def test_servers_and_workloads_run_without_rights():
    servers, workloads = service_user(), unprivileged_user()

    if os.geteuid() == 0:
        assert 0 not in (servers.uid, servers.gid, workloads.uid, workloads.gid)
        assert servers.uid != workloads.uid
        told = subprocess.run(["id", "-u"], capture_output=True, text=True, check=True, **run_as(workloads))
        assert int(told.stdout) == workloads.uid
    else:
        assert servers.uid == workloads.uid == os.geteuid()
        assert run_as(servers) == {}


# --- embedded servers ---


@pytest.fixture
def open_directory():
    """A directory that every user may enter, as the data directory of root is; pytest's own are closed."""
    path = Path(tempfile.mkdtemp(prefix="kutanga-test-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def embedded(open_directory):
    subject = Embedded(open_directory, find_binaries(Path(sys.prefix)), volatile=True)
    yield subject
    subject.remove_sockets()


def _start_postgres(embedded: Embedded) -> subprocess.Popen[bytes]:
    log = embedded.root / "postgres.log"
    with log.open("ab") as output:
        return spawn(
            embedded.postgres_command(),
            output=output,
            environment=CLEAN_ENVIRONMENT,
            account=embedded.account,
            death_signal=signal.SIGQUIT,
        )


def test_rows_survive_a_killed_postgresql(open_directory):
    embedded = Embedded(open_directory, find_binaries(Path(sys.prefix)))
    embedded.prepare()
    process = _start_postgres(embedded)
    wait_until(embedded.postgres_answers)
    embedded.create_database()
    with psycopg.connect(embedded.database_url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 1 AS a")

    process.kill()
    process.wait()
    embedded.prepare()
    deadline = time.monotonic() + 60
    process = _start_postgres(embedded)
    while not embedded.postgres_answers() and time.monotonic() < deadline:
        if process.poll() is not None:
            process = _start_postgres(embedded)
        time.sleep(0.1)
    embedded.create_database()

    with psycopg.connect(embedded.database_url) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    process.send_signal(signal.SIGQUIT)
    process.wait()


def test_running_postgresql_of_a_lost_launcher_is_ended_first(embedded):
    embedded.prepare()
    process = _start_postgres(embedded)
    wait_until(embedded.postgres_answers)
    threading.Thread(target=process.wait).start()

    embedded.prepare()

    assert process.wait() == 0
    assert not (embedded.cluster / "postmaster.pid").exists()


def test_lock_file_with_the_number_of_another_program_is_forgotten(embedded):
    embedded.prepare()
    lock = embedded.cluster / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{embedded.cluster}\n")

    embedded.prepare()

    assert not lock.exists()


def test_postgresql_can_be_taken_for_dead_only_by_its_silence(embedded):
    assert not embedded.postgres_answers()
    assert not embedded.valkey_answers()


def test_postgresql_service_stops_in_an_orderly_way(embedded):
    service = postgres(embedded)

    assert service.stop_signal == signal.SIGINT
    assert service.account == embedded.account


def test_long_path_gets_a_short_socket_directory(open_directory):
    deep = open_directory / ("d" * 120)
    deep.mkdir(mode=0o755)
    embedded = Embedded(deep, find_binaries(Path(sys.prefix)), volatile=True)

    embedded.prepare()

    try:
        assert len(os.fsencode(embedded.postgres_socket)) < LONGEST_SOCKET
        info = embedded.sockets.stat()
        assert info.st_mode & 0o777 == 0o700
        assert info.st_uid == embedded.account.uid
    finally:
        embedded.remove_sockets()


def test_link_in_the_place_of_a_directory_is_refused(open_directory):
    (open_directory / "run").symlink_to("/etc")

    with pytest.raises(LaunchError, match="belongs to somebody else"):
        make_directory(open_directory / "run", 0o700)


def test_directory_of_another_user_is_refused():
    stranger = Account("stranger", os.geteuid() + 4000, 4000)

    with pytest.raises(LaunchError, match="belongs to somebody else"):
        make_directory(Path("/"), 0o700, stranger)


def test_copy_of_the_programs_is_made_once_and_old_ones_go(open_directory):
    installed = find_binaries(Path(sys.prefix))
    (open_directory / "older-build").mkdir()

    first = copy_binaries(installed, open_directory)
    made = first.valkey.stat().st_mtime_ns
    second = copy_binaries(installed, open_directory)

    assert second == first
    assert second.valkey.stat().st_mtime_ns == made
    assert [path.name for path in open_directory.iterdir()] == [first.valkey.parent.name]
    subprocess.run([first.postgres / "postgres", "--version"], check=True, **run_as(service_user()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_closed_parent_directory_is_named_and_keeps_its_mode(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    (closed / "data").mkdir(mode=0o755)

    with pytest.raises(LaunchError, match="may not enter"):
        Embedded(closed / "data", find_binaries(Path(sys.prefix)), volatile=True).prepare()

    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the servers as somebody else")
def test_up_into_a_closed_directory_leaves_nothing_there(tmp_path):
    place = Place(data=tmp_path / "data", port=1)
    tmp_path.chmod(0o700)

    with pytest.raises(LaunchError, match="may not enter"):
        up.up(place, Console(), detach=False)

    assert not place.data.exists()


def test_missing_servers_name_the_alternative(tmp_path):
    with pytest.raises(LaunchError, match="DATABASE_URL and REDIS_URL"):
        find_binaries(tmp_path)


def test_programs_that_outlived_their_keeper_are_found_and_ended(place):
    home = place.data / "workloads" / "hub-server-1" / "data"
    home.mkdir(parents=True)
    program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=home)
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=place.logs)
    threading.Thread(target=program.wait).start()

    assert up.down(place, Console()) == 0

    assert program.wait() == -signal.SIGTERM
    assert stranger.poll() is None
    stranger.kill()
    stranger.wait()


def test_last_command_is_not_interrupted_and_its_failure_outlived(supervisor, place):
    said: list[str] = []
    supervisor.say = said.append
    supervisor.stopping = True

    supervisor.run_at_end([sys.executable, "-c", "print('bye')"], dict(os.environ), "workloads", 60)
    supervisor.run_at_end([sys.executable, "-c", "exit(4)"], dict(os.environ), "workloads", 60)
    supervisor.run_at_end([sys.executable, "-c", "import time; time.sleep(600)"], dict(os.environ), "workloads", 0.2)

    assert said[0] == "  bye"
    assert "workloads failed (exit code 4)" in said[1]
    assert "not done in 0 s" in said[2]


def test_workloads_end_between_agent_and_databases(supervisor, place):
    order: list[str] = []
    supervisor.say = order.append
    for name in ("postgres", "agent", "web"):
        supervisor.start(_service(place, name))

    supervisor.stop_all(after={"agent": lambda: order.append("workloads")})

    assert order == ["  stopping web", "  stopping agent", "workloads", "  stopping postgres"]
