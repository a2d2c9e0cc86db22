"""Every address of the hub: the only module, besides the table of periodic work, that names every app."""

from __future__ import annotations

from importlib.util import find_spec

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

admin.autodiscover()
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # allauth's documented way: its login asks for the second factor

handler400 = "hub.views.bad_request"
handler403 = "hub.views.forbidden"
handler404 = "hub.views.not_found"
handler500 = "hub.views.server_error"


def _existing(prefix: str, module: str) -> list[URLPattern | URLResolver]:
    try:
        found = find_spec(module) is not None
    except ModuleNotFoundError:
        found = False
    return [path(prefix, include(module))] if found else []


api_v1 = [
    path("schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", SpectacularSwaggerSplitView.as_view(url_name="api:schema"), name="docs"),
    *_existing("", "accounts.api.urls"),
    *_existing("", "hub.nodes.api.urls"),
    *_existing("", "servers.api.urls"),
]

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="account_login"), name="overview"),
    path("api/v1/", include((api_v1, "api"))),
    path("admin/", admin.site.urls),
    path("accounts/", include("allauth.urls")),
    *_existing("", "accounts.urls"),
    *_existing("", "hub.nodes.urls"),
    *_existing("", "servers.urls"),
    path("jobs/", include("django_rq.urls")),
]
