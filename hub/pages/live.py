"""Live fragments: small pieces of a page that a browser asks for again and again.

A fragment has a fingerprint of what it shows, taken from a few columns. While that is the one the browser has, the
answer is 304 and nothing is rendered. 286 tells htmx to stop asking: what is shown will not change any more.
"""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.shortcuts import render
from django.utils.cache import patch_vary_headers

STOP_POLLING = 286
SECONDS_BUSY = 2
SECONDS_CALM = 10


def is_fragment(request: HttpRequest, target: str = "") -> bool:
    """Whether a script asks for a piece of the page (and for the one with this id)."""
    headers = request.headers
    return headers.get("HX-Request") == "true" and (not target or headers.get("HX-Target") == target)


def etag(*facts: object) -> str:
    """A fingerprint of the facts; another version of the hub may draw them differently."""
    digest = hashlib.blake2b(repr((settings.VERSION, *facts)).encode(), digest_size=12)
    return f'"{digest.hexdigest()}"'


def unchanged(request: HttpRequest, tag: str) -> bool:
    """Whether the browser has this fingerprint already."""
    return request.headers.get("If-None-Match") == tag


def answer(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    tag: str,
    is_final: bool = False,
) -> HttpResponse:
    """The fragment, or 304 when the browser has it; with 286 when it will not change again."""
    if unchanged(request, tag):
        response: HttpResponse = HttpResponseNotModified()
    else:
        response = render(request, template, context, status=STOP_POLLING if is_final else 200)
    response["ETag"] = tag
    return private(response)


def private(response: HttpResponse) -> HttpResponse:
    """Keep one person's answer out of shared caches, and pages and fragments of one address apart."""
    response["Cache-Control"] = "private, no-cache"
    patch_vary_headers(response, ["HX-Request", "Cookie"])
    return response
