"""Pages that belong to no app."""

from django.urls import path

from . import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("search", views.search, name="search"),
    path("kit", views.kit, name="kit"),
    path("views/save", views.save_view, name="save_view"),
    path("views/<int:pk>/forget", views.forget_view, name="forget_view"),
]
