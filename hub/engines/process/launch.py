"""Start the shim of a workload and hand it what it needs over a pipe: nothing secret is in an argument or on disk."""

from __future__ import annotations

import errno
import json
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base import EngineError, Reason, WorkloadSpec
from .home import Home, boot_id
from .processes import WORKLOAD_VARIABLE

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
START_SECONDS = 12.0  # the shim gives up by itself after ten
BOOTSTRAP = f"import sys; sys.path.append({str(Path(__file__).parent)!r}); import shim.main; shim.main.main()"


@dataclass(frozen=True)
class Account:
    """Whom programs run as; no uid means "as we are"."""

    name: str
    uid: int | None = None
    gid: int | None = None

    @classmethod
    def named(cls, name: str) -> Account:
        """The account of a node's options; root must name one, so that no program is root by oversight."""
        mine = os.geteuid()
        if not name:
            if mine == 0:
                raise refusal("This node runs as root and names no user for its programs.")
            return cls(pwd.getpwuid(mine).pw_name)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise refusal(f"This node has no user {name!r} to run programs as.") from None
        if entry.pw_uid == mine:
            return cls(name)
        if mine != 0:
            raise refusal(f"Only root can run programs as {name!r}.")
        return cls(name, entry.pw_uid, entry.pw_gid)


def refusal(message: str) -> EngineError:
    """The error for what will not be accepted here, however often it is asked."""
    return EngineError(message, reason=Reason.REFUSED, permanent=True)


def check(spec: WorkloadSpec) -> None:
    """Refuse what no process can be given."""
    if spec.sidecars or spec.files or spec.needs_grant or not spec.egress:
        raise refusal(
            "This engine runs single programs as they are: without sidecars, planted files or closed networks."
        )
    if not spec.command or not spec.command[0]:
        raise refusal("There is no command to run.")
    if any("\0" in text for text in (*spec.command, *spec.env, *spec.env.values())):
        raise refusal("A command, a variable or its value holds a NUL character.")
    if any(not name or "=" in name for name in spec.env):
        raise refusal("The name of a variable is empty or holds an equals sign.")


def environment(spec: WorkloadSpec, home: Home) -> dict[str, str]:
    """The program's whole environment; nothing of ours is inherited."""
    return {
        "PATH": PATH,
        "HOME": str(home.data),
        "LANG": "C.UTF-8",
        **spec.env,
        WORKLOAD_VARIABLE: spec.name,
    }


def find_executable(spec: WorkloadSpec, home: Home, path: str) -> str:
    """The file to execute: a plain name is looked up in PATH, a relative path in the data directory."""
    program = spec.command[0]
    if "/" not in program:
        found = shutil.which(program, path=path)
        if found is None:
            raise refusal(f"The program {program!r} is not installed on this node.")
        return found
    file = home.data / program
    if not file.is_file():
        raise refusal(f"The program {program!r} does not exist on this node.")
    if not file.stat().st_mode & 0o111:
        raise refusal(f"The file {program!r} is not a program: it may not be executed.")
    return str(file)


def launch(spec: WorkloadSpec, home: Home, account: Account, groups: dict[str, str], lock_fd: int) -> None:
    """Start the program below a shim, which inherits the lock; returns when the program runs.

    The first process forks the shim and ends, so that the shim is nobody's child.
    """
    env = environment(spec, home)
    job = {
        "directory": str(home.path),
        "data": str(home.data),
        "generation": spec.generation,
        "boot_id": boot_id(),
        "executable": find_executable(spec, home, env["PATH"]),
        "command": list(spec.command),
        "env": env,
        "secrets": list(spec.secrets),
        "uid": account.uid,
        "gid": account.gid,
        "groups": groups,
        "watch": {"memory": spec.limits.memory_mb * 1024**2, "pids": spec.limits.pids},
        "rlimits": {
            "RLIMIT_CORE": 0,
            "RLIMIT_NOFILE": spec.limits.open_files,
            "RLIMIT_FSIZE": spec.limits.disk_mb * 1024**2,
        },
    }
    shim = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", BOOTSTRAP, spec.name, str(lock_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"LANG": "C.UTF-8"} | {key: os.environ[key] for key in ("HUB_FAILPOINT",) if key in os.environ},
        pass_fds=[lock_fd],
    )
    with shim:
        try:
            answer, _ = shim.communicate(json.dumps(job).encode() + b"\n", timeout=START_SECONDS)
        except subprocess.TimeoutExpired:
            shim.kill()
            raise EngineError("The program did not start in time.", reason=Reason.TIMED_OUT) from None
    if answer != b'{"ok": true}':
        raise _explain(answer, spec, account)


def _explain(answer: bytes, spec: WorkloadSpec, account: Account) -> EngineError:
    """The shim's answer as a sentence."""
    try:
        report: dict[str, Any] = json.loads(answer)
    except ValueError:
        return EngineError("The process that starts programs failed.", reason=Reason.INTERNAL)
    program, stage, code = spec.command[0], report["stage"], report["errno"]
    if code in (errno.ENOSPC, errno.EDQUOT):
        return EngineError("This node's disk is full.", reason=Reason.DISK_FULL)
    if stage == "program":
        sentences = {
            errno.ENOENT: f"The program {program!r} cannot be started: what it needs to run is missing.",
            errno.EACCES: f"The user {account.name!r} may not run the program {program!r}.",
            errno.ENOEXEC: f"The program {program!r} is not made for this machine.",
            errno.E2BIG: "The command and its variables are too long.",
        }
        return refusal(sentences.get(code, f"The program {program!r} cannot be started: {os.strerror(code)}."))
    if stage == "directory":
        return refusal(f"The user {account.name!r} may not enter the data directory: a directory above it is closed.")
    return EngineError(f"The program could not be started ({stage}): {os.strerror(code)}.", reason=Reason.INTERNAL)
