"""Logins, logouts and changed passwords happen in allauth; here they reach the audit trail."""

from __future__ import annotations

from typing import Any

from allauth.account import signals as allauth_signals
from allauth.mfa import signals as mfa_signals
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from hub import security

from . import audit, lockout, services


def connect() -> None:
    """Listen to the strangers' signals; called once by the app config."""
    user_logged_in.connect(_logged_in, dispatch_uid="accounts.logged_in")
    user_logged_out.connect(_logged_out, dispatch_uid="accounts.logged_out")
    user_login_failed.connect(_login_failed, dispatch_uid="accounts.login_failed")
    for signal in (allauth_signals.password_changed, allauth_signals.password_set, allauth_signals.password_reset):
        signal.connect(_password_changed, dispatch_uid="accounts.password_changed")
    allauth_signals.email_confirmed.connect(_address_confirmed, dispatch_uid="accounts.address_confirmed")
    allauth_signals.email_changed.connect(_address_changed, dispatch_uid="accounts.address_changed")
    allauth_signals.email_added.connect(_address_added, dispatch_uid="accounts.address_added")
    allauth_signals.email_removed.connect(_address_removed, dispatch_uid="accounts.address_removed")
    mfa_signals.authenticator_added.connect(_factor_added, dispatch_uid="accounts.factor_added")
    mfa_signals.authenticator_removed.connect(_factor_removed, dispatch_uid="accounts.factor_removed")
    mfa_signals.authenticator_reset.connect(_codes_made, dispatch_uid="accounts.codes_made")


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
    security.note("login_failed")


def _password_changed(sender: Any, user: Any, **kwargs: Any) -> None:
    services.note_password_change(user)
    lockout.forget(user)


def _address_confirmed(sender: Any, email_address: Any, **kwargs: Any) -> None:
    user = email_address.user
    audit.record(user, "user.address_confirmed", user, email=email_address.email)


def _address_changed(
    sender: Any, user: Any, from_email_address: Any = None, to_email_address: Any = None, **kwargs: Any
) -> None:
    """The address in use is another one; allauth has stored it with the user."""
    before = getattr(from_email_address, "email", "")
    after = getattr(to_email_address, "email", "")
    audit.record(user, "user.address_changed", user, before={"email": before}, after={"email": after})


def _address_added(sender: Any, user: Any, email_address: Any, **kwargs: Any) -> None:
    audit.record(user, "user.address_added", user, email=email_address.email)


def _address_removed(sender: Any, user: Any, email_address: Any, **kwargs: Any) -> None:
    audit.record(user, "user.address_removed", user, email=email_address.email)


def _factor_added(sender: Any, user: Any, authenticator: Any, **kwargs: Any) -> None:
    audit.record(user, "user.factor_added", user, kind=authenticator.type)


def _factor_removed(sender: Any, user: Any, authenticator: Any, **kwargs: Any) -> None:
    audit.record(user, "user.factor_removed", user, kind=authenticator.type)


def _codes_made(sender: Any, user: Any, authenticator: Any, **kwargs: Any) -> None:
    audit.record(user, "user.factor_reset", user, kind=authenticator.type)
