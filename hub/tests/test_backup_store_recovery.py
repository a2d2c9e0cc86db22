"""A real server's backups in a bucket: sent, brought to an empty machine and recovered there, forgotten in time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from django.test import override_settings

from hub.backups import base, fetching, offsite, recovery
from hub.backups.sealed import SealedStore
from hub.exceptions import Invalid

from .backup_world import World, backup_world
from .s3_server import ACCESS, SECRET, S3Server, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with backup_world() as world:
        base.create_base("full")
        yield world


def test_machine_that_is_gone_comes_back_from_the_store_alone(world: World, tmp_path: Path) -> None:
    """Chain, WAL and the segment that was being written go to a bucket; an empty machine restores both ends of it."""
    with s3_server() as server, _stored(server):
        world.sql("CREATE TABLE moments (name text)")
        base.create_base("incremental")
        world.sql("INSERT INTO moments VALUES ('before')")
        time.sleep(1.1)
        between = datetime.now(UTC)
        time.sleep(1.1)
        world.switch()
        world.sql("INSERT INTO moments VALUES ('after')")
        world.wait_for_wal()
        store = offsite.claim_store()
        assert offsite.send_bases(store) > 0
        assert offsite.send_wal(store) > 0
        assert (offsite.send_bases(store), offsite.send_wal(store)) == (0, 0)
        world.sql("INSERT INTO moments VALUES ('last')")
        world.wait_for_wal()
        assert offsite.send_wal(store) > 0  # the segment that is being written, once more

        with override_settings(HUB_BACKUPS=str(tmp_path / "new machine")):
            latest = _recovered(store, recovery.Target(), world.embedded.root / "latest")
            middle = _recovered(store, recovery.Target(time=between), world.embedded.root / "middle")
        offsite.forget(store)
        kept = store.store.names("base/")

    assert latest == ["after", "before", "last"]
    assert middle == ["before"]
    assert {f"base/{each.name}.tar" for each in base.bases() if each.chain in base.kept_chains(base.bases())} == {
        name for name in kept if name.endswith(".tar")
    }


def test_store_forgets_chains_and_wal_that_are_no_longer_kept(world: World) -> None:
    with s3_server() as server, _stored(server):
        store = offsite.claim_store()
        offsite.send_bases(store)
        world.switch()
        world.wait_for_wal()
        newest = base.create_base("full")
        with override_settings(HUB_BACKUP_CHAINS=99):
            offsite.send_wal(store)
        offsite.send_bases(store)
        with override_settings(HUB_BACKUP_CHAINS=1):
            offsite.forget(store)
            offsite.send_wal(store)

        names = store.store.names()
        segments = sorted(name for name in names if name.startswith(f"wal/{newest.stream}/0"))
        assert {name for name in names if name.startswith("base/")} == {
            f"base/{newest.name}.json",
            f"base/{newest.name}.tar",
        }
        assert segments[0].rpartition("/")[2].removesuffix(".partial") == newest.start_segment


def test_altered_base_backup_in_the_store_never_reaches_the_backups(world: World, tmp_path: Path) -> None:
    with s3_server() as server, _stored(server):
        made = base.bases()[0]
        store = offsite.claim_store()
        offsite.send_bases(store)
        name = next(each for each in server.objects if each.endswith(f"{made.name}.tar"))
        server.objects[name] = server.objects[name][:-100] + bytes(84) + server.objects[name][-16:]

        with override_settings(HUB_BACKUPS=str(tmp_path / "new")), pytest.raises(Invalid, match="altered"):
            fetching.bring_database(store, recovery.Target(immediate=True), made.name, print)

        assert not [path for path in (tmp_path / "new").rglob("*") if path.is_file()]


@contextmanager
def _stored(server: S3Server) -> Iterator[None]:
    """The settings of a store in a bucket."""
    with override_settings(
        HUB_BACKUP_STORE="s3://backups/hub",
        HUB_BACKUP_PASSPHRASE="correct horse",
        HUB_S3_ENDPOINT=server.endpoint,
        HUB_S3_ACCESS_KEY=ACCESS,
        HUB_S3_SECRET_KEY=SECRET,
    ):
        yield


def _recovered(store: SealedStore, target: recovery.Target, into: Path) -> list[str]:
    """Restore from the store and read what was noted."""
    found: list[str] = []

    def look(address: str) -> None:
        with psycopg.connect(address) as there:
            found.extend(row[0] for row in there.execute("SELECT name FROM moments ORDER BY name"))

    name = fetching.bring_database(store, target, recovery.LATEST, print)
    recovery.recover(recovery.plan(target, name=name), into, login=("hub", "hub"), look=look, durable=False)
    return found
