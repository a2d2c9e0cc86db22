"""What the hub consists of on one machine: the programs, their environment and how each shows that it is there."""

import http.client
import os
import signal
import time
from collections.abc import Callable, Mapping

from .embedded import CLEAN_ENVIRONMENT, Embedded
from .place import Place
from .supervisor import Service
from .users import unprivileged_user

WEB_WORKERS, WEB_THREADS = 2, 4
WEB_STOP_SECONDS = 10
# How long a program without an address of its own must live before it counts as started.
SETTLED_SECONDS = 1.0


def hub_environment(place: Place) -> dict[str, str]:
    """Return the environment of our Django processes; addresses and keys they read from files that nobody else sees."""
    names = {"HUB_DATA": str(place.data), "HUB_BIND": place.bind, "HUB_PORT": str(place.port)}
    path = f"{place.venv / 'bin'}{os.pathsep}{os.environ.get('PATH', '/usr/bin:/bin')}"
    if os.geteuid() == 0:
        names["HUB_WORKLOAD_USER"] = os.environ.get("HUB_WORKLOAD_USER") or unprivileged_user().name
    given = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in names}
    return {**given, **names, "PATH": path, "PYTHONUNBUFFERED": "1", "DJANGO_SETTINGS_MODULE": "hub.settings"}


def manage(place: Place, *arguments: str) -> list[str]:
    return [str(place.python), str(place.checkout / "manage.py"), *arguments]


def postgres(embedded: Embedded) -> Service:
    return Service(
        "postgres",
        embedded.postgres_command(),
        CLEAN_ENVIRONMENT,
        embedded.postgres_answers,
        start_seconds=120,  # after a power cut it replays its log first
        stop_signal=signal.SIGINT,  # ends sessions, writes everything, then stops
        stop_seconds=60,
        account=embedded.account,
        start_again=10,  # the backends of one that was killed a moment ago may still hold its memory
    )


def valkey(embedded: Embedded) -> Service:
    return Service(
        "valkey", embedded.valkey_command(), CLEAN_ENVIRONMENT, embedded.valkey_answers, account=embedded.account
    )


def hub_services(place: Place) -> list[Service]:
    """Return our own programs in the order of starting; they stop the other way round, the web first of all."""
    environment = hub_environment(place)
    host = f"[{place.bind}]" if ":" in place.bind else place.bind
    gunicorn = [str(place.python), "-m", "gunicorn", "hub.wsgi", "--bind", f"{host}:{place.port}"]
    gunicorn += ["--worker-class", "gthread", "--workers", str(WEB_WORKERS), "--threads", str(WEB_THREADS)]
    gunicorn += ["--graceful-timeout", str(WEB_STOP_SECONDS), "--no-control-socket"]
    return [
        *wal_receiver(place, environment),
        Service(
            "agent",
            manage(place, "agent", "--node", "local"),
            environment,
            settled(),
            stop_seconds=25,
            directory=place.checkout,
        ),
        Service("scheduler", manage(place, "scheduler"), environment, settled(), directory=place.checkout),
        Service(
            "web",
            gunicorn,
            environment,
            lambda: fetch(*place.own_address, "/health/ready")[0] == 200,
            stop_seconds=WEB_STOP_SECONDS + 5,
            directory=place.checkout,
        ),
    ]


def device(place: Place) -> Service:
    """Return the agent of a device, which is this machine; it knows the hub's address and nothing of its keys."""
    return Service(
        "device",
        [str(place.python), "-m", "kutanga_agent", "--state", str(place.device_state), *_device_user(), "run"],
        {**CLEAN_ENVIRONMENT, "PYTHONPATH": str(place.checkout / "agent"), "PYTHONUNBUFFERED": "1"},
        settled(),
    )


def _device_user() -> list[str]:
    """It runs what is deployed to it, so never as root; and it gives up root itself, once its code is read."""
    return ["--user", unprivileged_user().name] if os.geteuid() == 0 else []


def device_hub(place: Place) -> str:
    """Return the address at which a device on this machine finds the hub, by a name that the settings answer to."""
    host, port = place.own_address
    if host in ("127.0.0.1", "::1"):
        host = "localhost" if host == "127.0.0.1" else "[::1]"
    return f"http://[{host}]:{port}" if ":" in host and not host.startswith("[") else f"http://{host}:{port}"


def wal_receiver(place: Place, environment: Mapping[str, str]) -> list[Service]:
    """Return the receiver of WAL where there is a server it may copy; a hub that cannot back up still starts."""
    names = ("HUB_BACKUP_DATABASE_URL", "HUB_BACKUP_DATABASE_URL_FILE")
    if place.database_url and not any(map(environment.get, names)):
        return []
    command = manage(place, "receive_wal")
    return [Service("wal", command, environment, lambda: True, directory=place.checkout)]


def settled() -> Callable[[], bool]:
    """Return a question that is answered yes a little after it was first asked."""
    asked: list[float] = []

    def answer() -> bool:
        asked.append(time.monotonic())
        return asked[-1] - asked[0] >= SETTLED_SECONDS

    return answer


def fetch(host: str, port: int, path: str) -> tuple[int, bytes]:
    """Ask our own web server for a page: its status and content, status 0 when it does not answer."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        # By name, because the settings answer to it whatever address we listen on.
        connection.request("GET", path, headers={"Host": f"localhost:{port}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
