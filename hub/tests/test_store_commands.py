"""A machine is lost, and the commands that the page of backups names bring its hub back from a sealed bucket alone."""

import os
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from hub.launcher.processes import wait_until

from .backup_world import World
from .launched_hub import Hub, launched_hub
from .s3_server import ACCESS, SECRET, s3_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]  # starts a whole hub

SET_NAME = "from accounts.models import User; User.objects.filter(username='admin').update(first_name='%s')"
SEAL = "from hub import secrets; print(secrets.seal('canary-4711', purpose='tests'))"
UNSEAL = "from hub import secrets; print(secrets.unseal('%s', purpose='tests'))"


def run_code(hub: Hub, code: str) -> str:
    return hub.manage("shell", "--no-imports", "-v0", "-c", code).strip()


def begin(hub: Hub) -> None:
    """A first start, ended when it has keys and an empty database: the rest of it is replaced by what comes back."""
    process = hub.start("up", "--detach")
    assert wait_until((hub.data / "services.json").exists, 120)
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=120)


def first_names(hub: Hub) -> list[tuple[str]]:
    """What the database says that lies where the hub would start it."""
    back = World(hub.data)
    back.start()
    try:
        return back.sql("SELECT first_name FROM accounts_user WHERE username = 'admin'")
    finally:
        back.stop()


def test_hub_of_a_lost_machine_comes_back_from_a_bucket_by_its_commands() -> None:
    """First all of it up to the last second, then as it was between two writes, without a backup on the machine."""
    with s3_server() as bucket, launched_hub() as hub:
        hub.environment |= {
            "HUB_BACKUP_STORE": "s3://backups/hub",
            "HUB_BACKUP_PASSPHRASE": "correct horse",
            "HUB_S3_ENDPOINT": bucket.endpoint,
            "HUB_S3_ACCESS_KEY": ACCESS,
            "HUB_S3_SECRET_KEY": SECRET,
        }
        assert hub.run("up", "--detach")[0] == 0
        (hub.data / "bundles").mkdir(exist_ok=True)
        (hub.data / "bundles" / "one.bundle").write_bytes(b"firmware")
        hub.manage("backup", "--full")
        hub.manage("backup", "--files")
        sealed = run_code(hub, SEAL)
        run_code(hub, SET_NAME % "Wanted")
        time.sleep(1.1)
        between = datetime.now(UTC)
        time.sleep(1.1)
        run_code(hub, SET_NAME % "Latest")
        hub.manage("backup", "--send")
        assert hub.run("reset", "--yes")[0] == 0
        assert not hub.data.exists()

        begin(hub)
        listed = hub.manage("backups", "--store")
        files = hub.manage("restore", "files", "--store", "--yes")
        latest = hub.manage("restore", "latest", "--store", "--yes")
        names = first_names(hub)
        hub.environment["HUB_BACKUPS"] = str(hub.data / "nothing-here")
        middle = hub.manage("pitr", between.isoformat(), "--store", "--yes")
        then = first_names(hub)

        assert all(kind in listed for kind in ("full", "files"))
        assert "the keys of then are in secrets.json again" in files
        assert (hub.data / "bundles" / "one.bundle").read_bytes() == b"firmware"
        assert "The database is back." in latest
        assert names == [("Latest",)]
        assert run_code(hub, UNSEAL % sealed) == "canary-4711"
        assert "- fetching " in middle
        assert "The database is back." in middle
        last = datetime.fromisoformat(re.search(r"last change is of (\S+ \S+) UTC", middle)[1] + "+00:00")
        assert last <= between < last + timedelta(seconds=60)
        assert then == [("Wanted",)]
