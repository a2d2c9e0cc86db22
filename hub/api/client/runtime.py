"""What every generated client begins with; see `generator`. Standard library only, so that the file can be copied."""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

RETRIES: Final = 3
LONGEST_WAIT: Final = 60.0


class Unset:
    """Says that an argument was not given, where None means null."""


UNSET: Final = Unset()


class HubError(Exception):
    """The hub refused: `code` is for programs, `detail` for people, `fields` names the inputs at fault.

    `request_id` is what to tell those who run the hub. Status 0: no answer at all.
    """

    def __init__(self, status: int, problem: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.status = status
        self.code: str = problem.get("code", "error")
        self.detail: str = problem.get("detail", "")
        self.fields: dict[str, Sequence[str]] = problem.get("fields", {})
        self.request_id: str = problem.get("request_id", "") or headers.get("X-Request-ID", "")
        self.retry_after = _seconds(headers.get("Retry-After"))
        super().__init__(f"{status} {self.code}: {self.detail}" + (f" [{self.request_id}]" if self.request_id else ""))


class Answer(dict[str, Any]):
    """An object as the hub answered it; its `etag` goes into `if_match` of a change."""

    etag: str = ""


Rows = list[dict[str, Any]]
File = tuple[str, bytes] | os.PathLike[str]
"""What is uploaded: a name with its content, or the path of a file."""


class Client:
    """Asks the hub. Waits and asks again when it was too often, and when no answer came where that does no harm."""

    def __init__(self, url: str, token: str = "", *, timeout: float = 30.0, retries: int = RETRIES) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self.retries = retries
        self._headers = {"Accept": "application/json", "User-Agent": "kutanga-hub-python"}
        if token:
            self._headers["Authorization"] = f"Token {token}"
        # Redirects would carry the token elsewhere, and the API has none.
        self._opener = urllib.request.build_opener(_NoRedirects())

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str | None] | None = None,
        is_keyed: bool = False,
    ) -> Any:
        """One call: what the answer holds, or `HubError`. `is_keyed` adds an Idempotency-Key, the same in each try."""
        sent = {name: value for name, value in (headers or {}).items() if value}
        data: bytes | None = None
        if body is not None:
            sent["Content-Type"], data = "application/json", json.dumps(_given(body)).encode()
        elif form is not None:
            sent["Content-Type"], data = _form(_given(form))
        if is_keyed:
            sent["Idempotency-Key"] = str(uuid.uuid4())
        may_repeat = method == "GET" or is_keyed
        for attempt in range(self.retries + 1):
            try:
                return self._ask(method, path + _query(query or {}), data, sent)
            except HubError as error:
                wait = _wait(error, attempt, may_repeat=may_repeat)
                if wait is None or attempt == self.retries:
                    raise
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _ask(self, method: str, path: str, data: bytes | None, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(self.url + path, data, method=method)  # noqa: S310 - the hub's own URL
        for name, value in {**self._headers, **headers}.items():
            request.add_header(name, value)
        try:
            with self._opener.open(request, timeout=self.timeout) as response:
                return _read(response.read(), response.headers)
        except urllib.error.HTTPError as error:
            with error:
                raise HubError(error.code, _problem(error.read()), dict(error.headers)) from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise HubError(0, {"code": "no_answer", "detail": f"{self.url}: {reason}"}, {}) from error


class Listing:
    """Rows of a list, fetched page by page while one goes through them."""

    def __init__(self, client: Client, path: str, query: Mapping[str, Any]) -> None:
        self._client, self._path, self._query = client, path, query

    def __iter__(self) -> Iterator[dict[str, Any]]:
        offset = int(self._query.get("offset") or 0)
        while True:
            page = self.page(offset)
            yield from page["results"]
            offset += len(page["results"])
            if not page["results"] or not page["next"]:
                return

    @property
    def count(self) -> int:
        """How many there are in all."""
        return int(self._client.request("GET", self._path, query={**self._query, "limit": 1})["count"])

    def first(self) -> dict[str, Any] | None:
        """The first row, None when there is none."""
        return next(iter(Listing(self._client, self._path, {**self._query, "limit": 1})), None)

    def page(self, offset: int = 0) -> Any:
        """One page as the hub answers it."""
        return self._client.request("GET", self._path, query={**self._query, "offset": offset})

    def csv(self) -> str:
        """All rows as CSV."""
        return str(self._client.request("GET", self._path, query={**self._query, "format": "csv"}))


class Group:
    """The operations on one kind of thing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _answer(self, method: str, path: str, **options: Any) -> Answer:
        answer: Answer = self._client.request(method, path, **options)
        return answer

    def _rows(self, method: str, path: str, **options: Any) -> Rows:
        rows: Rows = self._client.request(method, path, **options)
        return rows

    def _content(self, method: str, path: str, **options: Any) -> bytes:
        content: bytes = self._client.request(method, path, **options)
        return content or b""

    def _nothing(self, method: str, path: str, **options: Any) -> None:
        self._client.request(method, path, **options)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        return None


def _wait(error: HubError, attempt: int, *, may_repeat: bool) -> float | None:
    """Seconds until asking again makes sense; None when it does not."""
    was_not_begun = error.status == 429 or error.code == "idempotency_key_in_use"
    if not was_not_begun and not (may_repeat and error.status in (0, 502, 503, 504)):
        return None
    wait = error.retry_after or 0.5 * 2**attempt
    return wait if wait <= LONGEST_WAIT else None


def _part(value: object) -> str:
    """As a part of a path."""
    return urllib.parse.quote(str(value), safe="")


def _query(values: Mapping[str, Any]) -> str:
    given = {name: str(value).lower() if isinstance(value, bool) else value for name, value in values.items()}
    pairs = {name: value for name, value in given.items() if value is not None}
    return f"?{urllib.parse.urlencode(pairs, doseq=True)}" if pairs else ""


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not UNSET}


def _form(values: Mapping[str, Any]) -> tuple[str, bytes]:
    """As a browser sends a form with files: its type and the whole of it."""
    mark, parts = uuid.uuid4().hex, []
    for name, value in values.items():
        head, content = f'Content-Disposition: form-data; name="{name}"', value
        if isinstance(value, tuple | os.PathLike):
            file_name, content = value if isinstance(value, tuple) else _file(value)
            for sign in '"\r\n':
                file_name = file_name.replace(sign, f"%{ord(sign):02X}")
            head += f'; filename="{file_name}"\r\nContent-Type: application/octet-stream'
        data = content if isinstance(content, bytes) else str(content).encode()
        parts.append(f"--{mark}\r\n{head}\r\n\r\n".encode() + data + b"\r\n")
    return f"multipart/form-data; boundary={mark}", b"".join([*parts, f"--{mark}--\r\n".encode()])


def _file(path: os.PathLike[str]) -> tuple[str, bytes]:
    with open(path, "rb") as file:
        return os.path.basename(path), file.read()


def _read(content: bytes, headers: Any) -> Any:
    if not content:
        return None
    if headers.get("Content-Type", "").startswith("application/octet-stream"):
        return content
    if not headers.get("Content-Type", "").startswith("application/json"):
        return content.decode()
    value = json.loads(content)
    if isinstance(value, dict):
        answer = Answer(value)
        answer.etag = headers.get("ETag", "")
        return answer
    return value


def _problem(content: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"detail": content[:200].decode(errors="replace")}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() else None
