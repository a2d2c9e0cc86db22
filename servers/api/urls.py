"""Routes of servers and templates, below /api/v1/."""

from __future__ import annotations

from hub.api.routers import HubRouter

from . import examples  # noqa: F401 - importing it registers them
from .views import ServerViewSet, TemplateViewSet

router = HubRouter()
router.register("servers", ServerViewSet, basename="server")
router.register("templates", TemplateViewSet, basename="template")

urlpatterns = router.urls
