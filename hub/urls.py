"""Every address of the hub: the only module, besides the table of periodic work, that names every app."""

from __future__ import annotations

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django_rq.urls import get_admin_urlpatterns, get_api_urlpatterns
from drf_spectacular.views import SpectacularSwaggerSplitView

from . import views
from .api.permissions import page_needs
from .api.schema import schema

handler400 = "hub.views.bad_request"
handler403 = "hub.views.forbidden"
handler404 = "hub.views.not_found"
handler500 = "hub.views.server_error"

admin.site.site_header = admin.site.site_title = "Kutanga Hub"
# The admin's own login page does not ask for the second factor; allauth's does.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # the way allauth documents


api_v1: list[URLPattern | URLResolver] = [
    path("schema", schema, name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    path("", include("servers.api.urls")),
    path("", include("devices.api.urls")),
    path("", include("challenges.api.urls")),
    path("", include("accounts.api.urls")),
    path("", include("hub.nodes.api.urls")),
    path("", include("monitoring.api.urls")),
    path("", include("hub.pages.api")),
]

rq_dashboard = get_api_urlpatterns() + get_admin_urlpatterns()
for pattern in rq_dashboard:  # its own views ask for staff only
    pattern.callback = page_needs("jobs.view")(pattern.callback)

# Tried from the top: programs ask more often than people.
urlpatterns = [
    path("api/v1/", include((api_v1, "api"))),
    path("", include("servers.urls")),
    path("", include("challenges.urls")),
    path("", include("devices.urls")),
    path("", include("hub.pages.urls")),
    path("health", views.health_summary, name="health"),
    path("health/live", views.health_live, name="health_live"),
    path("health/ready", views.health_ready, name="health_ready"),
    path("metrics", views.metrics, name="metrics"),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    path("", include("accounts.urls")),
    path("", include("hub.nodes.urls")),
    path("", include("monitoring.urls")),
    path("jobs/", include((rq_dashboard, "django_rq"))),
]
