"""Single sign-on as the environment has it, for the settings; `accounts.sign_on` says what becomes of it."""

from __future__ import annotations

from typing import Any

from .env import Env, EnvError

PROVIDER_ID = "hub"
ROLES = ("Admin", "Operator", "Viewer", "Player")


def read(env: Env) -> dict[str, Any]:
    """What is configured, {} when single sign-on is off."""
    url = env.text("HUB_OIDC_URL", "", help="Issuer of an OpenID Connect provider; set: single sign-on by it.")
    client = env.text("HUB_OIDC_CLIENT_ID", "", help="The hub's name at that provider.")
    secret = env.text("HUB_OIDC_CLIENT_SECRET", "", help="The hub's secret at that provider.")
    found: dict[str, Any] = {
        "provider_id": PROVIDER_ID,
        "name": env.text("HUB_OIDC_NAME", "single sign-on", help="What the button of the login page calls it."),
        "scopes": env.words("HUB_OIDC_SCOPES", ("openid", "profile", "email"), help="What is asked of the provider."),
        "groups_claim": env.text("HUB_OIDC_GROUPS_CLAIM", "groups", help="Claim that lists a person's groups."),
        "roles": _roles(env),
        "role": env.choice(
            "HUB_OIDC_ROLE", "Player", (*ROLES, "none"), help="Role of who is in none of these groups; none: no login."
        ),
    }
    if not url:
        return {}
    if not url.startswith(("https://", "http://")):
        raise EnvError("HUB_OIDC_URL", "must begin with https:// (or http:// for a test)")
    if not client or not secret:
        raise EnvError("HUB_OIDC_URL", "needs HUB_OIDC_CLIENT_ID and HUB_OIDC_CLIENT_SECRET as well")
    return {**found, "role": found["role"].replace("none", ""), "url": url, "client_id": client, "secret": secret}


def providers(found: dict[str, Any]) -> dict[str, Any]:
    """The same as allauth's SOCIALACCOUNT_PROVIDERS."""
    if not found:
        return {}
    app = {
        "provider_id": found["provider_id"],
        "name": found["name"],
        "client_id": found["client_id"],
        "secret": found["secret"],
        "settings": {
            "server_url": found["url"],
            "fetch_userinfo": True,
            "oauth_pkce_enabled": True,
            "scope": found["scopes"],
        },
    }
    return {"openid_connect": {"APPS": [app]}}


def _roles(env: Env) -> dict[str, str]:
    """`group=Role` by comma as a table."""
    table = {}
    for pair in env.words("HUB_OIDC_ROLES", help="Groups and their roles, such as hub-admins=Admin,crew=Operator."):
        group, sign, role = pair.rpartition("=")
        if not sign or role not in ROLES:
            raise EnvError("HUB_OIDC_ROLES", f"reads group=Role, each Role one of {', '.join(ROLES)}")
        table[group] = role
    return table
