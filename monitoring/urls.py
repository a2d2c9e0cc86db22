"""Pages of monitoring."""

from __future__ import annotations

from django.urls import include, path

from . import views
from .errors import views as errors

app_name = "monitoring"
urlpatterns = [
    path("monitoring/", views.fleet, name="fleet"),
    path("monitoring/charts", views.compare, name="compare"),
    path("monitoring/table", views.table, name="table"),
    path("monitoring/retention", views.kept, name="retention"),
    path("monitoring/errors/", errors.error_list, name="error_list"),
    path("monitoring/errors/<int:pk>/", errors.error_detail, name="error_detail"),
    path("monitoring/errors/<int:pk>/resolve", errors.error_resolve, name="error_resolve"),
    path("", include("monitoring.alerts.urls")),
]
