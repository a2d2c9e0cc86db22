"""The admin site as a whole: every page opens, nothing goes around the services, refusals stand in the form."""

from __future__ import annotations

from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command
from django.db.models import JSONField
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from hub.admin_base import ActionsAdmin, ReadOnlyAdmin, SettledAdmin, ShallowJSONField
from hub.management.commands import admin_table
from hub.nodes.models import Address, Node, Region
from hub.nodes.tests.factories import RegionFactory

from .world import World, make_world

pytestmark = pytest.mark.django_db

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label_lower)


def place(model: Any, page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


@pytest.fixture
def world() -> World:
    return make_world()


@pytest.fixture
def site(client: Client, world: World) -> Client:
    client.force_login(world.person("admin"))
    return client


def test_docs_hold_what_the_classes_say() -> None:
    call_command("admin_table", check=True)


def test_docs_out_of_date_fail_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_table, "table", lambda: "other")

    with pytest.raises(CommandError, match="out of date"):
        call_command("admin_table", check=True)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_every_model_is_ours_and_says_what_it_is(model: Any) -> None:
    made = admin.site._registry[model]

    assert isinstance(made, ActionsAdmin)
    assert type(made).__doc__


def test_roles_are_not_edited_here() -> None:
    assert not admin.site.is_registered(Group)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_pages_open_and_offer_no_deletion_of_many(site: Client, model: Any) -> None:
    page = site.get(place(model, "changelist"))

    assert page.status_code == 200
    assert b"delete_selected" not in page.content
    for row in model._default_manager.all()[:1]:
        assert site.get(place(model, "change", row.pk)).status_code == 200


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.label)
def test_what_the_hub_writes_cannot_be_changed(site: Client, model: Any) -> None:
    made = admin.site._registry[model]
    if not isinstance(made, ReadOnlyAdmin | SettledAdmin):
        assert site.get(place(model, "add")).status_code == 200
        return

    assert site.get(place(model, "add")).status_code == 403
    for row in model._default_manager.all()[:1]:
        changed = site.post(place(model, "change", row.pk), {"name": ""})
        assert changed.status_code == (200 if isinstance(made, SettledAdmin) else 403)
        assert site.post(place(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_region_is_made_and_changed_through_the_services(site: Client) -> None:
    site.post(place(Region, "add"), {"slug": "moon", "name": "Moon", "position": 3})
    moon = Region.objects.get(slug="moon")
    site.post(place(Region, "change", moon.pk), {"name": "Far side", "position": 3, "is_enabled": ""})

    moon.refresh_from_db()
    assert (moon.name, moon.is_enabled) == ("Far side", False)
    actions = AuditEntry.objects.filter(target_name__in=["Moon", "Far side"]).order_by("id")
    assert [(entry.action, entry.via) for entry in actions] == [
        ("region.created", "admin"),
        ("region.updated", "admin"),
    ]


def test_what_a_service_refuses_stands_in_the_form_with_what_was_typed(site: Client, world: World) -> None:
    form = {"node": world.node.pk, "name": "more", "kind": "host_ports", "first_ip": "0.0.0.0"}  # noqa: S104 - refused
    form |= {"first_port": 28000, "last_port": 28003, "is_public": "on", "is_enabled": "on", "excluded_ports": "[]"}

    page = site.post(place(type(world.pool), "add"), form)

    assert page.status_code == 200
    assert page.context["adminform"].form.errors == {"first_ip": ["Name one address of the node, not all of them."]}
    assert b'value="28003"' in page.content


@pytest.mark.parametrize("overcommit", ['"much"', '{"cpu": "4"}', '{"cpu": 0}', '{"gpu": 2}', "[]"])
def test_refusal_stores_nothing_half_way(site: Client, world: World, overcommit: str) -> None:
    node = world.node
    form = {
        "region": node.region_id,
        "options": "{}",
        "is_enabled": "on",
        "memory_mb": 7,
        "cpu_percent": 0,
        "disk_mb": 0,
    }

    page = site.post(place(Node, "change", node.pk), {**form, "overcommit": overcommit})

    node.refresh_from_db()
    assert (page.status_code, list(page.context["adminform"].form.errors), node.memory_mb) == (200, ["overcommit"], 0)


def test_refused_deletion_says_why(site: Client, world: World) -> None:
    region = world.node.region

    page = site.post(place(Region, "delete", region.pk), {"post": "yes"}, follow=True)

    assert Region.objects.filter(pk=region.pk).exists()
    assert "Nodes stand in this region." in page.text or "protected" in page.text


def test_empty_region_is_deleted_through_the_service(site: Client) -> None:
    moon = RegionFactory(slug="moon")

    site.post(place(Region, "delete", moon.pk), {"post": "yes"})

    assert not Region.objects.filter(pk=moon.pk).exists()
    assert AuditEntry.objects.filter(action="region.deleted", via="admin").exists()


def test_each_row_of_an_action_has_its_own_fate(site: Client, world: World) -> None:
    leased = Address.objects.exclude(holder=None)[0]
    rows = [world.address.pk, leased.pk]

    page = site.post(place(Address, "changelist"), {"action": "block", "_selected_action": rows}, follow=True)

    assert "The address is leased" in page.text
    assert "Done for 1." in page.text
    assert Address.objects.get(pk=world.address.pk).state == "blocked"


def test_lost_second_factor_is_taken_away_and_recorded(site: Client, world: World) -> None:
    owner = world.person("owner")
    factor = Authenticator.objects.create(user=owner, type="totp", data={"secret": "s3cr3t"})

    page = site.get(place(Authenticator, "change", factor.pk)).text
    site.post(place(Authenticator, "changelist"), {"action": "remove", "_selected_action": [factor.pk]})

    assert "s3cr3t" not in page
    assert not Authenticator.objects.filter(user=owner).exists()
    assert AuditEntry.objects.get(action="user.factors_removed").data == {"kinds": ["totp"]}


def test_session_of_somebody_is_ended_and_recorded(site: Client, world: World) -> None:
    other = Client()
    other.force_login(world.person("owner"))
    key = other.session.session_key
    session = UserSession.objects.create(
        user=world.person("owner"), ip="192.0.2.1", session_key=key, user_agent="browser"
    )

    page = site.get(place(UserSession, "change", session.pk)).text
    site.post(place(UserSession, "changelist"), {"action": "end", "_selected_action": [session.pk]})

    assert str(key) not in page
    assert other.get("/").status_code == 302
    assert AuditEntry.objects.filter(action="user.session_ended").exists()


@pytest.mark.parametrize("role", ["Operator", "Viewer"])
def test_people_without_the_right_see_no_accounts(client: Client, role: str) -> None:
    client.force_login(UserFactory(role=role))

    for model in (Authenticator, UserSession):
        assert client.get(place(model, "changelist")).status_code == 403


def test_rows_lead_to_their_pages_and_back(site: Client, world: World) -> None:
    for row in (world.server, world.template, world.node, world.pool, world.device):
        in_admin = place(type(row), "change", row.pk)

        assert "viewsitelink" in site.get(in_admin).text
        assert in_admin in site.get(row.get_absolute_url()).text, row


@pytest.mark.parametrize("deep", ["[" * 20_000 + "]" * 20_000, '{"a":' * 40 + "1" + "}" * 40], ids=["20000", "40"])
@pytest.mark.parametrize(
    ("page", "field"),
    [
        ("servers_template", "ports"),
        ("nodes_node", "options"),
        ("nodes_addresspool", "excluded_ports"),
        ("servers_template", "variables-0-choices"),
    ],
)
def test_json_that_is_too_deep_is_refused_at_its_field(site: Client, page: str, field: str, deep: str) -> None:
    management = {"variables-TOTAL_FORMS": "1", "variables-INITIAL_FORMS": "0"}

    answer = site.post(reverse(f"admin:{page}_add"), {**management, field: deep})

    assert answer.status_code == 200
    assert "The JSON is nested more than 32 deep." in answer.content.decode()


def test_every_json_field_of_the_site_has_a_depth() -> None:
    """Also those of rows within rows."""
    made = [*admin.site._registry.values()]
    made += [inline(each.model, admin.site) for each in made for inline in each.inlines]
    fields = [(each, field) for each in made for field in each.model._meta.fields if isinstance(field, JSONField)]

    assert len(fields) > 10
    shallow = [isinstance(each.formfield_for_dbfield(field, None), ShallowJSONField) for each, field in fields]
    assert all(shallow)
