"""Addresses of the provider in `oidc_provider`, and the groups it tells of; loaded by its process alone."""

from __future__ import annotations

from typing import Any

from allauth.idp.oidc.adapter import DefaultOIDCAdapter
from django.urls import include, path


class GroupsAdapter(DefaultOIDCAdapter):
    """Adds the groups that a person is in."""

    def get_claims(self, purpose: Any, user: Any, client: Any, scopes: Any, **more: Any) -> dict[str, Any]:
        claims: dict[str, Any] = super().get_claims(purpose, user, client, scopes, **more)
        return {**claims, "groups": sorted(user.groups.values_list("name", flat=True))}


urlpatterns = [path("accounts/", include("allauth.account.urls")), path("", include("allauth.idp.urls"))]
