"""`manage.py database_roles`: who may do what on a PostgreSQL of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from hub import database_roles
from hub.backups import programs
from hub.exceptions import HubError


class Command(BaseCommand):
    """Make the roles as an administrator of the database server; run again, it changes what differs."""

    help = (
        "Make the roles that the hub logs in with, as the administrator that DATABASE_URL names. Each file holds the "
        "postgresql:// address of a role, from which its name and password are taken."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", type=Path, required=True, help="Of migrations, scheduler and agents: owns all.")
        parser.add_argument("--web", type=Path, help="Of web processes: reads and writes rows.")
        parser.add_argument("--backup", type=Path, help="Of base backups and the receiver of WAL: may replicate.")

    def handle(self, *args: Any, owner: Path, web: Path | None, backup: Path | None, **options: Any) -> None:
        try:
            named = {"owner": owner, "web": web, "backup": backup}
            logins = {kind: database_roles.read_login(path) for kind, path in named.items() if path}
            with psycopg.connect(
                programs.dump_connection(), password=connection.settings_dict["PASSWORD"] or None
            ) as server:
                database_roles.make(server, **logins)
        except HubError as error:
            raise CommandError(error.message) from error
        except psycopg.Error as error:
            raise CommandError(f"PostgreSQL refuses: {error}") from error
        self.stdout.write(f"Roles: {', '.join(login.name for login in logins.values())}.")
