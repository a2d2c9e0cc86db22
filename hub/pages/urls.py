"""Pages that belong to no app."""

from django.urls import path

from . import queues, views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("search", views.search, name="search"),
    path("kit", views.kit, name="kit"),
    path("notifications", views.notifications, name="notifications"),
    path("queues/", queues.queue_list, name="queue_list"),
    path("queues/<uuid:pk>/retry", queues.job_retry, name="job_retry"),
    path("queues/<uuid:pk>/forget", queues.job_forget, name="job_forget"),
    path("views/save", views.save_view, name="save_view"),
    path("views/<int:pk>/forget", views.forget_view, name="forget_view"),
]
