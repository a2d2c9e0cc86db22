"""The navigation shows what one may use, and where one is."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from accounts.tests.factories import UserFactory
from hub.pages import navigation
from servers.models import GameServer
from servers.tests.factories import make_server

pytestmark = pytest.mark.django_db


def labels(role: str, path: str = "/") -> dict[str, bool]:
    request = RequestFactory().get(path)
    request.user = UserFactory(role=role)
    return {place.label: place.is_current for _, places in navigation.entries(request) for place in places}


def test_player_sees_no_administration():
    own = {"Overview", "Servers", "Templates", "Events", "Teams", "Announcements", "Operations"}
    assert set(labels("Player")) == own


def test_admin_sees_everything():
    assert {"Users", "Audit", "Nodes", "Address pools", "Regions"} <= set(labels("Admin"))


def test_page_below_a_place_marks_the_place():
    shown = labels("Player", "/servers/new")

    assert [label for label, is_current in shown.items() if is_current] == ["Servers"]


def test_overview_is_current_only_on_its_own_page():
    assert labels("Player", "/")["Overview"]
    assert not labels("Player", "/templates/")["Overview"]


def test_bell_counts_what_needs_somebody(client):
    make_server()
    make_server()
    GameServer.objects.update(desired_status="running", observed_status="crashed")
    client.force_login(UserFactory(role="Admin"))

    page = client.get("/").content.decode()

    assert 'aria-label="Notifications, 2 to see"' in page
    assert '<span class="k-pip" aria-hidden="true">2</span>' in page


def test_bell_says_nothing_when_all_is_well(client):
    client.force_login(UserFactory(role="Admin"))

    assert "k-pip" not in client.get("/").content.decode()
