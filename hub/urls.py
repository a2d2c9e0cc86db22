"""Every address of the hub: the only module, besides the table of periodic work, that names every app."""

from __future__ import annotations

from importlib.util import find_spec

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


def _existing(prefix: str, module: str) -> list[URLPattern | URLResolver]:
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    return [path(prefix, include(module))] if found else []


api_v1 = [
    path("schema", schema, name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    *_existing("", "accounts.api.urls"),
    *_existing("", "hub.nodes.api.urls"),
    *_existing("", "servers.api.urls"),
]

rq_dashboard = get_api_urlpatterns() + get_admin_urlpatterns()
for pattern in rq_dashboard:  # its own views ask for staff only
    pattern.callback = page_needs("jobs.view")(pattern.callback)

urlpatterns = [
    path("", include("hub.pages.urls")),
    path("health", views.health_summary, name="health"),
    path("health/live", views.health_live, name="health_live"),
    path("health/ready", views.health_ready, name="health_ready"),
    path("metrics", views.metrics, name="metrics"),
    path("api/v1/", include((api_v1, "api"))),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    *_existing("", "accounts.urls"),
    *_existing("", "hub.nodes.urls"),
    *_existing("", "servers.urls"),
    path("jobs/", include((rq_dashboard, "django_rq"))),
]
