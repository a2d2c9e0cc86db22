"""Requests to the hub: signed one by one, or with the short token for what is read; its errors with their code."""

from __future__ import annotations

import base64
import json
import secrets
import ssl
import time
import urllib.error
import urllib.request
from email.utils import parsedate_to_datetime
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from . import VERSION
from .keys import Key
from .state import State

TIMEOUT_SECONDS = 10
LONGEST_ANSWER = 4 * 2**20
COVERED = '("@method" "@path" "@query" "content-digest")'
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class HubError(Exception):
    """The hub has refused, or does not answer (`status` 0)."""

    def __init__(self, status: int, code: str, message: str, retry_after: float = 0) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after

    @property
    def is_final(self) -> bool:
        """Whether the hub has understood and will not take it another time either.

        A device that is suspended, or whose key or clock is wrong, may be believed again later.
        """
        return 400 <= self.status < 500 and self.status not in (401, 408, 429) and not self.code.startswith("device_")


class Hub:
    """One hub, as one device speaks with it."""

    def __init__(self, state: State, key: Key) -> None:
        self.state, self.key = state, key
        self.timeout: float = TIMEOUT_SECONDS
        self._token, self._token_until = "", 0.0

    def signed(self, method: str, path: str, data: Any = None, *, tag: str = "hub-device", nonce: str = "") -> Any:
        """Send a signed request; once more after learning that the clock is wrong or the counter too low."""
        try:
            return self._signed(method, path, data, tag, nonce)
        except HubError as error:
            if error.code == "replayed" and not nonce:
                self.state.raise_counter(int(self.read("/api/v1/devices/self")["counter"]))
            elif error.code != "stale":
                raise
        return self._signed(method, path, data, tag, nonce)

    def read(self, path: str) -> Any:
        """Get something with the short token."""
        if time.monotonic() >= self._token_until:
            self._new_token()
        try:
            return self._send("GET", path, None, {"Authorization": f"Bearer {self._token}"})
        except HubError as error:
            if error.status != 401:
                raise
            self._new_token()
            return self._send("GET", path, None, {"Authorization": f"Bearer {self._token}"})

    def open(self, method: str, path: str, data: Any = None) -> Any:
        """What needs no proof."""
        return self._send(method, path, None if data is None else json.dumps(data).encode(), {})

    def authorization(self) -> str:
        """The header for requests that are made elsewhere, such as downloads."""
        if time.monotonic() >= self._token_until:
            self._new_token()
        return f"Bearer {self._token}"

    def _signed(self, method: str, path: str, data: Any, tag: str, nonce: str) -> Any:
        body = json.dumps({} if data is None else data).encode()
        digest = f"sha-256=:{_base64(sha256(body).digest())}:"
        parts = urlsplit(path)
        number = nonce or str(self.state.next_counter())
        params = f'{COVERED};created={int(self.state.now)};nonce="{number}";keyid="{self.key.fingerprint}";tag="{tag}"'
        lines = [
            f'"@method": {method}',
            f'"@path": {self._prefix()}{parts.path}',
            f'"@query": ?{parts.query}',
            f'"content-digest": {digest}',
            f'"@signature-params": {params}',
        ]
        signature = _base64(self.key.sign("\n".join(lines).encode()))
        headers = {"Content-Digest": digest, "Signature-Input": f"hub={params}", "Signature": f"hub=:{signature}:"}
        return self._send(method, path, body, headers)

    def _new_token(self) -> None:
        device, now = self.state.memory.device_id, int(self.state.now)
        path = "/api/v1/devices/token"
        claims = {
            "iss": device,
            "sub": device,
            "aud": f"{self.state.memory.hub}{path}",
            "iat": now,
            "exp": now + 120,
            "jti": secrets.token_urlsafe(16),
        }
        head = {"alg": self.key.jwt_algorithm, "kid": self.key.fingerprint}
        text = ".".join(_base64url(json.dumps(part).encode()) for part in (head, claims))
        assertion = f"{text}.{_base64url(self.key.sign(text.encode()))}"
        answer = self.open("POST", path, {"grant_type": GRANT, "assertion": assertion})
        self._token = answer["access_token"]
        self._token_until = time.monotonic() + 0.9 * answer["expires_in"]

    def _send(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the scheme is checked when the hub is named
            f"{self.state.memory.hub}{path}", data=body, method=method, headers=headers
        )
        request.add_header("Content-Type", "application/json")
        request.add_header("User-Agent", f"kutanga-agent/{VERSION}")
        try:
            with urllib.request.urlopen(request, timeout=self.timeout, context=_tls()) as answer:  # noqa: S310
                return json.loads(answer.read(LONGEST_ANSWER) or b"null")
        except urllib.error.HTTPError as error:
            raise self._problem(error) from None
        except (OSError, ValueError) as error:
            raise HubError(0, "unreachable", f"The hub does not answer: {error}") from None

    def _problem(self, error: urllib.error.HTTPError) -> HubError:
        try:
            problem = json.loads(error.read(LONGEST_ANSWER))
            code, message = str(problem["code"]), str(problem["detail"])
        except (ValueError, KeyError, TypeError, OSError):
            code, message = "error", f"The hub answers {error.code}."
        if code in ("stale", "assertion"):
            self._learn_time(error.headers.get("Date"))
        after = error.headers.get("Retry-After", "")
        return HubError(error.code, code, message, float(after) if after.isdecimal() else 0)

    def _learn_time(self, date: str | None) -> None:
        """Believe the hub about the time; without TLS somebody on the way could do no more than be ignored."""
        if date:
            self.state.memory.clock_offset = parsedate_to_datetime(date).timestamp() - time.time()
            self.state.save()

    def _prefix(self) -> str:
        return urlsplit(self.state.memory.hub).path.rstrip("/")


def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
