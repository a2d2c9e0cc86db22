"""The release before runs on the tables of this one, as it does while a rolling update replaces its processes.

Its own code of then asks for every one of its pages and routes of the API, reading and writing, on rows that it makes
itself in a database with all migrations of now; the answers must be those of its own table of permissions.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.db import connection, connections

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

RELEASED = "hub/released_migrations.txt"
"""Whatever commit changed it last is the release: its code knows these migrations and none that came later."""
OPTIONS = ("--reuse-db", "-pno:xdist", "-pno:cacheprovider", "-rP", "-q")
DRIVER = """
import pytest
from hub.tests import test_permission_table as table
from hub.tests.test_permission_table import visitor

pytestmark = pytest.mark.django_db


def test_every_route_answers_an_admin_as_ever(visitor):
    known, column = table.read_table(), table.ROLES.index("admin")
    seen = {route: visitor._ask(route, "admin") for route in table.all_routes()}
    print("routes asked:", len(seen))
    assert {route: answer for route, answer in seen.items() if known[route][column] != answer} == {}


def test_it_is_ready_on_tables_that_are_newer(client):
    assert client.get("/health/ready").status_code == 200
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The code of the release before, with the packages and front-end files of now."""
    shallow = git("rev-parse", "--is-shallow-repository").decode().strip()
    if shallow != "false":
        pytest.skip("this clone has no history, so the release before is not in it: git fetch --unshallow")
    commit = git("log", "-1", "--format=%H", "--", RELEASED).decode().strip()
    code = tmp_path / "release"
    code.mkdir()
    subprocess.run(["tar", "--extract", f"--directory={code}"], input=git("archive", commit), check=True)
    (code / "static" / "vendor").symlink_to(settings.BASE_DIR / "static" / "vendor")
    (code / "hub" / "tests" / "test_newer_tables.py").write_text(DRIVER)
    return code


def git(*words: str) -> bytes:
    done = subprocess.run(["git", *words], cwd=settings.BASE_DIR, capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"the release before comes from the repository, and git does not read it: {done.stderr.decode()}")
    return done.stdout


@pytest.fixture
def newer_tables() -> Iterator[str]:
    """The address of a copy of this run's database; Django puts `test_` before its name."""
    name, url = f"before_{os.getpid()}", os.environ["DATABASE_URL"]
    own = connection.settings_dict["NAME"]
    connections.close_all()
    connection.close_pool()
    with psycopg.connect(url.replace("/hub?", "/postgres?", 1), autocommit=True) as server:
        server.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [own])
        server.execute(f'CREATE DATABASE "test_{name}" TEMPLATE "{own}"'.encode())
        try:
            yield url.replace("/hub?", f"/{name}?", 1)
        finally:
            server.execute(f'DROP DATABASE "test_{name}" WITH (FORCE)'.encode())


def test_release_before_answers_all_its_routes_on_the_tables_of_now(release: Path, newer_tables: str) -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "DJANGO_", "HUB_"))}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, "hub/tests/test_newer_tables.py"],
        cwd=release,
        env={**kept, "HUB_TEST_EXTERNAL": "1", "DATABASE_URL": newer_tables},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )

    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "2 passed" in done.stdout
    assert int(done.stdout.split("routes asked: ")[1].split()[0]) > 500
