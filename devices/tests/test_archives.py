"""What an archive may hold: each attack is refused before a device is sent it."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import pytest

from devices.packaging.archives import ArchiveError, Limits, inspect
from devices.packaging.manifest import ManifestError

from .bundle_files import archive, bundle, member

MANIFEST = member("manifest.json", b'{"version": "1.0"}')


def look(data: bytes, **limits: Any) -> Any:
    return inspect(io.BytesIO(data), len(data), Limits(**limits))


def test_a_whole_bundle_is_read() -> None:
    contents = look(bundle("2.1", name="camera", device_types=["pi4"]))

    assert (contents.manifest.name, contents.manifest.version) == ("camera", "2.1")
    assert contents.manifest.device_types == ["pi4"]
    assert contents.members == 2


def test_one_directory_around_everything_is_allowed() -> None:
    wrapped = archive([member("camera-1/", type=tarfile.DIRTYPE), member("camera-1/manifest.json", MANIFEST[1])])

    assert look(wrapped).manifest.version == "1.0"


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (member("../outside", b"x"), "leads out"),
        (member("deep/../../outside", b"x"), "leads out"),
        (member("/etc/cron.d/evil", b"x"), "leads out"),
        (member("..\\outside", b"x"), "leads out"),
        (member("a" * 1100, b"x"), "leads out"),
        (member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "neither a file"),
        (member("hard", type=tarfile.LNKTYPE, linkname="manifest.json"), "neither a file"),
        (member("device", type=tarfile.CHRTYPE), "neither a file"),
        (member("disk", type=tarfile.BLKTYPE), "neither a file"),
        (member("pipe", type=tarfile.FIFOTYPE), "neither a file"),
        (member("manifest.json", b'{"version": "9.9"}'), "twice"),
        (member("./manifest.json", b'{"version": "9.9"}'), "twice"),
    ],
    ids=lambda value: value[0].name[:20] if isinstance(value, tuple) else value,
)
def test_attacks_are_refused(attack: Any, said: str) -> None:
    with pytest.raises(ArchiveError, match=said):
        look(archive([MANIFEST, attack]))


def test_a_bomb_is_refused_without_being_unpacked() -> None:
    bomb = archive([MANIFEST, member("zeros", bytes(8 << 20))])

    with pytest.raises(ArchiveError, match="far larger"):
        look(bomb, ratio=10, members=10)


def test_a_member_that_lies_about_its_size_does_not_hide_a_bomb() -> None:
    bomb = archive([MANIFEST, member("zeros", bytes(8 << 20))])

    with pytest.raises(ArchiveError, match="far larger"):
        look(bomb, unpacked_bytes=1 << 20, members=10)


def test_many_members_are_refused() -> None:
    with pytest.raises(ArchiveError, match="more than 3"):
        look(archive([MANIFEST, *(member(f"file{number}") for number in range(5))]), members=3)


@pytest.mark.parametrize("data", [b"", b"not an archive", bundle()[:60]], ids=["empty", "text", "cut"])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveError):
        look(data)


def test_a_manifest_is_needed_and_only_one() -> None:
    with pytest.raises(ArchiveError, match="it holds 0"):
        look(archive([member("readme", b"hello")]))
    with pytest.raises(ArchiveError, match="it holds 2"):
        look(archive([MANIFEST, member("b/manifest.json", MANIFEST[1])]))


def test_files_beside_the_directory_of_the_manifest_are_refused() -> None:
    with pytest.raises(ArchiveError, match="must be at the top"):
        look(archive([member("a/manifest.json", MANIFEST[1]), member("b", b"x")]))


def test_a_script_that_is_not_there_is_refused() -> None:
    with pytest.raises(ManifestError, match="not in the archive"):
        look(archive([member("manifest.json", b'{"version": "1", "deploy": {"script": "go.sh"}}')]))
