"""The story of `make up`: from whatever is there to a hub that answers, with a game server on it."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

from . import bootstrap, errors, plan
from .console import Console, columns
from .embedded import Embedded, check_reachable, find_binaries
from .place import Lock, Place, check_address, check_space, read_json, write_json
from .processes import Identity, living_below
from .supervisor import Stopped, Supervisor, end_orphans
from .users import create_users, service_user

logger = logging.getLogger(__name__)

DATA_MB = 300
WORKLOAD_SECONDS = 60
STOP_SECONDS = 240
CONTAINER_SECONDS = 300
ENGINE_FILE = "engine.json"  # what the first records chose to run game servers in, and why

ENGINE_WORDS = {"docker": "Docker containers", "process": "processes of this machine"}


def up(place: Place, console: Console, *, detach: bool) -> int:
    """Start the hub and stay with it, or leave it to a process in the background once all of it is ready."""
    lock = Lock(place.data / "hub.lock")
    if place.is_ours() and not lock.is_free():
        return _already_up(place, console)
    check_address(place.bind, place.port)
    check_space(place.data, DATA_MB)
    _claim(place)
    bootstrap.prepare(place, console)
    if not lock.take():
        return _already_up(place, console)
    check_address(place.bind, place.port)
    if detach:
        return _in_background(place, console)
    return _serve(place, console)


def _claim(place: Place) -> None:
    """Make the data directory ours; one that turns out to be of no use is not left behind."""
    was_ours = place.is_ours()
    place.claim()
    create_users()
    try:
        check_reachable(place.data, service_user())
    except errors.LaunchError:
        if not was_ours:
            place.delete()
        raise


def _already_up(place: Place, console: Console) -> int:
    """Tell where the running hub is; one that is still starting (or stopping) belongs to another command."""
    state = read_json(place.state_file)
    if state.get("phase") == "running":
        console.say(f"The hub is running already: {state['address']}  (make status, make logs, make down)")
        return 0
    raise errors.AlreadyRunning(
        f"Another command is {state.get('phase', 'starting')} the hub in {place.data}: "
        "wait for it, or see `make status`."
    )


def _in_background(place: Place, console: Console) -> int:
    """Leave the hub to a child in a session of its own and return when it says that everything is ready.

    The child inherits the lock; it shares our terminal until it is ready, so its progress is seen here.
    """
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        os.close(ready)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os._exit(_serve(place, console, tell=tell))
    os.close(tell)
    try:
        if os.read(ready, 1):
            return 0
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except KeyboardInterrupt:
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        return 130


def _serve(place: Place, console: Console, tell: int | None = None) -> int:
    """Start everything, watch it, stop everything; whatever ends the start stops what was started."""
    logging.basicConfig(
        filename=place.log("hub"), level=logging.INFO, format="%(asctime)s %(levelname)-7s %(message)s", force=True
    )
    logging.raiseExceptions = False  # a line that a full disk refuses is lost, and no traceback takes its place
    supervisor = Supervisor(place, console.say)
    start = Start(place, console, supervisor)
    failure = ""
    try:
        start.run()
        if tell is not None:
            _let_go_of_terminal(place, tell)
        logger.info("ready at %s", place.address)
        supervisor.watch()
    except Stopped:
        pass
    except errors.LaunchError as error:
        failure = str(error)
    except OSError as error:
        if not errors.is_full_disk(error):
            raise
        failure = str(errors.full_disk(error))
    finally:
        with suppress(OSError):  # whoever closed the terminal reads nothing, and all must stop the same
            start.tell_login()
            console.say("Stopping ...")
        supervisor.stop_all(after={"agent": start.stop_workloads})
        for path in (place.services_file, place.state_file):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            console.say("Everything is stopped.")
        logger.info("everything is stopped")
    if failure:
        print(f"\n{failure}", file=sys.stderr, flush=True)
        return 1
    return 0


def _let_go_of_terminal(place: Place, tell: int) -> None:
    """Say that all is ready; what is printed from now on goes nowhere, because the log has it too."""
    sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(place.log("hub"), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
    os.write(tell, b"1")
    os.close(tell)


class Start:
    """The steps of one start, in order."""

    def __init__(self, place: Place, console: Console, supervisor: Supervisor) -> None:
        self.place, self.console, self.supervisor = place, console, supervisor
        self.facts: dict[str, Any] = {}

    def run(self) -> None:
        ended = end_orphans(self.place)
        if ended:
            self.console.say(f"  An earlier hub was killed; ended what it left running: {', '.join(ended)}")
        self.supervisor.save()  # from here on `down` knows whom to ask
        self.place.secrets()
        self._start_databases()
        with self.console.step("Database tables"):
            self._manage("migrate", "--noinput", "--verbosity", "1", log="migrate")
        with self.console.step("First records"):
            self.facts.update(self._manage("bootstrap", log="bootstrap"))
        with self.console.step("Web, scheduler and agent"):
            self.supervisor.start(*plan.hub_services(self.place))
        with self.console.step("First game server"):
            self._first_server()
        with self.console.step("First device"):
            self._first_device()
        self._tell()

    def _first_device(self) -> None:
        """Let this machine be a device, so that there is one to see; a hub without it is still a hub."""
        command = ("first_device", "--state", str(self.place.device_state), "--hub", plan.device_hub(self.place))
        try:
            found = self._manage(*command, log="first-device")
            if found.get("device"):
                self.facts.update(found)
                self.supervisor.start(plan.device(self.place))
        except errors.LaunchError as error:
            self.console.say(f"    {error}")

    def _first_server(self) -> None:
        """Prove with a game server that all of it works; later starts only look whether it is still there.

        A hub that ran once is more than its first server: there a server that does not come up is told and outlived.
        """
        if not self.place.has_run():
            self.facts.update(self._manage("first_server", log="first-server"))
            self.place.note_run()
            return
        try:
            self.facts.update(self._manage("first_server", "--existing", log="first-server"))
        except errors.LaunchError as error:
            self.console.say(f"    {error}")

    def stop_workloads(self) -> None:
        """End the game servers once no agent would start them again; what was asked of them stays."""
        command = plan.manage(self.place, "stop_workloads", "--node", "local", "--seconds", str(WORKLOAD_SECONDS))
        self.supervisor.run_at_end(command, plan.hub_environment(self.place), "workloads", WORKLOAD_SECONDS + 20)

    def _start_databases(self) -> None:
        """Start the embedded servers that the environment does not replace, and write down where they are."""
        if self.place.database_url and self.place.redis_url:
            self.place.services_file.unlink(missing_ok=True)
            return
        embedded = Embedded(self.place.data, find_binaries(self.place.venv))
        with self.console.step("Database programs and directories"):
            embedded.prepare()
        addresses: dict[str, Any] = {"pid": os.getpid()}
        if not self.place.database_url:
            with self.console.step("PostgreSQL"):
                self.supervisor.start(plan.postgres(embedded))
                embedded.create_database()
            addresses |= {"database_url": embedded.database_url, "backup_database_url": embedded.backup_url}
        if not self.place.redis_url:
            with self.console.step("Valkey"):
                self.supervisor.start(plan.valkey(embedded))
            addresses["redis_url"] = embedded.redis_url
        write_json(self.place.services_file, addresses)

    def _manage(self, *arguments: str, log: str) -> dict[str, Any]:
        """Run a management command and merge the JSON lines that it prints; other lines go nowhere but the screen."""
        command = plan.manage(self.place, *arguments)
        output = self.supervisor.run(command, plan.hub_environment(self.place), log, self.place.checkout)
        facts: dict[str, Any] = {}
        for line in output.decode(errors="replace").splitlines():
            try:
                found = json.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                facts.update(found)
        return facts

    def _tell(self) -> None:
        """Print what a person needs now: where to go, how to log in, and how long each step took."""
        rows = [("Address", self.place.address), ("Login", self._login())]
        for key, title in (("address", "Game server"), ("console", "Console"), ("device", "Device")):
            if self.facts.get(key):
                rows.append((title, str(self.facts[key])))
        chosen = read_json(self.place.data / ENGINE_FILE)
        if chosen:
            rows.append(("Servers run as", f"{ENGINE_WORDS.get(chosen['engine'], chosen['engine'])}. {chosen['why']}"))
        rows.append(("Data and logs", str(self.place.data)))
        for line in [
            "",
            "Kutanga Hub is ready.",
            "",
            *columns(rows),
            "",
            "Seconds per step:",
            *self.console.table(),
            "",
        ]:
            self.console.say(line)

    def tell_login(self) -> None:
        """Tell the password of an admin made by a start that ends before it tells: no later one could."""
        if self.facts.get("admin_password"):
            self.console.say(f"\nThe first records are made. Login: {self._login()}\n")

    def _login(self) -> str:
        """Say how to log in; a generated password is told once."""
        password = self.facts.pop("admin_password", None)
        if password:
            return f"admin / {password}   (shown only now: write it down)"
        return "admin, with the password you have (another: .venv/bin/python manage.py changepassword admin)"


def down(place: Place, console: Console) -> int:
    """Stop the running hub, or what a killed one left behind."""
    lock = Lock(place.data / "hub.lock")
    if not place.is_ours() or lock.is_free():
        ended = [*end_orphans(place), *_end_programs(place), *_containers(place, "stop")] if place.is_ours() else []
        console.say(f"Ended what a killed hub left running: {', '.join(ended)}" if ended else "The hub is not running.")
        return 0
    asked: Identity | None = None
    deadline = time.monotonic() + STOP_SECONDS
    while not lock.is_free():
        if time.monotonic() > deadline:
            who = f"process {asked.pid}" if asked else "it has not said which process it is"
            raise errors.LaunchError(f"The hub ({who}) does not stop: see {place.log('hub')}.")
        asked = asked or _ask_to_stop(place)
        time.sleep(0.1)
    console.say("The hub is stopped. Its data are kept; `make up` starts it again.")
    return 0


def _ask_to_stop(place: Place) -> Identity | None:
    """Signal the launcher and return who it is.

    One that has just begun has written nothing yet, and what a killed one wrote may carry the number of a stranger.
    """
    state = read_json(place.state_file)
    launcher = Identity(int(state.get("pid", 0)), state.get("identity", ""))
    if not launcher.is_alive():
        return None
    with suppress(ProcessLookupError):
        os.kill(launcher.pid, signal.SIGTERM)
    return launcher


def _end_programs(place: Place) -> list[str]:
    """End game servers that run as processes and have no agent any more."""
    programs = living_below(place.data / "workloads")
    for program in programs:
        program.stop(signal.SIGTERM, 10.0)
    return [f"{len(programs)} processes of game servers"] if programs else []


def _containers(place: Place, verb: str) -> list[str]:
    """Stop or clear away game servers that run in Docker; says what was done. Docker may be gone by now: then that."""
    chosen = read_json(place.data / ENGINE_FILE)
    if chosen.get("engine") != "docker":
        return []
    command = [str(place.python), "-m", "hub.engines.docker", verb, json.dumps(chosen.get("options", {}))]
    try:
        done = subprocess.run(
            command, cwd=place.checkout, capture_output=True, text=True, timeout=CONTAINER_SECONDS, check=False
        )
        said, problem = done.stdout.strip(), done.stderr.strip() if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        said, problem = "", str(error)
    if problem:
        label = f"kutanga.namespace={chosen['options'].get('namespace')}"
        print(f"Containers and volumes with the label {label} stay: {problem}", file=sys.stderr, flush=True)
    return [said] if said else []


def reset(place: Place, console: Console, *, sure: bool) -> int:
    """Delete the data directory after asking; only one that carries our marker."""
    is_ours = place.is_ours()
    if not place.data.exists():
        console.say(f"There are no data in {place.data}.")
        return 0
    if not is_ours:
        raise errors.foreign_directory(place.data)
    if not sure:
        console.say(f"This deletes every server, account and backup in {place.data}.")
        try:
            answer = input("Type yes to go on: ")
        except EOFError:  # nobody is there to be asked
            answer = ""
            console.say("")
        if answer.strip().lower() != "yes":
            console.say("Nothing was deleted. `make reset YES=1` does not ask.")
            return 1
    down(place, console)
    _end_programs(place)
    for said in _containers(place, "clear"):
        console.say(f"Removed {said}.")
    place.delete()
    console.say(f"{place.data} is deleted.")
    return 0
