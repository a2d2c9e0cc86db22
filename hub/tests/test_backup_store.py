"""Copies elsewhere: sealed, whole or not at all, brought back on an empty machine, and forgotten in time."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from hub import buckets, schedule, sealing
from hub.backups import dumps, fetching, files, offsite, place, reports
from hub.backups.sealed import SALT_BYTES, SealedStore
from hub.backups.store import Bucket, Directory, open_store
from hub.exceptions import Conflict, Invalid, NotFound, Unavailable
from hub.models import BackupReport
from hub.settings import BASE_DIR
from hub.testing import child_environment

from .s3_server import ACCESS, POD_TOKEN, SECRET, S3Server, s3_server


@pytest.fixture
def server() -> Iterator[S3Server]:
    with s3_server() as running:
        yield running


SCHEDULED = """
from hub import schedule
print(*[task.name for task in schedule.PERIODIC if task.name.startswith("send-")])
"""


def _use_bucket(settings: Any, server: S3Server) -> None:
    settings.HUB_S3_ENDPOINT, settings.HUB_BACKUP_STORE = server.endpoint, "s3://backups/hub one"
    settings.HUB_S3_ACCESS_KEY, settings.HUB_S3_SECRET_KEY = ACCESS, SECRET


@pytest.fixture(params=["bucket", "directory"])
def store(request: pytest.FixtureRequest, tmp_path: Path, settings: Any, server: S3Server) -> SealedStore:
    settings.HUB_DATA, settings.HUB_BACKUPS, settings.HUB_BACKUP_PASSPHRASE = tmp_path / "data", "", "correct horse"
    settings.HUB_DATA.mkdir()
    _use_bucket(settings, server)
    if request.param == "directory":
        settings.HUB_BACKUP_STORE = str(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").mkdir()
    return SealedStore(open_store())


def test_a_pods_account_has_the_keys_where_none_are_set(
    monkeypatch: pytest.MonkeyPatch, settings: Any, server: S3Server, tmp_path: Path
) -> None:
    """As EKS gives them: an address to ask, and a file with the token that belongs to the pod's service account."""
    _use_bucket(settings, server)
    settings.HUB_S3_ACCESS_KEY = settings.HUB_S3_SECRET_KEY = ""
    (tmp_path / "token").write_text(POD_TOKEN)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.endpoint}/keys-of-the-pod")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "token"))

    Bucket("s3://backups/hub").put("one", [b"1"], 1)

    assert server.objects == {"hub/one": b"1"}


def raw(store: SealedStore, name: str, tmp_path: Path) -> bytes:
    target = tmp_path / "raw"
    target.unlink(missing_ok=True)
    store.store.fetch(name, target)
    return target.read_bytes()


def test_files_come_back_as_they_went_and_are_not_readable_there(store: SealedStore, tmp_path: Path) -> None:
    plain = os.urandom(3 * sealing.CHUNK_BYTES + 17)
    (tmp_path / "one").write_bytes(plain)

    sent = store.put_file("wal/a/one", tmp_path / "one")
    store.fetch_file("wal/a/one", tmp_path / "back" / "one")

    assert (tmp_path / "back" / "one").read_bytes() == plain
    assert store.store.names() == {"store.json": len(raw(store, "store.json", tmp_path)), "wal/a/one": sent}
    assert plain[:64] not in raw(store, "wal/a/one", tmp_path)


