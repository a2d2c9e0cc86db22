"""A server that speaks as much of S3 as our stores need, over HTTP; each request's signature is checked."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS, SECRET, REGION = "backup-key", "backup-secret", "us-east-1"
POD_TOKEN = "token of the pod's account"
POD_KEYS = {"AccessKeyId": ACCESS, "SecretAccessKey": SECRET, "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
PAGE = 3  # so that a list has several pages


class S3Server(ThreadingHTTPServer):
    """One bucket called `backups`, in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.failures = 0  # so many requests are answered with 503
        self.multiparts = 0
        self.firsts: list[int] = []  # the first byte of each object that was asked for

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@contextmanager
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: S3Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET

    def _answer(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query, keep_blank_values=True))
        _, bucket, *rest = unquote(parts.path).split("/", 2)
        name = rest[0] if rest else ""
        if parts.path == "/keys-of-the-pod":
            known = self.headers.get("Authorization") == POD_TOKEN
            self._say(200 if known else 403, json.dumps(POD_KEYS).encode())
        elif self.server.failures:
            self.server.failures -= 1
            self._say(503, _error("SlowDown", "not now"))
        elif not self._is_signed(parts.path, parts.query):
            self._say(403, _error("SignatureDoesNotMatch", "The signature is wrong."))
        elif bucket != "backups":
            self._say(404, _error("NoSuchBucket", "There is no such bucket."))
        else:
            getattr(self, f"_{self.command.lower()}")(name)

    def _get(self, name: str) -> None:
        if "list-type" in self.query:
            self._say(200, self._list())
        elif name in self.server.objects:
            self._give(self.server.objects[name])
        else:
            self._say(404, _error("NoSuchKey", "There is no such key."))

    _head = _get

    def _give(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(wanted[1]) if wanted else 0
        part = content[first : int(wanted[2]) + 1 if wanted and wanted[2] else len(content)]
        self.server.firsts.append(first)
        modified = {"Last-Modified": "Sun, 29 Nov 2026 12:00:00 GMT", "ETag": '"x"'}
        self._say(206 if wanted else 200, part, **modified)

    def _put(self, name: str) -> None:
        if "uploadId" in self.query:
            self.server.uploads[self.query["uploadId"]][int(self.query["partNumber"])] = self.body
        else:
            self.server.objects[name] = self.body
        self._say(200, b"", ETag=f'"{hashlib.sha256(self.body).hexdigest()}"')

    def _post(self, name: str) -> None:
        if "uploads" in self.query:
            key = f"upload-{len(self.server.uploads)}"
            self.server.uploads[key] = {}
            self._say(200, _xml("InitiateMultipartUploadResult", f"<UploadId>{key}</UploadId>"))
            return
        parts = self.server.uploads[self.query["uploadId"]]
        asked = [int(number) for number in re.findall(rb"<PartNumber>(\d+)</PartNumber>", self.body)]
        self.server.objects[name] = b"".join(parts[number] for number in asked)
        self.server.multiparts += 1
        key = escape(name)
        self._say(200, _xml("CompleteMultipartUploadResult", f"<Bucket>backups</Bucket><Key>{key}</Key><ETag>x</ETag>"))

    def _delete(self, name: str) -> None:
        self.server.objects.pop(name, None)
        self._say(204, b"")

    def _list(self) -> bytes:
        prefix, after = self.query.get("prefix", ""), self.query.get("continuation-token", "")
        names = sorted(name for name in self.server.objects if name.startswith(prefix) and name > after)
        page = names[:PAGE]
        more = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if names[PAGE:] else ""
        listed = "".join(
            f"<Contents><Key>{escape(quote(name))}</Key><Size>{len(self.server.objects[name])}</Size></Contents>"
            for name in page
        )
        cut = str(bool(more)).lower()
        head = "<Name>backups</Name><EncodingType>url</EncodingType>"
        return _xml("ListBucketResult", f"{head}<IsTruncated>{cut}</IsTruncated>{more}{listed}")

    def _is_signed(self, path: str, query: str) -> bool:
        """Check AWS Signature Version 4, written from its specification."""
        pattern = (
            r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/s3/aws4_request, *"
            r"SignedHeaders=([^,]+), *Signature=(\w+)"
        )
        found = re.fullmatch(pattern, self.headers.get("Authorization", ""))
        if not found or (found[1], found[3]) != (ACCESS, REGION):
            return False
        content = self.headers["X-Amz-Content-Sha256"]
        if content != hashlib.sha256(self.body).hexdigest():
            return False
        pairs = sorted(
            (quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(query, keep_blank_values=True)
        )
        lines = [
            self.command,
            path,
            "&".join(f"{key}={value}" for key, value in pairs),
            *(f"{name}:{' '.join(self.headers[name].split())}" for name in found[4].split(";")),
            "",
            found[4],
            content,
        ]
        scope = f"{found[2]}/{REGION}/s3/aws4_request"
        digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{self.headers['X-Amz-Date']}\n{scope}\n{digest}"
        key = f"AWS4{SECRET}".encode()
        for word in (found[2], REGION, "s3", "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        return hmac.compare_digest(hmac.digest(key, text.encode(), "sha256").hex(), found[5])

    def _say(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/xml" if body.startswith(b"<?xml") else "binary/octet-stream")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            with suppress(ConnectionError):  # whoever asked may have read enough
                self.wfile.write(body)


def _xml(name: str, content: str) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f'{head}<{name} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{content}</{name}>'.encode()


def _error(code: str, message: str) -> bytes:
    head = '<?xml version="1.0" encoding="UTF-8"?>'
    return f"{head}<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
