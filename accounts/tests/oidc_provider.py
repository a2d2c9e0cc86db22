"""An OpenID Connect provider for tests: allauth's own, in a process of its own on SQLite.

`python -m accounts.tests.oidc_provider FOLDER CALLBACK` serves until it is stopped and writes its address to
FOLDER/address. Client `hub` with secret `hub-secret`; everybody's password is `provider password`, and a user's
groups are in the claim `groups`. It may not be imported by anything: it configures Django for itself.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

PASSWORD = "provider password"
PEOPLE = {
    "ada": ("ada@example.org", ["hub-admins", "everybody"]),
    "bob": ("bob@example.org", ["crew"]),
    "eve": ("eve@example.org", ["everybody"]),
}


def configure(folder: Path) -> None:
    """Django with accounts and the provider, and nothing of the hub's."""
    import django
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa
    from django.conf import settings

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    settings.configure(
        SECRET_KEY="x" * 50,
        ALLOWED_HOSTS=["127.0.0.1"],
        ROOT_URLCONF="accounts.tests.oidc_provider_urls",
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "provider.sqlite3")}},
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.sessions",
            "django.contrib.messages",
            "allauth",
            "allauth.account",
            "allauth.idp.oidc",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
            "allauth.account.middleware.AccountMiddleware",
        ],
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
        AUTHENTICATION_BACKENDS=["allauth.account.auth_backends.AuthenticationBackend"],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        SESSION_COOKIE_NAME="provider",
        CSRF_COOKIE_NAME="provider-csrf",
        ACCOUNT_EMAIL_VERIFICATION="none",
        IDP_OIDC_ADAPTER="accounts.tests.oidc_provider_urls.GroupsAdapter",
        IDP_OIDC_PRIVATE_KEY=pem.decode(),
        USE_TZ=True,
    )
    django.setup()


def fill(callback: str) -> None:
    """People, their groups, and the hub as a client."""
    from allauth.account.models import EmailAddress
    from allauth.idp.oidc.models import Client
    from django.contrib.auth.models import Group, User
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    for name, (address, groups) in PEOPLE.items():
        user = User.objects.create_user(name, address, PASSWORD)
        user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])
        EmailAddress.objects.create(user=user, email=address, verified=True, primary=True)
    client = Client(
        id="hub", name="Kutanga Hub", redirect_uris=callback, scopes="openid\nprofile\nemail", skip_consent=True
    )
    client.set_secret("hub-secret")
    client.save()


class Quiet(WSGIRequestHandler):
    """Says nothing about each request."""

    def log_message(self, *args: Any) -> None:
        """Nothing."""


def main(folder: str, callback: str) -> None:
    configure(Path(folder))
    fill(callback)
    from django.core.wsgi import get_wsgi_application

    server = make_server("127.0.0.1", 0, get_wsgi_application(), handler_class=Quiet)
    (Path(folder) / "address.part").write_text(f"http://127.0.0.1:{server.server_port}")
    (Path(folder) / "address.part").rename(Path(folder) / "address")
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
