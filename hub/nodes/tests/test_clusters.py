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
from hub.exceptions import Conflict, Invalid, NotAllowed, NotFound
from hub.nodes import clusters, services
from hub.nodes.choices import ReportKind
from hub.nodes.models import AddressPool, Node, NodeReport
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


def test_a_change_of_what_is_examined_has_it_examined_anew(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.jobs.enqueue", lambda *args, **kwargs: None)
    pools: list[AddressPool] = []
    asked = {}
    for what, change in {
        "a new node": lambda: None,
        "nothing": lambda: None,
        "memory": lambda: services.update_node(node, actor=SYSTEM, memory_mb=4096),
        "an option": lambda: services.update_node(node, actor=SYSTEM, options={"egress": False}),
        "the same option": lambda: services.update_node(node, actor=SYSTEM, options={"egress": False}),
        "a pool": lambda: pools.append(
            services.create_pool(
                actor=SYSTEM, node=node, name="p", first_ip="192.0.2.1", first_port=25565, last_port=25570
            )
        ),
        "its end": lambda: services.set_pool_enabled(pools[0], actor=SYSTEM, is_enabled=False),
    }.items():
        change()
        asked[what] = clusters.ask_if_due(node)

    assert [what for what, was_asked in asked.items() if was_asked] == ["a new node", "an option", "a pool", "its end"]


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


# Options of a cluster.

USUAL = {"cluster-exposure": "load_balancer", "cluster-user": "1000:1000", "cluster-share_addresses": "on"}
USUAL |= {"cluster-egress": "on", "cluster-reach_pods": "on"}


def test_where_nobody_shares_an_ip_a_pool_has_one_port_of_each() -> None:
    node = NodeFactory(engine="kubernetes", options={"share_addresses": False})
    asked = {"actor": SYSTEM, "node": node, "first_ip": "192.168.250.100", "last_ip": "192.168.250.109"}

    with pytest.raises(Invalid, match="only one port of each"):
        services.create_pool(name="many", first_port=25565, last_port=26000, **asked)
    pool = services.create_pool(name="players", first_port=25565, last_port=25565, **asked)

    assert pool.addresses.count() == 10


def test_options_that_change_leave_no_pool_of_no_use(client: Client) -> None:
    node = NodeFactory(engine="kubernetes", options={})
    asked = {"actor": SYSTEM, "node": node, "first_ip": "192.168.250.100"}
    pool = services.create_pool(name="many", first_port=25565, last_port=26000, **asked)
    client.force_login(UserFactory(role=ADMIN))
    values = {"region": node.region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0, "is_enabled": "on", **USUAL}
    del values["cluster-share_addresses"]

    for options, told in (({"share_addresses": False}, "one port of each"), ({"exposure": "node_ports"}, "30000")):
        with pytest.raises(Conflict, match=f"The pool many would be of no use: .*{told}") as refused:
            services.update_node(node, actor=SYSTEM, options=options)
        assert refused.value.field == "options"
    page = client.post(f"/nodes/{node.name}/edit", values).content.decode()
    services.set_pool_enabled(pool, actor=SYSTEM, is_enabled=False)
    services.update_node(node, actor=SYSTEM, options={"share_addresses": False})
    pool.refresh_from_db()

    assert "The pool many would be of no use" in page
    with pytest.raises(Invalid, match="only one port of each"):
        services.set_pool_enabled(pool, actor=SYSTEM, is_enabled=True)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"expozure": "x"}, "no option `expozure`"), ({"exposure": "magic"}, "`exposure`"), ({"user": "root"}, "`user`")],
)
def test_options_that_a_cluster_does_not_know_are_refused(node: Node, options: dict[str, str], told: str) -> None:
    with pytest.raises(Invalid, match=told) as refused:
        services.update_node(node, actor=SYSTEM, options=options)

    assert refused.value.field == "options"
    with pytest.raises(Invalid):
        services.create_node(actor=SYSTEM, name="x", region=node.region, engine="kubernetes", options=options)


