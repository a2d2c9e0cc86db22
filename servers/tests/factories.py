"""Valid templates, variables and servers; the test sets only what matters."""

from __future__ import annotations

from typing import Any

import factory

from accounts.tests.factories import UserFactory
from hub.nodes.models import Node
from hub.nodes.tests.factories import NodeFactory, PoolFactory
from servers.models import GameServer, Template, TemplateVariable
from servers.services import create_server

GAME = {"name": "game", "target_port": 25565, "variable": "SERVER_PORT"}
RCON = {
    "name": "rcon",
    "target_port": 25575,
    "is_public": False,
    "protocol": "rcon",
    "variable": "RCON_PORT",
    "password_variable": "RCON_PASSWORD",
}


class TemplateFactory(factory.django.DjangoModelFactory[Template]):
    """A published template with a game port and RCON, run from an image or as a program."""

    class Meta:
        model = Template

    slug = factory.Sequence(lambda n: f"game-{n}")
    name = factory.LazyAttribute(lambda template: template.slug.replace("-", " ").title())
    game = "Sample"
    is_published = True
    image = "kutanga/sample"
    process_command = ["{{PYTHON}}", "{{SAMPLE_SERVER}}"]
    ports = [GAME, RCON]
    readiness_kind = "minecraft"


class VariableFactory(factory.django.DjangoModelFactory[TemplateVariable]):
    """An optional text."""

    class Meta:
        model = TemplateVariable

    template = factory.SubFactory(TemplateFactory)
    key = factory.Sequence(lambda n: f"SETTING_{n}")
    label = factory.LazyAttribute(lambda variable: variable.key.title())


def make_node(size: int = 10, **values: Any) -> Node:
    """A node with a pool of game ports (and one of private ports for the process engine)."""
    node = NodeFactory(**values)
    PoolFactory(node=node, size=size, quarantine_seconds=0)
    if node.engine == "process":
        PoolFactory(node=node, size=size, is_public=False, first_port=26001, quarantine_seconds=0)
    return node


def make_server(**values: Any) -> GameServer:
    """A server made by the service itself, on a node of its own unless there is one."""
    node = values.pop("node", None) or Node.objects.first() or make_node()
    owner = values.pop("owner", None) or UserFactory()
    template = values.pop("template", None) or TemplateFactory()
    asked = {"name": f"server {GameServer.objects.count()}", "memory_mb": 1024, "disk_mb": 5000, **values}
    return create_server(actor=owner, template=template, region=node.region, **asked)
