"""Bundles in a bucket that speaks S3, over HTTP: kept, fetched from any byte on, deleted; clear words when it fails."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from accounts.actors import SYSTEM
from accounts.tests.factories import UserFactory
from devices.bundles import services, store
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle
from hub import buckets
from hub.exceptions import Unavailable
from hub.tests.s3_server import ACCESS, SECRET, S3Server, s3_server

from .bundle_files import bundle, member

pytestmark = pytest.mark.django_db(transaction=True)
LONG = os.urandom(5_000_000)


@pytest.fixture(autouse=True)
def server(settings: Any, tmp_path: Path) -> Iterator[S3Server]:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    settings.HUB_S3_ACCESS_KEY, settings.HUB_S3_SECRET_KEY = ACCESS, SECRET
    with s3_server() as running:
        settings.HUB_S3_ENDPOINT = running.endpoint
        backend = {"BACKEND": "hub.buckets.BucketStorage", "OPTIONS": {"location": "s3://backups/bundles"}}
        settings.STORAGES = {**settings.STORAGES, "bundles": backend}
        yield running


def upload(data: bytes) -> Bundle:
    return services.upload_bundle(
        actor=SYSTEM, name="camera", version="1.0", file=io.BytesIO(data), size_bytes=len(data)
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_bundle_is_kept_in_the_bucket_and_fetched_from_any_byte_on(
    client: Client, settings: Any, server: S3Server, sealed: bool
) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = sealed
    data = bundle(extra=[member("weights", LONG)])
    made = upload(data)
    client.force_login(UserFactory(role="Admin"))

    last = client.get(f"/bundles/{made.pk}/file", headers={"range": "bytes=-10"})
    part, first = b"".join(last.streaming_content), server.firsts[-1]
    whole = b"".join(client.get(f"/bundles/{made.pk}/file").streaming_content)

    assert made.status == BundleStatus.READY
    assert list(server.objects) == [f"bundles/{made.stored_name}"]
    assert (data in server.objects.values()) is not sealed
    assert (last.status_code, part) == (206, data[-10:])
    assert first > len(data) - 2_000_000
    assert whole == data


def test_deleting_removes_the_object(server: S3Server) -> None:
    made = upload(bundle())

    services.delete_bundle(made, actor=SYSTEM)

    assert server.objects == {}
    assert not store.storage().exists(made.stored_name)


def test_object_that_somebody_removed_is_not_found(server: S3Server) -> None:
    made = upload(bundle())
    server.objects.clear()

    with pytest.raises(FileNotFoundError):
        store.open_stored(made.stored_name)


def test_wrong_key_is_one_sentence_and_nothing_is_left(settings: Any, server: S3Server) -> None:
    settings.HUB_S3_SECRET_KEY = "another"

    with pytest.raises(Unavailable, match="store s3://backups/bundles refuses: SignatureDoesNotMatch"):
        upload(bundle())

    assert not Bundle.objects.exists()
    assert server.objects == {}


def test_server_that_is_away_is_one_sentence(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buckets, "ATTEMPTS", 0)
    settings.HUB_S3_ENDPOINT = "http://127.0.0.1:1"

    with pytest.raises(Unavailable, match="does not answer"):
        upload(bundle())
