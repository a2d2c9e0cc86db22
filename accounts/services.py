"""What can be done with accounts. Each checks the permission, locks, writes, and leaves an audit entry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from allauth.account.models import EmailAddress
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.validators import validate_slug
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError, Q
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from hub.exceptions import Conflict, Invalid, NotAllowed
from hub.secrets import new_password

from . import audit, lockout, roles
from .actors import SYSTEM, Actor
from .models import Quota, RegionScope, User
from .permissions import require
from .quotas import FIELDS as QUOTA_FIELDS
from .quotas import lock_owner

ADMIN_USERNAME = "admin"
PURGE_PHRASE = "DELETE_ALL_USERS_BUT_ADMINS"
PROFILE_FIELDS = ("first_name", "last_name", "email", "region_preference", "timezone", "theme")


def create_user(
    username: str,
    *,
    actor: Actor,
    role: str = roles.PLAYER,
    email: str = "",
    password: str | None = None,
    is_service: bool = False,
    **profile: Any,
) -> User:
    """Make an account. Without a password nobody can log in with one (a service account never has one)."""
    require(actor, "users.create")
    if role != roles.PLAYER:
        require(actor, "roles.change")
    _check_role(role)
    if is_service and password is not None:
        raise Invalid("A service account has no password.", field="password")
    user = User(
        username=User.normalize_username(username),
        email=User.objects.normalize_email(email),
        is_service=is_service,
        is_staff=role in roles.STAFF_ROLES,
        **_known_profile(profile),
    )
    _check_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        _save_checked(user)
        user.groups.set([_group(role)])
        audit.record(actor, "user.created", user, role=role, email=user.email, is_service=is_service)
    return user


def welcome_user(user: User, *, role: str = roles.PLAYER) -> None:
    """Give a person who just registered his role. He acts for himself: registration is open to those it lets in."""
    user.groups.set([_group(role)])
    if role in roles.STAFF_ROLES:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    audit.record(user, "user.registered", user, role=role)


def note_password_change(user: User) -> None:
    """After allauth stored a new password: void the user's signed tokens. His other sessions end by themselves."""
    with transaction.atomic():
        locked = lock_owner(user)
        locked.token_version += 1
        locked.save(update_fields=["token_version"])
        audit.record(user, "user.password_changed", user)


@sensitive_variables("password")
def reset_password(user: User, password: str, *, actor: Actor) -> User:
    """Give somebody a new password: his sessions, signed tokens and lockout end."""
    require(actor, "users.reset", user)
    return _replace_password(user, password, actor)


@sensitive_variables("password")
def reset_players_password(user: User, password: str, *, actor: Actor, **why: Any) -> User:
    """The same to a Player, for an app that has checked the actor's right to it; `why` goes into the audit trail.

    Nobody of rank can be taken over by this, nor an account of a program, and nobody replaces his own password unasked.
    """
    with transaction.atomic():
        locked = lock_owner(user)
        if locked.role != roles.PLAYER or locked.is_staff or locked.is_superuser or locked.is_service:
            raise NotAllowed("Only the passwords of Players are reset here.", code="not_a_player")
        if isinstance(actor, User) and actor.pk == locked.pk:
            raise Conflict("Change your own password in your profile.", code="own_password")
        return _replace_password(locked, password, actor, **why)


@sensitive_variables("password")
def _replace_password(user: User, password: str, actor: Actor, **why: Any) -> User:
    if user.is_service:
        raise Invalid("A service account has no password.", field="password")
    _check_password(password, user)
    with transaction.atomic():
        locked = lock_owner(user)
        locked.set_password(password)
        locked.token_version += 1
        locked.save(update_fields=["password", "token_version"])
        audit.record(actor, "user.password_reset", locked, **why)
    lockout.forget(user)
    return _refreshed(user)


def verify_user(user: User, *, actor: Actor) -> User:
    """Vouch for a person's e-mail address in place of his confirmation."""
    require(actor, "users.reset", user)
    if not user.email:
        raise Conflict("This account has no e-mail address.")
    with transaction.atomic():
        locked = lock_owner(user)
        rows = EmailAddress.objects.filter(user=locked)
        if rows.filter(email__iexact=locked.email, verified=True).exists():
            raise Conflict("This address is verified already.")
        rows.delete()
        EmailAddress.objects.create(user=locked, email=locked.email.lower(), verified=True, primary=True)
        audit.record(actor, "user.verified", locked, email=locked.email)
    return _refreshed(user)


