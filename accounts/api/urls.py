"""Routes of the accounts API, below /api/v1/."""

from __future__ import annotations

from hub.api.routers import HubRouter

from . import schema  # noqa: F401 - importing it registers the descriptions
from .views import AuditViewSet, TokenViewSet, UserViewSet

router = HubRouter()
router.register("users", UserViewSet, basename="user")
router.register("tokens", TokenViewSet, basename="token")
router.register("audit", AuditViewSet, basename="audit")

urlpatterns = router.urls