def _flip(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


def _swap(data: bytes) -> bytes:
    head, size = SALT_BYTES + sealing.HEADER.size, sealing.CHUNK_BYTES + sealing.TAG_BYTES
    return data[:head] + data[head + size : head + 2 * size] + data[head : head + size] + data[head + 2 * size :]


@pytest.mark.parametrize(
    "meddle",
    [
        _flip,
        _swap,
        lambda data: data[: SALT_BYTES + sealing.HEADER.size + sealing.CHUNK_BYTES + sealing.TAG_BYTES],
        lambda data: data + b"more",
        lambda data: b"\0" + data[1:],
        lambda data: b"",
    ],
    ids=["altered", "reordered", "cut off at a chunk", "longer", "other salt", "empty"],
)
def test_what_was_meddled_with_never_appears(store: SealedStore, tmp_path: Path, meddle: Any) -> None:
    (tmp_path / "one").write_bytes(os.urandom(2 * sealing.CHUNK_BYTES + 17))
    store.put_file("dumps/one", tmp_path / "one")
    altered = meddle(raw(store, "dumps/one", tmp_path))
    store.store.put("dumps/one", [altered], len(altered))

    with pytest.raises(Invalid, match="damaged or was altered"):
        store.fetch_file("dumps/one", tmp_path / "back")

    assert not list(tmp_path.glob("*back*"))


def test_object_does_not_open_under_another_name(store: SealedStore, tmp_path: Path) -> None:
    store.put_json("base/one.json", {"a": 1})
    moved = raw(store, "base/one.json", tmp_path)
    store.store.put("base/two.json", [moved], len(moved))

    with pytest.raises(Invalid):
        store.fetch_json("base/two.json")


def test_another_passphrase_is_told_so(store: SealedStore, settings: Any) -> None:
    store.put_json("one", 1)
    settings.HUB_BACKUP_PASSPHRASE = "wrong horse"

    with pytest.raises(Invalid, match="HUB_BACKUP_PASSPHRASE is not the one"):
        SealedStore(open_store()).fetch_json("one")


def test_store_that_lost_its_salt_gets_no_other(store: SealedStore) -> None:
    store.put_json("one", 1)
    store.store.remove(["store.json"])

    with pytest.raises(Invalid, match="is missing"):
        SealedStore(open_store()).put_json("two", 2)


def test_without_passphrase_nothing_leaves(store: SealedStore, settings: Any) -> None:
    settings.HUB_BACKUP_PASSPHRASE = ""

    with pytest.raises(Unavailable, match="HUB_BACKUP_PASSPHRASE"):
        SealedStore(open_store())


def test_snapshot_comes_back_on_an_empty_machine(store: SealedStore, settings: Any) -> None:
    world = settings.HUB_DATA / "workloads" / "server-1"
    world.mkdir(parents=True)
    (world / "world.dat").write_bytes(b"blocks")
    (world / "run").write_bytes(b"#!")
    (world / "run").chmod(0o750)
    (world / "latest").symlink_to("world.dat")
    made = files.take_snapshot()

    assert offsite.send_snapshots(store) > 0
    assert offsite.send_snapshots(store) == 0
    shutil.rmtree(settings.HUB_DATA)
    settings.HUB_DATA.mkdir()
    files.restore_files(fetching.bring_snapshot(store, print))

    assert (world / "world.dat").read_bytes() == b"blocks"
    assert (world / "run").stat().st_mode & 0o777 == 0o750
    assert (world / "latest").readlink() == Path("world.dat")
    assert files.restore_keys(files.find_snapshot())
    with pytest.raises(NotFound):
        fetching.bring_snapshot(store, print, "20200101T000000.000000Z")
    assert made.path.name in {name for *_, name in fetching.contents(store)}


def test_content_is_sent_once_and_goes_with_the_last_snapshot_that_has_it(store: SealedStore, settings: Any) -> None:
    settings.HUB_BACKUPS_KEPT = 2
    bundles = settings.HUB_DATA / "bundles"
    bundles.mkdir()
    (bundles / "same").write_bytes(b"firmware")
    for number in range(3):
        (bundles / "changing").write_bytes(b"%d" % number)
        files.take_snapshot()
        offsite.send_snapshots(store)

    before = store.store.names("files/data/")
    offsite.forget(store)
    after = store.store.names("files/")

    assert len([name for name in after if name.endswith(".json")]) == 2
    assert len([name for name in after if name.startswith("files/data/")]) < len(before)
    shutil.rmtree(place.folder("files"))
    oldest = offsite.stored_snapshots(after)[-1]
    snapshot = fetching.bring_snapshot(store, print, oldest)
    files.verify_snapshot(snapshot)
    assert (snapshot.path / "bundles/changing").read_bytes() == b"1"


@pytest.mark.django_db
def test_dump_goes_there_and_back_and_the_command_lists_it(store: SealedStore) -> None:
    path = dumps.create_backup()
    content, said = path.read_bytes(), StringIO()

    call_command("backup", "--send", stdout=said)
    path.unlink()
    path.with_name(f"{path.name}.sha256").unlink()
    listed = StringIO()
    call_command("backups", "--store", stdout=listed)
    dumps.verify_backup(fetching.bring_dump(store, "latest"))

    assert path.read_bytes() == content
    assert path.name in listed.getvalue()
    report = BackupReport.objects.get(kind="store")
    assert (report.is_good, report.bytes > len(content)) == (True, True)


@pytest.mark.django_db
def test_backups_of_another_database_are_not_mixed_with_ours(store: SealedStore) -> None:
    store.put_json("owner.json", {"system": "1"})

    with pytest.raises(Conflict, match="another database"):
        offsite.claim_store()


@pytest.mark.django_db
def test_outage_of_the_store_is_reported_and_ends(store: SealedStore, settings: Any, server: S3Server) -> None:
    """The local backup stays, health says it, and the reports are two and not one for every minute."""
    path = dumps.create_backup()
    if isinstance(store.store, Bucket):
        server.objects, kept = {}, server.objects
        settings.HUB_S3_SECRET_KEY = "wrong"
    else:
        store.store.root.rename(store.store.root.with_name("unmounted"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="The store "):
            offsite.run_send_backups()

    assert path.exists()
    assert (report := reports.newest()["store"]).is_good is False
    assert "The store " in report.detail
    if isinstance(store.store, Bucket):
        server.objects, settings.HUB_S3_SECRET_KEY = kept, SECRET
    else:
        store.store.root.with_name("unmounted").rename(store.store.root)
    for _ in range(2):
        offsite.run_send_backups()
    assert list(BackupReport.objects.filter(kind="store").values_list("is_good", flat=True)) == [True, False]
    settings.HUB_BACKUP_STORE = ""
    assert "store" not in reports.newest()


def test_disk_that_is_full_here_is_not_told_as_the_stores_fault(store: SealedStore, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(os.urandom(3_000_000))
    store.put_file("big", tmp_path / "big")
    bounds = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, bounds[1]))  # what a full disk is to who writes
    try:
        for fetch in (store.store.fetch, store.fetch_file):
            with pytest.raises(Unavailable, match="cannot be written: File too large") as told:
                fetch("big", tmp_path / "new" if fetch == store.fetch_file else tmp_path / "raw")
            assert "store" not in str(told.value).lower()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, bounds)

    assert not (tmp_path / "new").exists()


