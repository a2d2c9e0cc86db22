"""Client of the Kutanga Hub API, in one file that needs nothing but Python 3.11.

Written by `manage.py api_client` from the OpenAPI document: change that, not this. A copy may be taken anywhere.

    hub = Hub("https://hub.example.org", token="hub_…")
    for server in hub.servers.list(status=["running"]):
        print(server["name"], server["address"])
"""

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


class AddressPools(Group):
    """Address pools."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_enabled: bool | None = None,
        is_public: bool | None = None,
        kind: Sequence[str] | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List address pools."""
        return Listing(
            self._client,
            "/api/v1/address-pools",
            {
                "fields": fields,
                "is_enabled": is_enabled,
                "is_public": is_public,
                "kind": kind,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "q": q,
            },
        )

    def create(
        self,
        *,
        node: str,
        name: str,
        first_ip: str,
        kind: str | Unset = UNSET,
        is_public: bool | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
        last_ip: str | Unset | None = UNSET,
        first_port: int | Unset | None = UNSET,
        last_port: int | Unset | None = UNSET,
        excluded_ports: Any | Unset = UNSET,
        prefix_length: int | Unset | None = UNSET,
        quarantine_seconds: int | Unset | None = UNSET,
    ) -> Answer:
        """Make an address pool."""
        return self._answer(
            "POST",
            "/api/v1/address-pools",
            body={
                "node": node,
                "name": name,
                "first_ip": first_ip,
                "kind": kind,
                "is_public": is_public,
                "is_enabled": is_enabled,
                "last_ip": last_ip,
                "first_port": first_port,
                "last_port": last_port,
                "excluded_ports": excluded_ports,
                "prefix_length": prefix_length,
                "quarantine_seconds": quarantine_seconds,
            },
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show an address pool."""
        return self._answer(
            "GET",
            f"/api/v1/address-pools/{_part(id)}",
            query={"fields": fields},
        )

    def update(self, id: int, *, if_match: str | None = None, is_enabled: bool | Unset = UNSET) -> Answer:
        """Change an address pool."""
        return self._answer(
            "PATCH",
            f"/api/v1/address-pools/{_part(id)}",
            body={"is_enabled": is_enabled},
            headers={"If-Match": if_match},
        )

    def delete(self, id: int, *, if_match: str | None = None) -> None:
        """Remove an address pool."""
        self._nothing(
            "DELETE",
            f"/api/v1/address-pools/{_part(id)}",
            headers={"If-Match": if_match},
        )


class Addresses(Group):
    """Addresses."""

    def list(
        self,
        *,
        fields: str | None = None,
        holder: str | None = None,
        ip: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        pool: int | None = None,
        port: int | None = None,
        q: str | None = None,
        state: Sequence[str] | None = None,
    ) -> Listing:
        """List addresses."""
        return Listing(
            self._client,
            "/api/v1/addresses",
            {
                "fields": fields,
                "holder": holder,
                "ip": ip,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "pool": pool,
                "port": port,
                "q": q,
                "state": state,
            },
        )

    def bulk(self, *, verb: str, ids: Sequence[int], reason: str | Unset = UNSET) -> Rows:
        """Block or unblock many addresses, with a result for each."""
        return self._rows(
            "POST",
            "/api/v1/addresses/bulk",
            body={"verb": verb, "ids": ids, "reason": reason},
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show an address."""
        return self._answer(
            "GET",
            f"/api/v1/addresses/{_part(id)}",
            query={"fields": fields},
        )

    def block(self, id: int, *, reason: str) -> Answer:
        """Take an address out of use."""
        return self._answer(
            "POST",
            f"/api/v1/addresses/{_part(id)}/block",
            body={"reason": reason},
        )

    def unblock(self, id: int) -> Answer:
        """Put an address back into use."""
        return self._answer("POST", f"/api/v1/addresses/{_part(id)}/unblock")


class AlertMutes(Group):
    """Alert mutes."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_active: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        rule: Sequence[str] | None = None,
        scope: Sequence[str] | None = None,
    ) -> Listing:
        """List mutes."""
        return Listing(
            self._client,
            "/api/v1/alert-mutes",
            {
                "fields": fields,
                "is_active": is_active,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "rule": rule,
                "scope": scope,
            },
        )

    def create(
        self,
        *,
        reason: str,
        ends_at: str,
        rule: str | Unset | None = UNSET,
        scope: str | Unset = UNSET,
        scope_value: str | Unset = UNSET,
        starts_at: str | Unset = UNSET,
    ) -> Answer:
        """Plan a time in which nobody is told."""
        return self._answer(
            "POST",
            "/api/v1/alert-mutes",
            body={
                "reason": reason,
                "ends_at": ends_at,
                "rule": rule,
                "scope": scope,
                "scope_value": scope_value,
                "starts_at": starts_at,
            },
            is_keyed=True,
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show a mute."""
        return self._answer(
            "GET",
            f"/api/v1/alert-mutes/{_part(id)}",
            query={"fields": fields},
        )

    def delete(self, id: int, *, if_match: str | None = None) -> None:
        """End a mute: people are told again from now on."""
        self._nothing(
            "DELETE",
            f"/api/v1/alert-mutes/{_part(id)}",
            headers={"If-Match": if_match},
        )


class AlertRules(Group):
    """Alert rules."""

    def list(
        self,
        *,
        condition: Sequence[str] | None = None,
        fields: str | None = None,
        is_customized: bool | None = None,
        is_enabled: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        scope: Sequence[str] | None = None,
        severity: Sequence[str] | None = None,
    ) -> Listing:
        """List alert rules."""
        return Listing(
            self._client,
            "/api/v1/alert-rules",
            {
                "condition": condition,
                "fields": fields,
                "is_customized": is_customized,
                "is_enabled": is_enabled,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "scope": scope,
                "severity": severity,
            },
        )

    def create(
        self,
        *,
        name: str,
        condition: str,
        slug: str | Unset = UNSET,
        metric: Any | Unset = UNSET,
        threshold: float | Unset = UNSET,
        window_seconds: int | Unset = UNSET,
        hold_seconds: int | Unset = UNSET,
        cooldown_seconds: int | Unset = UNSET,
        severity: str | Unset = UNSET,
        scope: str | Unset = UNSET,
        scope_value: str | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Make an alert rule."""
        return self._answer(
            "POST",
            "/api/v1/alert-rules",
            body={
                "name": name,
                "condition": condition,
                "slug": slug,
                "metric": metric,
                "threshold": threshold,
                "window_seconds": window_seconds,
                "hold_seconds": hold_seconds,
                "cooldown_seconds": cooldown_seconds,
                "severity": severity,
                "scope": scope,
                "scope_value": scope_value,
                "is_enabled": is_enabled,
            },
            is_keyed=True,
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show an alert rule."""
        return self._answer(
            "GET",
            f"/api/v1/alert-rules/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        condition: str | Unset = UNSET,
        metric: Any | Unset = UNSET,
        threshold: float | Unset = UNSET,
        window_seconds: int | Unset = UNSET,
        hold_seconds: int | Unset = UNSET,
        cooldown_seconds: int | Unset = UNSET,
        severity: str | Unset = UNSET,
        scope: str | Unset = UNSET,
        scope_value: str | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Change an alert rule."""
        return self._answer(
            "PATCH",
            f"/api/v1/alert-rules/{_part(slug)}",
            body={
                "name": name,
                "condition": condition,
                "metric": metric,
                "threshold": threshold,
                "window_seconds": window_seconds,
                "hold_seconds": hold_seconds,
                "cooldown_seconds": cooldown_seconds,
                "severity": severity,
                "scope": scope,
                "scope_value": scope_value,
                "is_enabled": is_enabled,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove an alert rule."""
        self._nothing(
            "DELETE",
            f"/api/v1/alert-rules/{_part(slug)}",
            headers={"If-Match": if_match},
        )


class Alerts(Group):
    """Alerts."""

    def list(
        self,
        *,
        assignee: Sequence[str] | None = None,
        fields: str | None = None,
        is_acknowledged: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
        rule: Sequence[str] | None = None,
        severity: Sequence[str] | None = None,
        since: str | None = None,
        state: Sequence[str] | None = None,
        subject: Sequence[str] | None = None,
        until: str | None = None,
    ) -> Listing:
        """List alerts."""
        return Listing(
            self._client,
            "/api/v1/alerts",
            {
                "assignee": assignee,
                "fields": fields,
                "is_acknowledged": is_acknowledged,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region": region,
                "rule": rule,
                "severity": severity,
                "since": since,
                "state": state,
                "subject": subject,
                "until": until,
            },
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show an alert."""
        return self._answer(
            "GET",
            f"/api/v1/alerts/{_part(id)}",
            query={"fields": fields},
        )

    def acknowledge(self, id: int) -> Answer:
        """Say that somebody has seen it; it goes on firing."""
        return self._answer("POST", f"/api/v1/alerts/{_part(id)}/acknowledge")

    def assign(self, id: int, *, assignee: str | None) -> Answer:
        """Say whose an alert is, or nobody's."""
        return self._answer(
            "POST",
            f"/api/v1/alerts/{_part(id)}/assign",
            body={"assignee": assignee},
        )

    def mute(self, id: int, *, minutes: int, reason: str | Unset = UNSET) -> Answer:
        """Tell nobody of this rule and subject for a while."""
        return self._answer(
            "POST",
            f"/api/v1/alerts/{_part(id)}/mute",
            body={"minutes": minutes, "reason": reason},
        )


class Announcements(Group):
    """Announcements."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List announcements."""
        return Listing(
            self._client,
            "/api/v1/announcements",
            {"fields": fields, "limit": limit, "offset": offset, "ordering": ordering, "q": q},
        )

    def create(
        self,
        *,
        title: str,
        message: str,
        event: str | Unset | None = UNSET,
        region: str | Unset | None = UNSET,
        ui_type: str | Unset = UNSET,
        has_sound: bool | Unset = UNSET,
    ) -> Answer:
        """Tell the participants of an event, or everybody."""
        return self._answer(
            "POST",
            "/api/v1/announcements",
            body={
                "title": title,
                "message": message,
                "event": event,
                "region": region,
                "ui_type": ui_type,
                "has_sound": has_sound,
            },
            is_keyed=True,
        )

    def unread(self) -> Answer:
        """How many one has not read yet."""
        return self._answer("GET", "/api/v1/announcements/unread")

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an announcement."""
        return self._answer(
            "GET",
            f"/api/v1/announcements/{_part(id)}",
            query={"fields": fields},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Remove an announcement."""
        self._nothing(
            "DELETE",
            f"/api/v1/announcements/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def read(self, id: str) -> None:
        """Note that one has read it."""
        self._nothing("POST", f"/api/v1/announcements/{_part(id)}/read")


class Audit(Group):
    """Audit."""

    def list(
        self,
        *,
        action: str | None = None,
        actor: str | None = None,
        actor_id: str | None = None,
        actor_kind: Sequence[str] | None = None,
        fields: str | None = None,
        from_: str | None = None,
        ip: str | None = None,
        limit: int | None = None,
        noun: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region_slug: str | None = None,
        request_id: str | None = None,
        target: str | None = None,
        target_id: str | None = None,
        target_kind: str | None = None,
        to: str | None = None,
        via: Sequence[str] | None = None,
    ) -> Listing:
        """Read the audit trail."""
        return Listing(
            self._client,
            "/api/v1/audit",
            {
                "action": action,
                "actor": actor,
                "actor_id": actor_id,
                "actor_kind": actor_kind,
                "fields": fields,
                "from": from_,
                "ip": ip,
                "limit": limit,
                "noun": noun,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region_slug": region_slug,
                "request_id": request_id,
                "target": target,
                "target_id": target_id,
                "target_kind": target_kind,
                "to": to,
                "via": via,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an audit entry."""
        return self._answer(
            "GET",
            f"/api/v1/audit/{_part(id)}",
            query={"fields": fields},
        )


class Auth(Group):
    """Auth."""

    def delete(self, *, password: str) -> None:
        """Delete one's account."""
        self._nothing(
            "POST",
            "/api/v1/auth/delete",
            body={"password": password},
        )

    def export(self) -> Answer:
        """Export one's data."""
        return self._answer("GET", "/api/v1/auth/export")

    def login(self, *, username: str, password: str, code: str | Unset = UNSET) -> Answer:
        """Log in."""
        return self._answer(
            "POST",
            "/api/v1/auth/login",
            body={"username": username, "password": password, "code": code},
        )

    def logout(self, *, refresh: str) -> None:
        """Log out."""
        self._nothing(
            "POST",
            "/api/v1/auth/logout",
            body={"refresh": refresh},
        )

    def me(self) -> Answer:
        """Show who is logged in."""
        return self._answer("GET", "/api/v1/auth/me")

    def refresh(self, *, refresh: str) -> Answer:
        """Refresh."""
        return self._answer(
            "POST",
            "/api/v1/auth/refresh",
            body={"refresh": refresh},
        )

    def register(
        self,
        *,
        username: str,
        email: str,
        password: str,
        invite: str | Unset = UNSET,
        region: str | Unset = UNSET,
        team_code: str | Unset = UNSET,
        team_name: str | Unset = UNSET,
    ) -> Answer:
        """Register."""
        return self._answer(
            "POST",
            "/api/v1/auth/register",
            body={
                "username": username,
                "email": email,
                "password": password,
                "invite": invite,
                "region": region,
                "team_code": team_code,
                "team_name": team_name,
            },
        )


class Bundles(Group):
    """Bundles."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        name: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
        version: Sequence[str] | None = None,
    ) -> Listing:
        """List bundles."""
        return Listing(
            self._client,
            "/api/v1/bundles",
            {
                "fields": fields,
                "limit": limit,
                "name": name,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
                "version": version,
            },
        )

    def create(
        self,
        *,
        size_bytes: int,
        name: str | Unset = UNSET,
        version: str | Unset = UNSET,
        sha256: str | Unset = UNSET,
        kind: str | Unset = UNSET,
        description: str | Unset = UNSET,
        device_types: Sequence[str] | Unset = UNSET,
        manifest: Any | Unset = UNSET,
        signature: Mapping[str, Any] | Unset = UNSET,
    ) -> Answer:
        """Begin to upload a bundle, or upload it as a form."""
        return self._answer(
            "POST",
            "/api/v1/bundles",
            body={
                "size_bytes": size_bytes,
                "name": name,
                "version": version,
                "sha256": sha256,
                "kind": kind,
                "description": description,
                "device_types": device_types,
                "manifest": manifest,
                "signature": signature,
            },
            is_keyed=True,
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a bundle."""
        return self._answer(
            "GET",
            f"/api/v1/bundles/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        description: str | Unset = UNSET,
        device_types: Sequence[str] | Unset = UNSET,
    ) -> Answer:
        """Change a bundle."""
        return self._answer(
            "PATCH",
            f"/api/v1/bundles/{_part(id)}",
            body={"description": description, "device_types": device_types},
            headers={"If-Match": if_match},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Remove a bundle."""
        self._nothing(
            "DELETE",
            f"/api/v1/bundles/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def finish(self, id: str) -> Answer:
        """Check an upload and make it a bundle."""
        return self._answer("POST", f"/api/v1/bundles/{_part(id)}/finish")

    def invalidate(self, id: str, *, reason: str) -> Answer:
        """Send a bundle to nobody any more."""
        return self._answer(
            "POST",
            f"/api/v1/bundles/{_part(id)}/invalidate",
            body={"reason": reason},
        )

    def piece(self, id: str, *, offset: int, content: str) -> Answer:
        """Send the next bytes of an upload."""
        return self._answer(
            "POST",
            f"/api/v1/bundles/{_part(id)}/piece",
            body={"offset": offset, "content": content},
        )

    def verify(self, id: str, *, checksum: str | Unset = UNSET) -> Answer:
        """Look whether a stored bundle is whole."""
        return self._answer(
            "POST",
            f"/api/v1/bundles/{_part(id)}/verify",
            body={"checksum": checksum},
        )


class Challenges(Group):
    """Challenges."""

    def list(
        self,
        *,
        category: Sequence[str] | None = None,
        fields: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        state: Sequence[str] | None = None,
    ) -> Listing:
        """List challenges."""
        return Listing(
            self._client,
            "/api/v1/challenges",
            {
                "category": category,
                "fields": fields,
                "kind": kind,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "state": state,
            },
        )

    def create(
        self,
        *,
        name: str,
        description: str,
        kind: str | Unset = UNSET,
        category: str | Unset = UNSET,
        author: str | Unset = UNSET,
        difficulty: str | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        points: int | Unset = UNSET,
        scoring: str | Unset = UNSET,
        minimum_points: int | Unset = UNSET,
        decay: int | Unset = UNSET,
        first_blood_bonus: int | Unset = UNSET,
        max_attempts: int | Unset = UNSET,
        flag_logic: str | Unset = UNSET,
        allows_egress: bool | Unset = UNSET,
        containers: Sequence[Mapping[str, Any]] | Unset = UNSET,
        flags: Sequence[Mapping[str, Any]] | Unset = UNSET,
        hints: Sequence[Mapping[str, Any]] | Unset = UNSET,
    ) -> Answer:
        """Make a challenge, as a draft."""
        return self._answer(
            "POST",
            "/api/v1/challenges",
            body={
                "name": name,
                "description": description,
                "kind": kind,
                "category": category,
                "author": author,
                "difficulty": difficulty,
                "tags": tags,
                "points": points,
                "scoring": scoring,
                "minimum_points": minimum_points,
                "decay": decay,
                "first_blood_bonus": first_blood_bonus,
                "max_attempts": max_attempts,
                "flag_logic": flag_logic,
                "allows_egress": allows_egress,
                "containers": containers,
                "flags": flags,
                "hints": hints,
            },
            is_keyed=True,
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show a challenge."""
        return self._answer(
            "GET",
            f"/api/v1/challenges/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        kind: str | Unset = UNSET,
        category: str | Unset = UNSET,
        description: str | Unset = UNSET,
        author: str | Unset = UNSET,
        difficulty: str | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        points: int | Unset = UNSET,
        scoring: str | Unset = UNSET,
        minimum_points: int | Unset = UNSET,
        decay: int | Unset = UNSET,
        first_blood_bonus: int | Unset = UNSET,
        max_attempts: int | Unset = UNSET,
        flag_logic: str | Unset = UNSET,
        allows_egress: bool | Unset = UNSET,
        containers: Sequence[Mapping[str, Any]] | Unset = UNSET,
        flags: Sequence[Mapping[str, Any]] | Unset = UNSET,
        hints: Sequence[Mapping[str, Any]] | Unset = UNSET,
    ) -> Answer:
        """Change a challenge."""
        return self._answer(
            "PATCH",
            f"/api/v1/challenges/{_part(slug)}",
            body={
                "name": name,
                "kind": kind,
                "category": category,
                "description": description,
                "author": author,
                "difficulty": difficulty,
                "tags": tags,
                "points": points,
                "scoring": scoring,
                "minimum_points": minimum_points,
                "decay": decay,
                "first_blood_bonus": first_blood_bonus,
                "max_attempts": max_attempts,
                "flag_logic": flag_logic,
                "allows_egress": allows_egress,
                "containers": containers,
                "flags": flags,
                "hints": hints,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove a challenge."""
        self._nothing(
            "DELETE",
            f"/api/v1/challenges/{_part(slug)}",
            headers={"If-Match": if_match},
        )

    def downloads(self, slug: str) -> Rows:
        """Who fetched its files last."""
        return self._rows("GET", f"/api/v1/challenges/{_part(slug)}/downloads")

    def files(self, slug: str, *, file: File, name: str | Unset = UNSET) -> Answer:
        """Add a file for teams."""
        return self._answer(
            "POST",
            f"/api/v1/challenges/{_part(slug)}/files",
            form={"file": file, "name": name},
        )

    def remove_file(self, file: str, slug: str) -> None:
        """Remove a file."""
        self._nothing("DELETE", f"/api/v1/challenges/{_part(slug)}/files/{_part(file)}")

    def grant(self, slug: str) -> Answer:
        """Allow the capabilities that its containers ask for."""
        return self._answer("POST", f"/api/v1/challenges/{_part(slug)}/grant")

    def revoke(self, slug: str) -> Answer:
        """Take that back."""
        return self._answer("POST", f"/api/v1/challenges/{_part(slug)}/revoke")

    def state(self, slug: str, *, state: str) -> Answer:
        """Move it from draft to test to published, or back."""
        return self._answer(
            "POST",
            f"/api/v1/challenges/{_part(slug)}/state",
            body={"state": state},
        )

    def test_copy(self, slug: str, *, team: int) -> Answer:
        """Launch a test copy with the flags of any team, or be told of the one there is."""
        return self._answer(
            "POST",
            f"/api/v1/challenges/{_part(slug)}/test-copy",
            body={"team": team},
        )


class Channels(Group):
    """Channels."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_enabled: bool | None = None,
        kind: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List channels."""
        return Listing(
            self._client,
            "/api/v1/channels",
            {
                "fields": fields,
                "is_enabled": is_enabled,
                "kind": kind,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
            },
        )

    def create(
        self,
        *,
        name: str,
        kind: str,
        target: str | Unset = UNSET,
        secret: str | Unset = UNSET,
        least_severity: str | Unset = UNSET,
        rules: Sequence[str] | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Make a channel."""
        return self._answer(
            "POST",
            "/api/v1/channels",
            body={
                "name": name,
                "kind": kind,
                "target": target,
                "secret": secret,
                "least_severity": least_severity,
                "rules": rules,
                "is_enabled": is_enabled,
            },
            is_keyed=True,
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show a channel."""
        return self._answer(
            "GET",
            f"/api/v1/channels/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: int,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        kind: str | Unset = UNSET,
        target: str | Unset = UNSET,
        secret: str | Unset = UNSET,
        least_severity: str | Unset = UNSET,
        rules: Sequence[str] | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Change a channel."""
        return self._answer(
            "PATCH",
            f"/api/v1/channels/{_part(id)}",
            body={
                "name": name,
                "kind": kind,
                "target": target,
                "secret": secret,
                "least_severity": least_severity,
                "rules": rules,
                "is_enabled": is_enabled,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, id: int, *, if_match: str | None = None) -> None:
        """Remove a channel."""
        self._nothing(
            "DELETE",
            f"/api/v1/channels/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def test(self, id: int) -> Answer:
        """Send a message that says only that it arrives."""
        return self._answer("POST", f"/api/v1/channels/{_part(id)}/test")


class Deliveries(Group):
    """Deliveries."""

    def list(
        self,
        *,
        alert: int | None = None,
        channel: int | None = None,
        event: Sequence[str] | None = None,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        state: Sequence[str] | None = None,
        until: str | None = None,
    ) -> Listing:
        """List deliveries."""
        return Listing(
            self._client,
            "/api/v1/deliveries",
            {
                "alert": alert,
                "channel": channel,
                "event": event,
                "fields": fields,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "state": state,
                "until": until,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a delivery."""
        return self._answer(
            "GET",
            f"/api/v1/deliveries/{_part(id)}",
            query={"fields": fields},
        )

    def resend(self, id: str) -> Answer:
        """Send a message that did not arrive again."""
        return self._answer("POST", f"/api/v1/deliveries/{_part(id)}/resend")


class Deployments(Group):
    """Deployments."""

    def list(
        self,
        *,
        bundle: str | None = None,
        fields: str | None = None,
        kind: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
    ) -> Listing:
        """List deployments."""
        return Listing(
            self._client,
            "/api/v1/deployments",
            {
                "bundle": bundle,
                "fields": fields,
                "kind": kind,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
            },
        )

    def create(
        self,
        *,
        devices: Sequence[str] | Unset = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        all: bool | Unset = UNSET,
        bundle: str | Unset = UNSET,
        bundle_version: str | Unset = UNSET,
        target_devices: Sequence[str] | Unset = UNSET,
        description: str | Unset = UNSET,
        starts_at: str | Unset | None = UNSET,
        window_starts_at: str | Unset | None = UNSET,
        window_minutes: int | Unset | None = UNSET,
        window_timezone: str | Unset = UNSET,
        timeout_seconds: int | Unset = UNSET,
        soak_seconds: int | Unset = UNSET,
        max_attempts: int | Unset = UNSET,
        allow_downgrade: bool | Unset = UNSET,
        rolls_back_on_failure: bool | Unset = UNSET,
    ) -> Answer:
        """Deploy a bundle."""
        return self._answer(
            "POST",
            "/api/v1/deployments",
            body={
                "devices": devices,
                "groups": groups,
                "all": all,
                "bundle": bundle,
                "bundle_version": bundle_version,
                "target_devices": target_devices,
                "description": description,
                "starts_at": starts_at,
                "window_starts_at": window_starts_at,
                "window_minutes": window_minutes,
                "window_timezone": window_timezone,
                "timeout_seconds": timeout_seconds,
                "soak_seconds": soak_seconds,
                "max_attempts": max_attempts,
                "allow_downgrade": allow_downgrade,
                "rolls_back_on_failure": rolls_back_on_failure,
            },
            is_keyed=True,
        )

    def preview(
        self,
        *,
        devices: Sequence[str] | Unset = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        all: bool | Unset = UNSET,
        bundle: str | Unset = UNSET,
        bundle_version: str | Unset = UNSET,
        target_devices: Sequence[str] | Unset = UNSET,
        description: str | Unset = UNSET,
        starts_at: str | Unset | None = UNSET,
        window_starts_at: str | Unset | None = UNSET,
        window_minutes: int | Unset | None = UNSET,
        window_timezone: str | Unset = UNSET,
        timeout_seconds: int | Unset = UNSET,
        soak_seconds: int | Unset = UNSET,
        max_attempts: int | Unset = UNSET,
        allow_downgrade: bool | Unset = UNSET,
        rolls_back_on_failure: bool | Unset = UNSET,
    ) -> Answer:
        """See whom a deployment would reach."""
        return self._answer(
            "POST",
            "/api/v1/deployments/preview",
            body={
                "devices": devices,
                "groups": groups,
                "all": all,
                "bundle": bundle,
                "bundle_version": bundle_version,
                "target_devices": target_devices,
                "description": description,
                "starts_at": starts_at,
                "window_starts_at": window_starts_at,
                "window_minutes": window_minutes,
                "window_timezone": window_timezone,
                "timeout_seconds": timeout_seconds,
                "soak_seconds": soak_seconds,
                "max_attempts": max_attempts,
                "allow_downgrade": allow_downgrade,
                "rolls_back_on_failure": rolls_back_on_failure,
            },
        )

    def result(
        self,
        deployment: str,
        *,
        status: str | Unset = UNSET,
        error_message: str | Unset | None = UNSET,
        error_code: str | Unset = UNSET,
        progress_percent: int | Unset | None = UNSET,
        output: str | Unset = UNSET,
    ) -> Answer:
        """Say how a deployment goes (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/deployments/{_part(deployment)}/result",
            body={
                "status": status,
                "error_message": error_message,
                "error_code": error_code,
                "progress_percent": progress_percent,
                "output": output,
            },
        )

    def work(self, deployment: str) -> Answer:
        """What a device needs for its work."""
        return self._answer("GET", f"/api/v1/deployments/{_part(deployment)}/work")

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a deployment."""
        return self._answer(
            "GET",
            f"/api/v1/deployments/{_part(id)}",
            query={"fields": fields},
        )

    def cancel(self, id: str, *, reason: str | Unset = UNSET) -> Answer:
        """Call a deployment off."""
        return self._answer(
            "POST",
            f"/api/v1/deployments/{_part(id)}/cancel",
            body={"reason": reason},
        )

    def force_quit(self, id: str, *, device: str) -> Answer:
        """End a deployment for a device that does not answer."""
        return self._answer(
            "POST",
            f"/api/v1/deployments/{_part(id)}/force-quit",
            body={"device": device},
        )

    def retry(self, id: str) -> Answer:
        """Try again where it failed."""
        return self._answer(
            "POST",
            f"/api/v1/deployments/{_part(id)}/retry",
            is_keyed=True,
        )

    def rollback(
        self,
        id: str,
        *,
        target_version: str | Unset = UNSET,
        soak_seconds: int | Unset = UNSET,
        all_or_none: bool | Unset = UNSET,
    ) -> Answer:
        """Send back the devices that a deployment reached."""
        return self._answer(
            "POST",
            f"/api/v1/deployments/{_part(id)}/rollback",
            body={"target_version": target_version, "soak_seconds": soak_seconds, "all_or_none": all_or_none},
            is_keyed=True,
        )

    def targets(
        self,
        id: int,
        *,
        error_code: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
    ) -> Listing:
        """List the devices of a deployment."""
        return Listing(
            self._client,
            f"/api/v1/deployments/{_part(id)}/targets",
            {
                "error_code": error_code,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
            },
        )


class DeviceCommands(Group):
    """Device commands."""

    def list(
        self,
        *,
        device: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
    ) -> Listing:
        """List manual commands."""
        return Listing(
            self._client,
            "/api/v1/device-commands",
            {
                "device": device,
                "fields": fields,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
            },
        )

    def create(
        self,
        *,
        ids: Sequence[str],
        name: str,
        arguments: Sequence[str] | Unset = UNSET,
        timeout_seconds: int | Unset = UNSET,
        expires_seconds: int | Unset = UNSET,
    ) -> Rows:
        """Send a command to devices."""
        return self._rows(
            "POST",
            "/api/v1/device-commands",
            body={
                "ids": ids,
                "name": name,
                "arguments": arguments,
                "timeout_seconds": timeout_seconds,
                "expires_seconds": expires_seconds,
            },
            is_keyed=True,
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a manual command."""
        return self._answer(
            "GET",
            f"/api/v1/device-commands/{_part(id)}",
            query={"fields": fields},
        )

    def cancel(self, id: str) -> Answer:
        """Take a command back."""
        return self._answer("POST", f"/api/v1/device-commands/{_part(id)}/cancel")


class DeviceGroups(Group):
    """Device groups."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List device groups."""
        return Listing(
            self._client,
            "/api/v1/device-groups",
            {"fields": fields, "limit": limit, "offset": offset, "ordering": ordering, "q": q},
        )

    def create(
        self,
        *,
        slug: str,
        name: str,
        description: str | Unset = UNSET,
        priority: int | Unset = UNSET,
    ) -> Answer:
        """Make a device group."""
        return self._answer(
            "POST",
            "/api/v1/device-groups",
            body={"slug": slug, "name": name, "description": description, "priority": priority},
            is_keyed=True,
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show a device group."""
        return self._answer(
            "GET",
            f"/api/v1/device-groups/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        priority: int | Unset = UNSET,
    ) -> Answer:
        """Change a device group."""
        return self._answer(
            "PATCH",
            f"/api/v1/device-groups/{_part(slug)}",
            body={"name": name, "description": description, "priority": priority},
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove a device group."""
        self._nothing(
            "DELETE",
            f"/api/v1/device-groups/{_part(slug)}",
            headers={"If-Match": if_match},
        )

    def config(self, slug: str) -> Answer:
        """Show the configuration of a group."""
        return self._answer("GET", f"/api/v1/device-groups/{_part(slug)}/config")

    def set_config(
        self,
        slug: str,
        *,
        polling_interval: int | Unset = UNSET,
        heartbeat_timeout: int | Unset = UNSET,
        deploy_timeout: int | Unset = UNSET,
        log_level: str | Unset = UNSET,
        settings: Any | Unset = UNSET,
        expected_version: int | Unset = UNSET,
        note: str | Unset = UNSET,
    ) -> Answer:
        """Set the configuration of a group."""
        return self._answer(
            "PUT",
            f"/api/v1/device-groups/{_part(slug)}/config",
            body={
                "polling_interval": polling_interval,
                "heartbeat_timeout": heartbeat_timeout,
                "deploy_timeout": deploy_timeout,
                "log_level": log_level,
                "settings": settings,
                "expected_version": expected_version,
                "note": note,
            },
        )

    def config_history(self, slug: str) -> Rows:
        """Earlier configurations of a group, newest first."""
        return self._rows("GET", f"/api/v1/device-groups/{_part(slug)}/config/history")

    def rollback_config(self, slug: str, *, version: int, expected_version: int | Unset = UNSET) -> Answer:
        """Go back to an earlier configuration of a group."""
        return self._answer(
            "POST",
            f"/api/v1/device-groups/{_part(slug)}/config/rollback",
            body={"version": version, "expected_version": expected_version},
        )

    def members(
        self,
        slug: str,
        *,
        add: Sequence[str] | Unset = UNSET,
        remove: Sequence[str] | Unset = UNSET,
    ) -> Answer:
        """Put devices into a group and take others out."""
        return self._answer(
            "POST",
            f"/api/v1/device-groups/{_part(slug)}/members",
            body={"add": add, "remove": remove},
        )


class Devices(Group):
    """Devices."""

    def list(
        self,
        *,
        drift: Sequence[str] | None = None,
        fields: str | None = None,
        group: Sequence[str] | None = None,
        health: Sequence[str] | None = None,
        limit: int | None = None,
        liveness: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
        status: Sequence[str] | None = None,
        tag: str | None = None,
        type: Sequence[str] | None = None,
        version: Sequence[str] | None = None,
    ) -> Listing:
        """List devices."""
        return Listing(
            self._client,
            "/api/v1/devices",
            {
                "drift": drift,
                "fields": fields,
                "group": group,
                "health": health,
                "limit": limit,
                "liveness": liveness,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region": region,
                "status": status,
                "tag": tag,
                "type": type,
                "version": version,
            },
        )

    def create(
        self,
        *,
        name: str,
        public_key: str,
        device_type: str | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        region: str | Unset | None = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        notes: str | Unset = UNSET,
        identity: Any | Unset = UNSET,
    ) -> Answer:
        """Preauthorise a device by its key."""
        return self._answer(
            "POST",
            "/api/v1/devices",
            body={
                "name": name,
                "public_key": public_key,
                "device_type": device_type,
                "tags": tags,
                "region": region,
                "groups": groups,
                "notes": notes,
                "identity": identity,
            },
            is_keyed=True,
        )

    def bulk(self, *, verb: str, ids: Sequence[str], fingerprints: Mapping[str, Any] | Unset = UNSET) -> Rows:
        """Decide about many devices."""
        return self._rows(
            "POST",
            "/api/v1/devices/bulk",
            body={"verb": verb, "ids": ids, "fingerprints": fingerprints},
        )

    def nonce(self) -> Answer:
        """Get a nonce to enrol with."""
        return self._answer("POST", "/api/v1/devices/nonce")

    def register(
        self,
        *,
        public_key: str,
        identity: Any | Unset = UNSET,
        device_type: str | Unset = UNSET,
        hardware_metadata: Any | Unset = UNSET,
        enrolment_token: str | Unset = UNSET,
    ) -> Answer:
        """Enrol (signed with the key that the request brings)."""
        return self._answer(
            "POST",
            "/api/v1/devices/register",
            body={
                "public_key": public_key,
                "identity": identity,
                "device_type": device_type,
                "hardware_metadata": hardware_metadata,
                "enrolment_token": enrolment_token,
            },
        )

    def rollback(
        self,
        *,
        target_device_ids: Sequence[str] | Unset = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        all: bool | Unset = UNSET,
        bundle_version: str | Unset = UNSET,
        soak_seconds: int | Unset = UNSET,
        all_or_none: bool | Unset = UNSET,
    ) -> Answer:
        """Send devices back to their last good bundles."""
        return self._answer(
            "POST",
            "/api/v1/devices/rollback",
            body={
                "target_device_ids": target_device_ids,
                "groups": groups,
                "all": all,
                "bundle_version": bundle_version,
                "soak_seconds": soak_seconds,
                "all_or_none": all_or_none,
            },
            is_keyed=True,
        )

    def rollback_preview(
        self,
        *,
        target_device_ids: Sequence[str] | Unset = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        all: bool | Unset = UNSET,
        bundle_version: str | Unset = UNSET,
        soak_seconds: int | Unset = UNSET,
        all_or_none: bool | Unset = UNSET,
    ) -> Answer:
        """See which devices can be sent back, where to, and who cannot and why."""
        return self._answer(
            "POST",
            "/api/v1/devices/rollback/preview",
            body={
                "target_device_ids": target_device_ids,
                "groups": groups,
                "all": all,
                "bundle_version": bundle_version,
                "soak_seconds": soak_seconds,
                "all_or_none": all_or_none,
            },
        )

    def self(self) -> Answer:
        """Show the device that asks."""
        return self._answer("GET", "/api/v1/devices/self")

    def stats(self) -> Answer:
        """The fleet in numbers."""
        return self._answer("GET", "/api/v1/devices/stats")

    def token(self, *, grant_type: str, assertion: str) -> Answer:
        """Trade a signed assertion for a short token."""
        return self._answer(
            "POST",
            "/api/v1/devices/token",
            body={"grant_type": grant_type, "assertion": assertion},
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a device."""
        return self._answer(
            "GET",
            f"/api/v1/devices/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        device_type: str | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        region: str | Unset | None = UNSET,
        groups: Sequence[str] | Unset = UNSET,
        notes: str | Unset = UNSET,
    ) -> Answer:
        """Change a device."""
        return self._answer(
            "PATCH",
            f"/api/v1/devices/{_part(id)}",
            body={
                "name": name,
                "device_type": device_type,
                "tags": tags,
                "region": region,
                "groups": groups,
                "notes": notes,
            },
            headers={"If-Match": if_match},
        )

    def accept(self, id: str, *, fingerprint: str | Unset = UNSET) -> Answer:
        """Accept a device that waits or was rejected."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/accept",
            body={"fingerprint": fingerprint},
        )

    def accept_key(self, id: str, *, fingerprint: str | Unset = UNSET) -> Answer:
        """Take the key that is proposed for a device, in the place of all it had."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/accept-key",
            body={"fingerprint": fingerprint},
        )

    def bundle_history(self, id: str, *, limit: int | None = None) -> Rows:
        """What was installed on a device, newest first."""
        return self._rows(
            "GET",
            f"/api/v1/devices/{_part(id)}/bundle-history",
            query={"limit": limit},
        )

    def commands(
        self,
        command: str,
        id: str,
        *,
        status: str,
        error_message: str | Unset = UNSET,
        output: str | Unset = UNSET,
    ) -> Answer:
        """Say how a manual command went (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/commands/{_part(command)}",
            body={"status": status, "error_message": error_message, "output": output},
        )

    def config(self, id: str) -> Answer:
        """Show the configuration of a device."""
        return self._answer("GET", f"/api/v1/devices/{_part(id)}/config")

    def set_config(
        self,
        id: str,
        *,
        polling_interval: int | Unset = UNSET,
        heartbeat_timeout: int | Unset = UNSET,
        deploy_timeout: int | Unset = UNSET,
        log_level: str | Unset = UNSET,
        settings: Any | Unset = UNSET,
        expected_version: int | Unset = UNSET,
        note: str | Unset = UNSET,
    ) -> Answer:
        """Set the configuration of a device."""
        return self._answer(
            "PUT",
            f"/api/v1/devices/{_part(id)}/config",
            body={
                "polling_interval": polling_interval,
                "heartbeat_timeout": heartbeat_timeout,
                "deploy_timeout": deploy_timeout,
                "log_level": log_level,
                "settings": settings,
                "expected_version": expected_version,
                "note": note,
            },
        )

    def config_applied(self, id: str, *, config_version: int, problem: str | Unset = UNSET) -> Answer:
        """Say which configuration is applied (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/config/applied",
            body={"config_version": config_version, "problem": problem},
        )

    def config_history(self, id: str) -> Rows:
        """Earlier configurations of a device, newest first."""
        return self._rows("GET", f"/api/v1/devices/{_part(id)}/config/history")

    def rollback_config(self, id: str, *, version: int, expected_version: int | Unset = UNSET) -> Answer:
        """Go back to an earlier configuration of a device."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/config/rollback",
            body={"version": version, "expected_version": expected_version},
        )

    def decommission(self, id: str, *, reason: str | Unset = UNSET) -> Answer:
        """End a device for good."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/decommission",
            body={"reason": reason},
        )

    def heartbeat(
        self,
        id: str,
        *,
        agent_version: str | Unset = UNSET,
        status: str | Unset = UNSET,
        memory_mb: float | Unset = UNSET,
        cpu_pct: float | Unset = UNSET,
        disk_pct: float | Unset = UNSET,
        load: float | Unset = UNSET,
        bundle_version: str | Unset = UNSET,
        config_version: int | Unset = UNSET,
    ) -> Answer:
        """Send a heartbeat (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/heartbeat",
            body={
                "agent_version": agent_version,
                "status": status,
                "memory_mb": memory_mb,
                "cpu_pct": cpu_pct,
                "disk_pct": disk_pct,
                "load": load,
                "bundle_version": bundle_version,
                "config_version": config_version,
            },
        )

    def key(self, id: str, *, public_key: str, proof: str) -> Answer:
        """Rotate the key (signed with the old one, proven with the new one)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/key",
            body={"public_key": public_key, "proof": proof},
        )

    def logs(
        self,
        id: str,
        *,
        device: str | None = None,
        level: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        source: Sequence[str] | None = None,
        until: str | None = None,
    ) -> Listing:
        """List the log lines of a device."""
        return Listing(
            self._client,
            f"/api/v1/devices/{_part(id)}/logs",
            {
                "device": device,
                "level": level,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "source": source,
                "until": until,
            },
        )

    def logs_batch(self, id: str, *, lines: Sequence[Mapping[str, Any]], sequence: int | Unset = UNSET) -> Answer:
        """Send log lines (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/logs/batch",
            body={"lines": lines, "sequence": sequence},
        )

    def refuse_key(self, id: str, *, fingerprint: str | Unset = UNSET) -> Answer:
        """Refuse the key that is proposed for a device."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/refuse-key",
            body={"fingerprint": fingerprint},
        )

    def reject(self, id: str, *, reason: str | Unset = UNSET) -> Answer:
        """Reject a device that waits."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/reject",
            body={"reason": reason},
        )

    def resume(self, id: str) -> Answer:
        """Lift a suspension."""
        return self._answer("POST", f"/api/v1/devices/{_part(id)}/resume")

    def sealing_key(self, id: str, *, public_key: str) -> Answer:
        """Register the key that opens bundles (signed by the device)."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/sealing-key",
            body={"public_key": public_key},
        )

    def suspend(self, id: str, *, reason: str | Unset = UNSET) -> Answer:
        """Refuse a device's requests for a while."""
        return self._answer(
            "POST",
            f"/api/v1/devices/{_part(id)}/suspend",
            body={"reason": reason},
        )

    def why_not(self, id: str, *, bundle: str) -> Rows:
        """Why a device does not run a bundle."""
        return self._rows(
            "GET",
            f"/api/v1/devices/{_part(id)}/why-not",
            query={"bundle": bundle},
        )


class EnrolmentTokens(Group):
    """Enrolment tokens."""

    def list(
        self,
        *,
        fields: str | None = None,
        group: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
    ) -> Listing:
        """List enrolment tokens."""
        return Listing(
            self._client,
            "/api/v1/enrolment-tokens",
            {
                "fields": fields,
                "group": group,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region": region,
            },
        )

    def create(
        self,
        *,
        name: str,
        expires_at: str,
        region: str | Unset | None = UNSET,
        group: str | Unset | None = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        most_uses: int | Unset = UNSET,
    ) -> Answer:
        """Make an enrolment token."""
        return self._answer(
            "POST",
            "/api/v1/enrolment-tokens",
            body={
                "name": name,
                "expires_at": expires_at,
                "region": region,
                "group": group,
                "tags": tags,
                "most_uses": most_uses,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an enrolment token."""
        return self._answer(
            "GET",
            f"/api/v1/enrolment-tokens/{_part(id)}",
            query={"fields": fields},
        )

    def revoke(self, id: str) -> Answer:
        """Let nobody enrol with a token any more."""
        return self._answer("POST", f"/api/v1/enrolment-tokens/{_part(id)}/revoke")


class Errors(Group):
    """Errors."""

    def list(
        self,
        *,
        error_type: Sequence[str] | None = None,
        fields: str | None = None,
        is_resolved: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        source: Sequence[str] | None = None,
    ) -> Listing:
        """List errors."""
        return Listing(
            self._client,
            "/api/v1/errors",
            {
                "error_type": error_type,
                "fields": fields,
                "is_resolved": is_resolved,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "source": source,
            },
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show an error."""
        return self._answer(
            "GET",
            f"/api/v1/errors/{_part(id)}",
            query={"fields": fields},
        )

    def resolve(self, id: int) -> Answer:
        """Say that an error is dealt with."""
        return self._answer("POST", f"/api/v1/errors/{_part(id)}/resolve")


class EventChallenges(Group):
    """Event challenges."""

    def list(
        self,
        *,
        event: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List challenges of events."""
        return Listing(
            self._client,
            "/api/v1/event-challenges",
            {"event": event, "fields": fields, "limit": limit, "offset": offset, "ordering": ordering, "q": q},
        )

    def create(
        self,
        *,
        event: str,
        challenge: str,
        visibility: str | Unset = UNSET,
        position: int | Unset = UNSET,
        points_override: int | Unset | None = UNSET,
        max_attempts: int | Unset | None = UNSET,
        release_at: str | Unset | None = UNSET,
        requires: Sequence[int] | Unset = UNSET,
        allowed_teams: Sequence[int] | Unset = UNSET,
    ) -> Answer:
        """Offer a challenge in an event."""
        return self._answer(
            "POST",
            "/api/v1/event-challenges",
            body={
                "event": event,
                "challenge": challenge,
                "visibility": visibility,
                "position": position,
                "points_override": points_override,
                "max_attempts": max_attempts,
                "release_at": release_at,
                "requires": requires,
                "allowed_teams": allowed_teams,
            },
            is_keyed=True,
        )

    def get(self, id: str) -> Answer:
        """Show a challenge as one's team plays it."""
        return self._answer("GET", f"/api/v1/event-challenges/{_part(id)}")

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        visibility: str | Unset = UNSET,
        position: int | Unset = UNSET,
        points_override: int | Unset | None = UNSET,
        max_attempts: int | Unset | None = UNSET,
        release_at: str | Unset | None = UNSET,
        requires: Sequence[int] | Unset = UNSET,
        allowed_teams: Sequence[int] | Unset = UNSET,
    ) -> Answer:
        """Change a challenge of an event."""
        return self._answer(
            "PATCH",
            f"/api/v1/event-challenges/{_part(id)}",
            body={
                "visibility": visibility,
                "position": position,
                "points_override": points_override,
                "max_attempts": max_attempts,
                "release_at": release_at,
                "requires": requires,
                "allowed_teams": allowed_teams,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Remove a challenge of an event."""
        self._nothing(
            "DELETE",
            f"/api/v1/event-challenges/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def file(self, file: str, id: str) -> bytes:
        """Fetch a file of it."""
        return self._content("GET", f"/api/v1/event-challenges/{_part(id)}/files/{_part(file)}")

    def hint(self, id: str, *, hint: int) -> Answer:
        """Take a hint for its cost."""
        return self._answer(
            "POST",
            f"/api/v1/event-challenges/{_part(id)}/hint",
            body={"hint": hint},
        )

    def submit(self, id: str, *, answer: str) -> Answer:
        """Answer it."""
        return self._answer(
            "POST",
            f"/api/v1/event-challenges/{_part(id)}/submit",
            body={"answer": answer},
        )


class Events(Group):
    """Events."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
        state: Sequence[str] | None = None,
    ) -> Listing:
        """List events."""
        return Listing(
            self._client,
            "/api/v1/events",
            {
                "fields": fields,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region": region,
                "state": state,
            },
        )

    def create(
        self,
        *,
        name: str,
        description: str,
        starts_at: str,
        ends_at: str,
        kind: str | Unset = UNSET,
        participation: str | Unset = UNSET,
        region: str | Unset | None = UNSET,
        is_public: bool | Unset = UNSET,
        freeze_at: str | Unset | None = UNSET,
        max_participants: int | Unset | None = UNSET,
        max_team_size: int | Unset | None = UNSET,
        submissions_per_minute: int | Unset = UNSET,
        node: str | Unset | None = UNSET,
        address_policy: str | Unset = UNSET,
        max_instances_per_team: int | Unset = UNSET,
        max_instances: int | Unset | None = UNSET,
        instance_minutes: int | Unset = UNSET,
        extend_minutes: int | Unset = UNSET,
        extend_window_minutes: int | Unset = UNSET,
        max_extensions: int | Unset | None = UNSET,
        warn_minutes: int | Unset = UNSET,
        stops_on_solve: bool | Unset = UNSET,
    ) -> Answer:
        """Make an event."""
        return self._answer(
            "POST",
            "/api/v1/events",
            body={
                "name": name,
                "description": description,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "kind": kind,
                "participation": participation,
                "region": region,
                "is_public": is_public,
                "freeze_at": freeze_at,
                "max_participants": max_participants,
                "max_team_size": max_team_size,
                "submissions_per_minute": submissions_per_minute,
                "node": node,
                "address_policy": address_policy,
                "max_instances_per_team": max_instances_per_team,
                "max_instances": max_instances,
                "instance_minutes": instance_minutes,
                "extend_minutes": extend_minutes,
                "extend_window_minutes": extend_window_minutes,
                "max_extensions": max_extensions,
                "warn_minutes": warn_minutes,
                "stops_on_solve": stops_on_solve,
            },
            is_keyed=True,
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show an event."""
        return self._answer(
            "GET",
            f"/api/v1/events/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        kind: str | Unset = UNSET,
        participation: str | Unset = UNSET,
        region: str | Unset | None = UNSET,
        is_public: bool | Unset = UNSET,
        starts_at: str | Unset = UNSET,
        ends_at: str | Unset = UNSET,
        freeze_at: str | Unset | None = UNSET,
        max_participants: int | Unset | None = UNSET,
        max_team_size: int | Unset | None = UNSET,
        submissions_per_minute: int | Unset = UNSET,
        node: str | Unset | None = UNSET,
        address_policy: str | Unset = UNSET,
        max_instances_per_team: int | Unset = UNSET,
        max_instances: int | Unset | None = UNSET,
        instance_minutes: int | Unset = UNSET,
        extend_minutes: int | Unset = UNSET,
        extend_window_minutes: int | Unset = UNSET,
        max_extensions: int | Unset | None = UNSET,
        warn_minutes: int | Unset = UNSET,
        stops_on_solve: bool | Unset = UNSET,
    ) -> Answer:
        """Change an event."""
        return self._answer(
            "PATCH",
            f"/api/v1/events/{_part(slug)}",
            body={
                "name": name,
                "description": description,
                "kind": kind,
                "participation": participation,
                "region": region,
                "is_public": is_public,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "freeze_at": freeze_at,
                "max_participants": max_participants,
                "max_team_size": max_team_size,
                "submissions_per_minute": submissions_per_minute,
                "node": node,
                "address_policy": address_policy,
                "max_instances_per_team": max_instances_per_team,
                "max_instances": max_instances,
                "instance_minutes": instance_minutes,
                "extend_minutes": extend_minutes,
                "extend_window_minutes": extend_window_minutes,
                "max_extensions": max_extensions,
                "warn_minutes": warn_minutes,
                "stops_on_solve": stops_on_solve,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove an event."""
        self._nothing(
            "DELETE",
            f"/api/v1/events/{_part(slug)}",
            headers={"If-Match": if_match},
        )

    def administrator(self, slug: str, *, username: str | None) -> Answer:
        """Let a participant look after its teams."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/administrator",
            body={"username": username},
        )

    def approve(self, slug: str) -> Answer:
        """Approve a draft."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/approve")

    def award(self, slug: str, *, team: int, reason: str, points: int) -> Answer:
        """Give a team points, or take some."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/award",
            body={"team": team, "reason": reason, "points": points},
        )

    def ban_team(self, slug: str, *, team: int, reason: str) -> Answer:
        """Take a team out of it."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/ban-team",
            body={"team": team, "reason": reason},
        )

    def board(self, slug: str) -> Rows:
        """The challenges, as one's team sees them."""
        return self._rows("GET", f"/api/v1/events/{_part(slug)}/board")

    def cancel(self, slug: str, *, reason: str) -> Answer:
        """Call it off before it has begun."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/cancel",
            body={"reason": reason},
        )

    def end(self, slug: str) -> Answer:
        """End it now."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/end")

    def enter(self, slug: str) -> Answer:
        """Enter it with one's team."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/enter")

    def history(self, slug: str) -> Rows:
        """The first ten over time."""
        return self._rows("GET", f"/api/v1/events/{_part(slug)}/history")

    def organisers(self, slug: str) -> Answer:
        """Who runs it."""
        return self._answer("GET", f"/api/v1/events/{_part(slug)}/organisers")

    def set_organisers(self, slug: str, *, usernames: Sequence[str]) -> Answer:
        """Say who runs it."""
        return self._answer(
            "PUT",
            f"/api/v1/events/{_part(slug)}/organisers",
            body={"usernames": usernames},
        )

    def pause(self, slug: str) -> Answer:
        """Hold the play."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/pause")

    def reject(self, slug: str, *, reason: str) -> Answer:
        """Send a draft back."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/reject",
            body={"reason": reason},
        )

    def reset_password(self, slug: str, *, username: str, password: str) -> None:
        """Give a player a new password."""
        self._nothing(
            "POST",
            f"/api/v1/events/{_part(slug)}/reset-password",
            body={"username": username, "password": password},
        )

    def resume(self, slug: str) -> Answer:
        """Go on."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/resume")

    def score(self, slug: str) -> Answer:
        """The own score, line by line."""
        return self._answer("GET", f"/api/v1/events/{_part(slug)}/score")

    def scoreboard(self, slug: str) -> Answer:
        """Who stands where."""
        return self._answer("GET", f"/api/v1/events/{_part(slug)}/scoreboard")

    def start(self, slug: str) -> Answer:
        """Begin before its time."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/start")

    def submit(self, slug: str) -> Answer:
        """Ask for approval."""
        return self._answer("POST", f"/api/v1/events/{_part(slug)}/submit")

    def teams(self, slug: str) -> Rows:
        """The teams of an event."""
        return self._rows("GET", f"/api/v1/events/{_part(slug)}/teams")

    def unban_team(self, slug: str, *, team: int) -> Answer:
        """Let a team play on."""
        return self._answer(
            "POST",
            f"/api/v1/events/{_part(slug)}/unban-team",
            body={"team": team},
        )

    def withdraw(self, slug: str) -> None:
        """Leave it before it begins."""
        self._nothing("POST", f"/api/v1/events/{_part(slug)}/withdraw")


class FailedJobs(Group):
    """Failed jobs."""

    def list(self) -> Rows:
        """List the latest failed jobs, newest first."""
        return self._rows("GET", "/api/v1/failed-jobs")

    def delete(self, id: str) -> None:
        """Forget a failed job."""
        self._nothing("DELETE", f"/api/v1/failed-jobs/{_part(id)}")

    def retry(self, id: str) -> None:
        """Send a failed job again."""
        self._nothing("POST", f"/api/v1/failed-jobs/{_part(id)}/retry")


class Instances(Group):
    """Instances."""

    def list(
        self,
        *,
        challenge: Sequence[str] | None = None,
        event: Sequence[str] | None = None,
        fields: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
    ) -> Listing:
        """List instances."""
        return Listing(
            self._client,
            "/api/v1/instances",
            {
                "challenge": challenge,
                "event": event,
                "fields": fields,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
            },
        )

    def create(self, *, event: str, challenge: str, team: int | Unset = UNSET, force: bool | Unset = UNSET) -> Answer:
        """Launch an instance, or be told of the one there is."""
        return self._answer(
            "POST",
            "/api/v1/instances",
            body={"event": event, "challenge": challenge, "team": team, "force": force},
        )

    def bulk(self, *, verb: str, ids: Sequence[str], minutes: int | Unset = UNSET) -> Rows:
        """One verb for many instances, with a result for each."""
        return self._rows(
            "POST",
            "/api/v1/instances/bulk",
            body={"verb": verb, "ids": ids, "minutes": minutes},
        )

    def deploy(self, *, event: str, challenge: str, force: bool | Unset = UNSET) -> Answer:
        """Launch a challenge for every team of an event."""
        return self._answer(
            "POST",
            "/api/v1/instances/deploy",
            body={"event": event, "challenge": challenge, "force": force},
        )

    def deploy_run(self, run: str) -> Answer:
        """How far the launch for every team is."""
        return self._answer("GET", f"/api/v1/instances/deploys/{_part(run)}")

    def kill_all(self, *, phrase: str, event: str | Unset = UNSET) -> Rows:
        """End all instances of an event, or of all events, at once."""
        return self._rows(
            "POST",
            "/api/v1/instances/kill-all",
            body={"phrase": phrase, "event": event},
        )

    def ledger(self) -> Rows:
        """Which addresses are free, leased and resting, who has them and who waits."""
        return self._rows("GET", "/api/v1/instances/ledger")

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an instance."""
        return self._answer(
            "GET",
            f"/api/v1/instances/{_part(id)}",
            query={"fields": fields},
        )

    def extend(self, id: str, *, minutes: int | Unset = UNSET) -> Answer:
        """Give it more time."""
        return self._answer(
            "POST",
            f"/api/v1/instances/{_part(id)}/extend",
            body={"minutes": minutes},
        )

    def log(self, id: str) -> Answer:
        """Read its newest output, flags masked."""
        return self._answer("GET", f"/api/v1/instances/{_part(id)}/log")

    def reset(self, id: str, *, kind: str | Unset = UNSET) -> Answer:
        """Begin it anew with the same flag, address and time left."""
        return self._answer(
            "POST",
            f"/api/v1/instances/{_part(id)}/reset",
            body={"kind": kind},
        )

    def stop(self, id: str, *, remove: bool | Unset = UNSET) -> Answer:
        """End it, with or without giving up its address."""
        return self._answer(
            "POST",
            f"/api/v1/instances/{_part(id)}/stop",
            body={"remove": remove},
        )


class Invites(Group):
    """Invites."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        role: Sequence[str] | None = None,
        state: Sequence[str] | None = None,
    ) -> Listing:
        """List invitations."""
        return Listing(
            self._client,
            "/api/v1/invites",
            {
                "fields": fields,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "role": role,
                "state": state,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an invitation, without its link."""
        return self._answer(
            "GET",
            f"/api/v1/invites/{_part(id)}",
            query={"fields": fields},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Take back an invitation that nobody used."""
        self._nothing(
            "DELETE",
            f"/api/v1/invites/{_part(id)}",
            headers={"If-Match": if_match},
        )


class Logs(Group):
    """Logs."""

    def list(
        self,
        *,
        device: str | None = None,
        fields: str | None = None,
        level: Sequence[str] | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        source: Sequence[str] | None = None,
        until: str | None = None,
    ) -> Listing:
        """List device log lines."""
        return Listing(
            self._client,
            "/api/v1/logs",
            {
                "device": device,
                "fields": fields,
                "level": level,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "source": source,
                "until": until,
            },
        )

    def batch(self, *, lines: Sequence[Mapping[str, Any]], sequence: int | Unset = UNSET) -> Answer:
        """Send log lines (signed by the device)."""
        return self._answer(
            "POST",
            "/api/v1/logs/batch",
            body={"lines": lines, "sequence": sequence},
        )

    def merged(self, *, device: str | None = None, limit: int | None = None) -> Rows:
        """Show what happened to devices: log lines, deployments, health and silence."""
        return self._rows(
            "GET",
            "/api/v1/logs/merged",
            query={"device": device, "limit": limit},
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show a device log line."""
        return self._answer(
            "GET",
            f"/api/v1/logs/{_part(id)}",
            query={"fields": fields},
        )


class Metrics(Group):
    """Metrics."""

    def query(
        self,
        *,
        metric: Sequence[str],
        subject: Sequence[str],
        from_: str | None = None,
        points: int | None = None,
        step: int | None = None,
        to: str | None = None,
    ) -> Answer:
        """Measurements in buckets with least, mean and greatest."""
        return self._answer(
            "GET",
            "/api/v1/metrics/query",
            query={"metric": metric, "subject": subject, "from": from_, "points": points, "step": step, "to": to},
        )

    def sample(self, *, node: str) -> Answer:
        """Have a node's agent measure now."""
        return self._answer(
            "POST",
            "/api/v1/metrics/sample",
            body={"node": node},
        )

    def samples(self, *, subject: str, samples: Sequence[Mapping[str, Any]]) -> Answer:
        """Store what was measured elsewhere."""
        return self._answer(
            "POST",
            "/api/v1/metrics/samples",
            body={"subject": subject, "samples": samples},
        )

    def series(self, *, subject: Sequence[str]) -> Rows:
        """Metrics that are measured of subjects."""
        return self._rows(
            "GET",
            "/api/v1/metrics/series",
            query={"subject": subject},
        )


class NodeTasks(Group):
    """Node tasks."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        status: Sequence[str] | None = None,
        verb: Sequence[str] | None = None,
    ) -> Listing:
        """List tasks of nodes."""
        return Listing(
            self._client,
            "/api/v1/node-tasks",
            {
                "fields": fields,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "status": status,
                "verb": verb,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a task of a node."""
        return self._answer(
            "GET",
            f"/api/v1/node-tasks/{_part(id)}",
            query={"fields": fields},
        )


class Nodes(Group):
    """Nodes."""

    def list(
        self,
        *,
        engine: Sequence[str] | None = None,
        fields: str | None = None,
        is_draining: bool | None = None,
        is_enabled: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
    ) -> Listing:
        """List nodes."""
        return Listing(
            self._client,
            "/api/v1/nodes",
            {
                "engine": engine,
                "fields": fields,
                "is_draining": is_draining,
                "is_enabled": is_enabled,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region": region,
            },
        )

    def create(
        self,
        *,
        name: str,
        region: str,
        engine: str,
        options: Any | Unset = UNSET,
        kubeconfig: str | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
        is_draining: bool | Unset = UNSET,
        memory_mb: int | Unset = UNSET,
        cpu_percent: int | Unset = UNSET,
        disk_mb: int | Unset = UNSET,
        overcommit: Any | Unset = UNSET,
    ) -> Answer:
        """Make a node."""
        return self._answer(
            "POST",
            "/api/v1/nodes",
            body={
                "name": name,
                "region": region,
                "engine": engine,
                "options": options,
                "kubeconfig": kubeconfig,
                "is_enabled": is_enabled,
                "is_draining": is_draining,
                "memory_mb": memory_mb,
                "cpu_percent": cpu_percent,
                "disk_mb": disk_mb,
                "overcommit": overcommit,
            },
        )

    def get(self, name: str, *, fields: str | None = None) -> Answer:
        """Show a node."""
        return self._answer(
            "GET",
            f"/api/v1/nodes/{_part(name)}",
            query={"fields": fields},
        )

    def update(
        self,
        name: str,
        *,
        if_match: str | None = None,
        region: str | Unset = UNSET,
        engine: str | Unset = UNSET,
        options: Any | Unset = UNSET,
        kubeconfig: str | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
        is_draining: bool | Unset = UNSET,
        memory_mb: int | Unset = UNSET,
        cpu_percent: int | Unset = UNSET,
        disk_mb: int | Unset = UNSET,
        overcommit: Any | Unset = UNSET,
    ) -> Answer:
        """Change a node."""
        return self._answer(
            "PATCH",
            f"/api/v1/nodes/{_part(name)}",
            body={
                "region": region,
                "engine": engine,
                "options": options,
                "kubeconfig": kubeconfig,
                "is_enabled": is_enabled,
                "is_draining": is_draining,
                "memory_mb": memory_mb,
                "cpu_percent": cpu_percent,
                "disk_mb": disk_mb,
                "overcommit": overcommit,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, name: str, *, if_match: str | None = None) -> None:
        """Remove a node."""
        self._nothing(
            "DELETE",
            f"/api/v1/nodes/{_part(name)}",
            headers={"If-Match": if_match},
        )

    def data(self, name: str) -> Answer:
        """Show data that removed workloads have left."""
        return self._answer("GET", f"/api/v1/nodes/{_part(name)}/data")

    def list_data(self, name: str) -> Answer:
        """Have the agent look for data left behind."""
        return self._answer("POST", f"/api/v1/nodes/{_part(name)}/data/list")

    def remove_data(
        self,
        name: str,
        *,
        names: Sequence[str],
        confirm: str | Unset = UNSET,
        preview: bool | Unset = UNSET,
    ) -> Answer:
        """Delete data left behind, or see what would be lost."""
        return self._answer(
            "POST",
            f"/api/v1/nodes/{_part(name)}/data/remove",
            body={"names": names, "confirm": confirm, "preview": preview},
        )

    def drift(self, name: str) -> Answer:
        """Show the drift report."""
        return self._answer("GET", f"/api/v1/nodes/{_part(name)}/drift")

    def look(self, name: str) -> Answer:
        """Have the agent look again."""
        return self._answer("POST", f"/api/v1/nodes/{_part(name)}/drift/look")

    def mend(self, name: str, verb: str, *, key: str) -> Answer:
        """Adopt, repair or remove what the report shows."""
        return self._answer(
            "POST",
            f"/api/v1/nodes/{_part(name)}/drift/{_part(verb)}",
            body={"key": key},
        )

    def examination(self, name: str) -> Answer:
        """Show what an examination of the cluster has shown."""
        return self._answer("GET", f"/api/v1/nodes/{_part(name)}/examination")

    def examine(self, name: str) -> Answer:
        """Have the cluster examined now."""
        return self._answer("POST", f"/api/v1/nodes/{_part(name)}/examination")

    def images(self, name: str) -> Answer:
        """Show the images on a node."""
        return self._answer("GET", f"/api/v1/nodes/{_part(name)}/images")

    def list_images(self, name: str) -> Answer:
        """Have the agent list the images again."""
        return self._answer("POST", f"/api/v1/nodes/{_part(name)}/images/list")

    def pull_image(self, name: str, *, image: str) -> Answer:
        """Fetch an image ahead."""
        return self._answer(
            "POST",
            f"/api/v1/nodes/{_part(name)}/images/pull",
            body={"image": image},
        )

    def remove_images(self, name: str, *, ids: Sequence[str] | Unset = UNSET, preview: bool | Unset = UNSET) -> Answer:
        """Remove images that nobody needs, or see which."""
        return self._answer(
            "POST",
            f"/api/v1/nodes/{_part(name)}/images/remove",
            body={"ids": ids, "preview": preview},
        )

    def kubeconfig(self, name: str) -> Answer:
        """Say whether a cluster has a kubeconfig."""
        return self._answer("GET", f"/api/v1/nodes/{_part(name)}/kubeconfig")

    def set_kubeconfig(self, name: str, *, kubeconfig: str) -> None:
        """Store a cluster's kubeconfig."""
        self._nothing(
            "PUT",
            f"/api/v1/nodes/{_part(name)}/kubeconfig",
            body={"kubeconfig": kubeconfig},
        )

    def forget_kubeconfig(self, name: str) -> None:
        """Forget a cluster's kubeconfig."""
        self._nothing("DELETE", f"/api/v1/nodes/{_part(name)}/kubeconfig")

    def registries(self, name: str, *, ordering: str | None = None) -> Rows:
        """List the registries with credentials."""
        return self._rows(
            "GET",
            f"/api/v1/nodes/{_part(name)}/registries",
            query={"ordering": ordering},
        )

    def set_registry(self, name: str, *, registry: str, username: str, password: str) -> None:
        """Store credentials of a registry."""
        self._nothing(
            "PUT",
            f"/api/v1/nodes/{_part(name)}/registries",
            body={"registry": registry, "username": username, "password": password},
        )

    def forget_registry(self, name: str, *, registry: str) -> None:
        """Forget the credentials of a registry."""
        self._nothing(
            "DELETE",
            f"/api/v1/nodes/{_part(name)}/registries",
            query={"registry": registry},
        )


class Operations(Group):
    """Operations."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        status: Sequence[str] | None = None,
        until: str | None = None,
        verb: Sequence[str] | None = None,
        workload_id: str | None = None,
        workload_kind: str | None = None,
    ) -> Listing:
        """List operations."""
        return Listing(
            self._client,
            "/api/v1/operations",
            {
                "fields": fields,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "status": status,
                "until": until,
                "verb": verb,
                "workload_id": workload_id,
                "workload_kind": workload_kind,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show an operation."""
        return self._answer(
            "GET",
            f"/api/v1/operations/{_part(id)}",
            query={"fields": fields},
        )


class PublisherKeys(Group):
    """Publisher keys."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_enabled: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List publisher's keys."""
        return Listing(
            self._client,
            "/api/v1/publisher-keys",
            {
                "fields": fields,
                "is_enabled": is_enabled,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
            },
        )

    def create(self, *, name: str, public_key: str) -> Answer:
        """Trust a publisher's key."""
        return self._answer(
            "POST",
            "/api/v1/publisher-keys",
            body={"name": name, "public_key": public_key},
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show a publisher's key."""
        return self._answer(
            "GET",
            f"/api/v1/publisher-keys/{_part(id)}",
            query={"fields": fields},
        )

    def disable(self, id: int) -> Answer:
        """Trust a key no longer."""
        return self._answer("POST", f"/api/v1/publisher-keys/{_part(id)}/disable")

    def enable(self, id: int) -> Answer:
        """Trust a key again."""
        return self._answer("POST", f"/api/v1/publisher-keys/{_part(id)}/enable")


class Queues(Group):
    """Queues."""

    def list(self) -> Rows:
        """List the job queues."""
        return self._rows("GET", "/api/v1/queues")


class Regions(Group):
    """Regions."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_enabled: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List regions."""
        return Listing(
            self._client,
            "/api/v1/regions",
            {
                "fields": fields,
                "is_enabled": is_enabled,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
            },
        )

    def create(
        self,
        *,
        slug: str,
        name: str,
        position: int | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Make a region."""
        return self._answer(
            "POST",
            "/api/v1/regions",
            body={"slug": slug, "name": name, "position": position, "is_enabled": is_enabled},
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show a region."""
        return self._answer(
            "GET",
            f"/api/v1/regions/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        position: int | Unset = UNSET,
        is_enabled: bool | Unset = UNSET,
    ) -> Answer:
        """Change a region."""
        return self._answer(
            "PATCH",
            f"/api/v1/regions/{_part(slug)}",
            body={"name": name, "position": position, "is_enabled": is_enabled},
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove a region."""
        self._nothing(
            "DELETE",
            f"/api/v1/regions/{_part(slug)}",
            headers={"If-Match": if_match},
        )


class Requests(Group):
    """Requests."""

    def list(
        self,
        *,
        answer: Sequence[str] | None = None,
        fields: str | None = None,
        from_: str | None = None,
        ip: str | None = None,
        limit: int | None = None,
        method: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        request_id: str | None = None,
        to: str | None = None,
        user: str | None = None,
        via: Sequence[str] | None = None,
    ) -> Listing:
        """Read the log of requests."""
        return Listing(
            self._client,
            "/api/v1/requests",
            {
                "answer": answer,
                "fields": fields,
                "from": from_,
                "ip": ip,
                "limit": limit,
                "method": method,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "request_id": request_id,
                "to": to,
                "user": user,
                "via": via,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a request of the log."""
        return self._answer(
            "GET",
            f"/api/v1/requests/{_part(id)}",
            query={"fields": fields},
        )


class Retention(Group):
    """Retention."""

    def retention(self) -> Rows:
        """Say what is kept for how long, what would go now and what went last."""
        return self._rows("GET", "/api/v1/retention")


class Servers(Group):
    """Servers."""

    def list(
        self,
        *,
        admin_state: str | None = None,
        desired: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        owner: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
        status: Sequence[str] | None = None,
        template: Sequence[str] | None = None,
    ) -> Listing:
        """List servers."""
        return Listing(
            self._client,
            "/api/v1/servers",
            {
                "admin_state": admin_state,
                "desired": desired,
                "fields": fields,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "owner": owner,
                "q": q,
                "region": region,
                "status": status,
                "template": template,
            },
        )

    def create(
        self,
        *,
        template: str,
        name: str,
        memory_mb: int | Unset = UNSET,
        disk_mb: int | Unset = UNSET,
        cpu_percent: int | Unset = UNSET,
        region: str | Unset = UNSET,
        values: Mapping[str, Any] | Unset = UNSET,
        published_ports: Sequence[str] | Unset = UNSET,
        owner: str | Unset = UNSET,
        description: str | Unset = UNSET,
    ) -> Answer:
        """Create a server."""
        return self._answer(
            "POST",
            "/api/v1/servers",
            body={
                "template": template,
                "name": name,
                "memory_mb": memory_mb,
                "disk_mb": disk_mb,
                "cpu_percent": cpu_percent,
                "region": region,
                "values": values,
                "published_ports": published_ports,
                "owner": owner,
                "description": description,
            },
            is_keyed=True,
        )

    def bulk(self, *, verb: str, ids: Sequence[str]) -> Rows:
        """One verb for many servers, with a result for each."""
        return self._rows(
            "POST",
            "/api/v1/servers/bulk",
            body={"verb": verb, "ids": ids},
        )

    def preview(
        self,
        *,
        template: str,
        memory_mb: int | Unset = UNSET,
        disk_mb: int | Unset = UNSET,
        cpu_percent: int | Unset = UNSET,
        region: str | Unset = UNSET,
        values: Mapping[str, Any] | Unset = UNSET,
        published_ports: Sequence[str] | Unset = UNSET,
        owner: str | Unset = UNSET,
    ) -> Answer:
        """See where a server would be."""
        return self._answer(
            "POST",
            "/api/v1/servers/preview",
            body={
                "template": template,
                "memory_mb": memory_mb,
                "disk_mb": disk_mb,
                "cpu_percent": cpu_percent,
                "region": region,
                "values": values,
                "published_ports": published_ports,
                "owner": owner,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a server."""
        return self._answer(
            "GET",
            f"/api/v1/servers/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        memory_mb: int | Unset = UNSET,
        disk_mb: int | Unset = UNSET,
        cpu_percent: int | Unset = UNSET,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        values: Mapping[str, Any] | Unset = UNSET,
    ) -> Answer:
        """Change name, settings or limits."""
        return self._answer(
            "PATCH",
            f"/api/v1/servers/{_part(id)}",
            body={
                "memory_mb": memory_mb,
                "disk_mb": disk_mb,
                "cpu_percent": cpu_percent,
                "name": name,
                "description": description,
                "values": values,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> Answer:
        """Delete a server and its data."""
        return self._answer(
            "DELETE",
            f"/api/v1/servers/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def command(self, id: str, *, text: str) -> Answer:
        """Send a command to the console and wait for the answer."""
        return self._answer(
            "POST",
            f"/api/v1/servers/{_part(id)}/command",
            body={"text": text},
        )

    def kill(self, id: str) -> Answer:
        """End a server at once; what it has not saved is lost."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/kill")

    def log(self, id: str) -> Answer:
        """Read the newest output."""
        return self._answer("GET", f"/api/v1/servers/{_part(id)}/log")

    def move_port(self, id: str, *, port_name: str, reason: str | Unset = UNSET) -> Answer:
        """Give up an address and take another."""
        return self._answer(
            "POST",
            f"/api/v1/servers/{_part(id)}/move-port",
            body={"port_name": port_name, "reason": reason},
        )

    def operations(
        self,
        id: str,
        *,
        fields: str | None = None,
        limit: int | None = None,
        node: Sequence[str] | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        since: str | None = None,
        status: Sequence[str] | None = None,
        until: str | None = None,
        verb: Sequence[str] | None = None,
        workload_id: str | None = None,
        workload_kind: str | None = None,
    ) -> Listing:
        """What was asked of a server, newest first."""
        return Listing(
            self._client,
            f"/api/v1/servers/{_part(id)}/operations",
            {
                "fields": fields,
                "limit": limit,
                "node": node,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "since": since,
                "status": status,
                "until": until,
                "verb": verb,
                "workload_id": workload_id,
                "workload_kind": workload_kind,
            },
        )

    def publish_port(self, id: str, *, port_name: str) -> Answer:
        """Open a private port to everybody."""
        return self._answer(
            "POST",
            f"/api/v1/servers/{_part(id)}/publish-port",
            body={"port_name": port_name},
        )

    def restart(self, id: str) -> Answer:
        """Stop a server and start it with its present settings."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/restart")

    def reveal_credentials(self, id: str) -> Answer:
        """Show the passwords; each look is audited."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/reveal-credentials")

    def rotate_credentials(self, id: str) -> Answer:
        """Make the passwords new."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/rotate-credentials")

    def start(self, id: str) -> Answer:
        """Start a server."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/start")

    def stop(self, id: str) -> Answer:
        """Stop a server in its own way."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/stop")

    def suspend(self, id: str, *, reason: str) -> Answer:
        """Suspend a server."""
        return self._answer(
            "POST",
            f"/api/v1/servers/{_part(id)}/suspend",
            body={"reason": reason},
        )

    def unpublish_port(self, id: str, *, port_name: str) -> Answer:
        """Withdraw a published port."""
        return self._answer(
            "POST",
            f"/api/v1/servers/{_part(id)}/unpublish-port",
            body={"port_name": port_name},
        )

    def unsuspend(self, id: str) -> Answer:
        """Lift a suspension."""
        return self._answer("POST", f"/api/v1/servers/{_part(id)}/unsuspend")


class Sessions(Group):
    """Sessions."""

    def list(self) -> Rows:
        """List where one is logged in."""
        return self._rows("GET", "/api/v1/sessions")

    def end_others(self) -> Answer:
        """End all of one's logins but the browser session that asks."""
        return self._answer("POST", "/api/v1/sessions/end-others")

    def delete(self, id: str) -> None:
        """End one of one's logins."""
        self._nothing("DELETE", f"/api/v1/sessions/{_part(id)}")


class Submissions(Group):
    """Submissions."""

    def list(
        self,
        *,
        challenge: Sequence[str] | None = None,
        event: str | None = None,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        outcome: Sequence[str] | None = None,
        q: str | None = None,
        team: int | None = None,
    ) -> Listing:
        """List submissions."""
        return Listing(
            self._client,
            "/api/v1/submissions",
            {
                "challenge": challenge,
                "event": event,
                "fields": fields,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "outcome": outcome,
                "q": q,
                "team": team,
            },
        )

    def get(self, id: int, *, fields: str | None = None) -> Answer:
        """Show a submission."""
        return self._answer(
            "GET",
            f"/api/v1/submissions/{_part(id)}",
            query={"fields": fields},
        )


class Teams(Group):
    """Teams."""

    def list(
        self,
        *,
        fields: str | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region: Sequence[str] | None = None,
    ) -> Listing:
        """List teams."""
        return Listing(
            self._client,
            "/api/v1/teams",
            {"fields": fields, "limit": limit, "offset": offset, "ordering": ordering, "q": q, "region": region},
        )

    def create(
        self,
        *,
        name: str,
        description: str | Unset = UNSET,
        region: str | Unset | None = UNSET,
        max_members: int | Unset = UNSET,
    ) -> Answer:
        """Make a team and lead it."""
        return self._answer(
            "POST",
            "/api/v1/teams",
            body={"name": name, "description": description, "region": region, "max_members": max_members},
            is_keyed=True,
        )

    def join(self, *, code: str) -> Answer:
        """Join the team that has this code."""
        return self._answer(
            "POST",
            "/api/v1/teams/join",
            body={"code": code},
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a team."""
        return self._answer(
            "GET",
            f"/api/v1/teams/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        region: str | Unset | None = UNSET,
        max_members: int | Unset = UNSET,
        is_locked: bool | Unset = UNSET,
    ) -> Answer:
        """Change a team."""
        return self._answer(
            "PATCH",
            f"/api/v1/teams/{_part(id)}",
            body={
                "name": name,
                "description": description,
                "region": region,
                "max_members": max_members,
                "is_locked": is_locked,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Remove a team."""
        self._nothing(
            "DELETE",
            f"/api/v1/teams/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def ban(self, id: str, *, reason: str) -> Answer:
        """Let it play nowhere."""
        return self._answer(
            "POST",
            f"/api/v1/teams/{_part(id)}/ban",
            body={"reason": reason},
        )

    def hand_over(self, id: str, *, username: str) -> Answer:
        """Make another member its captain."""
        return self._answer(
            "POST",
            f"/api/v1/teams/{_part(id)}/hand-over",
            body={"username": username},
        )

    def kick(self, id: str, *, username: str) -> Answer:
        """Take somebody out of it."""
        return self._answer(
            "POST",
            f"/api/v1/teams/{_part(id)}/kick",
            body={"username": username},
        )

    def leave(self, id: str) -> None:
        """Leave it."""
        self._nothing("POST", f"/api/v1/teams/{_part(id)}/leave")

    def move(self, id: str, *, username: str) -> Answer:
        """Put somebody into it, out of the team he is in."""
        return self._answer(
            "POST",
            f"/api/v1/teams/{_part(id)}/move",
            body={"username": username},
        )

    def rotate_code(self, id: str) -> Answer:
        """Make another join code."""
        return self._answer("POST", f"/api/v1/teams/{_part(id)}/rotate-code")

    def unban(self, id: str) -> Answer:
        """Let it play again."""
        return self._answer("POST", f"/api/v1/teams/{_part(id)}/unban")


class Templates(Group):
    """Templates."""

    def list(
        self,
        *,
        fields: str | None = None,
        game: Sequence[str] | None = None,
        is_published: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
    ) -> Listing:
        """List the catalogue."""
        return Listing(
            self._client,
            "/api/v1/templates",
            {
                "fields": fields,
                "game": game,
                "is_published": is_published,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
            },
        )

    def create(
        self,
        *,
        slug: str,
        name: str,
        game: str,
        variables: Sequence[Mapping[str, Any]] | Unset = UNSET,
        description: str | Unset = UNSET,
        icon: str | Unset = UNSET,
        is_published: bool | Unset = UNSET,
        needs_isolation: bool | Unset = UNSET,
        process_command: Any | Unset = UNSET,
        process_program: str | Unset = UNSET,
        image: str | Unset = UNSET,
        image_command: Any | Unset = UNSET,
        env: Any | Unset = UNSET,
        ports: Any | Unset = UNSET,
        data_path: str | Unset = UNSET,
        default_memory_mb: int | Unset = UNSET,
        min_memory_mb: int | Unset = UNSET,
        max_memory_mb: int | Unset = UNSET,
        default_disk_mb: int | Unset = UNSET,
        min_disk_mb: int | Unset = UNSET,
        max_disk_mb: int | Unset = UNSET,
        default_cpu_percent: int | Unset = UNSET,
        min_cpu_percent: int | Unset = UNSET,
        max_cpu_percent: int | Unset = UNSET,
        stop_kind: str | Unset = UNSET,
        stop_value: str | Unset = UNSET,
        stop_grace_seconds: int | Unset = UNSET,
        readiness_kind: str | Unset = UNSET,
        readiness_port: str | Unset = UNSET,
        readiness_pattern: str | Unset = UNSET,
        ready_timeout_seconds: int | Unset = UNSET,
    ) -> Answer:
        """Make a template."""
        return self._answer(
            "POST",
            "/api/v1/templates",
            body={
                "slug": slug,
                "name": name,
                "game": game,
                "variables": variables,
                "description": description,
                "icon": icon,
                "is_published": is_published,
                "needs_isolation": needs_isolation,
                "process_command": process_command,
                "process_program": process_program,
                "image": image,
                "image_command": image_command,
                "env": env,
                "ports": ports,
                "data_path": data_path,
                "default_memory_mb": default_memory_mb,
                "min_memory_mb": min_memory_mb,
                "max_memory_mb": max_memory_mb,
                "default_disk_mb": default_disk_mb,
                "min_disk_mb": min_disk_mb,
                "max_disk_mb": max_disk_mb,
                "default_cpu_percent": default_cpu_percent,
                "min_cpu_percent": min_cpu_percent,
                "max_cpu_percent": max_cpu_percent,
                "stop_kind": stop_kind,
                "stop_value": stop_value,
                "stop_grace_seconds": stop_grace_seconds,
                "readiness_kind": readiness_kind,
                "readiness_port": readiness_port,
                "readiness_pattern": readiness_pattern,
                "ready_timeout_seconds": ready_timeout_seconds,
            },
        )

    def get(self, slug: str, *, fields: str | None = None) -> Answer:
        """Show a template."""
        return self._answer(
            "GET",
            f"/api/v1/templates/{_part(slug)}",
            query={"fields": fields},
        )

    def update(
        self,
        slug: str,
        *,
        if_match: str | None = None,
        variables: Sequence[Mapping[str, Any]] | Unset = UNSET,
        name: str | Unset = UNSET,
        game: str | Unset = UNSET,
        description: str | Unset = UNSET,
        icon: str | Unset = UNSET,
        is_published: bool | Unset = UNSET,
        needs_isolation: bool | Unset = UNSET,
        process_command: Any | Unset = UNSET,
        process_program: str | Unset = UNSET,
        image: str | Unset = UNSET,
        image_command: Any | Unset = UNSET,
        env: Any | Unset = UNSET,
        ports: Any | Unset = UNSET,
        data_path: str | Unset = UNSET,
        default_memory_mb: int | Unset = UNSET,
        min_memory_mb: int | Unset = UNSET,
        max_memory_mb: int | Unset = UNSET,
        default_disk_mb: int | Unset = UNSET,
        min_disk_mb: int | Unset = UNSET,
        max_disk_mb: int | Unset = UNSET,
        default_cpu_percent: int | Unset = UNSET,
        min_cpu_percent: int | Unset = UNSET,
        max_cpu_percent: int | Unset = UNSET,
        stop_kind: str | Unset = UNSET,
        stop_value: str | Unset = UNSET,
        stop_grace_seconds: int | Unset = UNSET,
        readiness_kind: str | Unset = UNSET,
        readiness_port: str | Unset = UNSET,
        readiness_pattern: str | Unset = UNSET,
        ready_timeout_seconds: int | Unset = UNSET,
    ) -> Answer:
        """Change a template."""
        return self._answer(
            "PATCH",
            f"/api/v1/templates/{_part(slug)}",
            body={
                "variables": variables,
                "name": name,
                "game": game,
                "description": description,
                "icon": icon,
                "is_published": is_published,
                "needs_isolation": needs_isolation,
                "process_command": process_command,
                "process_program": process_program,
                "image": image,
                "image_command": image_command,
                "env": env,
                "ports": ports,
                "data_path": data_path,
                "default_memory_mb": default_memory_mb,
                "min_memory_mb": min_memory_mb,
                "max_memory_mb": max_memory_mb,
                "default_disk_mb": default_disk_mb,
                "min_disk_mb": min_disk_mb,
                "max_disk_mb": max_disk_mb,
                "default_cpu_percent": default_cpu_percent,
                "min_cpu_percent": min_cpu_percent,
                "max_cpu_percent": max_cpu_percent,
                "stop_kind": stop_kind,
                "stop_value": stop_value,
                "stop_grace_seconds": stop_grace_seconds,
                "readiness_kind": readiness_kind,
                "readiness_port": readiness_port,
                "readiness_pattern": readiness_pattern,
                "ready_timeout_seconds": ready_timeout_seconds,
            },
            headers={"If-Match": if_match},
        )

    def delete(self, slug: str, *, if_match: str | None = None) -> None:
        """Remove a template that was never used."""
        self._nothing(
            "DELETE",
            f"/api/v1/templates/{_part(slug)}",
            headers={"If-Match": if_match},
        )

    def definition(self, slug: str) -> Answer:
        """Show all of a template."""
        return self._answer("GET", f"/api/v1/templates/{_part(slug)}/definition")

    def trials(self, slug: str) -> Rows:
        """What came of the latest trials, newest first."""
        return self._rows("GET", f"/api/v1/templates/{_part(slug)}/trials")

    def try_it(self, slug: str) -> Answer:
        """Start a short-lived server of a template to see whether it becomes ready."""
        return self._answer("POST", f"/api/v1/templates/{_part(slug)}/try")


class Tokens(Group):
    """Tokens."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_enabled: bool | None = None,
        limit: int | None = None,
        name: str | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        state: Sequence[str] | None = None,
        user: str | None = None,
    ) -> Listing:
        """List one's tokens (an Admin: everybody's)."""
        return Listing(
            self._client,
            "/api/v1/tokens",
            {
                "fields": fields,
                "is_enabled": is_enabled,
                "limit": limit,
                "name": name,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "state": state,
                "user": user,
            },
        )

    def create(
        self,
        *,
        name: str,
        scopes: Sequence[str] | Unset = UNSET,
        allowed_networks: Sequence[str] | Unset = UNSET,
        device_groups: Sequence[str] | Unset = UNSET,
        expires_at: str | Unset | None = UNSET,
        user: str | Unset = UNSET,
    ) -> Answer:
        """Make a token."""
        return self._answer(
            "POST",
            "/api/v1/tokens",
            body={
                "name": name,
                "scopes": scopes,
                "allowed_networks": allowed_networks,
                "device_groups": device_groups,
                "expires_at": expires_at,
                "user": user,
            },
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a token, without its secret."""
        return self._answer(
            "GET",
            f"/api/v1/tokens/{_part(id)}",
            query={"fields": fields},
        )

    def update(self, id: str, *, if_match: str | None = None, is_enabled: bool | Unset = UNSET) -> Answer:
        """Switch a token off or on."""
        return self._answer(
            "PATCH",
            f"/api/v1/tokens/{_part(id)}",
            body={"is_enabled": is_enabled},
            headers={"If-Match": if_match},
        )

    def delete(self, id: str, *, if_match: str | None = None) -> None:
        """Revoke a token."""
        self._nothing(
            "DELETE",
            f"/api/v1/tokens/{_part(id)}",
            headers={"If-Match": if_match},
        )

    def rotate(self, id: str, *, overlap_seconds: int | Unset = UNSET) -> Answer:
        """Replace a token by a new one of the same rights."""
        return self._answer(
            "POST",
            f"/api/v1/tokens/{_part(id)}/rotate",
            body={"overlap_seconds": overlap_seconds},
        )


class Users(Group):
    """Users."""

    def list(
        self,
        *,
        fields: str | None = None,
        is_active: bool | None = None,
        is_service: bool | None = None,
        is_suspended: bool | None = None,
        limit: int | None = None,
        offset: int | None = None,
        ordering: str | None = None,
        q: str | None = None,
        region_preference: str | None = None,
        role: Sequence[str] | None = None,
        username: str | None = None,
    ) -> Listing:
        """List users (others than oneself: Admin only)."""
        return Listing(
            self._client,
            "/api/v1/users",
            {
                "fields": fields,
                "is_active": is_active,
                "is_service": is_service,
                "is_suspended": is_suspended,
                "limit": limit,
                "offset": offset,
                "ordering": ordering,
                "q": q,
                "region_preference": region_preference,
                "role": role,
                "username": username,
            },
        )

    def create(
        self,
        *,
        username: str,
        password: str | Unset = UNSET,
        role: str | Unset = UNSET,
        is_service: bool | Unset = UNSET,
        first_name: str | Unset = UNSET,
        last_name: str | Unset = UNSET,
        email: str | Unset = UNSET,
        region_preference: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        theme: str | Unset = UNSET,
    ) -> Answer:
        """Create a user."""
        return self._answer(
            "POST",
            "/api/v1/users",
            body={
                "username": username,
                "password": password,
                "role": role,
                "is_service": is_service,
                "first_name": first_name,
                "last_name": last_name,
                "email": email,
                "region_preference": region_preference,
                "timezone": timezone,
                "theme": theme,
            },
        )

    def invite(self, *, role: str | Unset = UNSET, note: str | Unset = UNSET, days: int | Unset = UNSET) -> Answer:
        """Invite somebody by link."""
        return self._answer(
            "POST",
            "/api/v1/users/invite",
            body={"role": role, "note": note, "days": days},
        )

    def me(self) -> Answer:
        """Show oneself and what one may do."""
        return self._answer("GET", "/api/v1/users/me")

    def me_update(
        self,
        *,
        first_name: str | Unset = UNSET,
        last_name: str | Unset = UNSET,
        email: str | Unset = UNSET,
        region_preference: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        theme: str | Unset = UNSET,
    ) -> Answer:
        """Change one's own profile."""
        return self._answer(
            "PATCH",
            "/api/v1/users/me",
            body={
                "first_name": first_name,
                "last_name": last_name,
                "email": email,
                "region_preference": region_preference,
                "timezone": timezone,
                "theme": theme,
            },
        )

    def purge(self, *, phrase: str) -> Answer:
        """Delete every account but Admins."""
        return self._answer(
            "POST",
            "/api/v1/users/purge",
            body={"phrase": phrase},
        )

    def get(self, id: str, *, fields: str | None = None) -> Answer:
        """Show a user."""
        return self._answer(
            "GET",
            f"/api/v1/users/{_part(id)}",
            query={"fields": fields},
        )

    def update(
        self,
        id: str,
        *,
        if_match: str | None = None,
        first_name: str | Unset = UNSET,
        last_name: str | Unset = UNSET,
        email: str | Unset = UNSET,
        region_preference: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        theme: str | Unset = UNSET,
    ) -> Answer:
        """Change a user's profile."""
        return self._answer(
            "PATCH",
            f"/api/v1/users/{_part(id)}",
            body={
                "first_name": first_name,
                "last_name": last_name,
                "email": email,
                "region_preference": region_preference,
                "timezone": timezone,
                "theme": theme,
            },
            headers={"If-Match": if_match},
        )

    def activate(self, id: str) -> Answer:
        """Open a closed account."""
        return self._answer("POST", f"/api/v1/users/{_part(id)}/activate")

    def deactivate(self, id: str) -> Answer:
        """Close an account."""
        return self._answer("POST", f"/api/v1/users/{_part(id)}/deactivate")

    def log_out(self, id: str) -> Answer:
        """Log a user out everywhere."""
        return self._answer("POST", f"/api/v1/users/{_part(id)}/log-out")

    def password(self, id: str, *, password: str) -> None:
        """Give a user a new password."""
        self._nothing(
            "POST",
            f"/api/v1/users/{_part(id)}/password",
            body={"password": password},
        )

    def quota(
        self,
        id: str,
        *,
        servers: int | Unset | None = UNSET,
        memory_mb: int | Unset | None = UNSET,
        cpu_percent: int | Unset | None = UNSET,
        disk_mb: int | Unset | None = UNSET,
    ) -> Answer:
        """Set a user's own limits."""
        return self._answer(
            "POST",
            f"/api/v1/users/{_part(id)}/quota",
            body={"servers": servers, "memory_mb": memory_mb, "cpu_percent": cpu_percent, "disk_mb": disk_mb},
        )

    def regions(self, id: str, *, regions: Sequence[str]) -> Answer:
        """Limit an Operator to regions."""
        return self._answer(
            "POST",
            f"/api/v1/users/{_part(id)}/regions",
            body={"regions": regions},
        )

    def remove_factors(self, id: str) -> None:
        """Take away a user's second factors."""
        self._nothing("POST", f"/api/v1/users/{_part(id)}/remove-factors")

    def role(self, id: str, *, role: str) -> Answer:
        """Give a user a role."""
        return self._answer(
            "POST",
            f"/api/v1/users/{_part(id)}/role",
            body={"role": role},
        )

    def suspend(self, id: str, *, reason: str) -> Answer:
        """Suspend an account."""
        return self._answer(
            "POST",
            f"/api/v1/users/{_part(id)}/suspend",
            body={"reason": reason},
        )

    def unlock(self, id: str) -> None:
        """Lift the lock after wrong passwords."""
        self._nothing("POST", f"/api/v1/users/{_part(id)}/unlock")

    def unsuspend(self, id: str) -> Answer:
        """Lift a suspension."""
        return self._answer("POST", f"/api/v1/users/{_part(id)}/unsuspend")

    def verify(self, id: str) -> Answer:
        """Vouch for a user's e-mail address."""
        return self._answer("POST", f"/api/v1/users/{_part(id)}/verify")


class Hub(Client):
    """The API of one hub."""

    def __init__(self, url: str, token: str = "", **options: Any) -> None:
        super().__init__(url, token, **options)
        self.address_pools = AddressPools(self)
        self.addresses = Addresses(self)
        self.alert_mutes = AlertMutes(self)
        self.alert_rules = AlertRules(self)
        self.alerts = Alerts(self)
        self.announcements = Announcements(self)
        self.audit = Audit(self)
        self.auth = Auth(self)
        self.bundles = Bundles(self)
        self.challenges = Challenges(self)
        self.channels = Channels(self)
        self.deliveries = Deliveries(self)
        self.deployments = Deployments(self)
        self.device_commands = DeviceCommands(self)
        self.device_groups = DeviceGroups(self)
        self.devices = Devices(self)
        self.enrolment_tokens = EnrolmentTokens(self)
        self.errors = Errors(self)
        self.event_challenges = EventChallenges(self)
        self.events = Events(self)
        self.failed_jobs = FailedJobs(self)
        self.instances = Instances(self)
        self.invites = Invites(self)
        self.logs = Logs(self)
        self.metrics = Metrics(self)
        self.node_tasks = NodeTasks(self)
        self.nodes = Nodes(self)
        self.operations = Operations(self)
        self.publisher_keys = PublisherKeys(self)
        self.queues = Queues(self)
        self.regions = Regions(self)
        self.requests = Requests(self)
        self.retention = Retention(self)
        self.servers = Servers(self)
        self.sessions = Sessions(self)
        self.submissions = Submissions(self)
        self.teams = Teams(self)
        self.templates = Templates(self)
        self.tokens = Tokens(self)
        self.users = Users(self)
