"""Bodies that the OpenAPI document shows for the accounts API."""

from __future__ import annotations

from accounts.services import PURGE_PHRASE
from hub.api.openapi import example

from . import auth
from . import serializers as shapes

example(auth.LoginSerializer, "With a second factor", {"username": "ada", "password": "a long one", "code": "492039"})
example(auth.RefreshSerializer, "Token of the last answer", {"refresh": "eyJhbGciOi…"})
example(auth.DeleteSerializer, "It is meant", {"password": "a long one"})
example(
    auth.RegisterSerializer,
    "By an invitation",
    {"username": "ada", "email": "ada@example.org", "password": "a long one", "invite": "8f2c…"},
)
example(auth.DeleteSerializer, "With the password once more", {"password": "a long one"})
example(
    shapes.UserCreateSerializer,
    "A service account",
    {"username": "build-farm", "role": "Operator", "is_service": True},
)
example(
    shapes.ProfileSerializer,
    "Where and when one is",
    {"first_name": "Ada", "region_preference": "eu-central-1", "timezone": "Africa/Nairobi", "theme": "dark"},
)
example(shapes.RoleSerializer, "An Operator", {"role": "Operator"})
example(shapes.RegionsSerializer, "Two regions only", {"regions": ["eu-central-1", "us-east-1"]})
example(
    shapes.QuotaSerializer,
    "More servers, memory as the role has it",
    {"servers": 20, "memory_mb": None, "cpu_percent": 800, "disk_mb": 200_000},
)
example(shapes.SuspensionSerializer, "With the reason that he reads", {"reason": "Mail to you comes back."})
example(shapes.PasswordSerializer, "A new password", {"password": "correct horse battery"})
example(shapes.PurgeSerializer, "It is meant", {"phrase": PURGE_PHRASE})
example(shapes.InviteSerializer, "A player, for a week", {"role": "Player", "note": "Ada", "days": 7})
example(
    shapes.TokenCreateSerializer,
    "Power from one network, for a year",
    {
        "name": "nightly restart",
        "scopes": ["read", "servers.control"],
        "allowed_networks": ["192.0.2.0/24"],
        "expires_at": "2027-12-01T00:00:00Z",
    },
)
example(shapes.TokenUpdateSerializer, "Switch it off", {"is_enabled": False})
example(shapes.TokenRotateSerializer, "Both work for an hour", {"overlap_seconds": 3600})
