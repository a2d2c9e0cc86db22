"""The navigation shows what one may use, and where one is."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from accounts.tests.factories import UserFactory
from hub.pages import navigation

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
