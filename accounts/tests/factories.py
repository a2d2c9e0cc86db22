"""Valid users, tokens and audit entries: `UserFactory(role="Admin")`, `token_for(user)`."""

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group

from accounts import roles
from accounts.actors import SYSTEM
from accounts.models import ApiToken, AuditEntry, Quota, RegionScope, User
from accounts.tokens import create_token

PASSWORD = "correct horse battery"
_HASH: list[str] = []  # of PASSWORD; hashing is meant to be slow, once is enough


def _hashed_password() -> str:
    if not _HASH:
        _HASH.append(make_password(PASSWORD))
    return _HASH[0]


class UserFactory(factory.django.DjangoModelFactory[User]):
    """A Player unless told, with the password `PASSWORD`. `regions=["us-east-1"]` limits an Operator."""

    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"person{n}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.org")
    password = factory.LazyFunction(_hashed_password)

    @factory.post_generation
    def role(self, create: bool, extracted: str | None, **kwargs: Any) -> None:
        if create:
            role = roles.PLAYER if extracted is None else extracted
            self.groups.set([Group.objects.get_or_create(name=role)[0]] if role else [])
            if role in roles.STAFF_ROLES:
                self.is_staff = True
                self.save(update_fields=["is_staff"])

    @factory.post_generation
    def regions(self, create: bool, extracted: list[str] | None, **kwargs: Any) -> None:
        for slug in extracted or []:
            RegionScope.objects.create(user=self, region_slug=slug)


class QuotaFactory(factory.django.DjangoModelFactory[Quota]):
    """A user's own limits, all of them those of his role."""

    class Meta:
        model = Quota

    user = factory.SubFactory(UserFactory)


class AuditEntryFactory(factory.django.DjangoModelFactory[AuditEntry]):
    """Something that the system did."""

    class Meta:
        model = AuditEntry

    actor_kind = "system"
    actor_name = "system"
    action = factory.Sequence(lambda n: f"thing.happened{n}")


def token_for(user: User, name: str = "a token", **limits: Any) -> tuple[ApiToken, str]:
    """A token with its plain text."""
    return create_token(user, name=name, actor=SYSTEM, **limits)


def token_header(plain: str) -> dict[str, str]:
    """The header of a request by this token, for the test client's `headers=`."""
    return {"Authorization": f"Token {plain}"}
