"""Pages of a list: `?limit=&offset=`, 50 unless told, 1000 at most."""

from __future__ import annotations

from rest_framework.pagination import LimitOffsetPagination


class HubPagination(LimitOffsetPagination):
    """Answers `{count, next, previous, results}`."""

    default_limit = 50
    max_limit = 1000
