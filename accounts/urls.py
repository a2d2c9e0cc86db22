"""Pages of the profile, API tokens, users and the audit trail; logging in and out is allauth's."""

from django.urls import path

from . import views

app_name = "accounts"
urlpatterns = [
    path("invite/<str:secret>", views.accept_invite, name="accept_invite"),
    path("profile", views.profile, name="profile"),
    path("profile/theme", views.set_theme, name="set_theme"),
    path("tokens/", views.token_list, name="token_list"),
    path("tokens/<int:pk>/switch", views.token_switch, name="token_switch"),
    path("tokens/<int:pk>/rotate", views.token_rotate, name="token_rotate"),
    path("tokens/<int:pk>/revoke", views.token_revoke, name="token_revoke"),
    path("users/", views.user_list, name="user_list"),
    path("audit/", views.audit_list, name="audit_list"),
]
