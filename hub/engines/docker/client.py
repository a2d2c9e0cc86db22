"""The node's Docker daemon: the SDK's low-level client to change things, and one kept connection to look at them.

The SDK spends about three times as long on a question as the daemon does on the answer (0.7 ms against 0.25 ms each),
which counts where a sweep asks about every container; so plain GETs go over a connection pool of the SDK's own kind.
"""

from __future__ import annotations

import json
import os
import socket
from typing import Any
from urllib.parse import quote, urlencode

import docker
from docker.transport.unixconn import UnixHTTPConnectionPool
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ProtocolError

from .errors import from_answer, refusal

DEFAULT_SOCKET = "/var/run/docker.sock"


def socket_path(option: str = "") -> str:
    """Where the daemon listens: the node's option, else what the docker command would use."""
    path = (option or os.environ.get("DOCKER_HOST", "") or DEFAULT_SOCKET).removeprefix("unix://")
    if not path.startswith("/"):
        raise refusal("The Docker engine works on its own node's socket, not over the network.")
    return path


class Client:
    """One daemon. Connections are not shared with forked children: each process opens its own."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        self.path = path
        self.timeout_seconds = timeout_seconds
        self._pid = 0
        self._api: docker.APIClient
        self._pool: UnixHTTPConnectionPool

    @property
    def api(self) -> docker.APIClient:
        """The SDK's client. Making the first one asks the daemon for its version."""
        if self._pid != os.getpid():
            self._api = docker.APIClient(
                base_url=f"unix://{self.path}", version="auto", timeout=self.timeout_seconds, max_pool_size=2
            )
            self._pool = UnixHTTPConnectionPool("http://localhost", self.path, timeout=self.timeout_seconds, maxsize=1)
            self._pid = os.getpid()
        return self._api

    def get(self, path: str, **query: Any) -> Any:
        """The JSON behind a path; None when there is no such thing."""
        data = self.get_bytes(path, **query)
        return None if data is None else json.loads(data)

    def get_bytes(self, path: str, **query: Any) -> bytes | None:
        """The bytes behind a path; None when there is no such thing."""
        url = f"{self.prefix}{quote(path, safe='/:@')}"
        if query:
            url += "?" + urlencode({key: _parameter(value) for key, value in query.items()})
        answer = self._ask(url)
        if answer.status == 404:
            return None
        if answer.status >= 400:
            raise from_answer(answer.status, _message(answer.data))
        return bytes(answer.data)

    def _ask(self, url: str) -> BaseHTTPResponse:
        """A kept connection may have been closed by a daemon that is there again: that is worth a second try."""
        try:
            return self._pool.urlopen("GET", url, timeout=self.timeout_seconds, retries=False)
        except ProtocolError:
            return self._pool.urlopen("GET", url, timeout=self.timeout_seconds, retries=False)

    @property
    def prefix(self) -> str:
        """The versioned root of the API."""
        return f"/v{self.api.api_version}"

    def connect(self) -> socket.socket:
        """A connection of one's own, for talks that the SDK does not bound in time."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(self.timeout_seconds)
            connection.connect(self.path)
        except BaseException:
            connection.close()
            raise
        return connection


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    return value if isinstance(value, str) else json.dumps(value)


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")