def test_options_are_set_on_the_page_and_only_what_is_unusual_is_kept(client: Client, node: Node) -> None:
    client.force_login(UserFactory(role=ADMIN))
    values = {"region": node.region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0, "is_enabled": "on"}
    fields = {**values, **USUAL, "cluster-address_pool": "players", "cluster-runtime_class": "gvisor"}
    del fields["cluster-egress"]
    fields |= {"cluster-closed_networks": "203.0.113.0/24, 2001:db8::/32", "cluster-dns_addresses": "169.254.20.10"}

    answer = client.post(f"/nodes/{node.name}/edit", fields)
    node.refresh_from_db()
    page = client.get(f"/nodes/{node.name}/edit").content.decode()

    assert answer.status_code == 302
    assert node.options == {
        "address_pool": "players",
        "closed_networks": ["203.0.113.0/24", "2001:db8::/32"],
        "dns_addresses": ["169.254.20.10"],
        "egress": False,
        "runtime_class": "gvisor",
    }
    assert "203.0.113.0/24, 2001:db8::/32" in page
    client.post(f"/nodes/{node.name}/edit", {**values, **USUAL})
    node.refresh_from_db()
    assert node.options == {}


def test_a_new_cluster_gets_its_options_and_a_wrong_one_is_told_at_its_field(client: Client) -> None:
    client.force_login(UserFactory(role=ADMIN))
    values = {"engine": "kubernetes", "region": NodeFactory().region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0}

    good = client.post("/nodes/new", {**values, **USUAL, "name": "west", "cluster-exposure": "node_ports"})
    bad = client.post("/nodes/new", {**values, **USUAL, "name": "east", "cluster-user": "root"})

    west = Node.objects.get(name="west")
    assert (good.status_code, west.options["exposure"]) == (302, "node_ports")
    assert bad.status_code == 422
    assert bad.context["cluster"].errors["user"]


def test_what_two_hubs_run_in_one_cluster_is_told_apart_for_good() -> None:
    values = {"actor": SYSTEM, "region": NodeFactory().region, "engine": "kubernetes"}
    ours, theirs = (services.create_node(name=name, **values) for name in ("cluster-a", "cluster-b"))

    changed = services.update_node(ours, actor=SYSTEM, options={"exposure": "node_ports"})

    assert ours.options["hub"].startswith("cluster-a-")
    assert ours.options["hub"] != theirs.options["hub"]
    assert changed.options == {"exposure": "node_ports", "hub": ours.options["hub"]}


def test_a_machine_has_no_options_of_a_cluster(client: Client) -> None:
    machine = NodeFactory(engine="docker")
    client.force_login(UserFactory(role=ADMIN))

    page = client.get(f"/nodes/{machine.name}/edit").content.decode()

    assert "Options of a cluster" not in page


# The API.


def test_a_kubeconfig_is_set_over_the_api_told_of_and_never_shown(client: Client, node: Node) -> None:
    client.force_login(UserFactory(role=ADMIN))
    url = f"/api/v1/nodes/{node.name}/kubeconfig"

    before = client.get(url).json()
    put = client.put(url, {"kubeconfig": CONFIG}, content_type="application/json")
    after = client.get(url)
    whole = client.get(f"/api/v1/nodes/{node.name}")

    assert (before, put.status_code, after.json()) == ({"is_set": False}, 204, {"is_set": True})
    assert stored(node)["kubeconfig"] == CONFIG
    assert b"stand-in-token" not in after.content + whole.content
    assert "kubeconfig" not in whole.json()
    assert client.delete(url).status_code == 204
    assert (client.delete(url).status_code, client.get(url).json()) == (404, {"is_set": False})


def test_one_that_cannot_be_used_is_refused_at_its_field_and_not_echoed(client: Client, node: Node) -> None:
    client.force_login(UserFactory(role=ADMIN))

    answer = client.put(
        f"/api/v1/nodes/{node.name}/kubeconfig", {"kubeconfig": "token: canary-4711"}, content_type="application/json"
    )

    assert answer.status_code in (400, 422)
    assert "kubeconfig" in answer.content.decode()
    assert b"canary-4711" not in answer.content


