"""A registry of images on loopback: what a pull needs of the protocol, and the manners of a bad one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from .docker_images import archive_of

MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
CHUNK_BYTES = 64 * 1024


@dataclass
class Registry:
    """What the registry holds, and how it behaves; `credentials` of a repository are `user:password`."""

    host: str = ""
    manifests: dict[str, bytes] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    credentials: dict[str, str] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    shown: list[tuple[str, str]] = field(default_factory=list)
    chunk_seconds: float = 0.0
    is_silent: bool = False
    is_broken: bool = False

    def publish(self, repository: str, tag: str, files: Mapping[str, bytes]) -> str:
        """Offer an image of one layer; returns its digest."""
        layer = archive_of(files)
        packed = gzip.compress(layer, compresslevel=1)
        config = json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Cmd": ["/none"]},
                "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
            }
        ).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": MANIFEST_TYPE,
                "config": self._blob("application/vnd.docker.container.image.v1+json", config),
                "layers": [self._blob("application/vnd.docker.image.rootfs.diff.tar.gzip", packed)],
            }
        ).encode()
        for reference in (tag, _digest(manifest)):
            self.manifests[f"{repository}/manifests/{reference}"] = manifest
        return _digest(manifest)

    def _blob(self, kind: str, data: bytes) -> dict[str, Any]:
        self.blobs[_digest(data)] = data
        return {"mediaType": kind, "size": len(data), "digest": _digest(data)}


@contextmanager
def registry() -> Iterator[Registry]:
    """Run a registry until the end of the block."""
    state = Registry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            answer(state, self)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answer(state: Registry, request: BaseHTTPRequestHandler) -> None:
    """Serve one request."""
    path = request.path.removeprefix("/v2/")
    state.requests.append(path)
    if authorization := request.headers.get("Authorization", ""):
        state.shown.append((path, authorization))
    while state.is_silent:
        time.sleep(0.05)
    if state.is_broken:
        _send(request, 503, b'{"errors": [{"code": "UNAVAILABLE", "message": "on strike"}]}')
        return
    if not _is_allowed(state, path, authorization):
        words = b'{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}'
        _send(request, 401, words, {"WWW-Authenticate": 'Basic realm="test"'})
        return
    if not path:
        _send(request, 200, b"{}")
    elif (manifest := state.manifests.get(path)) is not None:
        _send(request, 200, manifest, {"Content-Type": MANIFEST_TYPE, "Docker-Content-Digest": _digest(manifest)})
    elif (blob := state.blobs.get(path.rpartition("/")[2])) is not None:
        _send(request, 200, blob, pause=state.chunk_seconds)
    else:
        _send(request, 404, b'{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}')


def _is_allowed(state: Registry, path: str, authorization: str) -> bool:
    """A registry with closed repositories asks at its door, as real ones do."""
    if not state.credentials:
        return True
    given = base64.b64decode(authorization.removeprefix("Basic ")).decode() if authorization else ""
    if not path:
        return bool(given)
    wanted = [secret for repository, secret in state.credentials.items() if path.startswith(f"{repository}/")]
    return not wanted or given in wanted


def _send(
    request: BaseHTTPRequestHandler,
    status: int,
    data: bytes,
    headers: Mapping[str, str] | None = None,
    pause: float = 0.0,
) -> None:
    request.send_response(status)
    for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
        request.send_header(name, value)
    request.end_headers()
    if request.command != "HEAD":
        try:
            for place in range(0, len(data), CHUNK_BYTES):
                request.wfile.write(data[place : place + CHUNK_BYTES])
                time.sleep(pause)
        except OSError:
            request.close_connection = True


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
