"""What pages read from a request, and what they tell with the next answer."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest


def me(request: HttpRequest) -> Any:
    """The person who asks; `login_required` has seen to it that there is one."""
    return request.user


def tell(request: HttpRequest, text: str, url: str) -> None:
    """A toast that something has begun or is done, with the way to where its outcome is seen."""
    messages.success(request, text, extra_tags=url)
