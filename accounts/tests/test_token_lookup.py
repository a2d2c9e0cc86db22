"""The written-out look-up of a token says what the ORM says."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import ApiToken
from accounts.querysets import ACCESS_COLUMNS, adopt_owner
from accounts.tests.factories import UserFactory, token_for

pytestmark = pytest.mark.django_db


def test_look_up_fetches_every_field_of_token_and_owner() -> None:
    owner = UserFactory(role="Operator", regions=["us-east-1"])
    token, _ = token_for(
        owner,
        scopes=["servers.view"],
        allowed_networks=["10.0.0.0/8", "::1"],
        expires_at=timezone.now() + timedelta(days=1),
    )
    ApiToken.objects.filter(pk=token.pk).update(last_used_ip="::1", last_used_at=timezone.now())
    by_orm = ApiToken.objects.with_owner().get(pk=token.pk)

    found = ApiToken.objects.find(by_orm.digest)

    assert found is not None
    for one, other in ((found, by_orm), (found.user, by_orm.user)):
        for field in other._meta.concrete_fields:
            assert getattr(one, field.attname) == getattr(other, field.attname), field.name
    assert [getattr(found, name) for name in ACCESS_COLUMNS] == [getattr(by_orm, name) for name in ACCESS_COLUMNS]


def test_owner_found_needs_no_further_query(django_assert_num_queries) -> None:
    token, _ = token_for(UserFactory(role="Admin"))

    with django_assert_num_queries(1):
        found = ApiToken.objects.find(token.digest)
        assert found is not None
        assert adopt_owner(found).role == "Admin"


def test_unknown_digest_finds_nothing() -> None:
    assert ApiToken.objects.find("no such digest") is None
