"""The servers that a test run gets are real, private and gone with it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis

from hub.launcher.processes import Identity
from hub.launcher.throwaway import Throwaway
from hub.testing import wait_until


def test_run_has_real_postgresql_without_superuser_rights():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        version, superuser = connection.execute(
            "SELECT current_setting('server_version_num')::int, rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone()

    assert version >= 160000
    assert superuser is False


def test_run_has_real_valkey():
    client = redis.Redis.from_url(os.environ["REDIS_URL"])

    client.set("kutanga:probe", "1", ex=5)

    assert client.get("kutanga:probe") == b"1"


def test_database_can_hold_an_exclusion_constraint_on_scalars():
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS btree_gist")
        connection.execute("CREATE TEMP TABLE t (a int, r int4range, EXCLUDE USING gist (a WITH =, r WITH &&))")

        with pytest.raises(psycopg.errors.ExclusionViolation):
            connection.execute("INSERT INTO t VALUES (1, '[1,5]'), (1, '[5,9]')")


def test_servers_end_with_a_killed_test_run():
    script = (
        "import json, time; from hub.launcher.throwaway import Throwaway\n"
        "servers = Throwaway(postgres=False)\n"
        "print(json.dumps([servers.process.pid, servers.addresses['root']]), flush=True)\n"
        "time.sleep(600)"
    )
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    pid, root = json.loads(run.stdout.readline())
    keeper = Identity.of(pid)

    run.send_signal(signal.SIGKILL)
    run.communicate()

    wait_until(lambda: not keeper.is_alive() and not Path(root).exists(), what="the end of the servers")


def test_servers_leave_no_directory_behind():
    servers = Throwaway(postgres=False)

    servers.close()

    assert not Path(servers.addresses["root"]).exists()
