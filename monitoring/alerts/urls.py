"""Pages of alerts."""

from __future__ import annotations

from django.urls import path

from . import views

urlpatterns = [
    path("alerts/", views.alert_list, name="alert_list"),
    path("alerts/<int:pk>/", views.alert_detail, name="alert_detail"),
    path("alerts/<int:pk>/acknowledge", views.alert_acknowledge, name="alert_acknowledge"),
    path("alerts/<int:pk>/assign", views.alert_assign, name="alert_assign"),
    path("alerts/<int:pk>/mute", views.alert_mute, name="alert_mute"),
    path("alert-rules/", views.rule_list, name="rule_list"),
    path("alert-rules/new", views.rule_create, name="rule_create"),
    path("alert-rules/<int:pk>/edit", views.rule_update, name="rule_update"),
    path("alert-rules/<int:pk>/delete", views.rule_delete, name="rule_delete"),
    path("mutes/", views.mute_list, name="mute_list"),
    path("mutes/<int:pk>/end", views.mute_end, name="mute_end"),
    path("channels/", views.channel_list, name="channel_list"),
    path("channels/new", views.channel_create, name="channel_create"),
    path("channels/<int:pk>/", views.channel_detail, name="channel_detail"),
    path("channels/<int:pk>/edit", views.channel_update, name="channel_update"),
    path("channels/<int:pk>/delete", views.channel_delete, name="channel_delete"),
    path("channels/<int:pk>/test", views.channel_test, name="channel_test"),
    path("deliveries/<uuid:pk>/resend", views.delivery_resend, name="delivery_resend"),
]
