"""Images for tests, made from Debian packages without a registry: `python -m hub.tests.docker_images [name ...]`.

The packages and all they depend on are downloaded, unpacked without their install scripts, and imported as one layer;
busybox is the shell. An image is kept under the digest of its recipe, so it is made once per machine.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import docker
import docker.errors

REPOSITORY = "kutanga-test"
EDITION = 4  # of the way images are made
UNNEEDED = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/perl", "usr/share/info", "var/cache")
APT_SECONDS = 600


@dataclass(frozen=True)
class Recipe:
    """What goes into an image; `changes` are instructions of a Dockerfile."""

    name: str
    packages: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The full name, which changes with the content."""
        content = json.dumps([EDITION, self.packages, self.changes, dict(self.files)])
        return f"{REPOSITORY}/{self.name}:{hashlib.sha256(content.encode()).hexdigest()[:12]}"


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("busybox"),
        Recipe("python", packages=("python3-minimal", "libpython3-stdlib")),
        Recipe("teeworlds", packages=("teeworlds-server",)),
        Recipe("minetest", packages=("minetest-server",)),
        Recipe(  # stands in for valkey/valkey:8, under its names; like that one it starts as root and drops it
            "valkey",
            packages=("redis-server", "redis-tools", "util-linux"),
            changes=("WORKDIR /data", 'ENTRYPOINT ["/entrypoint"]'),
            files={
                "entrypoint": """#!/bin/sh
set -eu
if [ "$(id -u)" = 0 ]; then
  find . ! -user 999 -exec chown 999 '{}' +
  exec /usr/bin/setpriv --reuid=999 --regid=999 --clear-groups -- "$0" "$@"
fi
umask 077
exec "$@"
""",
                "usr/bin/valkey-server": '#!/bin/sh\nexec redis-server "$@"\n',
                "usr/bin/valkey-cli": '#!/bin/sh\nexec redis-cli "$@"\n',
            },
        ),
        Recipe(  # an image with its own user, its own data and a volume that nobody asked for
            "opinionated",
            changes=("USER 1234:1234", "VOLUME /cache", "HEALTHCHECK --interval=1s CMD false", 'CMD ["sleep", "300"]'),
            files={"data/seed": "from the image\n"},
        ),
    )
}


def image(name: str) -> str:
    """The name of a test image, which is on this node afterwards."""
    recipe = RECIPES[name]
    client = machine_client()
    try:
        client.inspect_image(recipe.tag)
    except docker.errors.ImageNotFound:
        load_into(client, recipe)
    finally:
        client.close()
    return recipe.tag


def machine_client() -> docker.APIClient:
    """A client of the daemon that the docker command would use."""
    return docker.APIClient(base_url=os.environ.get("DOCKER_HOST"), version="auto", timeout=300)


def load_into(client: docker.APIClient, recipe: Recipe) -> None:
    """Make an image in a daemon."""
    with tempfile.TemporaryDirectory(prefix="kutanga-image-") as directory:
        root = Path(directory, "root")
        _unpack(("busybox-static", *recipe.packages), Path(directory), root)
        for unneeded in UNNEEDED:
            shutil.rmtree(root / unneeded, ignore_errors=True)
        _add_shell(root)
        for path, text in recipe.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
            (root / path).chmod(0o755 if text.startswith("#!") else 0o644)
        archive = Path(directory, "root.tar")
        with tarfile.open(archive, "w") as tar:
            tar.add(root, arcname=".", filter=_as_root)
        repository, _, tag = recipe.tag.partition(":")
        client.import_image_from_file(str(archive), repository=repository, tag=tag, changes=list(recipe.changes))


def _unpack(packages: tuple[str, ...], directory: Path, root: Path) -> None:
    """Download packages as for a machine that has none yet, and unpack them all."""
    status = directory / "status"
    status.touch()
    (directory / "archives" / "partial").mkdir(parents=True)
    here = (f"-oDir::State::Status={status}", f"-oDir::Cache::Archives={directory / 'archives'}")
    _apt(_lists(), *here, "--download-only", "--yes", "install", *packages)
    root.mkdir()
    for package in sorted((directory / "archives").glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, root], check=True, timeout=APT_SECONDS)


@cache
def _lists() -> Path:
    """What the mirrors have now, asked once for all images that this process makes."""
    directory = Path(tempfile.mkdtemp(prefix="kutanga-apt-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    for place in ("lists/partial", "cache"):
        (directory / place).mkdir(parents=True)
    (directory / "status").touch()
    _apt(directory, f"-oDir::State::Status={directory / 'status'}", "update")
    return directory


def _apt(lists: Path, *words: str) -> None:
    command = [
        "apt-get",
        "-qq",
        f"-oDir::State::Lists={lists / 'lists'}",
        f"-oDir::Cache={lists / 'cache'}",
        "-oDebug::NoLocking=1",
        "-oAPT::Install-Recommends=0",
        "-oAPT::Sandbox::User=",
        "-oAcquire::Retries=3",
        *words,
    ]
    subprocess.run(command, check=True, timeout=APT_SECONDS, stdout=sys.stderr)


def _add_shell(root: Path) -> None:
    """Link every command of busybox that no package brings."""
    busybox = next(path for path in (root / "bin/busybox", root / "usr/bin/busybox") if path.exists())
    bin_directory = root / "bin"
    bin_directory.mkdir(exist_ok=True)
    listed = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True, timeout=60)
    for command in listed.stdout.split():
        if not any((root / place / command).exists() for place in ("bin", "sbin", "usr/bin", "usr/sbin")):
            os.symlink("/" + str(busybox.relative_to(root)), bin_directory / command)
    for place in ("tmp", "etc", "proc", "dev", "sys"):
        (root / place).mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\n", encoding="ascii")


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    return entry


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """A tar archive of a few files: a layer for hand-made images."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(data), 0o755
            tar.addfile(entry, io.BytesIO(data))
    return packed.getvalue()


if __name__ == "__main__":
    for wanted in sys.argv[1:] or sorted(RECIPES):
        print(image(wanted), flush=True)
