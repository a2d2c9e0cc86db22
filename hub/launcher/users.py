"""The unprivileged accounts that stand in for root."""

import os
import pwd
import shutil
import subprocess
from typing import Any, NamedTuple

SERVICE_USER = "kutanga-hub"
WORKLOAD_USER = "kutanga-work"


class Account(NamedTuple):
    name: str
    uid: int
    gid: int


def service_user() -> Account:
    """Return the account that runs PostgreSQL and Valkey: ourselves, or as root one without rights.

    It differs from the workload account, so that a game server cannot open the database's files or socket.
    """
    return _first_of(SERVICE_USER, "daemon", "nobody")


def unprivileged_user() -> Account:
    """Return the account that runs process workloads: ourselves, or as root one without rights."""
    return _first_of(WORKLOAD_USER, "nobody")


def create_users() -> None:
    """Make both system accounts when we are root and the machine lets us; the fallbacks serve otherwise."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        return
    shell = shutil.which("nologin") or "/bin/false"
    for name in (SERVICE_USER, WORKLOAD_USER):
        if _account(name) is None:
            command = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
            subprocess.run([*command, "--shell", shell, name], capture_output=True, check=False)


def run_as(account: Account) -> dict[str, Any]:
    """Return the keywords with which `subprocess` runs a program as `account`; none when we are it already."""
    if os.geteuid() != 0:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def _first_of(*names: str) -> Account:
    if os.geteuid() != 0:
        return Account(_own_name(), os.geteuid(), os.getegid())
    for name in names:
        if account := _account(name):
            return account
    return Account("nobody", 65534, 65534)


def _account(name: str) -> Account | None:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
