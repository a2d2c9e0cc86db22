from __future__ import annotations

import pytest
from django.urls import reverse

from accounts.models import ApiToken, AuditEntry, Quota, User

from .factories import PASSWORD, AuditEntryFactory, UserFactory, token_for

pytestmark = pytest.mark.django_db

FORM = {
    "username": "ada",
    "email": "ada@example.org",
    "first_name": "",
    "last_name": "",
    "role": "Player",
    "regions": "",
    "region_preference": "",
    "timezone": "UTC",
    "theme": "auto",
    "is_active": "on",
    "suspension_reason": "",
    "quota_servers": "",
    "quota_memory_mb": "",
    "quota_cpu_percent": "",
    "quota_disk_mb": "",
}
ADD = reverse("admin:accounts_user_add")
PAGES = [reverse(f"admin:accounts_{model}_changelist") for model in ("user", "apitoken", "auditentry", "auditseal")]


def change_url(obj) -> str:
    return reverse(f"admin:accounts_{obj._meta.model_name}_change", args=[obj.pk])


@pytest.mark.parametrize("page", [*PAGES, reverse("admin:index")])
def test_admin_sees_every_page(client, admin, page):
    token_for(admin)
    AuditEntryFactory()
    client.force_login(admin)

    assert client.get(page).status_code == 200


@pytest.mark.parametrize(
    ("role", "statuses"), [("Operator", [403, 403, 200, 403]), ("Viewer", [403, 403, 200, 403]), ("Player", [302] * 4)]
)
def test_others_see_the_trail_or_nothing(client, role, statuses):
    client.force_login(UserFactory(role=role))

    assert [client.get(page).status_code for page in PAGES] == statuses


def test_admin_site_sends_strangers_to_the_login_that_knows_the_second_factor(client):
    answer = client.get("/admin/login/?next=/admin/")

    assert (answer.status_code, answer["Location"].startswith("/accounts/login/")) == (302, True)


def test_user_is_made_through_the_service(client, admin):
    client.force_login(admin)

    client.post(ADD, {**FORM, "password": PASSWORD, "role": "Operator", "regions": "us-east-1", "quota_servers": "3"})

    user = User.objects.get(username="ada")
    assert (user.role, user.access.regions, user.quota.servers) == ("Operator", {"us-east-1"}, 3)
    assert user.check_password(PASSWORD)
    assert AuditEntry.objects.filter(action="user.created", actor_name=admin.username, via="admin").exists()


def test_user_is_changed_through_the_services(client, admin, owner):
    client.force_login(admin)
    values = {**FORM, "email": owner.email, "role": "Viewer", "suspension_reason": "Spam", "quota_disk_mb": "5"}

    client.post(change_url(owner), values)

    owner.refresh_from_db()
    assert (owner.role, owner.suspension_reason, owner.quota.disk_mb) == ("Viewer", "Spam", 5)
    assert {"user.role_changed", "user.suspended", "user.quota_changed"} <= set(
        AuditEntry.objects.values_list("action", flat=True)
    )

    client.post(change_url(owner), {**values, "suspension_reason": "", "is_active": "", "quota_disk_mb": ""})

    owner.refresh_from_db()
    assert (owner.is_suspended, owner.is_active) == (False, False)
    assert Quota.objects.get().disk_mb is None


def test_saving_without_a_change_leaves_no_entry(client, admin, owner):
    client.force_login(admin)
    before = AuditEntry.objects.count()

    client.post(change_url(owner), {**FORM, "email": owner.email})

    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"role": "Player"}, "This is the last Admin."),
        ({"is_active": ""}, "This is the last Admin."),
        ({"regions": "no slug!"}, "valid"),
        ({"email": "OWNER@example.org"}, "already exists"),
    ],
)
def test_refusal_stands_in_the_form_and_nothing_is_stored(client, admin, owner, values, sentence):
    client.force_login(admin)
    own = {**FORM, "email": admin.email, "role": "Admin", "first_name": "Half", **values}

    answer = client.post(change_url(admin), own)

    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    admin.refresh_from_db()
    assert (admin.role, admin.is_active, admin.first_name) == ("Admin", True, "")


def test_nobody_is_deleted_here(client, admin, owner):
    client.force_login(admin)

    assert client.post(reverse("admin:accounts_user_delete", args=[owner.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize("action", ["revoke", "disable"])
def test_tokens_are_stopped_and_never_shown(client, admin, owner, action):
    token, plain = token_for(owner)
    client.force_login(admin)

    page = client.get(change_url(token)).content.decode()
    client.post(PAGES[1], {"action": action, "_selected_action": [token.pk]})

    assert plain not in page
    assert token.digest not in page
    assert not ApiToken.objects.filter(is_enabled=True).exists()


def test_trail_cannot_be_changed_here(client, admin):
    entry = AuditEntryFactory()
    client.force_login(admin)

    assert client.get(change_url(entry)).status_code == 200
    assert client.post(change_url(entry), {"action": "x"}).status_code == 403
    assert client.get(reverse("admin:accounts_auditentry_add")).status_code == 403
    assert client.post(reverse("admin:accounts_auditentry_delete", args=[entry.pk])).status_code == 403


def test_list_of_users_costs_a_constant_number_of_queries(client, admin, django_assert_max_num_queries):
    UserFactory.create_batch(20)
    client.force_login(admin)

    with django_assert_max_num_queries(8):
        assert client.get(PAGES[0]).status_code == 200