def purge_users(phrase: str, *, actor: Actor) -> dict[str, int]:
    """Delete every account but Admins and those who still own something; answers how many went and stayed."""
    require(actor, "users.purge")
    if phrase != PURGE_PHRASE:
        raise Invalid(f"Type {PURGE_PHRASE} to go on.", field="phrase")
    counts = {"deleted": 0, "kept_admins": 0, "kept_owners": 0}
    with transaction.atomic():
        everybody = User.objects.select_for_update().order_by("pk")
        admins = set(User.objects.in_role(roles.ADMIN).values_list("pk", flat=True))
        for user in everybody:
            if user.pk in admins:
                counts["kept_admins"] += 1
                continue
            try:
                with transaction.atomic():
                    audit.record(actor, "user.deleted", user, reason="purge")
                    user.delete()
                counts["deleted"] += 1
            except ProtectedError:
                counts["kept_owners"] += 1
        audit.record(actor, "users.purged", None, **counts)
    return counts


def update_profile(user: User, *, actor: Actor, **values: Any) -> User:
    """Change what a person says about himself."""
    require(actor, "users.change", user)
    values = _known_profile(values)
    if "email" in values:
        # A person changes his own address by confirming the new one; an Admin vouches for it.
        require(actor, "users.change_any", user)
        values["email"] = User.objects.normalize_email(values["email"])
    with transaction.atomic():
        locked = lock_owner(user)
        changed = audit.changes({name: getattr(locked, name) for name in values}, values)
        if not changed["after"]:
            return _refreshed(user)
        for name, value in changed["after"].items():
            setattr(locked, name, value)
        _save_checked(locked, update_fields=list(changed["after"]))
        if "email" in changed["after"]:
            EmailAddress.objects.filter(user=locked).delete()
        audit.record(actor, "user.updated", locked, **changed)
    return _refreshed(user)


def set_role(user: User, role: str, *, actor: Actor) -> User:
    """Give a user exactly this role. It holds from his next request on."""
    require(actor, "roles.change")
    _check_role(role)
    with transaction.atomic():
        locked = _lock_with_admins(user)
        before = locked.role
        if role == before:
            return _refreshed(user)
        if role != roles.ADMIN:
            _keep_one_admin(locked)
        locked.groups.set([_group(role)])
        locked.is_staff = role in roles.STAFF_ROLES
        locked.save(update_fields=["is_staff"])
        audit.record(actor, "user.role_changed", locked, before={"role": before}, after={"role": role})
    return _refreshed(user)


def set_regions(user: User, region_slugs: Iterable[str], *, actor: Actor) -> User:
    """Limit a user (an Operator) to these regions; none means all."""
    require(actor, "roles.change")
    wanted = sorted(set(region_slugs))
    for slug in wanted:
        _check(validate_slug, slug, field="regions")
    with transaction.atomic():
        locked = lock_owner(user)
        before = sorted(locked.region_scopes.values_list("region_slug", flat=True))
        if before == wanted:
            return _refreshed(user)
        locked.region_scopes.exclude(region_slug__in=wanted).delete()
        RegionScope.objects.bulk_create(
            [RegionScope(user=locked, region_slug=slug) for slug in wanted if slug not in before]
        )
        audit.record(actor, "user.regions_changed", locked, before={"regions": before}, after={"regions": wanted})
    return _refreshed(user)


def set_quota(user: User, *, actor: Actor, **limits: int | None) -> Quota:
    """Set some of a user's own limits; None returns to that of the role."""
    require(actor, "quotas.change")
    for name, limit in limits.items():
        if name not in QUOTA_FIELDS:
            raise Invalid(f"There is no quota for {name}.", field=name)
        if limit is not None and not 0 <= limit <= 2_147_483_647:
            raise Invalid("A limit is a whole number from 0.", field=name)
    with transaction.atomic():
        locked = lock_owner(user)
        quota = Quota.objects.filter(user=locked).first() or Quota(user=locked)
        before = {name: getattr(quota, name) for name in limits}
        if before != limits:
            for name, limit in limits.items():
                setattr(quota, name, limit)
            quota.save()
            audit.record(actor, "user.quota_changed", locked, **audit.changes(before, limits))
    return quota


def suspend_user(user: User, *, reason: str, actor: Actor) -> User:
    """Stop an account: it may see the reason and log out. Its tokens stop too."""
    require(actor, "users.suspend", user)
    if not reason.strip():
        raise Invalid("Say why: the person reads it.", field="reason")
    with transaction.atomic():
        locked = _lock_with_admins(user)
        if locked.is_suspended:
            raise Conflict("This account is suspended already.")
        _keep_one_admin(locked)
        locked.suspended_at, locked.suspension_reason = timezone.now(), reason.strip()
        locked.token_version += 1
        locked.save(update_fields=["suspended_at", "suspension_reason", "token_version"])
        audit.record(actor, "user.suspended", locked, reason=reason.strip())
    return _refreshed(user)


