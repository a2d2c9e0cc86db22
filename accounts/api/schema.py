"""How the OpenAPI document describes our three ways to log in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension


class ApiTokenScheme(OpenApiAuthenticationExtension):
    """`Authorization: Token hub_…`."""

    target_class = "accounts.authentication.ApiTokenAuthentication"
    name = "apiToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Token hub_…`: a token made at `/api/v1/tokens` or with `manage.py token`.",
        }


class JwtScheme(OpenApiAuthenticationExtension):
    """`Authorization: Bearer …`."""

    target_class = "accounts.authentication.JwtAuthentication"
    name = "jwt"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "From `/api/v1/auth/login`."}


class ApiSessionScheme(OpenApiAuthenticationExtension):
    """The browser's session."""

    target_class = "accounts.authentication.ApiSessionAuthentication"
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "Unsafe methods also need the header `X-CSRFToken` with the value of the CSRF cookie.",
        }