def test_a_cluster_is_added_and_changed_with_its_kubeconfig_in_one_request(client: Client) -> None:
    client.force_login(UserFactory(role=ADMIN))
    region = NodeFactory().region
    body = {"name": "west", "region": region.slug, "engine": "kubernetes", "kubeconfig": CONFIG}

    made = client.post("/api/v1/nodes", body, content_type="application/json")
    node = Node.objects.get(name="west")
    first = stored(node)
    other = CONFIG.replace("cluster.example.org", "other.example.org")
    changed = client.patch("/api/v1/nodes/west", {"kubeconfig": other}, content_type="application/json")

    assert (made.status_code, changed.status_code) == (201, 200)
    assert "kubeconfig" not in made.json()
    assert (first["kubeconfig"], stored(node)["kubeconfig"]) == (CONFIG, other)


@pytest.mark.parametrize("path", ["kubeconfig", "examination"])
def test_a_machine_has_neither(client: Client, path: str) -> None:
    client.force_login(UserFactory(role=ADMIN))

    assert client.get(f"/api/v1/nodes/{NodeFactory(engine='docker').name}/{path}").status_code == 404


def test_an_examination_is_asked_for_once_at_a_time(
    client: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr("hub.jobs.enqueue", lambda *args, **kwargs: sent.append(args))
    client.force_login(UserFactory(role=ADMIN))
    url = f"/api/v1/nodes/{node.name}/examination"

    answers = [client.post(url) for _ in range(2)]
    under_way = client.get(url).json()
    NodeReport.objects.update(taken_at=timezone.now() - timedelta(minutes=11))
    client.post(url)

    assert [answer.status_code for answer in answers] == [202, 202]
    assert under_way["is_under_way"]
    assert sent == [("hub.nodes.jobs.examine_cluster", node.pk)] * 2
    assert AuditEntry.objects.filter(action="node.examination_asked").count() == 2


def test_what_an_examination_has_shown_is_told_over_the_api(client: Client, node: Node) -> None:
    class Examined(FakeEngine):
        def examine(self, ips):
            return [Check("Version", Verdict.GOOD, "v1.33"), Check("Rights", Verdict.BAD, "Missing.", "Apply it.")]

    clusters.examine(node, engine=Examined(node=node.name, options={}))
    client.force_login(UserFactory(role=OPERATOR))

    told = client.get(f"/api/v1/nodes/{node.name}/examination").json()

    assert told["checks"] == [
        {"name": "Rights", "verdict": "bad", "found": "Missing.", "advice": "Apply it."},
        {"name": "Version", "verdict": "good", "found": "v1.33", "advice": ""},
    ]
    assert (told["error"], told["is_under_way"]) == ("", False)
    assert client.post(f"/api/v1/nodes/{node.name}/examination").status_code == 403


def test_it_is_asked_for_on_the_nodes_page_and_the_card_keeps_up(
    client: Client, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr("hub.jobs.enqueue", lambda *args, **kwargs: sent.append(args))
    client.force_login(UserFactory(role=ADMIN))

    answer = client.post(f"/nodes/{node.name}/examine")
    card = client.get(f"/nodes/{node.name}/cluster", headers={"HX-Request": "true"})
    again = client.get(f"/nodes/{node.name}/cluster", headers={"HX-Request": "true", "If-None-Match": card["ETag"]})

    assert (answer.status_code, len(sent)) == (302, 1)
    assert (clusters.ASKED in card.content.decode(), again.status_code) == (True, 304)
    client.force_login(UserFactory(role=OPERATOR))
    assert "Check again" not in client.get(f"/nodes/{node.name}/").content.decode()
    assert client.post(f"/nodes/{node.name}/examine").status_code == 403


def test_the_admin_site_takes_a_kubeconfig_and_checks_options(client: Client, node: Node) -> None:
    client.force_login(UserFactory(role=ADMIN))
    url = f"/admin/nodes/node/{node.pk}/change/"
    values = {"region": node.region.pk, "memory_mb": 0, "cpu_percent": 0, "disk_mb": 0, "is_enabled": "on"}
    values |= {"overcommit": "{}", "options": '{"runtime_class": "gvisor"}'}

    good = client.post(url, {**values, "kubeconfig": CONFIG})
    bad = client.post(url, {**values, "options": '{"expozure": 1}'}, follow=True)
    page = client.get(url)
    node.refresh_from_db()

    assert (good.status_code, node.options) == (302, {"runtime_class": "gvisor"})
    assert stored(node)["kubeconfig"].strip() == CONFIG.strip()
    assert "no option `expozure`" in bad.content.decode()
    assert b"stand-in-token" not in page.content
