"""The command that signs: makes keys, reads manifests, and refuses what does not agree."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.management import call_command
from django.core.management.base import CommandError

from devices.packaging.signatures import Statement, parse, read_public_key, verify

from .bundle_files import bundle


@pytest.fixture
def house(tmp_path: Path) -> tuple[Path, Path, str]:
    """A bundle, a key and the key's public half."""
    file, key = tmp_path / "camera.tar.gz", tmp_path / "publisher.pem"
    file.write_bytes(bundle("1.4", name="camera", device_types=["pi5", "pi4"]))
    return file, key, run(key=key, new_key=True)


def run(*args: Any, **options: Any) -> str:
    out = io.StringIO()
    call_command("sign_bundle", *args, stdout=out, **options)
    return out.getvalue()


def test_what_it_signs_is_what_the_manifest_says(house: Any) -> None:
    file, key, public = house

    said = run(file, key=key)

    signed = parse(Path(f"{file}.sig").read_text())
    statement = verify(signed, [read_public_key(public)])
    assert (statement.name, statement.version, statement.device_types) == ("camera", "1.4", ["pi4", "pi5"])
    assert statement.size_bytes == file.stat().st_size
    assert statement.sha256 in said


def test_an_image_needs_name_and_version(house: Any) -> None:
    file, key, public = house
    file.write_bytes(b"an image")

    with pytest.raises(CommandError, match="not a tar"):
        run(file, key=key)
    with pytest.raises(CommandError, match="Say --name"):
        run(file, key=key, image=True)
    run(file, key=key, image=True, name="os", release="11")

    statement = verify(parse(Path(f"{file}.sig").read_text()), [read_public_key(public)])
    assert isinstance(statement, Statement)
    assert (statement.name, statement.version) == ("os", "11")


def test_another_version_than_the_manifests_is_refused(house: Any) -> None:
    file, key, _ = house

    with pytest.raises(CommandError, match="another name or version"):
        run(file, key=key, release="9.9")


def test_a_key_is_never_written_over_and_is_for_its_owner_alone(house: Any) -> None:
    _, key, _ = house

    with pytest.raises(CommandError, match="there already"):
        run(key=key, new_key=True)
    assert key.stat().st_mode & 0o077 == 0


def test_other_keys_are_refused(house: Any) -> None:
    file, key, _ = house
    for text in (
        b"nothing",
        rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    ):
        key.write_bytes(text)
        with pytest.raises(CommandError):
            run(file, key=key)


def test_the_signature_file_is_json(house: Any) -> None:
    file, key, _ = house
    run(file, key=key, out=file.with_suffix(".signature"))

    assert set(json.loads(file.with_suffix(".signature").read_text())) == {"statement", "algorithm", "key", "signature"}
