"""Regions: changed and removed through the services."""

from __future__ import annotations

import pytest

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from hub.exceptions import Conflict, Invalid
from hub.nodes import services
from hub.nodes.models import Region
from hub.testing import api_client

from .factories import NodeFactory, RegionFactory

pytestmark = pytest.mark.django_db


def test_change_is_recorded_with_what_it_was() -> None:
    region = RegionFactory(slug="moon", name="Moon")

    services.update_region(region, actor=SYSTEM, name="Far side", is_enabled=False)

    entry = AuditEntry.objects.get(action="region.updated")
    assert entry.data == {
        "before": {"name": "Moon", "is_enabled": True},
        "after": {"name": "Far side", "is_enabled": False},
    }


def test_bad_name_is_refused_and_nothing_is_stored() -> None:
    region = RegionFactory(slug="moon", name="Moon")

    with pytest.raises(Invalid) as refusal:
        services.update_region(region, actor=SYSTEM, name="", position=3)

    assert refusal.value.field == "name"
    assert Region.objects.get().position == 0


def test_region_with_nodes_stays() -> None:
    node = NodeFactory()

    with pytest.raises(Conflict):
        services.delete_region(node.region, actor=SYSTEM)


def test_slug_stays_what_it_is() -> None:
    RegionFactory(slug="moon", name="Moon")
    client = api_client(UserFactory(role="Admin"))

    answer = client.patch("/api/v1/regions/moon", {"slug": "mars", "name": "Mars"}, format="json")

    assert (answer.status_code, answer.json()["slug"], answer.json()["name"]) == (200, "moon", "Mars")


def test_empty_region_is_removed() -> None:
    RegionFactory(slug="moon", name="Moon")

    assert api_client(UserFactory(role="Admin")).delete("/api/v1/regions/moon").status_code == 204
    assert not Region.objects.exists()
