"""Dump, change, restore, compare: with the real programs on the real database."""

import os
import stat
from datetime import UTC, datetime
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from hub.backups import dumps as backups
from hub.exceptions import Invalid, NotFound, Unavailable
from hub.models import PeriodicRun

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def data_directory(tmp_path, settings):
    settings.HUB_DATA = tmp_path
    return tmp_path


def _add_run(task: str) -> None:
    PeriodicRun.objects.create(task=task, due_at=datetime(2026, 1, 1, tzinfo=UTC), outcome="done")


def _tasks() -> set[str]:
    return set(PeriodicRun.objects.values_list("task", flat=True))


def test_restore_brings_back_what_was_dumped():
    _add_run("kept")
    path = backups.create_backup()
    PeriodicRun.objects.all().delete()
    _add_run("later")

    before = backups.restore_backup(path)

    assert _tasks() == {"kept"}
    backups.restore_backup(before)
    assert _tasks() == {"later"}


def test_restore_removes_tables_that_came_after_the_dump():
    path = backups.create_backup()
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE later_table (id int)")

    backups.restore_backup(path)

    assert "later_table" not in connection.introspection.table_names()


def test_restored_database_goes_on_counting():
    _add_run("first")
    path = backups.create_backup()
    backups.restore_backup(path)

    _add_run("second")

    assert _tasks() == {"first", "second"}


def test_damaged_dump_is_refused_and_changes_nothing():
    path = backups.create_backup()
    content = bytearray(path.read_bytes())
    content[-20] ^= 0xFF
    path.write_bytes(content)
    _add_run("present")

    with pytest.raises(Invalid, match="damaged"):
        backups.restore_backup(path)

    assert _tasks() == {"present"}


def test_dump_without_checksum_is_refused():
    path = backups.create_backup()
    path.with_name(f"{path.name}.sha256").unlink()

    with pytest.raises(Invalid, match="no checksum"):
        backups.restore_backup(path)


def test_restore_that_breaks_in_the_middle_changes_nothing(monkeypatch):
    path = backups.create_backup()
    _add_run("present")

    def break_off(path, target):
        target.write(b"CREATE TABLE half (id int);\n")
        raise Unavailable("gone")

    monkeypatch.setattr(backups, "_pour", break_off)
    with pytest.raises(Unavailable):
        backups.restore_backup(path)

    assert _tasks() == {"present"}
    assert "half" not in connection.introspection.table_names()


def test_restore_whose_sql_fails_changes_nothing(monkeypatch):
    path = backups.create_backup()
    _add_run("present")
    monkeypatch.setattr(backups, "_pour", lambda path, target: target.write(b"SELECT no_such_column;\n"))

    with pytest.raises(Unavailable, match="Nothing was restored"):
        backups.restore_backup(path)

    assert _tasks() == {"present"}


def test_dumps_are_readable_by_their_owner_only(data_directory):
    path = backups.create_backup()

    modes = {stat.S_IMODE(each.stat().st_mode) for each in (data_directory / "backups").iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_failed_dump_leaves_no_file(data_directory, monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "NAME", "no_such_database")

    with pytest.raises(Unavailable, match="no_such_database"):
        backups.create_backup()

    assert list((data_directory / "backups").iterdir()) == []


def test_nightly_run_keeps_the_newest_only(data_directory, settings):
    settings.HUB_BACKUPS_KEPT = 2
    folder = data_directory / "backups"
    folder.mkdir()
    for day in ("01", "02", "03"):
        for suffix in ("", ".sha256"):
            (folder / f"hub-202001{day}T000000.000000Z.dump{suffix}").touch()

    backups.run_backup()

    kept = [backup.path.name for backup in backups.list_backups()]
    assert len(kept) == 2
    assert kept[1] == "hub-20200103T000000.000000Z.dump"
    assert len(list(folder.iterdir())) == 4


def test_leftover_of_a_killed_dump_is_removed_after_a_day(data_directory):
    folder = data_directory / "backups"
    folder.mkdir()
    for name, age in ((".partial-old", 2 * 86_400), (".partial-new", 60)):
        (folder / name).touch()
        then = (folder / name).stat().st_mtime - age
        os.utime(folder / name, (then, then))

    backups.create_backup()

    assert [path.name for path in folder.glob(".partial-*")] == [".partial-new"]


def test_commands_dump_list_and_restore(monkeypatch):
    _add_run("kept")
    out = StringIO()
    call_command("backup", stdout=out)
    path = out.getvalue().strip()
    PeriodicRun.objects.all().delete()

    listed = StringIO()
    call_command("backup", "--list", stdout=listed)
    call_command("restore", "latest", "--yes", stdout=StringIO())

    assert path in listed.getvalue()
    assert _tasks() == {"kept"}


def test_restore_command_asks_first(monkeypatch):
    backups.create_backup()
    _add_run("present")
    monkeypatch.setattr("builtins.input", lambda prompt: "no")

    with pytest.raises(CommandError, match="Nothing was restored"):
        call_command("restore", "latest", stdout=StringIO())

    assert _tasks() == {"present"}


def test_unknown_backup_is_named():
    with pytest.raises(NotFound, match="nonsense"):
        backups.find_backup("nonsense")
