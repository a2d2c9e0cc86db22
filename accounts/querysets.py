"""Named filters and the one query that answers every permission question about a user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.contrib.postgres.fields import ArrayField
from django.db import connection, models
from django.db.models import Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from hub.postgres.prepared import prepared_cursor
from hub.statements import column_names, statement

from . import roles

if TYPE_CHECKING:
    from .actors import Asker
    from .models import ApiToken, AuditEntry, Invite, RequestEntry, TokenFamily, User  # noqa: F401 - some in base classes, as strings


@dataclass(frozen=True)
class Access:
    """What the permission checks know about a user: roles, and the regions he is limited to (None: all)."""

    roles: frozenset[str]
    regions: frozenset[str] | None

    @classmethod
    def of(cls, role_names: list[str], region_slugs: list[str]) -> Access:
        held = frozenset(role_names) & frozenset(roles.ROLES)
        limited = region_slugs and roles.ADMIN not in held
        return cls(held, frozenset(region_slugs) if limited else None)


ACCESS_COLUMNS = ("_role_names", "_region_slugs")
SAMPLE_USER = -7_001
_NAMES = ArrayField(models.TextField())


def _access_columns(owner: str) -> dict[str, RawSQL]:
    """Annotations for a query that has the user's key in the column `owner`.

    Written as SQL because every request asks for them: building the same two subqueries by the ORM takes 0.7 ms of CPU,
    seven times what they cost this way. The text is fixed, nothing is put into it but our own column names.
    """
    roles_sql = f"""ARRAY(
        SELECT held.name::text FROM accounts_user_groups membership
        JOIN auth_group held ON held.id = membership.group_id
        WHERE membership.user_id = {owner})"""  # noqa: S608 - our own column name
    regions_sql = f"ARRAY(SELECT region_slug::text FROM accounts_regionscope WHERE user_id = {owner})"  # noqa: S608 - our own column name
    return {
        "_role_names": RawSQL(roles_sql, (), output_field=_NAMES),  # noqa: S611 - see above
        "_region_slugs": RawSQL(regions_sql, (), output_field=_NAMES),  # noqa: S611 - see above
    }


USER_ACCESS = _access_columns("accounts_user.id")
TOKEN_OWNER_ACCESS = _access_columns("accounts_apitoken.user_id")


def fetch_access(user: User) -> Access:
    """What is known about a user's access: from the columns he was fetched with, else by one query."""
    if "_role_names" in user.__dict__:
        return Access.of(user.__dict__["_role_names"], user.__dict__["_region_slugs"])
    rows = type(user)._base_manager.filter(pk=user.pk).annotate(**USER_ACCESS).values(*ACCESS_COLUMNS)
    row = rows.first() or {"_role_names": [], "_region_slugs": []}
    return Access.of(row["_role_names"], row["_region_slugs"])


def user_of_row(row: tuple[Any, ...]) -> User:
    """A user of all his columns and the access columns behind them."""
    from .models import User

    user = User.from_db(connection.alias, column_names(User), row[: -len(ACCESS_COLUMNS)])
    for name, value in zip(ACCESS_COLUMNS, row[-len(ACCESS_COLUMNS) :], strict=True):
        setattr(user, name, value)
    return user


def forget_access(user: User) -> None:
    """Let the next question ask the database again."""
    for name in ("access", *ACCESS_COLUMNS):
        user.__dict__.pop(name, None)


class UserQuerySet(models.QuerySet["User"]):
    """Users."""

    def with_access(self) -> UserQuerySet:
        """Fetch roles and regions along, so that no permission check needs a query."""
        return self.annotate(**USER_ACCESS)

    def with_key(self, pk: int) -> User | None:
        """This user as `with_access` fetches him, by a kept statement."""
        found = statement("user with access", self._with_key, SAMPLE_USER).rows(pk)
        return user_of_row(found[0]) if found else None

    def _with_key(self, pk: int) -> models.QuerySet[User, tuple[Any, ...]]:
        return self.with_access().filter(pk=pk).values_list(*column_names(self.model), *ACCESS_COLUMNS)

    def able(self) -> UserQuerySet:
        return self.filter(is_active=True, suspended_at=None)

    def in_role(self, role: str) -> UserQuerySet:
        return self.filter(pk__in=Group.objects.filter(name=role).values("user__pk"))

    def named(self, login: str) -> User | None:
        """The user with this username or e-mail address, however it is written."""
        return self.filter(Q(username__iexact=login) | Q(email__iexact=login)).first() if login else None

    def visible_to(self, actor: Asker) -> UserQuerySet:
        """Those whom the actor may see: everybody, or himself and, for an Operator of regions, the Players there."""
        from .permissions import can, region_limit, sees_all

        if sees_all(actor, "users.view"):
            return self
        if not can(actor, "users.view"):
            return self.none()
        myself, regions = Q(pk=getattr(actor, "pk", None)), region_limit(actor)
        if regions is None or not can(actor, "users.suspend"):
            return self.filter(myself)
        players = Group.objects.filter(name=roles.PLAYER).values("user__pk")
        return self.filter(myself | Q(region_preference__in=regions, is_service=False, pk__in=players))


