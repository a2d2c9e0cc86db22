"""Nodes that are clusters: their kubeconfig, their examination, and what is different about their addresses."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.roles import ADMIN, OPERATOR
from accounts.tests.factories import UserFactory
from hub.engines.base import Check, Verdict
from hub.engines.fake import FakeEngine
from hub.exceptions import Invalid, NotAllowed, NotFound
from hub.nodes import clusters, services
from hub.nodes.choices import ReportKind
from hub.nodes.models import Node, NodeReport
from hub.tests.cluster.server import kubeconfig

from .factories import NodeFactory

pytestmark = pytest.mark.django_db
CONFIG = kubeconfig("https://cluster.example.org:6443")


@pytest.fixture
def node() -> Node:
    return NodeFactory(engine="kubernetes")


def stored(node: Node) -> dict[str, str]:
    node.refresh_from_db()
    return json.loads(node.credentials.reveal())


def test_a_kubeconfig_is_sealed_beside_other_credentials_and_audited_without_it(node: Node) -> None:
    node.credentials = json.dumps({"registries": []})
    node.save()

    clusters.set_kubeconfig(node, actor=SYSTEM, kubeconfig=CONFIG)

    assert stored(node) == {"registries": [], "kubeconfig": CONFIG}
    entry = AuditEntry.objects.get(action="node.kubeconfig_set")
    assert "stand-in-token" not in json.dumps(entry.data)


def test_only_those_who_change_nodes_set_one(node: Node) -> None:
    with pytest.raises(NotAllowed):
        clusters.set_kubeconfig(node, actor=UserFactory(role=OPERATOR), kubeconfig=CONFIG)
    with pytest.raises(NotFound):
        clusters.set_kubeconfig(node, actor=UserFactory(), kubeconfig=CONFIG)


def test_one_that_runs_programs_is_refused(node: Node) -> None:
    config = yaml.safe_load(CONFIG)
    config["users"][0]["user"] = {"exec": {"command": "reboot"}}

    with pytest.raises(Invalid, match="exec"):
        clusters.set_kubeconfig(node, actor=SYSTEM, kubeconfig=yaml.safe_dump(config))


def test_a_node_that_is_no_cluster_has_none() -> None:
    with pytest.raises(Invalid, match="cluster"):
        clusters.set_kubeconfig(NodeFactory(engine="docker"), actor=SYSTEM, kubeconfig=CONFIG)


def test_a_node_is_added_with_its_kubeconfig_on_the_page_and_a_bad_one_is_not_sent_back(client: Client) -> None:
    client.force_login(UserFactory(role=ADMIN))
    values = {"engine": "kubernetes", "region": NodeFactory().region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0}

    good = client.post("/nodes/new", {**values, "name": "west", "kubeconfig": CONFIG})
    bad = client.post("/nodes/new", {**values, "name": "east", "kubeconfig": "token: canary-4711"})

    assert good.status_code == 302
    assert stored(Node.objects.get(name="west"))["kubeconfig"].strip() == CONFIG.strip()
    assert bad.status_code == 422
    assert b"canary-4711" not in bad.content


def test_it_is_replaced_on_the_page(client: Client, node: Node) -> None:
    client.force_login(UserFactory(role=ADMIN))
    values = {"region": node.region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0, "is_enabled": "on"}

    answer = client.post(f"/nodes/{node.name}/edit", {**values, "kubeconfig": CONFIG})

    assert answer.status_code == 302
    assert stored(node)["kubeconfig"].strip() == CONFIG.strip()


def test_an_examination_is_asked_once_a_day(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr("hub.jobs.enqueue", lambda *args, **kwargs: sent.append(args))

    asked = [clusters.ask_if_due(node), clusters.ask_if_due(node), clusters.ask_if_due(NodeFactory(engine="docker"))]
    NodeReport.objects.update(taken_at=timezone.now() - timedelta(hours=25))

    assert asked == [True, False, False]
    assert clusters.ask_if_due(node)
    assert sent == [("hub.nodes.jobs.examine_cluster", node.pk)] * 2


def test_what_was_found_is_on_the_nodes_page_with_what_to_do(client: Client, node: Node) -> None:
    class Examined(FakeEngine):
        def examine(self, ips):
            return [
                Check("Version", Verdict.GOOD, "v1.33"),
                Check("Network policies", Verdict.BAD, "Not enforced.", "Run a policy engine."),
            ]

    clusters.examine(node, engine=Examined(node=node.name, options={}))
    client.force_login(UserFactory(role=ADMIN))

    page = client.get(f"/nodes/{node.name}/").content.decode()

    assert "Not enforced. Run a policy engine." in page
    assert page.index("Network policies") < page.index("v1.33")
    assert NodeReport.objects.get(kind=ReportKind.CLUSTER).error == ""


def test_a_clusters_pool_need_not_lie_on_the_agents_machine(node: Node) -> None:
    node.agent_facts = {"ips": ["10.0.0.1"], "ephemeral_ports": [32768, 60999]}
    node.save()

    pool = services.create_pool(
        actor=SYSTEM, node=node, name="players", first_ip="192.168.250.100", first_port=40000, last_port=40009
    )

    assert pool.addresses.count() == 10


def test_node_ports_have_their_range() -> None:
    node = NodeFactory(engine="kubernetes", options={"exposure": "node_ports"})

    with pytest.raises(Invalid, match="30000"):
        services.create_pool(actor=SYSTEM, node=node, name="p", first_ip="10.0.0.1", first_port=29999, last_port=30005)
