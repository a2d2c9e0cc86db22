"""Static files leave compressed, and never those of another version."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from hub.static_files import compressed_copy

CSS = "/static/css/hub.css"


@pytest.fixture(autouse=True)
def data(settings: Any, tmp_path: Path) -> Path:
    settings.HUB_DATA = tmp_path
    return tmp_path


def body(answer: Any) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content


def test_a_browser_that_takes_gzip_gets_it() -> None:
    answer = Client().get(CSS, headers={"Accept-Encoding": "gzip, br"})

    assert answer["Content-Encoding"] == "gzip"
    assert answer["Vary"] == "Accept-Encoding"
    assert answer["Content-Type"].startswith("text/css")
    assert gzip.decompress(body(answer)) == (settings.BASE_DIR / "static/css/hub.css").read_bytes()


def test_others_get_it_plain() -> None:
    answer = Client().get(CSS)

    assert "Content-Encoding" not in answer
    assert body(answer) == (settings.BASE_DIR / "static/css/hub.css").read_bytes()


def test_changed_content_has_another_copy(tmp_path: Path) -> None:
    file = tmp_path / "own.css"
    file.write_text("a" * 5_000)
    before = compressed_copy(file)
    file.write_text("b" * 5_000)
    after = compressed_copy(file)

    assert before is not None
    assert after is not None
    assert before != after
    assert gzip.decompress(after.read_bytes()) == b"b" * 5_000


def test_what_is_tiny_or_cannot_be_stored_stays_plain(tmp_path: Path, data: Path) -> None:
    tiny, large = tmp_path / "tiny.css", tmp_path / "large.css"
    tiny.write_text("a")
    large.write_text("a" * 5_000)
    (data / "static-compressed").write_text("a file where a folder should be")

    assert compressed_copy(tiny) is None
    assert compressed_copy(large) is None
