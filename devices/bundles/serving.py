"""Send a bundle's file: ranges, ETag by digest, and by the web server itself where one stands before us.

A device that was cut off goes on at its byte: `Range: bytes=1000-` with `If-Range: "<digest>"`. Several ranges at once
are answered with the whole file, as the standard allows.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import IO, Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags

from devices.packaging.digests import BLOCK
from hub.exceptions import HubError
from hub.sealing import SealedReader, SealError

from . import store
from .models import Bundle

CONTENT_TYPE: Final = "application/octet-stream"
RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})\Z")


class FileGone(HubError):
    """The bundle is known and its file is not there."""

    code = "file_gone"
    status = 410


class _Blocks:
    """A file that is closed when its answer has been sent, or given up."""

    def __init__(self, blocks: Iterator[bytes], file: IO[Any]) -> None:
        self._blocks, self._file = blocks, file

    def __iter__(self) -> Iterator[bytes]:
        return self._blocks

    def close(self) -> None:
        self._file.close()


def send_stored(request: HttpRequest, bundle: Bundle) -> HttpResponseBase:
    """The file as it is stored, which is sealed when the bundle is; for devices."""
    answer = _Answer(request, bundle.stored_sha256, bundle.stored_bytes or 0)
    if answer.refusal is not None:
        return answer.refusal
    if settings.HUB_BUNDLE_ACCEL and store.is_local():
        response = HttpResponse(content_type=CONTENT_TYPE)
        response["X-Accel-Redirect"] = f"{settings.HUB_BUNDLE_ACCEL}{bundle.stored_name}"
        return answer.head(response)
    file = _open(bundle)
    return answer.full(_part(file, answer.start, answer.end), file)


def send_plain(request: HttpRequest, bundle: Bundle) -> HttpResponseBase:
    """The file as it was uploaded; for people."""
    if not bundle.is_sealed:
        return send_stored(request, bundle)
    answer = _Answer(request, bundle.sha256, bundle.size_bytes)
    if answer.refusal is not None:
        return answer.refusal
    file = _open(bundle)
    try:
        reader = SealedReader(file, base64.b64decode(bundle.content_key.reveal()), about=bundle.pk.bytes)
    except SealError:
        file.close()
        raise FileGone("Its file is damaged.") from None
    return answer.full(reader.blocks(answer.start, answer.end), file)


class _Answer:
    """What a request asks of a file of this digest and length."""

    def __init__(self, request: HttpRequest, sha256: str, length: int) -> None:
        self.tag, self.length = f'"{sha256}"', length
        self.start, self.end, self.is_part = 0, length, False
        self.refusal: HttpResponse | None = None
        self._is_head = request.method == "HEAD"
        headers = request.headers
        if "If-Match" in headers and not {self.tag, "*"} & set(parse_etags(headers["If-Match"])):
            self.refusal = self.head(HttpResponse(status=412))
        elif {self.tag, "*"} & set(parse_etags(headers.get("If-None-Match", ""))):
            self.refusal = self.head(HttpResponse(status=304))
        elif "Range" in headers and headers.get("If-Range", self.tag) == self.tag:
            self._narrow(headers["Range"])

    def _narrow(self, asked: str) -> None:
        match = RANGE.match(asked.strip())
        if match is None or match[1] == match[2] == "":
            return
        first, last = match[1], match[2]
        if first:
            self.start, self.end = int(first), min(int(last) + 1, self.length) if last else self.length
        else:
            self.start = max(0, self.length - int(last))
        if self.start >= self.length or self.end <= self.start:
            self.refusal = self.head(HttpResponse(status=416))
            self.refusal["Content-Range"] = f"bytes */{self.length}"
            return
        self.is_part = True

    def head(self, response: HttpResponse) -> HttpResponse:
        response["ETag"] = self.tag
        response["Accept-Ranges"] = "bytes"
        response["Cache-Control"] = "private, no-cache"
        return response

    def full(self, blocks: Iterable[bytes], file: IO[Any]) -> HttpResponseBase:
        response = StreamingHttpResponse(
            _Blocks(iter(() if self._is_head else blocks), file),
            status=206 if self.is_part else 200,
            content_type=CONTENT_TYPE,
        )
        self.head(response)  # type: ignore[arg-type]  # only headers are set
        response["Content-Length"] = str(self.end - self.start)
        if self.is_part:
            response["Content-Range"] = f"bytes {self.start}-{self.end - 1}/{self.length}"
        return response


def _open(bundle: Bundle) -> IO[Any]:
    try:
        return store.open_stored(bundle.stored_name)
    except FileNotFoundError:
        raise FileGone("Its file is not in the store any more.") from None


def _part(file: IO[bytes], start: int, end: int) -> Iterator[bytes]:
    file.seek(start)
    left = end - start
    while left > 0 and (block := file.read(min(BLOCK, left))):
        left -= len(block)
        yield block
