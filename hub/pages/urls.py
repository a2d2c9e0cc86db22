"""Pages that belong to no app."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("search", views.search, name="search"),
]
