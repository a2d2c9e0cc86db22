"""Destroy a server and bring it back, from real backups and real WAL; go back to a second between two writes."""

from __future__ import annotations

import gzip
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils import timezone

from hub.backups import base, comeback, place, recovery, wal
from hub.backups.recovery import Target
from hub.exceptions import Invalid, NotFound, Unavailable

from .backup_world import World, backup_world

pytestmark = pytest.mark.slow
LOGIN = ("hub", "hub")
CONTENT = "SELECT count(*), sum(hashtextextended(notes::text, 0)) FROM notes"


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with backup_world() as world:
        world.sql("CREATE TABLE notes (id serial PRIMARY KEY, body text)")
        _write(world, "first")
        base.create_base("full")
        _write(world, "second")
        base.create_base("incremental")
        yield world


@pytest.fixture
def there(world: World) -> Iterator[Path]:
    """A place for a data directory, which the server's user may enter."""
    home = world.embedded.cluster.parent / "tried"
    home.mkdir()
    home.chmod(0o711)
    yield home / "data"
    shutil.rmtree(home)


def _write(world: World, body: str, rows: int = 500) -> datetime:
    """Write rows and return a moment after their commit."""
    world.sql("INSERT INTO notes (body) SELECT %s FROM generate_series(1, %s)", body, rows)
    at: datetime = world.sql("SELECT clock_timestamp()")[0][0]
    return at


def _recover(world: World, target: Target, into: Path, **more: Any) -> tuple[recovery.Recovered, list[Any]]:
    """Recover into a directory and return what the notes look like there."""
    seen: list[Any] = []

    def look(address: str) -> None:
        with psycopg.connect(address) as connection:
            seen.extend(connection.execute(CONTENT).fetchall())
            seen.append({body for (body,) in connection.execute("SELECT DISTINCT body FROM notes").fetchall()})

    found = recovery.plan(target, name=more.pop("name", recovery.LATEST))
    done = recovery.recover(found, into, login=LOGIN, look=look, durable=False, **more)
    return done, seen


def test_destroyed_server_comes_back_with_everything_up_to_the_last_write(world: World) -> None:
    _write(world, "last words")
    before = world.sql(CONTENT)
    world.wait_for_wal()
    world.stop(signal.SIGQUIT)
    world.stop_receiver()
    shutil.rmtree(world.embedded.cluster)

    found = recovery.plan(Target())
    new = world.embedded.cluster.with_name("recovered")
    done = recovery.recover(found, new, login=LOGIN)
    assert world.embedded.replace_cluster(new) is None
    world.start()

    assert len(found.links) == 2
    assert world.sql(CONTENT) == before
    assert done.last_change is not None
    _begins_a_new_life(world)


def _begins_a_new_life(world: World) -> None:
    """What is written after a restore goes to a stream and a chain of its own."""
    old = wal.streams()[0].name
    world.receive()

    made = base.create_base()

    assert made.kind == "full"
    assert made.stream == wal.streams()[0].name != old
    _write(world, "second life")
    base.create_base("incremental")


def test_back_to_a_second_between_two_writes(world: World, there: Path) -> None:
    between = _write(world, "wanted")
    before = world.sql(CONTENT)
    time.sleep(1)
    _write(world, "regretted")
    world.wait_for_wal()

    _, seen = _recover(world, Target(time=between + timedelta(milliseconds=500)), there)

    assert seen[:1] == before
    assert "wanted" in seen[1]
    assert "regretted" not in seen[1]


def test_server_that_lets_nobody_in_says_why_and_is_not_waited_for(
    world: World, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "LONGEST_SECONDS", 60)

    with pytest.raises(Unavailable, match='cannot be read here: role "stranger" does not exist'):
        recovery.recover(recovery.plan(Target(immediate=True)), there, login=("hub", "stranger"), durable=False)

    assert not there.exists()


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("connection failed: No such file or directory", ""),
        ("connection failed: FATAL:  the database system is starting up", ""),
        ("failed: FATAL:  the database system is not accepting connections\nDETAIL:  Hot standby is disabled.", ""),
        ('failed: FATAL:  role "hub" does not exist', 'role "hub" does not exist'),
        (
            'failed: FATAL:  locale is incompatible\nDETAIL:  Made with LC_COLLATE "de_DE.utf8".',
            'locale is incompatible DETAIL: Made with LC_COLLATE "de_DE.utf8". Install that locale on this machine.',
        ),
    ],
)
def test_only_what_waiting_does_not_mend_is_a_reason_to_give_up(told: str, reason: str) -> None:
    assert recovery._refusal(told) == reason


def test_backup_by_name_comes_back_as_it_was(world: World, there: Path) -> None:
    before = world.sql(CONTENT)
    made = base.create_base("incremental")
    _write(world, "after the backup")

    _, seen = _recover(world, Target(immediate=True), there, name=made.name)

    assert seen[:1] == before


def test_recovery_reads_packed_segments(world: World, there: Path) -> None:
    for number in range(3):
        _write(world, f"packed {number}")
        world.switch()
    world.wait_for_wal()
    assert wal.compress(wal.streams()[0]) >= 1

    _, seen = _recover(world, Target(), there)

    assert seen[:1] == world.sql(CONTENT)


