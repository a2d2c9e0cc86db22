"""Routes of the API: canonical without a slash at the end."""

from __future__ import annotations

from typing import Any

from django.urls import URLResolver, include, path
from rest_framework.routers import SimpleRouter


class HubRouter(SimpleRouter):
    """`servers`, `servers/5`, `servers/5/start`. In an app's `api/urls.py`: `urlpatterns = router.urls`.

    What lies below a name is tried only for paths that begin with it: Django tries one expression after the other, and
    with those of all names in one list a request at its end costs as much as its token.
    """

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)

    def get_urls(self) -> list[Any]:
        urls: list[URLResolver] = []
        for prefix, viewset, basename in self.registry:
            of_one = SimpleRouter(trailing_slash=False)
            of_one.register("", viewset, basename)
            root = [pattern for pattern in of_one.urls if str(pattern.pattern) == "^$"]
            below = [pattern for pattern in of_one.urls if pattern not in root]
            urls += [path(prefix, include(root)), path(f"{prefix}/", include(below))]
        return urls
