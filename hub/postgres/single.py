"""One connection of its own, for a process with one thread that must not stand still while the database is away."""

from __future__ import annotations

from django.db import connection

CONNECT_SECONDS, SILENT_MS = 2, 8_000


def keep_one_connection() -> None:
    """Do without the pool from now on: it would try again for seconds what is refused at once.

    A connection that broke is made anew by the next statement; a network that swallows everything is noticed, too.
    """
    connection.close()
    options = {name: value for name, value in connection.settings_dict["OPTIONS"].items() if name != "pool"}
    fixed = {"connect_timeout": CONNECT_SECONDS, "tcp_user_timeout": SILENT_MS, **options}
    connection.settings_dict |= {"OPTIONS": fixed, "CONN_MAX_AGE": None}