@pytest.fixture
def segment(world: World) -> Iterator[Callable[[], Path]]:
    """Give a finished segment to damage, and put it right again."""
    hidden: list[tuple[Path, bytes]] = []

    def give() -> Path:
        made = base.create_base("incremental")
        for number in range(2):
            _write(world, f"damaged {number}", 4_000)
            world.switch()
        world.wait_for_wal()
        first = wal.segment_number(made.start_segment, wal.streams()[0].segment_bytes)
        path = next(each.path for each in wal.streams()[0].segments() if each.number == first + 1)
        hidden.append((path, path.read_bytes()))
        return path

    yield give
    for path, content in hidden:
        path.write_bytes(content)


def test_damaged_segment_is_refused(
    world: World, there: Path, segment: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal.Stream, "last_write", lambda self: None)
    path = segment()
    content = bytearray(path.read_bytes())
    content[20_000:20_100] = bytes(100)
    path.write_bytes(content)

    with pytest.raises(Invalid, match=f"{path.name} is damaged"):
        _recover(world, Target(), there)
    with pytest.raises(Invalid, match=f"{path.name} is damaged"):
        _recover(world, Target(time=timezone.now() - timedelta(milliseconds=1)), there)

    assert not there.exists()


def test_missing_segment_is_named(world: World, segment: Callable[[], Path]) -> None:
    segment().unlink()

    with pytest.raises(Invalid, match="incomplete"):
        recovery.plan(Target())


def test_damaged_packed_segment_is_refused(world: World, there: Path, segment: Callable[[], Path]) -> None:
    path = segment()
    packed = path.with_suffix(".gz")
    packed.write_bytes(gzip.compress(path.read_bytes())[:-1000])
    path.unlink()

    try:
        with pytest.raises(Invalid, match="damaged"):
            _recover(world, Target(), there)
    finally:
        packed.unlink()


def test_altered_backup_is_not_restored(world: World, there: Path) -> None:
    made = base.create_base("incremental")
    victim = next(path for path in (made.path / "base").rglob("*") if path.is_file() and path.stat().st_size)
    before = victim.read_bytes()
    victim.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))

    try:
        with pytest.raises(Invalid, match=f"{made.name} is damaged"):
            _recover(world, Target(), there)
    finally:
        victim.write_bytes(before)


def test_time_before_the_first_backup_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="before the first base backup"):
        recovery.plan(Target(time=base.bases()[-1].finished_at - timedelta(seconds=1)))


def test_time_in_the_future_is_refused(world: World) -> None:
    with pytest.raises(Invalid, match="future"):
        recovery.plan(Target(time=timezone.now() + timedelta(hours=1)))


def test_time_after_the_last_wal_is_refused(world: World, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(world, "the last for now")
    world.wait_for_wal()
    after = timezone.now()  # just now: a server that does nothing still writes WAL every few seconds

    with pytest.raises(Invalid, match="ends at"):
        recovery.plan(Target(time=after))
    monkeypatch.setattr(wal.Stream, "last_write", lambda self: None)  # a copied directory may have lost its times
    with pytest.raises(Invalid, match="ends with the change of"):
        _recover(world, Target(time=after), there)


def test_full_disk_is_told_before_anything_is_made(world: World, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place, "SPARE_BYTES", 2**60)

    with pytest.raises(Unavailable, match="make room"):
        _recover(world, Target(), there)

    assert not there.exists()


def test_disk_that_fills_up_later_is_a_sentence(world: World) -> None:
    log = 'FATAL:  could not write to file "pg_wal/x": No space left on device'

    assert "disk is full" in recovery._explain(log, recovery.plan(Target())).message


def test_backup_of_another_version_names_the_package(world: World, there: Path) -> None:
    found = recovery.plan(Target())
    old = replace(found, links=[replace(link, version=120_000) for link in found.links])

    with pytest.raises(Unavailable, match="postgresql-12"):
        recovery.recover(old, there, login=LOGIN)


def test_there_is_no_backup_to_recover_from(tmp_path: Path) -> None:
    with override_settings(HUB_BACKUPS=str(tmp_path)), pytest.raises(NotFound, match="no base backup"):
        recovery.plan(Target())


def test_command_makes_a_data_directory(world: World, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "hub_login", lambda: LOGIN)
    at = _write(world, "by command")
    time.sleep(0.1)
    _write(world, "still later")
    world.wait_for_wal()
    out = StringIO()

    call_command("pitr", at.isoformat(), "--into", str(there), stdout=out)

    assert "is ready" in out.getvalue()
    assert (there / "PG_VERSION").exists()
    assert not (there / "recovery.signal").exists()


def test_server_that_is_not_ours_is_left_alone(world: World) -> None:
    with pytest.raises(CommandError, match="--into"):
        call_command("restore", "latest", "--yes", stdout=StringIO())


def test_embedded_restore_asks_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comeback, "is_ours", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt: "no")

    with pytest.raises(CommandError, match="Nothing was restored"):
        call_command("restore", "latest", stdout=StringIO())


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01"])
def test_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="must look like"):
        call_command("pitr", text, stdout=StringIO())
