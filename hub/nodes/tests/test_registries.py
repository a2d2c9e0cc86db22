"""Credentials of registries are sealed, replaced, forgotten, handed to the engine and shown to nobody."""

from __future__ import annotations

import json

import pytest
from django.db import connection

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from hub.exceptions import Invalid, NotAllowed, NotFound
from hub.nodes import registries
from hub.nodes.engines import engine_for
from hub.nodes.models import Node
from hub.nodes.registries import Registry

from .factories import NodeFactory

pytestmark = pytest.mark.django_db
PASSWORD = "pull-me-if-you-can"


@pytest.fixture
def node() -> Node:
    node = NodeFactory()
    registries.set_registry(node, actor=SYSTEM, registry="ghcr.io/acme", username="bot", password=PASSWORD)
    node.refresh_from_db()
    return node


def test_credentials_reach_the_engine_and_only_the_registry_is_told(node: Node) -> None:
    entry = {"registry": "ghcr.io/acme", "username": "bot", "password": PASSWORD}

    assert engine_for(node).options["credentials"] == {"registries": [entry]}
    assert registries.registries_of(node) == [Registry("ghcr.io/acme", "bot")]


def test_password_is_sealed_at_rest_and_in_no_audit_entry(node: Node) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT credentials FROM nodes_node WHERE id = %s", [node.pk])
        stored = cursor.fetchone()[0]

    assert PASSWORD not in stored
    assert PASSWORD not in json.dumps([entry.data for entry in AuditEntry.objects.all()])
    assert AuditEntry.objects.get(action="node.registry_set").data["registry"] == "ghcr.io/acme"


def test_setting_again_replaces(node: Node) -> None:
    registries.set_registry(node, actor=SYSTEM, registry="https://ghcr.io/acme/", username="other", password="new")

    node.refresh_from_db()
    assert registries.registries_of(node) == [Registry("ghcr.io/acme", "other")]


def test_forgetting_leaves_the_others(node: Node) -> None:
    registries.set_registry(node, actor=SYSTEM, registry="quay.io", username="bot", password="x")

    registries.forget_registry(node, actor=SYSTEM, registry="ghcr.io/acme")

    node.refresh_from_db()
    assert registries.registries_of(node) == [Registry("quay.io", "bot")]
    with pytest.raises(NotFound):
        registries.forget_registry(node, actor=SYSTEM, registry="ghcr.io/acme")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"registry": "not a registry"}, "registry"),
        ({"registry": ""}, "registry"),
        ({"username": ""}, "username"),
        ({"password": ""}, "password"),
        ({"password": "x" * 5000}, "password"),
    ],
)
def test_bad_credentials_are_refused_at_their_field(node: Node, change: dict[str, str], field: str) -> None:
    values = {"registry": "ghcr.io", "username": "bot", "password": "x", **change}

    with pytest.raises(Invalid) as refused:
        registries.set_registry(node, actor=SYSTEM, **values)

    assert refused.value.field == field


def test_operators_may_not_set_them(node: Node) -> None:
    with pytest.raises(NotAllowed):
        registries.set_registry(
            node, actor=UserFactory(role="Operator"), registry="ghcr.io", username="bot", password="x"
        )
