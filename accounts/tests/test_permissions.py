from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import Context, Template
from django.utils import timezone

from accounts import grants
from accounts.actors import SYSTEM
from accounts.models import User
from accounts.permissions import can, region_scopes, require, sees_all
from hub.exceptions import NotAllowed, NotFound

from .factories import UserFactory, token_for

pytestmark = pytest.mark.django_db


@dataclass
class Thing:
    """Something of an owner's, as a domain app would have it."""

    owner: User
    region_slug: str = "us-east-1"
    _meta: Any = field(default_factory=lambda: SimpleNamespace(verbose_name="server"))


@pytest.fixture(autouse=True)
def _owner_rule(monkeypatch):
    monkeypatch.setattr(grants, "_rules", dict(grants._rules))
    grants.register(Thing, lambda actor, verb, thing: thing.owner.pk == actor.pk)  # type: ignore[type-var]


def test_owner_may_control_his_own_and_a_stranger_may_not_see_it(owner, stranger):
    thing = Thing(owner)

    assert can(owner, "servers.control", thing)
    assert not can(stranger, "servers.control", thing)
    with pytest.raises(NotFound):
        require(stranger, "servers.control", thing)


def test_who_may_look_but_not_act_is_told_so(owner):
    viewer = UserFactory(role="Viewer")

    with pytest.raises(NotAllowed):
        require(viewer, "servers.control", Thing(owner))


def test_owner_with_a_role_that_has_none_of_his_own_may_not_act():
    viewer = UserFactory(role="Viewer")

    assert can(viewer, "servers.view", Thing(viewer))
    assert not can(viewer, "servers.control", Thing(viewer))


def test_operator_acts_on_anybodys(owner):
    assert can(UserFactory(role="Operator"), "servers.control", Thing(owner))


def test_operator_limited_to_regions_acts_only_there(owner):
    operator = UserFactory(role="Operator", regions=["eu-central-1"])

    assert can(operator, "servers.control", Thing(owner, "eu-central-1"))
    assert not can(operator, "servers.control", Thing(owner, "us-east-1"))
    assert not sees_all(operator, "servers.view")
    assert region_scopes(operator) == {"eu-central-1"}


def test_operator_limited_to_regions_keeps_what_is_his_own_elsewhere():
    operator = UserFactory(role="Operator", regions=["eu-central-1"])

    assert can(operator, "servers.control", Thing(operator, "us-east-1"))


def test_admin_is_never_limited_to_regions(owner):
    admin = UserFactory(role="Admin", regions=["eu-central-1"])

    assert region_scopes(admin) is None
    assert can(admin, "servers.control", Thing(owner, "us-east-1"))


def test_system_may_everything_and_nobody_nothing(owner):
    assert can(SYSTEM, "users.purge")
    assert not can(AnonymousUser(), "templates.view")
    assert not can(UserFactory(role=""), "templates.view")


@pytest.mark.parametrize("state", [{"is_active": False}, {"suspended_at": timezone.now()}])
def test_stopped_account_may_nothing(state):
    admin = UserFactory(role="Admin", **state)

    assert not can(admin, "templates.view")
    assert not can(admin, "users.view", admin)


def test_unknown_verb_is_a_programming_error(owner):
    with pytest.raises(LookupError, match=r"servers\.fly"):
        can(owner, "servers.fly")


def test_permission_checks_cost_one_query_for_a_user_fetched_plainly(owner, django_assert_num_queries):
    user = User.objects.get(pk=owner.pk)

    with django_assert_num_queries(1):
        for verb in ("servers.view", "servers.create", "templates.view", "nodes.view"):
            can(user, verb)
        can(user, "servers.control", Thing(owner))


def test_permission_checks_cost_no_query_for_a_user_fetched_with_access(owner, django_assert_num_queries):
    user = User.objects.with_access().get(pk=owner.pk)

    with django_assert_num_queries(0):
        assert can(user, "servers.create")


@pytest.mark.parametrize(
    ("scopes", "verb", "allowed"),
    [
        ([], "servers.control", True),
        (["servers.control"], "servers.control", True),
        (["servers.control"], "servers.delete", False),
        (["servers.*"], "servers.delete", True),
        (["servers.*"], "templates.view", False),
        (["read"], "servers.view", True),
        (["read"], "servers.control", False),
        (["nodes.change"], "nodes.change", False),
    ],
)
def test_scope_only_restricts_what_the_owner_may(owner, scopes, verb, allowed):
    owner.api_token, _ = token_for(owner, scopes=scopes)

    assert can(owner, verb) is allowed


def test_scope_of_a_plain_verb_covers_everybodys_for_an_operator(owner):
    operator = UserFactory(role="Operator")
    operator.api_token, _ = token_for(operator, scopes=["servers.control"])

    assert can(operator, "servers.control", Thing(owner))
    assert can(operator, "servers.control_any")
    assert not can(operator, "servers.delete", Thing(owner))


def test_users_see_themselves_and_admins_see_all(owner, stranger, admin):
    assert list(User.objects.visible_to(owner)) == [owner]
    assert set(User.objects.visible_to(admin)) == {owner, stranger, admin}
    assert not User.objects.visible_to(AnonymousUser()).exists()


def test_template_filter_hides_what_would_be_refused(owner):
    template = Template('{% load permissions %}{% if user|can:"servers.create" %}new{% endif %}')

    assert template.render(Context({"user": owner})) == "new"
    assert template.render(Context({"user": UserFactory(role="Viewer")})) == ""


def test_template_tag_asks_about_an_object(owner, stranger):
    template = Template('{% load permissions %}{% can_on user "servers.control" thing as may %}{{ may }}')

    assert template.render(Context({"user": owner, "thing": Thing(owner)})) == "True"
    assert template.render(Context({"user": stranger, "thing": Thing(owner)})) == "False"
