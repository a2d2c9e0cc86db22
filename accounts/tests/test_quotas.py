from __future__ import annotations

import pytest
from django.db import transaction

from accounts.models import Quota, User
from accounts.quotas import check_quota, lock_owner, quota_for, remaining
from accounts.roles import NOTHING, QUOTA_DEFAULTS, UNLIMITED, QuotaLimits
from hub.exceptions import LimitReached

from .factories import QuotaFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_limits_of_the_role_hold_where_a_user_has_none(owner):
    QuotaFactory(user=owner, servers=1)

    limits = quota_for(owner)

    assert limits.servers == 1
    assert limits.memory_mb == QUOTA_DEFAULTS["Player"].memory_mb


def test_a_limit_of_zero_is_a_limit(owner):
    QuotaFactory(user=owner, servers=0)

    assert quota_for(owner).servers == 0


def test_admin_is_unlimited_whatever_is_stored(admin):
    QuotaFactory(user=admin, servers=0)

    assert quota_for(admin) == UNLIMITED


def test_user_without_a_role_has_nothing():
    assert quota_for(UserFactory(role="")) == NOTHING


def test_quota_costs_one_query_besides_the_roles(owner, django_assert_num_queries):
    user = User.objects.with_access().get(pk=owner.pk)

    with django_assert_num_queries(1):
        quota_for(user)


def test_what_fits_exactly_is_allowed():
    limits = QuotaLimits(servers=2, memory_mb=4096, cpu_percent=None, disk_mb=10_000)

    check_quota(limits, QuotaLimits(1, 3072, 900, 0), QuotaLimits(1, 1024, 900, 10_000))


@pytest.mark.parametrize(
    ("asked", "field", "sentence"),
    [
        (QuotaLimits(servers=2), "servers", "Your quota is 2 servers and 1 of them are left."),
        (QuotaLimits(memory_mb=2048), "memory_mb", "This needs 2048 MB of memory; 1024 of your 4096 are left."),
        (QuotaLimits(disk_mb=10_001), "disk_mb", "This needs 10001 MB of disk; 10000 of your 10000 are left."),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field_and_what_is_left(asked, field, sentence):
    limits = QuotaLimits(servers=2, memory_mb=4096, cpu_percent=None, disk_mb=10_000)

    with pytest.raises(LimitReached) as refusal:
        check_quota(limits, QuotaLimits(1, 3072, 0, 0), asked)

    assert (refusal.value.field, refusal.value.message) == (field, sentence)


def test_a_lowered_limit_refuses_only_what_asks_for_more():
    limits, used = QuotaLimits(servers=1, memory_mb=100), QuotaLimits(servers=3, memory_mb=300)

    check_quota(limits, used, QuotaLimits(servers=0, memory_mb=0))
    with pytest.raises(LimitReached):
        check_quota(limits, used, QuotaLimits(servers=1))


def test_remaining_is_never_negative_and_keeps_unlimited():
    left = remaining(QuotaLimits(servers=1, memory_mb=None), QuotaLimits(servers=3, memory_mb=5))

    assert (left.servers, left.memory_mb) == (0, None)


def test_owner_is_locked_without_blocking_rows_that_point_to_him(owner, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(1) as queries:
        assert lock_owner(owner) == owner

    assert "FOR NO KEY UPDATE" in queries.captured_queries[0]["sql"]


def test_quota_belongs_to_its_user(owner):
    QuotaFactory(user=owner)

    owner.delete()

    assert not Quota.objects.exists()
