"""Ask the hub as its web server does, in this process, so that its CPU can be counted."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any

from hub.wsgi import application

from .harness import Figure, cpu_figure, cpu_ms

REPEATS = 40


def ask(
    method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, wanted: int = 200
) -> tuple[dict[str, str], bytes]:
    """One request through the whole stack: the answer's headers and body; RuntimeError for another status."""
    place, _, query = path.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": place,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
    }
    said: list[Any] = []

    def start(status: str, fields: list[tuple[str, str]], *rest: Any) -> Any:
        said.extend((status, fields))

    parts = application(environ, start)
    answer = b"".join(parts)
    parts.close()
    if not said[0].startswith(str(wanted)):
        raise RuntimeError(f"{path}: {said[0]} {answer[:300]!r}")
    return dict(said[1]), answer


def figure(name: str, budget: float, work: Callable[[], object]) -> Figure:
    """CPU of one request, the median of several rounds."""
    for _ in range(3):
        work()
    return cpu_figure(f"{name}, CPU of the web process", budget, lambda: cpu_ms(work, REPEATS))