def test_directory_that_is_not_mounted_is_not_made(store: SealedStore, tmp_path: Path) -> None:
    gone = Directory(tmp_path / "not-mounted")

    with pytest.raises(Unavailable, match="not-mounted"):
        gone.put("one", [b"1"], 1)

    assert not gone.root.exists()


@pytest.fixture
def bucket(settings: Any, server: S3Server) -> Bucket:
    _use_bucket(settings, server)
    return Bucket(settings.HUB_BACKUP_STORE)


def test_long_objects_go_up_in_parts(bucket: Bucket, server: S3Server, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setattr(buckets, "PART_BYTES", 5 * 1024**2)
    data = os.urandom(11 * 1024**2)

    bucket.put("long", [data[:7_000_000], data[7_000_000:]], len(data))
    bucket.fetch("long", tmp_path / "long")

    assert server.multiparts == 1
    assert (tmp_path / "long").read_bytes() == data


def test_server_that_has_no_time_is_asked_again(bucket: Bucket, server: S3Server) -> None:
    server.failures = 2

    bucket.put("one", [b"1"], 1)

    assert list(bucket.names()) == ["one"]


def test_lists_of_many_pages_are_read_to_their_end(bucket: Bucket) -> None:
    for number in range(8):
        bucket.put(f"a/{number}", [b"x"], 1)
    bucket.put("b/1", [b"x"], 1)
    bucket.remove(["a/0", "a/absent"])

    assert set(bucket.names("a/")) == {f"a/{number}" for number in range(1, 8)}


def test_server_that_is_away_is_one_sentence(bucket: Bucket, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 0)
    settings.HUB_S3_ENDPOINT = "http://127.0.0.1:1"

    with pytest.raises(Unavailable, match="does not answer"):
        Bucket(settings.HUB_BACKUP_STORE).names()


def test_without_a_store_the_command_says_how_to_name_one(settings: Any) -> None:
    settings.HUB_BACKUP_STORE = ""

    with pytest.raises(CommandError, match="HUB_BACKUP_STORE"):
        call_command("backups", "--store", stdout=StringIO())


def test_sending_is_scheduled_where_there_is_a_store(tmp_path: Path) -> None:
    command = [sys.executable, "manage.py", "shell", "-v0", "-c", SCHEDULED]
    told = {"HUB_BACKUP_STORE": str(tmp_path), "HUB_BACKUP_PASSPHRASE": "correct horse"}

    with_one = subprocess.check_output(command, cwd=BASE_DIR, env=child_environment(**told), text=True)
    names = {task.name for task in schedule.PERIODIC}

    assert with_one.split() == ["send-wal", "send-backups"]
    assert not names & {"send-wal", "send-backups"}