class UserManager(DjangoUserManager["User"].from_queryset(UserQuerySet)):  # type: ignore[misc]  # built at run time
    """Makes users; a superuser is a member of Admin, because the role decides and nothing goes around it."""

    def create_superuser(
        self, username: str, email: str | None = None, password: str | None = None, **extra: Any
    ) -> User:
        user: User = self.create_user(username, email, password, **{**extra, "is_staff": True})
        user.groups.set([Group.objects.get_or_create(name=roles.ADMIN)[0]])
        return user

    create_superuser.alters_data = True  # type: ignore[attr-defined]  # as Django marks it for templates


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    """API tokens."""

    def unexpired(self) -> ApiTokenQuerySet:
        return self.filter(Q(expiry=None) | Q(expiry__gt=timezone.now()))

    def with_owner(self) -> ApiTokenQuerySet:
        """Fetch the owner with all that permission checks need, in the same query; see `adopt_owner`."""
        return self.select_related("user").annotate(**TOKEN_OWNER_ACCESS)

    def find(self, digest: str) -> ApiToken | None:
        """The token of this digest as `with_owner` fetches it; written out, because every request of a program asks."""
        from .models import ApiToken, User

        with prepared_cursor() as cursor:
            cursor.execute(_find_sql(ApiToken, User), [digest])
            row = cursor.fetchone()
        if row is None:
            return None
        owner_at, access_at = len(column_names(ApiToken)), -len(ACCESS_COLUMNS)
        token = ApiToken.from_db(connection.alias, column_names(ApiToken), row[:owner_at])
        token.user = User.from_db(connection.alias, column_names(User), row[owner_at:access_at])
        for name, value in zip(ACCESS_COLUMNS, row[access_at:], strict=True):
            setattr(token, name, value)
        return token

    def visible_to(self, actor: Asker) -> ApiTokenQuerySet:
        from .permissions import can, sees_all

        if sees_all(actor, "tokens.view"):
            return self
        return self.filter(user=getattr(actor, "pk", None)) if can(actor, "tokens.own") else self.none()


class TokenFamilyQuerySet(models.QuerySet["TokenFamily"]):
    """Logins by signed tokens."""

    def live(self) -> TokenFamilyQuerySet:
        return self.filter(revoked_at=None, expires_at__gt=timezone.now())


def adopt_owner(token: ApiToken) -> User:
    """The owner of a token that was fetched `with_owner`, with his access columns."""
    user = token.user
    for name in ACCESS_COLUMNS:
        setattr(user, name, getattr(token, name))
    return user


@cache
def _find_sql(token: type[ApiToken], user: type[User]) -> str:
    columns = [
        f"{model._meta.db_table}.{field.column}" for model in (token, user) for field in model._meta.concrete_fields
    ]
    columns += [TOKEN_OWNER_ACCESS[name].sql for name in ACCESS_COLUMNS]
    return f"""
        SELECT {", ".join(columns)}
        FROM accounts_apitoken JOIN accounts_user ON accounts_user.id = accounts_apitoken.user_id
        WHERE accounts_apitoken.digest = %s"""  # noqa: S608 - names of our own columns


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    """The audit trail."""

    def visible_to(self, actor: Asker) -> AuditEntryQuerySet:
        """Everything for those who may read it; who is limited to regions sees those and his own steps."""
        from .permissions import can, region_limit

        if not can(actor, "audit.view"):
            return self.none()
        regions = region_limit(actor)
        if regions is None:
            return self
        return self.filter(Q(region_slug__in=regions) | Q(actor_kind="user", actor_id=str(getattr(actor, "pk", ""))))

    def unsealed(self) -> AuditEntryQuerySet:
        return self.filter(seal=None).order_by("id")


class InviteQuerySet(models.QuerySet["Invite"]):
    """Invitations."""

    def visible_to(self, actor: Asker) -> InviteQuerySet:
        """All of them for those who may make them."""
        from .permissions import can

        if can(actor, "users.create"):
            return self
        return self.none()


class RequestEntryQuerySet(models.QuerySet["RequestEntry"]):
    """The request log."""

    def visible_to(self, actor: Asker) -> RequestEntryQuerySet:
        """Everybody's requests are for those who may see the settings."""
        from .permissions import can

        if can(actor, "settings.view"):
            return self
        return self.none()
