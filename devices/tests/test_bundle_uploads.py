"""Uploading bundles: what is decided before a byte, what is checked at the end, and going on after an interruption."""

from __future__ import annotations

import base64
import hashlib
import io
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from django.db import connection

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from devices.bundles import services, store
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle, PublisherKey
from devices.packaging.signatures import Statement, sign
from hub.exceptions import Conflict, HubError, Invalid, LimitReached, NotAllowed
from hub.sealing import SealedReader

from .bundle_files import archive, bundle, member

pytestmark = pytest.mark.django_db
PUBLISHER = ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> Path:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    options = {"location": tmp_path / "bundles"}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}
    return tmp_path


def upload(data: bytes | None = None, **said: Any) -> Bundle:
    data = bundle(said.get("version", "1.0")) if data is None else data
    said = {"name": "camera", "version": "1.0", "actor": SYSTEM, **said}
    return services.upload_bundle(file=io.BytesIO(data), size_bytes=len(data), **said)


def trust_publisher() -> None:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = PUBLISHER.public_key().public_bytes(serialization.Encoding.PEM, form).decode()
    services.add_publisher(actor=SYSTEM, name="factory", public_key=pem)


def signed(data: bytes, version: str = "1.0", **changes: Any) -> dict[str, str]:
    facts = {"name": "camera", "version": version, "sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    return sign(Statement(**{**facts, **changes}), PUBLISHER)


def plain_of(row: Bundle) -> bytes:
    with store.opened(row.stored_name) as file:
        if not row.is_sealed:
            return file.read()
        key = base64.b64decode(row.content_key.reveal())
        return b"".join(SealedReader(file, key, about=row.pk.bytes).blocks())


@pytest.mark.parametrize("sealed", [True, False])
def test_a_bundle_is_checked_and_stored(settings: Any, sealed: bool) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = sealed
    data = bundle("1.0", device_types=["pi4"], model={"name": "resnet", "size_mb": 90})

    made = upload(data)

    assert made.status == BundleStatus.READY
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert made.sha1 == hashlib.sha1(data, usedforsecurity=False).hexdigest()
    assert made.md5 == hashlib.md5(data, usedforsecurity=False).hexdigest()
    assert (made.device_types, made.model_name, made.model_size_mb) == (["pi4"], "resnet", 90)
    assert plain_of(made) == data
    with store.opened(made.stored_name) as file:
        stored = file.read()
    assert (stored == data) is not sealed
    assert (made.stored_bytes, made.stored_sha256) == (len(stored), hashlib.sha256(stored).hexdigest())
    assert not store.incoming(made.pk).exists()
    assert AuditEntry.objects.filter(action="bundle.uploaded", target_id=str(made.pk)).count() == 1


def test_a_version_is_taken_once_and_the_first_file_stays() -> None:
    """X65: a refused upload must not touch what is stored."""
    first = upload(bundle("1.0", description="the first"))
    before = plain_of(first)

    with pytest.raises(Conflict) as refusal:
        upload(bundle("1.0", description="the second"))

    assert refusal.value.code == "version_exists"
    assert plain_of(first) == before
    assert Bundle.objects.count() == 1


def test_the_version_is_refused_before_a_byte_is_stored(own_store: Path) -> None:
    upload()
    with pytest.raises(Conflict):
        services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=100)

    assert list((own_store / "incoming").iterdir()) == []


def test_pieces_go_on_where_they_were() -> None:
    data = bundle()
    row = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=len(data))

    services.append_piece(row, 0, data[:100], actor=SYSTEM)
    services.append_piece(row, 0, data[:100], actor=SYSTEM)
    services.append_piece(row, 50, data[50:200], actor=SYSTEM)
    with pytest.raises(Conflict, match="next byte is number 200"):
        services.append_piece(row, 201, data[201:], actor=SYSTEM)
    with pytest.raises(Conflict, match="have not arrived"):
        services.finish_upload(row, actor=SYSTEM)
    services.append_piece(row, 200, data[200:], actor=SYSTEM)

    assert plain_of(services.finish_upload(row, actor=SYSTEM)) == data


def test_what_a_killed_request_wrote_is_written_over() -> None:
    """It wrote to the file and died before its transaction: the row says where to go on."""
    data = bundle()
    row = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=len(data))
    services.append_piece(row, 0, data[:50], actor=SYSTEM)
    store.write_piece(row.pk, 50, b"half of something else" * 100)

    services.append_piece(row, 50, data[50:], actor=SYSTEM)

    assert plain_of(services.finish_upload(row, actor=SYSTEM)) == data


