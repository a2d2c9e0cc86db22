"""Data of a workload in one file: all of it, the same file for the same data, and nothing that leads elsewhere."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from pathlib import Path

import pytest

from hub.engines import archives
from hub.engines.base import EngineError, Reason


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "data"
    (top / "world").mkdir(parents=True)
    (top / "world" / "level.dat").write_bytes(os.urandom(70_000))
    (top / "world" / "level.dat").chmod(0o640)
    (top / "world" / "level.old").hardlink_to(top / "world" / "level.dat")
    (top / "latest").symlink_to("/nowhere/else")
    (top / "here").symlink_to("world")
    os.mkfifo(top / "pipe")
    os.utime(top / "world" / "level.dat", ns=(1_700_000_000_000_000_000, 1_700_000_000_000_000_000))
    os.utime(top / "world", ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))
    top.chmod(0o750)
    return top


def pack(top: Path, target: Path) -> Path:
    archives.pack(top, target, labels={"kutanga.id": "7"}, going_on=lambda: True)
    return target


def test_data_come_back_as_they_were(top: Path, tmp_path: Path) -> None:
    packed = pack(top, tmp_path / "packed")

    archives.unpack(packed, tmp_path / "again")

    level, old = (tmp_path / "again" / "world" / name for name in ("level.dat", "level.old"))
    assert level.read_bytes() == (top / "world" / "level.dat").read_bytes()
    assert level.samefile(old)
    assert (level.stat().st_mode & 0o777, level.stat().st_mtime) == (0o640, 1_700_000_000)
    assert (tmp_path / "again" / "world").stat().st_mtime == 1_600_000_000
    assert (tmp_path / "again").stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "again" / "latest").readlink() == Path("/nowhere/else")
    assert not (tmp_path / "again" / "pipe").exists()
    assert archives.labels_of(packed) == {"kutanga.id": "7"}
    assert packed.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owners_come_back(top: Path, tmp_path: Path) -> None:
    os.chown(top / "world" / "level.dat", 1234, 5678)

    archives.unpack(pack(top, tmp_path / "packed"), tmp_path / "again")

    facts = (tmp_path / "again" / "world" / "level.dat").stat()
    assert (facts.st_uid, facts.st_gid) == (1234, 5678)


def test_same_data_are_the_same_file(top: Path, tmp_path: Path) -> None:
    one, two = pack(top, tmp_path / "one"), pack(top, tmp_path / "two")

    assert one.read_bytes() == two.read_bytes()


def test_directory_that_became_a_link_is_not_followed(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that exchanges a directory for a link, just when it is gone into, gets nothing of the node's."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "shadow").write_text("root:…")
    real = os.open

    def exchange(path: object, *rest: int, **more: int) -> int:
        if path == "world":
            os.rename(top / "world", top / "elsewhere")
            (top / "world").symlink_to(tmp_path / "secret")
        return real(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", exchange)

    packed = pack(top, tmp_path / "packed")

    with tarfile.open(packed) as archive:
        assert "world/shadow" not in archive.getnames()
    assert (top / "world").is_symlink()


def test_file_that_is_cut_off_meanwhile_spoils_nothing(
    top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def cut(descriptor: int) -> os.stat_result:
        facts = real(descriptor)
        if facts.st_size == 70_000:
            os.truncate(top / "world" / "level.dat", 10)
        return facts

    monkeypatch.setattr(os, "fstat", cut)
    packed = pack(top, tmp_path / "packed")
    monkeypatch.undo()

    archives.unpack(packed, tmp_path / "again")

    assert (tmp_path / "again" / "world" / "level.dat").read_bytes()[10:] == bytes(69_990)


def test_giving_up_is_heard(top: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError) as told:
        archives.pack(top, tmp_path / "packed", labels={}, going_on=lambda: False)

    assert told.value.reason is Reason.CANCELLED


def test_full_disk_is_told_before_it_is_full(top: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SPARE_BYTES", 2**60)

    with pytest.raises(EngineError) as told:
        pack(top, tmp_path / "packed")

    assert told.value.reason is Reason.DISK_FULL
    assert not (tmp_path / "packed").exists()


def test_file_of_mostly_nothing_is_refused(top: Path, tmp_path: Path) -> None:
    os.truncate(top / "world" / "level.dat", 2 * 1024**3)

    with pytest.raises(EngineError, match="mostly nothing"):
        pack(top, tmp_path / "packed")


@pytest.mark.parametrize("name", ["../out", "/out", "link/out", "world/../../out"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with tarfile.open(tmp_path / "packed", "w:gz") as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        archive.addfile(link)
        entry = tarfile.TarInfo(name)
        entry.size = 3
        archive.addfile(entry, io.BytesIO(b"out"))

    with pytest.raises(EngineError, match="which no workload's data do"):
        archives.unpack(tmp_path / "packed", tmp_path / "again")

    assert not (tmp_path / "out").exists()


def test_damaged_file_is_refused(top: Path, tmp_path: Path) -> None:
    packed = pack(top, tmp_path / "packed")
    packed.write_bytes(packed.read_bytes()[:-2000])
    (tmp_path / "other").write_bytes(gzip.compress(b"no archive"))

    for path in (packed, tmp_path / "other"):
        with pytest.raises(EngineError, match="damaged"):
            archives.unpack(path, tmp_path / f"of {path.name}")
