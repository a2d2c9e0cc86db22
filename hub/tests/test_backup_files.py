"""Files and keys beside the database: copied once, linked afterwards, checked, and put back."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hub.backups import files, place
from hub.exceptions import Invalid, NotFound, Unavailable
from hub.launcher.place import read_json
from hub.models import BackupReport


@pytest.fixture(autouse=True)
def data(tmp_path: Path, settings: Any) -> Path:
    settings.HUB_DATA, settings.HUB_BACKUPS, settings.HUB_BACKUP_PASSPHRASE = tmp_path, "", "correct horse"
    world = tmp_path / "workloads" / "server-1"
    world.mkdir(parents=True)
    (world / "world.dat").write_bytes(b"blocks")
    (world / "latest").symlink_to("world.dat")
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "one.bundle").write_bytes(b"firmware")
    (tmp_path / "postgres").mkdir()
    return tmp_path


def test_snapshot_holds_what_the_database_does_not(data: Path) -> None:
    made = files.take_snapshot()

    assert (made.path / "workloads/server-1/world.dat").read_bytes() == b"blocks"
    assert (made.path / "workloads/server-1/latest").readlink() == Path("world.dat")
    assert (made.path / "bundles/one.bundle").read_bytes() == b"firmware"
    assert not (made.path / "postgres").exists()
    assert [each.path for each in files.snapshots()] == [made.path]


def test_unchanged_files_take_no_room_twice(data: Path) -> None:
    first = files.take_snapshot()
    (data / "workloads/server-1/world.dat").write_bytes(b"more blocks")
    second = files.take_snapshot()

    one, two = (each.path / "bundles/one.bundle" for each in (first, second))
    assert one.samefile(two)
    assert (first.path / "workloads/server-1/world.dat").read_bytes() == b"blocks"
    assert (second.path / "workloads/server-1/world.dat").read_bytes() == b"more blocks"
    files.verify_snapshot(first)
    files.verify_snapshot(second)


def test_files_come_back_and_the_former_ones_are_kept(data: Path) -> None:
    made = files.take_snapshot()
    (data / "bundles/one.bundle").write_bytes(b"broken")
    (data / "bundles/two.bundle").touch()

    kept = files.restore_files(made)

    assert (data / "bundles/one.bundle").read_bytes() == b"firmware"
    assert not (data / "bundles/two.bundle").exists()
    assert kept is not None
    assert (kept / "bundles/one.bundle").read_bytes() == b"broken"
    assert (data / "workloads/server-1/latest").readlink() == Path("world.dat")


def test_altered_file_is_refused_and_nothing_is_changed(data: Path) -> None:
    made = files.take_snapshot()
    (made.path / "bundles/one.bundle").write_bytes(b"firmwarf")
    (data / "bundles/one.bundle").write_bytes(b"now")

    with pytest.raises(Invalid, match=r"one\.bundle"):
        files.restore_files(made)

    assert (data / "bundles/one.bundle").read_bytes() == b"now"


def test_only_the_newest_are_kept(data: Path, settings: Any) -> None:
    settings.HUB_BACKUPS_KEPT = 2
    made = [files.take_snapshot() for _ in range(3)]

    assert [each.path for each in files.snapshots()] == [made[2].path, made[1].path]


def test_snapshot_before_a_time_is_found(data: Path) -> None:
    first, _ = files.take_snapshot(), files.take_snapshot()

    assert files.find_snapshot(first.made_at).path == first.path
    with pytest.raises(NotFound):
        files.find_snapshot(first.made_at.replace(year=2000))


def test_keys_come_back_under_their_passphrase(data: Path, settings: Any) -> None:
    made = files.take_snapshot()

    assert files.restore_keys(made)

    assert read_json(data / "secrets.json")["HUB_SECRET_KEY"] == settings.SECRET_KEY
    assert not files.restore_keys(made)
    assert settings.SECRET_KEY not in (made.path / files.KEYS).read_text()


def test_keys_that_the_environment_gives_are_named_when_they_are_others_than_those_of_then(
    data: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In containers secrets.json is not read: what was sealed under the former keys would never open again."""
    monkeypatch.delenv("HUB_SECRET_KEY", raising=False)
    monkeypatch.setenv("HUB_SECRET_KEYS_FILE", "/run/secrets/secret_keys")
    made = files.take_snapshot()

    assert files.keys_from_elsewhere(made) == []
    settings.HUB_KEY_RING = {"1": b"k" * 32}
    assert files.keys_from_elsewhere(made) == ["HUB_SECRET_KEYS"]
    monkeypatch.delenv("HUB_SECRET_KEYS_FILE")
    monkeypatch.delenv("HUB_SECRET_KEYS", raising=False)
    assert files.keys_from_elsewhere(made) == []


def test_keys_do_not_open_under_another_passphrase(data: Path) -> None:
    made = files.take_snapshot()

    with pytest.raises(Invalid, match="not the one of then"):
        files.open_keys(made, "wrong horse")


def test_without_a_passphrase_no_key_is_stored(data: Path, settings: Any) -> None:
    settings.HUB_BACKUP_PASSPHRASE = ""
    made = files.take_snapshot()

    assert not made.has_keys
    with pytest.raises(Invalid, match=r"secrets\.json"):
        files.open_keys(made, "")


def test_only_what_is_new_has_to_find_room(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = files.take_snapshot()
    (data / "bundles/two.bundle").write_bytes(b"x" * 5_000)

    assert files._new_bytes(before) == 5_000
    assert files._new_bytes(None) == 5_000 + len(b"blocks") + len(b"firmware")
    monkeypatch.setattr(place, "SPARE_BYTES", 2**60)
    with pytest.raises(Unavailable, match="make room"):
        files.take_snapshot()


def test_sockets_and_files_that_vanish_are_left_out(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(data / "workloads/pipe")
    real = files.shutil.copyfile

    def vanish(source: Path, target: Path) -> None:
        if source.name == "one.bundle":
            raise FileNotFoundError(source)
        real(source, target)

    monkeypatch.setattr(files.shutil, "copyfile", vanish)

    assert set(files.take_snapshot().sums) == {"workloads/server-1/world.dat"}


def test_commands_take_show_and_restore_a_snapshot(data: Path) -> None:
    said, listed, restored = StringIO(), StringIO(), StringIO()
    call_command("backup", "--files", stdout=said)
    (data / "bundles/one.bundle").write_bytes(b"broken")

    call_command("backups", stdout=listed)
    call_command("restore", "files", "--yes", stdout=restored)

    assert Path(said.getvalue().strip()).name in listed.getvalue()
    assert "with keys" in listed.getvalue()
    assert "What was there before is in" in restored.getvalue()
    assert (data / "bundles/one.bundle").read_bytes() == b"firmware"
    assert (data / "secrets.json").exists()


def test_restore_of_files_asks_first(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.take_snapshot()
    (data / "bundles/one.bundle").write_bytes(b"now")
    monkeypatch.setattr("builtins.input", lambda prompt: "no")

    with pytest.raises(CommandError, match="Nothing was restored"):
        call_command("restore", "files", stdout=StringIO())

    assert (data / "bundles/one.bundle").read_bytes() == b"now"


@pytest.mark.django_db
def test_nightly_snapshot_leaves_a_report(data: Path) -> None:
    files.run_snapshot()

    report = BackupReport.objects.get(kind="files")
    assert (report.is_good, report.bytes) == (True, len(b"blocks") + len(b"firmware"))
    assert report.detail == "2 files, with the keys."