@pytest.mark.parametrize("left", [None, 60])
def test_a_piece_whose_beginning_is_lost_is_refused(left: int | None) -> None:
    """A hole would be read as zeros."""
    data = bundle()
    row = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=len(data))
    services.append_piece(row, 0, data[:100], actor=SYSTEM)
    if left is None:
        store.incoming(row.pk).unlink()
    else:
        os.truncate(store.incoming(row.pk), left)

    with pytest.raises(Conflict, match="begin again") as refusal:
        services.append_piece(row, 100, data[100:], actor=SYSTEM)

    row.refresh_from_db()
    assert (refusal.value.code, row.received_bytes) == ("upload_lost", 100)


def test_finishing_can_be_repeated_after_a_failure_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    data = bundle()
    row = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=len(data))
    services.append_piece(row, 0, data, actor=SYSTEM)
    with monkeypatch.context() as patch:
        patch.setattr(store, "failpoint", lambda name: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            services.finish_upload(row, actor=SYSTEM)

    row.refresh_from_db()
    assert row.status == BundleStatus.UPLOADING
    done = services.finish_upload(row, actor=SYSTEM)
    assert plain_of(done) == data
    assert services.finish_upload(row, actor=SYSTEM).ready_at == done.ready_at


def test_more_than_announced_is_refused() -> None:
    row = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=10)

    with pytest.raises(Invalid, match="More bytes"):
        services.append_piece(row, 0, bytes(11), actor=SYSTEM)


@pytest.mark.parametrize(
    ("data", "said", "code"),
    [
        (bundle("2.0"), {}, "manifest_refused"),
        (bundle("1.0", name="other"), {}, "manifest_refused"),
        (b"no archive", {}, "archive_refused"),
        (archive([member("../manifest.json", b'{"version": "1.0"}')]), {}, "archive_refused"),
        (archive([member("manifest.json", b"{}")]), {}, "manifest_refused"),
        (bundle(), {"sha256": "a" * 64}, "digest_mismatch"),
    ],
)
def test_what_does_not_agree_leaves_nothing_behind(data: bytes, said: Any, code: str, own_store: Path) -> None:
    with pytest.raises(Invalid) as refusal:
        upload(data, **said)

    assert refusal.value.code == code
    assert Bundle.objects.count() == 0
    assert [path for path in own_store.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"version": ""}, "version"),
        ({"version": "../../etc"}, "version"),
        ({"version": "1" * 65}, "version"),
        ({"name": "a/b"}, "name"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": 1 << 50}, "size_bytes"),
        ({"sha256": "zz"}, "sha256"),
        ({"device_types": ["x" * 51]}, "device_types"),
        ({"manifest": {"model": 1}}, "manifest"),
        ({"manifest": {"version": "2.0"}}, "manifest"),
    ],
)
def test_wrong_words_name_their_field(said: Any, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        services.reserve_bundle(**{"actor": SYSTEM, "name": "camera", "version": "1.0", "size_bytes": 10, **said})

    assert refusal.value.field == field


def test_all_bundles_share_one_room(settings: Any) -> None:
    settings.HUB_BUNDLE_STORE_MB = 1
    services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=600_000)

    with pytest.raises(LimitReached) as refusal:
        services.reserve_bundle(actor=SYSTEM, name="camera", version="2.0", size_bytes=600_000)

    assert refusal.value.code == "store_full"


def test_an_image_is_taken_as_it_is() -> None:
    assert upload(b"some image of a disk", kind="image").is_ready


def test_only_staff_uploads() -> None:
    for role in ("Viewer", "Player"):
        with pytest.raises(NotAllowed):
            upload(actor=UserFactory(role=role))
    assert upload(actor=UserFactory(role="Operator")).is_ready


def test_only_an_admin_trusts_publishers() -> None:
    with pytest.raises(NotAllowed):
        services.add_publisher(actor=UserFactory(role="Operator"), name="x", public_key="x")


def test_once_there_is_a_publisher_nothing_goes_without_a_signature() -> None:
    data = bundle()
    upload(data)
    trust_publisher()

    with pytest.raises(Invalid) as refusal:
        upload(bundle("1.1"), version="1.1")

    assert refusal.value.code == "signature_required"
    made = upload(data := bundle("2.0"), version="2.0", signed=signed(data, "2.0"))
    assert made.publisher is not None
    assert made.signed == signed(data, "2.0")


def test_the_signature_says_name_and_version() -> None:
    trust_publisher()
    data = bundle("3.0", name="camera")

    made = upload(data, name="", version="", signed=signed(data, "3.0", device_types=["pi4"]))

    assert (str(made), made.device_types) == ("camera 3.0", ["pi4"])


