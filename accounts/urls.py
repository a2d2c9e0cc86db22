"""Pages of the profile, API tokens, users and the audit trail; logging in and out is allauth's."""

from django.urls import path

from . import own_views, people_views, views

app_name = "accounts"
urlpatterns = [
    path("invite/<str:secret>", views.accept_invite, name="accept_invite"),
    path("profile", views.profile, name="profile"),
    path("profile/theme", views.set_theme, name="set_theme"),
    path("profile/sessions", own_views.session_list, name="session_list"),
    path("profile/sessions/end", own_views.session_end, name="session_end"),
    path("profile/export", own_views.data_export, name="data_export"),
    path("profile/delete", own_views.account_delete, name="account_delete"),
    path("tokens/", views.token_list, name="token_list"),
    path("tokens/<int:pk>/switch", views.token_switch, name="token_switch"),
    path("tokens/<int:pk>/rotate", views.token_rotate, name="token_rotate"),
    path("tokens/<int:pk>/revoke", views.token_revoke, name="token_revoke"),
    path("users/", views.user_list, name="user_list"),
    path("users/new", people_views.user_create, name="user_create"),
    path("users/invites", people_views.invite_list, name="invite_list"),
    path("users/invites/<int:pk>/revoke", people_views.invite_revoke, name="invite_revoke"),
    path("users/purge", people_views.purge, name="user_purge"),
    path("users/<int:pk>", people_views.user_detail, name="user_detail"),
    path("users/<int:pk>/<slug:verb>", people_views.user_act, name="user_act"),
    path("requests/", views.request_list, name="request_list"),
    path("audit/", views.audit_list, name="audit_list"),
]
