from __future__ import annotations

import pytest
from allauth.account.models import EmailAddress
from django.db import IntegrityError, transaction

from accounts import services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, Quota, User
from accounts.permissions import can
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def last_entry() -> AuditEntry:
    return AuditEntry.objects.latest("id")


# --- create -------------------------------------------------------------------------------------------------------
def test_create_makes_a_player_who_can_log_in(admin):
    user = services.create_user("ada", actor=admin, email="Ada@Example.ORG", password=PASSWORD)

    assert user.role == "Player"
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert (last_entry().action, last_entry().target_name, last_entry().actor_name) == (
        "user.created",
        "ada",
        admin.username,
    )


def test_create_without_password_makes_one_that_never_matches(admin):
    assert not services.create_user("ada", actor=admin).has_usable_password()


@pytest.mark.parametrize("role", ["Operator", "Viewer", "Player", None])
def test_create_is_the_admins_alone(role, owner):
    actor = owner if role is None else UserFactory(role=role)

    with pytest.raises(NotAllowed):
        services.create_user("ada", actor=actor)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"username": "OWNER"}, "username"),
        ({"username": "two words"}, "username"),
        ({"username": ""}, "username"),
        ({"email": "OWNER@EXAMPLE.org"}, "email"),
        ({"email": "no address"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "newcomer123"}, "password"),
        ({"role": "Emperor"}, "role"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"region_preference": "no slug!"}, "region_preference"),
        ({"is_service": True, "password": PASSWORD}, "password"),
        ({"is_staff": True}, "is_staff"),
        ({"is_superuser": True}, "is_superuser"),
    ],
)
def test_create_names_the_field_at_fault_and_stores_nothing(admin, owner, values, field):
    before = User.objects.count(), AuditEntry.objects.count()

    with pytest.raises(Invalid) as refusal:
        services.create_user(**{"username": "newcomer123", "actor": admin, **values})

    assert refusal.value.field == field
    assert (User.objects.count(), AuditEntry.objects.count()) == before


def test_many_users_may_have_no_email(admin):
    services.create_user("one", actor=admin)
    services.create_user("two", actor=admin)

    assert User.objects.filter(email="").count() == 2


def test_database_refuses_a_second_email_in_other_case(owner):
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(username="twin", email=owner.email.upper())


def test_superuser_command_makes_an_admin_and_no_superuser():
    user = User.objects.create_superuser("chief", password=PASSWORD)

    assert (user.role, user.is_staff, user.is_superuser) == ("Admin", True, False)


# --- profile ------------------------------------------------------------------------------------------------------
def test_a_person_changes_his_own_profile(owner):
    services.update_profile(owner, actor=owner, theme="dark", timezone="Africa/Harare")

    assert (owner.theme, owner.timezone) == ("dark", "Africa/Harare")
    assert last_entry().data == {
        "before": {"theme": "auto", "timezone": "UTC"},
        "after": {"theme": "dark", "timezone": "Africa/Harare"},
    }


def test_profile_that_stays_the_same_leaves_no_entry(owner):
    services.update_profile(owner, actor=owner, theme="auto")

    assert not AuditEntry.objects.exists()


def test_profile_of_another_does_not_exist_for_a_player(owner, stranger):
    with pytest.raises(NotFound):
        services.update_profile(owner, actor=stranger, theme="dark")


def test_a_person_cannot_change_his_address_without_confirming_it(owner):
    with pytest.raises(NotAllowed):
        services.update_profile(owner, actor=owner, email="new@example.org")


def test_admin_changes_an_address_and_forgets_the_confirmed_one(admin, owner):
    EmailAddress.objects.create(user=owner, email=owner.email, verified=True, primary=True)

    services.update_profile(owner, actor=admin, email="new@example.org")

    assert owner.email == "new@example.org"
    assert not EmailAddress.objects.filter(user=owner).exists()


# --- role and regions ---------------------------------------------------------------------------------------------
def test_role_replaces_the_one_before_and_holds_at_once(admin, owner):
    assert not can(owner, "nodes.view")

    services.set_role(owner, "Operator", actor=admin)

    assert owner.role == "Operator"
    assert owner.groups.count() == 1
    assert owner.is_staff
    assert can(owner, "nodes.view")
    assert last_entry().data == {"before": {"role": "Player"}, "after": {"role": "Operator"}}


def test_role_that_stays_the_same_leaves_no_entry(admin, owner):
    services.set_role(owner, "Player", actor=admin)

    assert not AuditEntry.objects.exists()


def test_role_is_changed_by_admins_alone(owner):
    with pytest.raises(NotAllowed):
        services.set_role(owner, "Admin", actor=UserFactory(role="Operator"))
    with pytest.raises(NotAllowed):
        services.set_role(owner, "Admin", actor=owner)


def test_unknown_role_is_refused(admin, owner):
    with pytest.raises(Invalid):
        services.set_role(owner, "Emperor", actor=admin)


