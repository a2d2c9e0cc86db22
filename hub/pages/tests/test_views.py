"""Overview, search, kit, saved views and theme."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.urls import reverse

from accounts.tests.factories import UserFactory, token_for
from hub.nodes.tests.factories import NodeFactory
from hub.pages import palette
from hub.pages.models import SavedView
from hub.pages.templatetags import frame
from hub.tests.world import make_world

pytestmark = pytest.mark.django_db

COMPONENTS = Path(__file__).parents[3] / "templates" / "components"
PAGES = ["overview", "search", "kit"]


@pytest.fixture
def player(client):
    user = UserFactory(username="tendai")
    client.force_login(user)
    return user


@pytest.mark.parametrize("name", PAGES)
def test_pages_ask_for_a_login(client, name):
    answer = client.get(reverse(name))

    assert answer.status_code == 302
    assert reverse("account_login") in answer["Location"]


@pytest.mark.parametrize("role", ["Admin", "Operator", "Viewer", "Player"])
def test_overview_works_for_every_role(client, role):
    client.force_login(UserFactory(role=role))

    assert client.get(reverse("overview")).status_code == 200


def test_overview_fragment_is_304_while_nothing_changed(client, player):
    headers = {"HX-Request": "true", "HX-Target": "overview"}
    first = client.get(reverse("overview"), headers=headers)

    again = client.get(reverse("overview"), headers={**headers, "If-None-Match": first["ETag"]})

    assert (first.status_code, again.status_code) == (200, 304)


def test_kit_is_for_staff(client, player):
    assert client.get(reverse("kit")).status_code == 302

    client.force_login(UserFactory(role="Viewer"))

    assert client.get(reverse("kit")).status_code == 200


def test_kit_shows_every_component(client):
    NodeFactory()
    client.force_login(UserFactory(role="Admin"))
    frame._navigation.cache_clear()  # what is drawn from there is no template of this answer

    shown = {template.name for template in client.get(reverse("kit")).templates}

    there = {f"components/{path.name}" for path in COMPONENTS.glob("*.html")}
    assert there - shown == {"components/passkey_scripts.html"}  # which shows nothing


def test_search_finds_pages_and_actions(client, player):
    text = client.get(reverse("search"), {"q": "new server"}).content.decode()

    assert reverse("servers:server_create") in text


@pytest.mark.parametrize(
    ("typed", "name", "role"),
    [
        ("new team", "challenges:team_create", "Player"),
        ("session", "accounts:session_list", "Player"),
        ("passkey", "mfa_index", "Player"),
        ("swagger", "api:docs", "Player"),
        ("log out", "account_logout", "Player"),
        ("new event", "challenges:event_create", "Operator"),
        ("new user", "accounts:user_create", "Admin"),
        ("add node", "nodes:node_create", "Admin"),
        ("silence", "monitoring:mute_list", "Operator"),
    ],
)
def test_search_finds_forms_and_pages_behind_other_pages(client, typed, name, role):
    client.force_login(UserFactory(role=role))

    found = client.get(reverse("search"), {"q": typed}).content.decode()

    assert f'href="{reverse(name)}"' in found.split("k-found")[1]


def test_every_way_is_open_to_whom_it_is_offered(client):
    """What one may not open is not offered."""
    for role in ("Admin", "Operator", "Viewer", "Player"):
        user = UserFactory(role=role)
        client.force_login(user)

        for way in palette._ways:
            if way.may_use(user):
                status = client.get(reverse(way.url_name)).status_code
                assert status in (200, 302), f"{role}: {way.label} {status}"


def test_search_fragment_is_only_the_results(client, player):
    text = client.get(reverse("search"), {"q": "temp"}, headers={"HX-Request": "true"}).content.decode()

    assert "<html" not in text
    assert 'role="option"' in text


def test_search_shows_what_was_typed_escaped(client, player):
    assert b"<script>x" not in client.get(reverse("search"), {"q": "<script>x"}).content


def save(client, **values):
    usual = {"page": "servers", "name": "Mine", "query": "status=running", "next": "/servers/?status=running"}
    return client.post(reverse("save_view"), {**usual, **values})


def test_saved_view_is_kept_for_its_person(client, player):
    answer = save(client)

    assert answer["Location"] == "/servers/?status=running"
    assert SavedView.objects.get().user == player


def test_same_name_replaces(client, player):
    save(client)
    save(client, query="status=stopped")

    assert SavedView.objects.get().query == "status=stopped"


def test_saved_views_have_a_limit(client, player):
    for number in range(21):
        save(client, name=f"View {number}")

    assert SavedView.objects.count() == 20


def test_view_of_somebody_else_cannot_be_forgotten(client, player):
    view = SavedView.objects.create(user=UserFactory(), page="servers", name="Hers", query="")

    assert client.post(reverse("forget_view", args=[view.pk])).status_code == 404


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_forms_do_not_lead_to_other_sites(client, player, target):
    view = SavedView.objects.create(user=player, page="servers", name="Mine", query="")

    assert client.post(reverse("forget_view", args=[view.pk]), {"next": target})["Location"] == "/"


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 403), ("Player", 403)])
def test_jobs_are_for_those_who_may(client, role, status):
    client.force_login(UserFactory(role=role))

    assert client.get(reverse("queue_list")).status_code == status


def test_notifications_say_when_all_is_well(client, player):
    assert b"All is well" in client.get(reverse("notifications")).content


def test_search_finds_regions_operations_and_alerts_with_their_places(client):
    world = make_world()
    client.force_login(world.person("admin"))
    token_for(world.person("admin"), name="survival report")

    found = client.get(reverse("search"), {"q": "survival"}).text
    region = client.get(reverse("search"), {"q": world.node.region.slug}).text
    alert = client.get(reverse("search"), {"q": world.alert.subject_name}).text

    assert f"{reverse('nodes:operation_list')}?q=" in found
    assert f"{reverse('accounts:token_list')}?q=survival+report" in found
    assert f"{reverse('nodes:region_list')}?q={world.node.region.slug}" in region
    assert world.alert.get_absolute_url() in alert


def test_search_finds_nobody_elses_operations_and_tokens(client):
    world = make_world()
    client.force_login(world.person("stranger"))

    assert "survival" not in client.get(reverse("search"), {"q": "surviv"}).text
    assert reverse("accounts:token_list") + "?q=" not in client.get(reverse("search"), {"q": "backup"}).text


def test_palette_starts_a_server_by_a_form_and_only_leads_to_what_destroys(client):
    world = make_world()
    type(world.server).objects.update(desired_status="stopped", observed_status="stopped")
    client.force_login(world.person("owner"))

    text = client.get(reverse("search"), {"q": "survival"}, headers={"HX-Request": "true"}).text

    assert f'<form role="presentation" method="post" action="/servers/{world.server.pk}/start">' in text
    assert f'action="/servers/{world.server.pk}/stop"' not in text
    assert f'href="/servers/{world.server.pk}/delete"' in text


def test_toast_of_a_power_button_leads_to_the_operations(client):
    world = make_world()
    type(world.server).objects.update(desired_status="stopped", observed_status="stopped")
    client.force_login(world.person("owner"))

    page = client.post(f"/servers/{world.server.pk}/start", follow=True).text

    assert f'is being started. <a href="/servers/{world.server.pk}/operations">Show</a>' in page


def test_sections_have_a_key_and_the_help_names_it(client, player):
    page = client.get(reverse("overview")).text

    assert 'data-go="s"' in page
    assert "<kbd>g</kbd> <kbd>s</kbd>" in page
