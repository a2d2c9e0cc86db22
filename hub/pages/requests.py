"""What pages read from a request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest


def me(request: HttpRequest) -> Any:
    """The person who asks; `login_required` has seen to it that there is one."""
    return request.user
