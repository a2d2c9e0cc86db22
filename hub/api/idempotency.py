"""`Idempotency-Key`: a create request that is sent again gets the answer of the first time and creates nothing.

The answer is stored in the transaction of the work, so one never exists without the other, and its unique constraint
decides between requests at once. A lock that is only tried tells a repetition that comes too early: it gets 409 with
Retry-After and does not wait. Only successes are kept: after an error the same key may try again. Costs two queries.

Not for views whose answer holds a secret: the answer is stored as it is.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeVar

from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.utils.crypto import salted_hmac
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from hub.exceptions import Conflict, HubError, Invalid
from hub.models import IdempotentAnswer
from hub.postgres.inserts import insert

HEADER: Final = "Idempotency-Key"
MAX_LENGTH: Final = 200
REPLAYED: Final = "Idempotency-Replayed"
RETRY_SECONDS: Final = 1

Handler = TypeVar("Handler", bound=Callable[..., Any])


class KeyInUse(Conflict):
    """The first request with this key is still being worked on."""

    code = "idempotency_key_in_use"
    retry_after = RETRY_SECONDS


class KeyReused(HubError):
    """The key came with another body before."""

    code = "idempotency_key_reused"
    status = 422


class _Ask:
    """Who asks for what under which key."""

    def __init__(self, request: Request, key: str) -> None:
        self.actor = f"user:{request.user.pk}"
        self.route = f"{request.method} {request.path}"[:250]
        self.key = key
        self.digest = _digest(request.data)

    def look_up(self) -> HttpResponse | None:
        """Take the key for this transaction. The stored answer if there is one; None when the work is ours to do."""
        sql = """
            SELECT pg_try_advisory_xact_lock(%s), a.digest, a.status, a.location, a.body
            FROM (SELECT) nothing LEFT JOIN hub_idempotentanswer a ON a.actor = %s AND a.route = %s AND a.key = %s
        """
        with connection.cursor() as cursor:
            cursor.execute(sql, [self._lock_number(), self.actor, self.route, self.key])
            is_mine, digest, status, location, body = cursor.fetchone()
        if digest is None:
            if not is_mine:
                raise KeyInUse("A request with this Idempotency-Key is being worked on.", field=HEADER)
            return None
        if digest != self.digest:
            raise KeyReused("This Idempotency-Key was used for a request with another body.", field=HEADER)
        headers = {REPLAYED: "true"} | ({"Location": location} if location else {})
        return HttpResponse(body, status=status, content_type="application/json", headers=headers)

    def keep(self, response: Response) -> None:
        """Store the answer beside the work."""
        insert(
            IdempotentAnswer(
                actor=self.actor,
                route=self.route,
                key=self.key,
                digest=self.digest,
                status=response.status_code,
                location=response.get("Location", ""),
                body=JSONRenderer().render(response.data).decode(),
            )
        )

    def _lock_number(self) -> int:
        name = f"{self.actor}|{self.route}|{self.key}".encode()
        return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), signed=True)


def idempotent(handler: Handler) -> Handler:
    """Decorate a create method of an API view."""

    @wraps(handler)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        key = request.headers.get(HEADER)
        if key is None:
            return handler(view, request, *args, **kwargs)
        ask = _Ask(request, _checked(key))
        try:
            with transaction.atomic():
                stored = ask.look_up()
                if stored is not None:
                    return stored
                response: Response = handler(view, request, *args, **kwargs)
                if response.status_code < 300:
                    ask.keep(response)
                return response
        except IntegrityError as error:
            # The lock was free because the first request had just committed, after our look: its answer is there now.
            if "hub_idempotentanswer_once" not in str(error):
                raise
            with transaction.atomic():
                return ask.look_up() or _gone()

    parameter = OpenApiParameter(
        HEADER,
        str,
        OpenApiParameter.HEADER,
        description=f"A repetition with the same key and body within a day gets the first answer, marked {REPLAYED}.",
    )
    return extend_schema(parameters=[parameter])(wrapper)  # type: ignore[return-value]  # same signature as the handler


def _gone() -> HttpResponse:
    raise KeyInUse("A request with this Idempotency-Key is being worked on.", field=HEADER)


def _checked(key: str) -> str:
    if not (0 < len(key) <= MAX_LENGTH and key.isascii() and key.isprintable()):
        raise Invalid(f"{HEADER} must be 1 to {MAX_LENGTH} printable ASCII characters.", field=HEADER)
    return key


def _digest(data: Any) -> str:
    """Keyed, because bodies may hold passwords that a plain digest would let one guess."""
    text = json.dumps(data, sort_keys=True, default=str)
    return salted_hmac("hub.api.idempotency", text, algorithm="sha256").hexdigest()
