"""Routes below /api/v1/."""

from __future__ import annotations

from hub.api.routers import HubRouter

from . import (
    examples,  # noqa: F401 - importing it registers them
    upkeep,
    views,
)

router = HubRouter()
router.register("regions", views.RegionViewSet, basename="region")
router.register("nodes", views.NodeViewSet, basename="node")
router.register("node-tasks", upkeep.NodeTaskViewSet, basename="node-task")
router.register("address-pools", views.PoolViewSet, basename="address-pool")
router.register("addresses", views.AddressViewSet, basename="address")
router.register("operations", views.OperationViewSet, basename="operation")

urlpatterns = router.urls