@pytest.mark.parametrize(
    ("given", "changes"),
    [
        ({"name": "other"}, {}),
        ({"version": "1.1"}, {}),
        ({"sha256": "b" * 64}, {}),
        ({"device_types": ["pi4"]}, {}),
        ({}, {"size_bytes": 5}),
    ],
)
def test_what_was_signed_cannot_be_relabelled(given: Any, changes: Any) -> None:
    trust_publisher()
    data = bundle()

    with pytest.raises(Invalid) as refusal:
        upload(data, signed=signed(data, **changes), **given)

    assert refusal.value.code == "signature_refused"
    assert Bundle.objects.count() == 0


def test_another_file_under_a_good_signature_is_refused() -> None:
    trust_publisher()
    data, other = bundle(description="a"), bundle(description="b")
    statement = signed(other, size_bytes=len(data))

    with pytest.raises(Invalid) as refusal:
        upload(data, signed=statement)

    assert refusal.value.code == "digest_mismatch"


def test_an_upload_is_not_finished_when_its_publisher_was_disabled_meanwhile() -> None:
    trust_publisher()
    data = bundle()
    made = services.reserve_bundle(actor=SYSTEM, size_bytes=len(data), signed=signed(data))
    services.append_piece(made, 0, data, actor=SYSTEM)
    services.set_publisher_enabled(PublisherKey.objects.get(), False, actor=SYSTEM)

    with pytest.raises(Invalid) as caught:
        services.finish_upload(made, actor=SYSTEM)

    assert caught.value.field == "signature"


def test_a_disabled_publisher_signs_nothing_any_more() -> None:
    trust_publisher()
    publisher = services.set_publisher_enabled(PublisherKey.objects.get(), False, actor=SYSTEM)
    data = bundle()

    assert not publisher.is_enabled
    with pytest.raises(Invalid) as refusal:
        upload(data, signed=signed(data))
    assert refusal.value.code == "signature_refused"


def test_the_content_key_is_sealed_in_the_database() -> None:
    made = upload()
    key = made.content_key.reveal()
    with connection.cursor() as cursor:
        cursor.execute("SELECT content_key FROM devices_bundle")
        stored = cursor.fetchone()[0]

    assert len(base64.b64decode(key)) == 32
    assert key not in stored
    assert str(made.content_key) == "••••••••"


def test_what_was_used_stays_as_it_is() -> None:
    made = upload()
    services.update_bundle(made, actor=SYSTEM, description="For cameras", device_types=["pi4", "pi5"])
    Bundle.objects.update(first_used_at="2026-01-01T00:00Z")

    with pytest.raises(Conflict) as refusal:
        services.update_bundle(made, actor=SYSTEM, description="Other")
    assert refusal.value.code == "bundle_fixed"
    made.refresh_from_db()
    assert (made.description, made.device_types) == ("For cameras", ["pi4", "pi5"])


def test_types_that_were_signed_are_not_changed() -> None:
    trust_publisher()
    made = upload(data := bundle(), signed=signed(data, device_types=["pi4"]))

    with pytest.raises(Conflict) as refusal:
        services.update_bundle(made, actor=SYSTEM, device_types=[])

    assert refusal.value.code == "bundle_signed"


def test_invalidating_wants_a_reason_and_is_said_once() -> None:
    made = upload()
    with pytest.raises(Invalid):
        services.invalidate_bundle(made, actor=SYSTEM, reason=" ")

    services.invalidate_bundle(made, actor=SYSTEM, reason="It bricks cameras.")
    services.invalidate_bundle(made, actor=SYSTEM, reason="Again.")

    made.refresh_from_db()
    assert (made.status, made.invalid_reason) == (BundleStatus.INVALID, "It bricks cameras.")
    assert AuditEntry.objects.filter(action="bundle.invalidated").count() == 1


@pytest.mark.django_db(transaction=True)
def test_deleting_removes_the_file() -> None:
    made = upload()

    services.delete_bundle(made, actor=SYSTEM)

    assert not store.storage().exists(made.stored_name)


@pytest.mark.django_db(transaction=True)
def test_uploads_that_were_left_are_forgotten() -> None:
    old = services.reserve_bundle(actor=SYSTEM, name="camera", version="1.0", size_bytes=10)
    services.append_piece(old, 0, b"12345", actor=SYSTEM)
    Bundle.objects.update(touched_at="2026-01-01T00:00Z")
    services.reserve_bundle(actor=SYSTEM, name="camera", version="2.0", size_bytes=10)

    assert services.forget_abandoned() == 1
    assert list(Bundle.objects.values_list("version", flat=True)) == ["2.0"]
    assert not store.incoming(old.pk).exists()


def test_a_full_disk_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store.os, "fsync", full)

    with pytest.raises(HubError) as refusal:
        upload()

    assert refusal.value.status == 503
    assert Bundle.objects.count() == 0