@pytest.mark.parametrize(
    "remove",
    [
        lambda user, actor: services.set_role(user, "Operator", actor=actor),
        lambda user, actor: services.suspend_user(user, reason="x", actor=actor),
        lambda user, actor: services.deactivate_user(user, actor=actor),
    ],
)
@pytest.mark.parametrize("actor", ["himself", "system"])
def test_last_admin_cannot_be_removed(admin, remove, actor):
    UserFactory(role="Admin", is_active=False)

    with pytest.raises(Conflict) as refusal:
        remove(admin, admin if actor == "himself" else SYSTEM)

    assert refusal.value.code == "last_admin"
    admin.refresh_from_db()
    assert (admin.role, admin.can_act) == ("Admin", True)


def test_one_of_two_admins_may_step_down(admin):
    UserFactory(role="Admin")

    services.set_role(admin, "Player", actor=admin)

    assert admin.role == "Player"
    assert not admin.is_staff


def test_regions_are_replaced_as_a_whole(admin):
    operator = UserFactory(role="Operator", regions=["us-east-1", "us-west-1"])

    services.set_regions(operator, ["us-west-1", "eu-central-1"], actor=admin)

    assert operator.access.regions == {"us-west-1", "eu-central-1"}
    assert last_entry().data["before"] == {"regions": ["us-east-1", "us-west-1"]}


def test_no_regions_means_all(admin):
    operator = UserFactory(role="Operator", regions=["us-east-1"])

    services.set_regions(operator, [], actor=admin)

    assert operator.access.regions is None


def test_region_must_be_a_slug(admin, owner):
    with pytest.raises(Invalid) as refusal:
        services.set_regions(owner, ["no slug!"], actor=admin)

    assert refusal.value.field == "regions"


# --- quota --------------------------------------------------------------------------------------------------------
def test_quota_is_set_field_by_field_and_audited(admin, owner):
    services.set_quota(owner, actor=admin, servers=2, memory_mb=2048)
    services.set_quota(owner, actor=admin, servers=None)

    assert (owner.quota.servers, owner.quota.memory_mb) == (None, 2048)
    assert last_entry().data == {"before": {"servers": 2}, "after": {"servers": None}}


def test_quota_is_the_admins_alone(owner):
    for actor in (owner, UserFactory(role="Operator")):
        with pytest.raises(NotAllowed):
            services.set_quota(owner, actor=actor, servers=100)


@pytest.mark.parametrize("limits", [{"servers": -1}, {"servers": 2**40}, {"planets": 1}])
def test_impossible_quota_is_refused(admin, owner, limits):
    with pytest.raises(Invalid) as refusal:
        services.set_quota(owner, actor=admin, **limits)

    assert refusal.value.field == next(iter(limits))
    assert not Quota.objects.exists()


# --- suspend and deactivate ---------------------------------------------------------------------------------------
def test_suspended_user_may_nothing_until_it_is_lifted(admin, owner):
    version = owner.token_version

    services.suspend_user(owner, reason="Spam in chat", actor=admin)

    assert not can(owner, "servers.view")
    assert owner.token_version == version + 1
    assert last_entry().data == {"reason": "Spam in chat"}

    services.unsuspend_user(owner, actor=admin)

    assert can(owner, "servers.view")
    assert owner.suspension_reason == ""


def test_suspension_needs_a_reason(admin, owner):
    with pytest.raises(Invalid) as refusal:
        services.suspend_user(owner, reason="  ", actor=admin)

    assert refusal.value.field == "reason"


def test_suspending_twice_is_a_conflict(admin, owner):
    services.suspend_user(owner, reason="x", actor=admin)

    with pytest.raises(Conflict):
        services.suspend_user(owner, reason="y", actor=admin)
    with pytest.raises(Conflict):
        services.unsuspend_user(admin, actor=admin)


@pytest.mark.parametrize("role", ["Operator", "Viewer", "Player"])
def test_suspension_is_the_admins_alone(role, owner):
    actor = UserFactory(role=role)

    with pytest.raises((NotAllowed, NotFound)):
        services.suspend_user(owner, reason="x", actor=actor)


def test_closed_account_can_be_opened_again(admin, owner):
    services.deactivate_user(owner, actor=admin)
    assert not owner.is_active
    with pytest.raises(Conflict):
        services.deactivate_user(owner, actor=admin)

    services.activate_user(owner, actor=admin)

    assert owner.is_active
    with pytest.raises(Conflict):
        services.activate_user(owner, actor=admin)


# --- the first admin ----------------------------------------------------------------------------------------------
def test_first_admin_gets_a_generated_password_that_is_shown_once():
    password = services.ensure_admin()

    admin = User.objects.get(username="admin")
    assert admin.check_password(password)
    assert (admin.role, admin.is_staff) == ("Admin", True)
    assert services.ensure_admin() is None
    assert password not in str(list(AuditEntry.objects.values()))


def test_first_admin_takes_a_given_password_and_keeps_it():
    assert services.ensure_admin(PASSWORD) is None
    assert services.ensure_admin("another password") is None

    assert User.objects.get(username="admin").check_password(PASSWORD)


def test_password_change_voids_signed_tokens(owner):
    services.note_password_change(owner)

    owner.refresh_from_db()
    assert owner.token_version == 2
    assert last_entry().action == "user.password_changed"