def unsuspend_user(user: User, *, actor: Actor) -> User:
    """Let a suspended account act again."""
    require(actor, "users.suspend", user)
    with transaction.atomic():
        locked = lock_owner(user)
        if not locked.is_suspended:
            raise Conflict("This account is not suspended.")
        locked.suspended_at, locked.suspension_reason = None, ""
        locked.save(update_fields=["suspended_at", "suspension_reason"])
        audit.record(actor, "user.unsuspended", locked)
    return _refreshed(user)


def deactivate_user(user: User, *, actor: Actor) -> User:
    """Close an account without deleting what it owns: no login, no session, no token."""
    require(actor, "users.suspend", user)
    with transaction.atomic():
        locked = _lock_with_admins(user)
        if not locked.is_active:
            raise Conflict("This account is not active.")
        _keep_one_admin(locked)
        locked.is_active = False
        locked.token_version += 1
        locked.save(update_fields=["is_active", "token_version"])
        audit.record(actor, "user.deactivated", locked)
    return _refreshed(user)


def activate_user(user: User, *, actor: Actor) -> User:
    """Open a closed account again."""
    require(actor, "users.suspend", user)
    with transaction.atomic():
        locked = lock_owner(user)
        if locked.is_active:
            raise Conflict("This account is active.")
        locked.is_active = True
        locked.save(update_fields=["is_active"])
        audit.record(actor, "user.activated", locked)
    return _refreshed(user)


def ensure_admin(password: str | None = None) -> str | None:
    """Make the user `admin` unless there is one; answers the password when it was generated here, else None."""
    roles.sync_roles()
    if User.objects.filter(username=ADMIN_USERNAME).exists():
        return None
    generated = None if password else new_password(20)
    create_user(ADMIN_USERNAME, actor=SYSTEM, role=roles.ADMIN, password=password or generated)
    return generated


def _lock_with_admins(user: User) -> User:
    """Lock the user and every Admin, in one order, so that two demotions cannot each leave the other as the last."""
    admins = User.objects.in_role(roles.ADMIN).values("pk")
    rows = User.objects.select_for_update(no_key=True).filter(Q(pk=user.pk) | Q(pk__in=admins)).order_by("pk")
    return next(row for row in rows if row.pk == user.pk)


def _keep_one_admin(user: User) -> None:
    """Refuse what would leave the hub without an Admin who can act. The rows are locked, so the count is final."""
    if user.role == roles.ADMIN and not User.objects.in_role(roles.ADMIN).able().exclude(pk=user.pk).exists():
        raise Conflict("This is the last Admin. Make somebody else Admin first.", code="last_admin")


def _refreshed(user: User) -> User:
    """Bring the caller's own instance up to date."""
    user.refresh_from_db()
    return user


def _group(role: str) -> Group:
    return Group.objects.get_or_create(name=role)[0]


def _check_role(role: str) -> None:
    if role not in roles.ROLES:
        raise Invalid(f"A role is one of {', '.join(roles.ROLES)}.", field="role")


def _known_profile(values: dict[str, Any]) -> dict[str, Any]:
    for name in values:
        if name not in PROFILE_FIELDS:
            raise Invalid("This cannot be set here.", field=name)
    return values


def _check_password(password: str | None, user: User) -> None:
    if password is not None:
        _check(validate_password, password, user, field="password")


def _check(validator: Any, *values: Any, field: str) -> None:
    try:
        validator(*values)
    except ValidationError as error:
        raise Invalid(" ".join(error.messages), field=field) from None


def _save_checked(user: User, **options: Any) -> None:
    """Validate and save; a clash that slips between the two reads the same as one found before."""
    try:
        user.full_clean(exclude=["password"])
        with transaction.atomic():
            user.save(**options)
    except ValidationError as error:
        field, messages = next(iter(error.message_dict.items()))
        raise Invalid(" ".join(messages), field=_field_of(field, messages)) from None
    except IntegrityError as error:
        field = "email" if "email" in str(error) else "username"
        raise Invalid(f"A user with this {field} already exists.", field=field) from None


def _field_of(field: str, messages: list[str]) -> str:
    if field != "__all__":
        return field
    return "email" if any("e-mail" in message for message in messages) else "username"
