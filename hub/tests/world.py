"""A small hub with one row of each kind and a person in each role, for tests that go over all routes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from accounts.models import ApiToken, AuditEntry, User
from accounts.tests.factories import UserFactory, token_for
from hub.nodes.models import Address, AddressPool, Node, NodeTask, Operation
from monitoring.models import ErrorGroup
from servers.models import GameServer, Template
from servers.tests.factories import TemplateFactory, VariableFactory, make_node, make_server

ROLES = ("admin", "operator", "viewer", "owner", "stranger", "nobody")


@dataclass(frozen=True)
class World:
    """`owner` and `stranger` are Players; server, token and operation are the owner's."""

    people: dict[str, Any]
    node: Node
    pool: AddressPool
    address: Address
    template: Template
    server: GameServer
    token: ApiToken
    operation: Operation
    audit_entry: AuditEntry
    task: NodeTask
    error: ErrorGroup

    def person(self, role: str) -> User:
        user: User | None = self.people[role]
        if user is None:
            raise LookupError(f"{role} has no account")
        return user


def make_world(**of_server: Any) -> World:
    """Make everybody and everything, by the services themselves where they exist."""
    people: dict[str, Any] = {
        "admin": UserFactory(username="chief", role="Admin"),
        "operator": UserFactory(username="operator", role="Operator"),
        "viewer": UserFactory(username="viewer", role="Viewer"),
        "owner": UserFactory(username="owner"),
        "stranger": UserFactory(username="stranger"),
        "nobody": None,
    }
    owner = people["owner"]
    node = make_node(name="local")
    template = TemplateFactory(slug="sample", name="Sample", process_command=[])
    VariableFactory(template=template, key="MOTD")
    server = make_server(owner=owner, node=node, template=template, name="survival", **of_server)
    free = Address.objects.filter(node=node, holder=None)
    token, _ = token_for(owner, name="backup script")
    return World(
        people=people,
        node=node,
        pool=AddressPool.objects.get(node=node),
        address=free.order_by("port")[0],
        template=template,
        server=server,
        token=token,
        operation=Operation.objects.get(workload_id=server.pk),
        audit_entry=AuditEntry.objects.filter(action="server.created")[0],
        error=ErrorGroup.objects.create(
            fingerprint="f1",
            error_type="ValueError",
            source="web",
            place="servers/",
            first_seen_at=timezone.now(),
            last_seen_at=timezone.now(),
        ),
        task=NodeTask.objects.create(node=node, verb="look", actor_name="chief"),
    )
