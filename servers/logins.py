"""The hub's own log-in to the remote console of a running server: with the password of its run, and never a second try.

Games ban the address of whoever goes on guessing, and what a run has refused once it refuses until its next start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .protocols import AuthenticationFailed

if TYPE_CHECKING:
    from .models import GameServer


@contextmanager
def login(server: GameServer) -> Iterator[str]:
    """The password to log in with. A refusal in the block is noted; after one, raises AuthenticationFailed at once."""
    if server.is_console_refused:
        raise AuthenticationFailed("It has refused the hub's password, which is not tried again before its next start.")
    try:
        yield server.console_password
    except AuthenticationFailed:
        server.note_refused_console()
        raise
