"""Give up root's rights: the program is read as root, from wherever it is kept, and runs as somebody else."""

from __future__ import annotations

import ctypes
import encodings.idna  # noqa: F401 - looked up by name at the first connection, when we may not read it any more
import importlib
import os
import pkgutil
import pwd
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import cryptography

GET_DEATH_SIGNAL, SET_DEATH_SIGNAL = 2, 1


def become(name: str, state: Path) -> None:
    """Be this user from now on, with the state directory as ours; does nothing for who is not root."""
    if os.geteuid() != 0:
        return
    _read_cryptography()
    account = pwd.getpwnam(name)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (state, *state.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid, follow_symlinks=False)
    with _kept_death_signal():
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    os.environ["HOME"] = str(state)


def _read_cryptography() -> None:
    """Import all of it: it looks for its own parts when a key is first made, when we may not read them any more."""
    for module in pkgutil.walk_packages(cryptography.__path__, "cryptography."):
        with suppress(ImportError):  # parts for other systems and for older versions
            importlib.import_module(module.name)


@contextmanager
def _kept_death_signal() -> Iterator[None]:
    """Whoever started us may have asked the kernel to end us with it; a change of the user forgets that."""
    if sys.platform != "linux":
        yield
        return
    prctl, number = ctypes.CDLL(None).prctl, ctypes.c_int(0)
    prctl(GET_DEATH_SIGNAL, ctypes.byref(number))
    yield
    if number.value:
        prctl(SET_DEATH_SIGNAL, number.value)
