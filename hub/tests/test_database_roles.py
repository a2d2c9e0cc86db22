"""Roles of a PostgreSQL of one's own: an owner, a web that reads and writes rows, backups that may replicate."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from hub import database_roles
from hub.database_roles import Login
from hub.exceptions import Invalid

BEFORE = """
CREATE TABLE seen (id serial PRIMARY KEY, name text);
CREATE SEQUENCE numbers;
CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1';
"""


class Server:
    """The tests' PostgreSQL as its superuser sees it, with a database and names of roles of its own."""

    def __init__(self) -> None:
        self.suffix = secrets.token_hex(4)
        self.database = f"roles_{self.suffix}"
        self.owner, self.web, self.backup, self.admin = (
            Login(f"{kind}_{self.suffix}", "s3cr3t") for kind in ("owner", "web", "backup", "admin")
        )

    def connect(self, user: str = "postgres", database: str = "") -> psycopg.Connection:
        host = connection.settings_dict["HOST"]
        return psycopg.connect(host=host, user=user, dbname=database or self.database, autocommit=True)

    def do(self, user: str, text: str) -> None:
        with self.connect(user) as connected:
            connected.execute(text)  # type: ignore[call-overload]

    def make(self) -> None:
        with self.connect() as connected:
            database_roles.make(connected, self.owner, self.web, self.backup)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with server.connect(database="postgres") as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(server.database)))
        server.do("postgres", BEFORE)
        try:
            yield server
        finally:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(server.database)))
            for login in (server.owner, server.web, server.backup, server.admin):
                admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(login.name)))


def test_owner_changes_tables_that_were_there_and_the_web_their_rows_only(server: Server) -> None:
    server.make()
    server.make()  # as at each start

    server.do(server.owner.name, "ALTER TABLE seen ADD COLUMN at timestamptz")
    server.do(server.owner.name, "CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY, name text)")
    server.do(server.owner.name, "CREATE OR REPLACE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 2'")
    for table in ("seen", "later"):
        for text in ("INSERT INTO {} (name) VALUES ('a')", "UPDATE {} SET name = 'b'", "DELETE FROM {}"):
            server.do(server.web.name, text.format(table))
        for text in ("TRUNCATE {}", "DROP TABLE {}", "ALTER TABLE {} ADD COLUMN x int"):
            with pytest.raises(InsufficientPrivilege):
                server.do(server.web.name, text.format(table))
    server.do(server.web.name, "SELECT nextval('numbers')")
    for text in ("CREATE TABLE own (id int)", "CREATE SCHEMA own", "COPY seen TO PROGRAM 'true'"):
        with pytest.raises(InsufficientPrivilege):
            server.do(server.web.name, text)
    with pytest.raises(InsufficientPrivilege):
        server.do(server.owner.name, "COPY seen TO PROGRAM 'true'")


def test_administrator_of_a_managed_server_who_is_no_superuser_will_do(server: Server) -> None:
    """As RDS has one: he makes roles and databases, and owns what is there."""
    admin = server.admin.name
    server.do(
        "postgres", f"CREATE ROLE {admin} LOGIN CREATEROLE CREATEDB; ALTER DATABASE {server.database} OWNER TO {admin}"
    )
    for what in ("TABLE seen", "SEQUENCE numbers", "FUNCTION one()"):
        server.do("postgres", f"ALTER {what} OWNER TO {admin}")

    for _ in range(2):
        with server.connect(admin) as connected:
            database_roles.make(connected, server.owner, server.web)

    server.do(server.owner.name, "ALTER TABLE seen ADD COLUMN at timestamptz; CREATE TABLE later (id serial)")
    server.do(server.web.name, "INSERT INTO seen DEFAULT VALUES; INSERT INTO later DEFAULT VALUES")
    with pytest.raises(InsufficientPrivilege):
        server.do(server.web.name, "DROP TABLE later")


def test_web_reads_what_a_restore_has_put_anew(server: Server) -> None:
    server.make()

    server.do(server.owner.name, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE seen (id serial)")

    server.do(server.web.name, "INSERT INTO seen DEFAULT VALUES")


def test_roles_have_what_they_need_and_passwords_as_verifiers(server: Server) -> None:
    server.make()

    with server.connect() as admin:
        found = admin.execute(
            "SELECT split_part(rolname, '_', 1), rolsuper OR rolcreatedb OR rolcreaterole, rolreplication,"
            " rolpassword ~ '^SCRAM-SHA-256' FROM pg_authid WHERE rolname ~ %s ORDER BY 1",
            [f"_{server.suffix}$"],
        ).fetchall()
    assert found == [("backup", False, True, True), ("owner", False, False, True), ("web", False, False, True)]


def test_administrator_is_never_made_less_than_he_is(server: Server) -> None:
    with server.connect() as connected, pytest.raises(Invalid, match="the administrator, or named twice"):
        database_roles.make(connected, Login("postgres", "s3cr3t"))
    with server.connect() as connected, pytest.raises(Invalid, match="named twice"):
        database_roles.make(connected, server.owner, server.owner)


@pytest.mark.parametrize("text", ["", "postgresql://hub@/hub", "postgresql://:s3cr3t@/hub", "gibberish s3cr3t"])
def test_file_without_name_or_password_is_refused_and_not_quoted(text: str, tmp_path: Path) -> None:
    (tmp_path / "owner").write_text(text)

    with pytest.raises(CommandError) as refusal:
        call_command("database_roles", owner=tmp_path / "owner")

    assert str(tmp_path) in str(refusal.value)
    assert "s3cr3t" not in str(refusal.value)
