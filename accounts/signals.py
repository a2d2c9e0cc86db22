"""Logins, logouts and changed passwords happen in allauth; here they reach the audit trail."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as allauth_signals
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from . import audit, lockout, services


def connect() -> None:
    """Listen to the strangers' signals; called once by the app config."""
    user_logged_in.connect(_logged_in, dispatch_uid="accounts.logged_in")
    user_logged_out.connect(_logged_out, dispatch_uid="accounts.logged_out")
    user_login_failed.connect(_login_failed, dispatch_uid="accounts.login_failed")
    for signal in (allauth_signals.password_changed, allauth_signals.password_set, allauth_signals.password_reset):
        signal.connect(_password_changed, dispatch_uid="accounts.password_changed")


def _logged_in(sender: Any, user: Any, **kwargs: Any) -> None:
    audit.record(user, "user.logged_in", user)


def _logged_out(sender: Any, user: Any, **kwargs: Any) -> None:
    if user is not None and user.is_authenticated:
        audit.record(user, "user.logged_out", user)


def _login_failed(sender: Any, credentials: dict[str, Any], **kwargs: Any) -> None:
    """Name the account that was tried only if there is one: people type passwords into the wrong field."""
    from .models import User

    login = str(credentials.get("username") or credentials.get("email") or "")
    audit.record(None, "user.login_failed", User.objects.named(login))


def _password_changed(sender: Any, user: Any, **kwargs: Any) -> None:
    services.note_password_change(user)
    lockout.forget(user)
