"""Queries whose SQL is kept: never a row of them, and apart for whom they are narrowed to."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db.models import Count, Q, QuerySet
from django.test import Client

from accounts.models import RegionScope, User
from accounts.tests.factories import UserFactory
from hub.nodes.models import Region
from hub.nodes.tests.factories import RegionFactory
from hub.statements import Statement, statement, totals
from hub.testing import api_client, count_queries

from .world import make_world

pytestmark = pytest.mark.django_db
SAMPLE = "a slug that is nowhere"


def by_slug(slug: str) -> QuerySet[Any, Any]:
    return Region.objects.filter(slug=slug).values_list("slug", "name")


def test_asks_the_database_every_time() -> None:
    kept = Statement(lambda: Region.objects.order_by("slug").values_list("slug"))
    before = kept.rows()

    RegionFactory(slug="new")

    assert ("new",) not in before
    assert ("new",) in kept.rows()


def test_takes_arguments_in_the_place_of_its_samples() -> None:
    RegionFactory(slug="one", name="One")
    RegionFactory(slug="two", name="Two")
    kept = Statement(by_slug, SAMPLE)

    assert kept.rows("one") == [("one", "One")]
    assert kept.rows("two") == [("two", "Two")]
    assert kept.rows(SAMPLE) == []


def test_a_statement_that_can_find_nothing_asks_nothing() -> None:
    kept = Statement(lambda: Region.objects.none().values_list("slug"))

    assert (kept.rows(), kept.digest()) == ([], "")
    assert count_queries(kept.rows) == 0


def test_the_digest_follows_the_rows() -> None:
    region = RegionFactory(slug="one", name="One")
    kept = Statement(by_slug, SAMPLE)
    before = kept.digest("one")

    Region.objects.filter(pk=region.pk).update(name="Other")

    assert before != kept.digest("one") != ""
    assert kept.digest("nothing") == ""


def test_totals_are_one_row_without_groups() -> None:
    RegionFactory(slug="a-1")
    RegionFactory(slug="a-2")
    some = Region.objects.filter(slug__startswith="a-")
    kept = Statement(lambda: totals(some, all=Count("pk"), ones=Count("pk", filter=Q(slug="a-1"))))

    assert kept.rows() == [(2, 1)]


def test_the_same_key_is_compiled_once() -> None:
    built: list[int] = []

    def build() -> QuerySet[Any, Any]:
        built.append(1)
        return Region.objects.values_list("slug")

    first, second = statement("test: once", build), statement("test: once", build)

    assert first is second
    assert len(built) == 1


def test_a_role_that_was_taken_away_narrows_the_next_answer() -> None:
    world = make_world()
    operator: User = world.people["operator"]
    browser = Client()
    browser.force_login(operator)
    api = api_client(operator)
    before = (browser.get("/servers/").content, api.get("/api/v1/servers").json()["count"])

    operator.groups.set([Group.objects.get(name="Player")])
    after = (browser.get("/servers/").content, api_client(User.objects.get(pk=operator.pk)).get("/api/v1/servers"))

    assert before[1] > 0
    assert after[1].json()["count"] == 0
    assert len(after[0]) < len(before[0])


def test_a_region_that_was_taken_away_narrows_the_next_answer() -> None:
    world = make_world()
    operator: User = world.people["operator"]
    assert api_client(operator).get("/api/v1/servers").json()["count"] > 0

    RegionScope.objects.create(user=operator, region_slug="elsewhere")

    assert api_client(User.objects.get(pk=operator.pk)).get("/api/v1/servers").json()["count"] == 0


def test_a_session_that_was_ended_or_ran_out_is_nobody() -> None:
    browser = Client()
    browser.force_login(UserFactory())
    assert browser.get("/").status_code == 200

    session = browser.session
    session.set_expiry(-1)
    session.save()

    assert browser.get("/").status_code == 302
