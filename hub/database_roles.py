"""The roles of a PostgreSQL of one's own, each with what it needs: an owner, the web, the backups.

The embedded server has them from its start (`hub.launcher.embedded`). The owner migrates and makes partitions; it is no
superuser, so that no query of ours can read the server's files. What it makes later the web may read and write as well,
also after a restore, which puts everything anew: that is what default privileges are for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from hub.exceptions import Invalid

ROWS = "SELECT, INSERT, UPDATE, DELETE"
# Sequences of a column follow their table.
OWNED = """
    SELECT 'TABLE', c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm')
        AND c.relnamespace = 'public'::regnamespace AND c.relowner <> %(owner)s::regrole
    UNION ALL
    SELECT 'SEQUENCE', c.relname FROM pg_class c WHERE c.relkind = 'S'
        AND c.relnamespace = 'public'::regnamespace AND c.relowner <> %(owner)s::regrole
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', 'i')
                        AND d.refclassid = 'pg_class'::regclass AND d.classid = 'pg_class'::regclass)
"""
ATTRIBUTES = """
    SELECT rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication FROM pg_roles WHERE rolname = %s
"""
# Those of extensions belong to who made the extension.
ROUTINES = """
    SELECT p.oid::regprocedure::text FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace AND p.proowner <> %(owner)s::regrole
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
"""


@dataclass(frozen=True)
class Login:
    """A role's name and password."""

    name: str
    password: str = field(repr=False)


def read_login(path: Path) -> Login:
    """Take a role's name and password from a file with its address. Raises Invalid."""
    try:
        parts = conninfo_to_dict(path.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{path} cannot be read: {error}.") from None
    except Exception:  # noqa: BLE001 - psycopg's own words may quote the password
        raise Invalid(f"{path} holds no address like postgresql://name:password@host/hub.") from None
    if not (parts.get("user") and parts.get("password")):
        raise Invalid(f"The address in {path} names no role, or no password.")
    return Login(str(parts["user"]), str(parts["password"]))


def make(connected: psycopg.Connection, owner: Login, web: Login | None = None, backup: Login | None = None) -> None:
    """Make or change the roles, and give the owner what there is. All or nothing. Raises Invalid."""
    known = {name for (name,) in connected.execute("VALUES (current_user::text)").fetchall()}
    for login in filter(None, (owner, web, backup)):
        if login.name in known:
            raise Invalid(f"{login.name} is the administrator, or named twice: each role is one of its own.")
        known.add(login.name)
    with connected.transaction():
        _have(connected, owner)
        _own(connected, owner)
        if web:
            _have(connected, web)
            _let_write_rows(connected, owner, web)
        if backup:
            _have(connected, backup, replicates=True)


def _have(connected: psycopg.Connection, login: Login, *, replicates: bool = False) -> None:
    name = sql.Identifier(login.name)
    if not connected.execute(ATTRIBUTES, [login.name]).fetchall():
        _do(connected, "CREATE ROLE {} LOGIN", name)
    wanted = {"LOGIN": True, "SUPERUSER": False, "CREATEDB": False, "CREATEROLE": False, "REPLICATION": replicates}
    (has,) = connected.execute(ATTRIBUTES, [login.name]).fetchall()
    # Only what differs: the administrator of a managed server may not even say NOSUPERUSER.
    differing = [(what, wish) for (what, wish), now in zip(wanted.items(), has, strict=True) if now != wish]
    if differing:
        _do(connected, "ALTER ROLE {} " + " ".join(what if wish else f"NO{what}" for what, wish in differing), name)
    # As a verifier, so that the password itself comes into no log of the server.
    sealed = connected.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256")
    _do(connected, "ALTER ROLE {} PASSWORD {}", name, sql.Literal(sealed.decode()))


def _own(connected: psycopg.Connection, owner: Login) -> None:
    """Give the database, its schema and all that is in it to the owner."""
    name, named = sql.Identifier(owner.name), {"owner": owner.name}
    if not connected.execute("SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper").fetchall():
        _do(connected, "GRANT {} TO CURRENT_USER", name)  # else nothing may be given to it
    _do(connected, "ALTER DATABASE {} OWNER TO {}", sql.Identifier(connected.info.dbname), name)
    _do(connected, "ALTER SCHEMA public OWNER TO {}", name)
    for kind, each in connected.execute(OWNED, named).fetchall():
        _do(connected, f"ALTER {kind} public.{{}} OWNER TO {{}}", sql.Identifier(each), name)
    for (each,) in connected.execute(ROUTINES, named).fetchall():
        _do(connected, f"ALTER ROUTINE {each} OWNER TO {{}}", name)
    _do(connected, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")


def _let_write_rows(connected: psycopg.Connection, owner: Login, web: Login) -> None:
    mine, theirs = sql.Identifier(owner.name), sql.Identifier(web.name)
    _do(connected, "GRANT USAGE ON SCHEMA public TO {}", theirs)
    _do(connected, f"GRANT {ROWS} ON ALL TABLES IN SCHEMA public TO {{}}", theirs)
    _do(connected, "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}", theirs)
    for what, objects in ((ROWS, "TABLES"), ("USAGE, SELECT", "SEQUENCES"), ("USAGE", "SCHEMAS")):
        _do(connected, f"ALTER DEFAULT PRIVILEGES FOR ROLE {{}} GRANT {what} ON {objects} TO {{}}", mine, theirs)


def _do(connected: psycopg.Connection, text: str, *parts: sql.Composable) -> None:
    connected.execute(sql.SQL(cast("Any", text)).format(*parts))
