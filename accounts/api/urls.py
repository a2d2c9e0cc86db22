"""Routes of the accounts API, below /api/v1/."""

from __future__ import annotations

from django.urls import path

from hub.api.routers import HubRouter

from . import (
    auth,
    examples,  # noqa: F401 - importing it registers them
    schema,  # noqa: F401 - importing it registers the descriptions
)
from .invites import InviteViewSet
from .sessions import SessionViewSet
from .views import AuditViewSet, RequestViewSet, TokenViewSet, UserViewSet

router = HubRouter()
router.register("users", UserViewSet, basename="user")
router.register("tokens", TokenViewSet, basename="token")
router.register("invites", InviteViewSet, basename="invite")
router.register("sessions", SessionViewSet, basename="session")
router.register("requests", RequestViewSet, basename="request")
router.register("audit", AuditViewSet, basename="audit")

urlpatterns = [
    path("auth/register", auth.RegisterView.as_view(), name="auth-register"),
    path("auth/login", auth.LoginView.as_view(), name="auth-login"),
    path("auth/refresh", auth.RefreshView.as_view(), name="auth-refresh"),
    path("auth/logout", auth.LogoutView.as_view(), name="auth-logout"),
    path("auth/export", auth.ExportView.as_view(), name="auth-export"),
    path("auth/delete", auth.DeleteView.as_view(), name="auth-delete"),
    path("auth/me", auth.MeView.as_view(), name="auth-me"),
    *router.urls,
]
