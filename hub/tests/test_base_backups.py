"""Base backups and WAL of a real server: made, checked, received without a hole, and forgotten in time."""

from __future__ import annotations

import gzip
import signal
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.test import override_settings

from hub.backups import base, place, programs, wal
from hub.exceptions import Conflict, Invalid, Unavailable
from hub.launcher.processes import wait_until
from hub.models import BackupReport

from .backup_world import World, backup_world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with backup_world() as world:
        world.sql("CREATE TABLE notes (id serial PRIMARY KEY, body text)")
        base.create_base("full")
        yield world


def _fill(world: World, mebibytes: int = 1) -> None:
    world.sql("INSERT INTO notes (body) SELECT repeat('x', 1000) FROM generate_series(1, %s)", mebibytes * 1000)


def test_incremental_backup_is_smaller_builds_on_the_last_one_and_is_listed(world: World) -> None:
    parent = base.bases()[0]
    _fill(world)

    made = base.create_base("incremental")

    assert (made.parent, made.chain, made.stream) == (parent.name, parent.chain, parent.stream)
    assert made.size_bytes < base.chain_of(made)[0].size_bytes
    listed = StringIO()
    call_command("backups", stdout=listed)
    assert made.name in listed.getvalue()
    base.verify_base(made)


def test_altered_backup_is_refused(world: World) -> None:
    made = base.create_base("full")
    victim = max((made.path / "base").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 0xFF
    victim.write_bytes(content)

    with pytest.raises(Invalid, match="damaged"):
        base.verify_base(made)

    base.forget_base(made)
    assert made.name not in [each.name for each in base.bases()]


def test_backup_with_a_foreign_manifest_is_refused(world: World) -> None:
    made = base.bases()[0]
    manifest = made.path / "backup_manifest"
    before = manifest.read_bytes()
    manifest.write_bytes(before + b"\n")

    with pytest.raises(Invalid, match="manifest"):
        base.verify_base(made)

    manifest.write_bytes(before)
    base.verify_base(made)


def test_backup_whose_parent_is_gone_is_refused(world: World) -> None:
    made = base.create_base("incremental")
    record = place.folder("base") / f"{made.parent}.json"
    hidden = record.rename(record.with_suffix(".hidden"))

    with pytest.raises(Invalid, match="is missing"):
        base.chain_of(made)

    hidden.rename(record)


def test_killed_receiver_comes_back_and_no_segment_is_lost(world: World) -> None:
    stream = wal.streams()[0]
    world.stop_receiver(signal.SIGKILL)
    _fill(world, 40)

    world.receive()
    world.wait_for_wal()

    assert wal.streams()[0].name == stream.name
    numbers = [segment.number for segment in stream.segments()]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert len(numbers) >= 3
    newest = stream.segments()[-1]
    position = programs.source().rows("SELECT pg_current_wal_flush_lsn()::text")[0][0]
    assert newest.start + newest.segment_bytes >= wal.lsn(position)


def test_lost_slot_begins_a_new_stream_and_a_full_backup(world: World) -> None:
    before = wal.streams()[0].name
    world.stop_receiver()
    source = programs.source()
    assert wait_until(lambda: wal.lag_bytes(source) is None, 60)
    source.rows("SELECT pg_drop_replication_slot(%s)", [wal.SLOT])

    with pytest.raises(Unavailable, match="receive_wal"):
        base.create_base("incremental")
    world.receive()
    made = base.create_base()

    assert wal.streams()[0].name != before
    assert (made.kind, made.stream) == ("full", wal.streams()[0].name)


def test_finished_segments_are_packed_and_say_the_same(world: World) -> None:
    for _ in range(4):
        _fill(world)
        world.switch()
    world.wait_for_wal()
    stream = wal.streams()[0]
    first = next(each for each in stream.segments() if not each.path.suffix)
    plain = first.path.read_bytes()

    assert wal.compress(stream) >= 1

    packed = next(each for each in stream.segments() if each.name == first.name)
    assert packed.path.suffix == ".gz"
    assert gzip.decompress(packed.path.read_bytes()) == plain
    world.stop_receiver()
    world.receive()  # goes on beside the packed ones
    assert wal.streams()[0].name == stream.name


def test_old_chains_go_and_with_them_the_wal_that_nobody_needs(world: World) -> None:
    world.switch()
    newest = base.create_base("full")

    with override_settings(HUB_BACKUP_CHAINS=1):
        base.keep()

    assert [each.name for each in base.bases()] == [newest.name]
    assert [path.name for path in place.folder("base").iterdir() if path.is_dir()] == [newest.name]
    assert [stream.name for stream in wal.streams()] == [newest.stream]
    assert wal.streams()[0].segments()[0].name == newest.start_segment


@pytest.mark.django_db(transaction=True)
def test_backup_that_is_due_is_made_and_reported_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    base.create_base("full")
    count = len(base.bases())

    base.run_base()
    assert len(base.bases()) == count

    monkeypatch.setattr(base, "EVERY", timedelta(0))
    base.run_base()
    assert base.bases()[0].kind == "incremental"

    monkeypatch.setattr(base, "CHAIN_AGE", timedelta(0))
    base.run_base()
    assert base.bases()[0].kind == "full"
    assert [(each.name, each.is_good) for each in BackupReport.objects.filter(kind="base")] == [
        (each.name, True) for each in base.bases()[:2]
    ]


def test_two_backups_at_once_do_not_trip_over_each_other(world: World) -> None:
    with place.alone("a test"), pytest.raises(Conflict, match="Another backup is at work"):
        base.create_base()


def test_full_disk_is_told_before_anything_is_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SPARE_BYTES", 2**60)

    with pytest.raises(Unavailable, match="make room"):
        base.create_base("full")

    assert not list(place.folder("base").glob(".draft-*"))


def test_role_that_may_not_replicate_is_told_so(world: World) -> None:
    with (
        override_settings(HUB_BACKUP_DATABASE_URL=world.embedded.database_url),
        pytest.raises(Unavailable, match="REPLICATION"),
    ):
        base.create_base()


def test_without_an_address_the_way_to_one_is_told() -> None:
    with override_settings(HUB_BACKUP_DATABASE_URL=""), pytest.raises(Unavailable, match="HUB_BACKUP_DATABASE_URL"):
        base.create_base()


def test_password_is_not_on_the_command_line() -> None:
    with override_settings(HUB_BACKUP_DATABASE_URL="postgresql://copy:s3cr3t@db.example/hub"):
        found = programs.source()

    assert "s3cr3t" not in found.conninfo
    assert found.password == "s3cr3t"
    assert programs.environment("/usr/bin/pg_dump", found.password)["PGPASSWORD"] == "s3cr3t"
