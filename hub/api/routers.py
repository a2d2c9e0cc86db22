"""Routes of the API: canonical without a slash at the end."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter


class HubRouter(SimpleRouter):
    """`servers`, `servers/5`, `servers/5/start`. In an app's `api/urls.py`: `urlpatterns = router.urls`."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False)
