"""Pages of monitoring."""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "monitoring"
urlpatterns = [
    path("monitoring/", views.fleet, name="fleet"),
    path("monitoring/charts", views.compare, name="compare"),
    path("monitoring/table", views.table, name="table"),
]
