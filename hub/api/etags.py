"""ETags: what was read and has not changed is a 304, what somebody else changed in between is not overwritten.

The ETag of an object has two halves, `"<version>.<content>"`. The version follows what people change (`version_fields`
of the view), the content everything that is shown, such as a status that an agent reports. `If-None-Match` compares the
whole; `If-Match` compares versions, so that a server which merely became ready does not refuse its owner's change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, ClassVar, Final, TypeVar

from django.db import transaction
from django.db.models import Model
from django.http import HttpResponse, HttpResponseNotModified
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from hub.exceptions import HubError

HEADER: Final = "If-Match"
KEPT_HEADERS: Final = ("Cache-Control", "Vary", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")

Handler = TypeVar("Handler", bound=Callable[..., Any])


class Changed(HubError):
    """Somebody changed the object after it was read."""

    code = "changed_meanwhile"
    status = 412


class VersionedView(GenericAPIView[Any]):
    """Tags what is read. `shown` is the object that an answer shows, for its version."""

    version_fields: ClassVar[tuple[str, ...]] = ()
    shown: Model | None = None

    def get_object(self) -> Any:
        self.shown = super().get_object()
        return self.shown

    def version_of(self, row: Model) -> str:
        """Changes when somebody changes the object."""
        return _digest(repr([row.pk, *(getattr(row, name) for name in self.version_fields)]).encode())

    def lock(self, row: Model) -> None:
        """Lock what the change is going to lock first, so that the order is the same."""
        type(row)._base_manager.select_for_update(no_key=True).get(pk=row.pk)

    def check_match(self, request: Request) -> None:
        """Hold the object's version against `If-Match`, with the row locked."""
        self.lock(self.get_object())
        version = self.version_of(self.get_object())
        tags = parse_etags(request.headers[HEADER])
        # A proxy that compresses marks our tags as weak; the version in them is as good as before.
        if "*" not in tags and version not in {tag.removeprefix("W/").strip('"').split(".")[0] for tag in tags}:
            raise Changed("It was changed after you read it. Read it again, then decide.", field=HEADER)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        is_shown = request.method in ("GET", "HEAD") or (request.method == "PATCH" and self.shown is not None)
        if is_shown and response.status_code == 200 and hasattr(response, "add_post_render_callback"):
            response.add_post_render_callback(partial(self._tag, request))
        return response

    def _tag(self, request: Request, response: HttpResponse) -> HttpResponse:
        """Runs when the body is there. Making it costs about what it always costs; sending it is what 304 saves."""
        content = _digest(response.content)
        tag = f'"{self.version_of(self.shown)}.{content}"' if self.shown is not None else f'"{content}"'
        response["ETag"] = tag
        response.headers.setdefault("Cache-Control", "private, no-cache")
        known = {each.removeprefix("W/") for each in parse_etags(request.headers.get("If-None-Match", ""))}
        if request.method == "PATCH" or not known & {tag, "*"}:
            return response
        kept = {name: response[name] for name in KEPT_HEADERS if name in response}
        return HttpResponseNotModified(headers={"ETag": tag, **kept})


def conditional(handler: Handler) -> Handler:
    """Decorate a handler that changes or deletes one object: it honours `If-Match`."""

    @wraps(handler)
    def wrapper(view: VersionedView, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        if HEADER not in request.headers:
            return handler(view, request, *args, **kwargs)
        with transaction.atomic():
            view.check_match(request)
            return handler(view, request, *args, **kwargs)

    parameter = OpenApiParameter(
        HEADER,
        str,
        OpenApiParameter.HEADER,
        description="The ETag of what you read: refused with 412 when somebody changed the object since.",
    )
    return extend_schema(parameters=[parameter])(wrapper)  # type: ignore[return-value]  # same signature as the handler


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=9).hexdigest()
