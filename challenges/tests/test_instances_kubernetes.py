"""Teams with challenges on a cluster, through the adapter against our stand-in: addresses, flags, walls, end.

Programs of pods run as processes here; who reaches whom is worked out from the policies and services that were made,
as a policy engine and a load balancer would.
"""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts.actors import SCHEDULER
from challenges import flags, services
from challenges.models import Challenge, Instance
from hub.engines.kubernetes import KubernetesEngine
from hub.engines.kubernetes.names import SECRET
from hub.nodes import ips, reconcile, steps
from hub.nodes.choices import AddressState
from hub.nodes.engines import engine_for
from hub.nodes.models import Address
from hub.nodes.sweep import sweep, tick
from hub.nodes.tests.factories import NodeFactory
from hub.testing import empty_queues, wait_until
from hub.tests.cluster import Cluster
from hub.tests.cluster.role import shipped_role
from hub.tests.cluster.walls import Peer, answers, lets_through, peer_of

from .arena import Arena, lb_pool
from .factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    FlagFactory,
    TeamFactory,
    participate,
)

pytestmark = [pytest.mark.slow, pytest.mark.django_db]

SECONDS = 90.0
PLAYER = "203.0.113.9"
TELLS = "echo up; sleep 600"


class OnCluster(Arena):
    """The arena on a cluster of its own."""

    cluster: Cluster

    def settle(self, done: Callable[[], object], what: str) -> None:
        """Do the agent's work until something is so."""

        def look() -> object:
            tick(self.node)
            return done()

        try:
            wait_until(look, SECONDS, pause=0.05, what=what)
        except AssertionError as error:
            rows = Instance.objects.alive().values_list("name", "observed_status", "status_reason")
            raise AssertionError(f"{error}: {list(rows)}") from None

    def run(self, *instances: Instance) -> None:
        def are_well() -> bool:
            return all(self.fresh(one).observed_status == "running" for one in instances)

        self.settle(are_well, "running instances")

    def at(self, instance: Instance) -> list[tuple[str, int]]:
        """Who answers a player at the line that its team is shown."""
        line = self.fresh(instance).connections[0]
        return answers(self.cluster, line.ip, line.port, PLAYER)

    def pod(self, instance: Instance) -> Any:
        """Its one pod."""
        (pod,) = self.cluster.objects("pods", instance.engine_name)
        return pod

    def variables(self, instance: Instance, container: str) -> dict[str, str]:
        """What a container's variables say, as the cluster resolves them."""
        (found,) = [one for one in self.pod(instance)["spec"]["containers"] if one["name"] == container]
        (secret,) = [
            one for one in self.cluster.objects("secrets", instance.engine_name) if one["metadata"]["name"] == SECRET
        ]
        keys = {one["name"]: one["valueFrom"]["secretKeyRef"]["key"] for one in found["env"] if "valueFrom" in one}
        return {name: base64.b64decode(secret["data"][key]).decode() for name, key in keys.items()}

    def files(self, instance: Instance) -> dict[str, str]:
        """What was planted, by its path."""
        (secret,) = [
            one for one in self.cluster.objects("secrets", instance.engine_name) if one["metadata"]["name"] == SECRET
        ]
        mounts = [
            mount
            for one in self.pod(instance)["spec"]["containers"]
            for mount in one["volumeMounts"]
            if mount["name"] == "files"
        ]
        return {one["mountPath"]: base64.b64decode(secret["data"][one["subPath"]]).decode() for one in mounts}

    def namespaces(self) -> set[str]:
        """Those of instances."""
        names = {one["metadata"]["name"] for one in self.cluster.objects("namespaces")}
        return {name for name in names if name.startswith("hub-instance-")}


def runs(event: Any, *, sidecar: bool = False, **of_container: Any) -> Challenge:
    challenge = ChallengeFactory(kind="container", flag="")
    shell = {"image": "kutanga/web:1", "memory_mb": 32, "health_kind": "tcp", "command": ["sh", "-c", TELLS]}
    ContainerFactory(challenge=challenge, **{**shell, **of_container})
    if sidecar:
        beside = {**shell, "image": "kutanga/db:1", "env": {"POSTGRES_PASSWORD": "inner"}}
        ContainerFactory(challenge=challenge, name="db", is_main=False, port=0, **beside)
    FlagFactory(
        challenge=challenge, kind="team", content="crypto-TRI{{flag_placeholder}}", plant_env="FLAG", plant_path="/flag"
    )
    EntryFactory(event=event, challenge=challenge)
    return challenge


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(shipped_role())
    cluster.linger_seconds = 0.05
    cluster.store.reads_schemas = False
    yield cluster
    cluster.close()


@pytest.fixture
def arena(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> OnCluster:
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(reconcile, "START_POLL_SECONDS", 0.1)
    monkeypatch.setattr(steps, "RETRY_SECONDS", 0.3)
    return open_arena(cluster)


def open_arena(cluster: Cluster, *, teams: int = 3, **of_event: Any) -> OnCluster:
    node = NodeFactory(engine="kubernetes")
    node.credentials = json.dumps({"kubeconfig": cluster.kubeconfig})
    node.save()
    lb_pool(node)
    event = EventFactory(node=node, region=node.region, **of_event)
    arena = OnCluster(node, event, [TeamFactory() for _ in range(teams)])
    arena.cluster = cluster
    for team in arena.teams:
        participate(event, team)
    return arena


def test_three_teams_with_two_challenges_each_from_launch_to_nothing(arena: OnCluster) -> None:
    arena.cluster.store.reads_schemas = False
    web, shop = runs(arena.event), runs(arena.event, sidecar=True)
    made = {(team.pk, one.pk): arena.launch(team, one) for team in arena.teams for one in (web, shop)}
    arena.run(*made.values())

    # Addresses and flags.
    lines = {key: arena.fresh(one).connections[0] for key, one in made.items()}
    for key, one in made.items():
        assert arena.at(one) == [(one.engine_name, 8080)], key
    assert len({lines[team.pk, web.pk].ip for team in arena.teams}) == 3
    for team in arena.teams:
        assert lines[team.pk, web.pk].ip == lines[team.pk, shop.pk].ip
        assert lines[team.pk, web.pk].port != lines[team.pk, shop.pk].port
    wanted = {
        (team.pk, one.pk): flags.flag_for(one.flags.get(), team, arena.event)
        for team in arena.teams
        for one in (web, shop)
    }
    assert len(set(wanted.values())) == 6
    for key, one in made.items():
        assert arena.variables(one, "main")["FLAG"] == wanted[key]
        assert arena.files(one) == {"/flag": f"{wanted[key]}\n"}
        assert not any(flag in str(arena.cluster.objects("deployments", one.engine_name)) for flag in wanted.values())
    assert arena.variables(made[arena.teams[0].pk, shop.pk], "db") == {"POSTGRES_PASSWORD": "inner"}

    # One key for each team's address, and every object says whose it is.
    keys = {}
    for service in arena.cluster.objects("services"):
        keys.setdefault(service["metadata"]["annotations"]["metallb.io/allow-shared-ip"], set()).add(
            service["metadata"]["labels"]["kutanga.team"]
        )
        assert service["spec"]["externalTrafficPolicy"] == "Cluster"
    assert sorted(map(len, keys.values())) == [1, 1, 1]
    for plural in ("namespaces", "secrets", "services", "deployments", "networkpolicies", "resourcequotas", "pods"):
        for one in arena.cluster.objects(plural):
            if one["metadata"]["name"] in arena.namespaces() or one["metadata"].get("namespace") in arena.namespaces():
                labels = one["metadata"]["labels"]
                assert labels["kutanga.team"] in {str(team.pk) for team in arena.teams}
                assert int(labels["kutanga.expires"]) > timezone.now().timestamp()

    # Reset keeps flag, address and time left; its programs are others.
    first, second, third = arena.teams
    before, pod = arena.fresh(made[first.pk, shop.pk]), arena.pod(made[first.pk, shop.pk])["metadata"]["uid"]
    services.reset_instance(before, actor=first.captain, kind="redeploy")
    arena.settle(
        lambda: (now := arena.fresh(before)).observed_status == "running" and now.generation == 2, "the reset instance"
    )
    after = arena.fresh(before)
    assert (after.connections, after.expires_at) == (before.connections, before.expires_at)
    assert arena.pod(after)["metadata"]["uid"] != pod
    assert (arena.variables(after, "main")["FLAG"], arena.at(after)) == (
        wanted[first.pk, shop.pk],
        [(after.engine_name, 8080)],
    )

    # Redis emptied, and a namespace lost behind the hub's back.
    empty_queues()
    lost = made[second.pk, web.pk]
    engine_of(arena).remove(lost.engine_name)
    sweep(arena.node)
    Instance.objects.update(restart_after=None, next_check_at=timezone.now())
    arena.settle(lambda: lost.engine_name in arena.namespaces() and arena.at(lost), "the lost instance")
    arena.run(lost)
    assert arena.fresh(lost).connections == [lines[second.pk, web.pk]]

    # Expiry: everything goes, and in the end the address.
    Instance.objects.filter(team=third).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone = [made[third.pk, one.pk] for one in (web, shop)]
    arena.settle(lambda: all(arena.fresh(one).observed_status == "deleted" for one in gone), "the end of two instances")
    assert not {one.engine_name for one in gone} & arena.namespaces()
    assert ips.count(arena.node) == {"free": 28, "leased": 2, "quarantined": 1, "blocked": 0, "waiting": 0}
    assert answers(arena.cluster, lines[third.pk, web.pk].ip, lines[third.pk, web.pk].port, PLAYER) == []

    # The end of the event takes the rest.
    services.end_event(arena.event, actor=SCHEDULER)
    arena.settle(lambda: not Instance.objects.alive().exists(), "the end of all instances")
    assert arena.namespaces() == set()
    left = {plural for plural, _, _ in arena.cluster.store.objects}
    assert left == {"namespaces", "ipaddresspools", "l2advertisements"}
    assert ips.count(arena.node)["leased"] == 0


def engine_of(arena: OnCluster) -> KubernetesEngine:
    engine = engine_for(arena.node)
    assert isinstance(engine, KubernetesEngine)
    return engine


def test_nobody_reaches_what_is_not_meant_for_him(arena: OnCluster) -> None:
    """A list of targets over TCP and UDP, v4 and v6; what a player reaches is the positive control."""
    closed, open_ = runs(arena.event, sidecar=True), runs(arena.event)
    open_.allows_egress = True
    open_.save()
    first, second = arena.teams[:2]
    attacker, own, foreign = arena.launch(first, closed), arena.launch(first, open_), arena.launch(second, closed)
    arena.run(attacker, own, foreign)
    cluster = arena.cluster
    resolver = Peer("10.42.0.2", "kube-system", {"k8s-app": "kube-dns"})
    cluster.put("namespaces", "", "kube-system")
    stranger = Peer("10.42.9.9", "default", {})
    cluster.put("namespaces", "", "default")
    pods = {name: peer_of(arena.pod(one)) for name, one in (("attacker", attacker), ("own", own), ("foreign", foreign))}
    for one in (attacker, own, foreign):
        assert arena.at(one) == [(one.engine_name, 8080)], "a target that does not answer proves nothing"

    near = {
        "another team's pod": pods["foreign"],
        "its own team's other pod": pods["own"],
        "another team's address": Peer(arena.fresh(foreign).connections[0].ip),
        "the API server's service": Peer("10.43.0.1"),
        "a machine": Peer("192.168.250.10"),
        "metadata": Peer("169.254.169.254"),
        "loopback": Peer("127.0.0.1"),
        "carrier": Peer("100.64.0.7"),
        "private v6": Peer("fd00::7"),
        "link-local v6": Peer("fe80::7"),
        "a stranger's pod": stranger,
    }
    ways = [(port, protocol) for port in (22, 53, 80, 443, 5000, 6443, 8080) for protocol in ("TCP", "UDP")]

    def reached(source: Peer, targets: dict[str, Peer]) -> list[tuple[str, int, str]]:
        return [
            (name, port, protocol)
            for name, target in targets.items()
            for port, protocol in ways
            if lets_through(cluster, source, target, port, protocol)
        ]

    far = {"the Internet": Peer("1.1.1.1"), "the Internet v6": Peer("2606:4700::1111")}
    assert reached(pods["attacker"], near | far | {"names": resolver}) == []
    from_open = {name: target for name, target in near.items() if target is not pods["own"]}
    assert reached(pods["own"], from_open) == []
    assert {name for name, *_ in reached(pods["own"], far)} == set(far)
    assert reached(pods["own"], {"names": resolver}) == [("names", 53, "TCP"), ("names", 53, "UDP")]
    inside = [(port, protocol) for _, port, protocol in reached(stranger, {"": pods["foreign"]})]
    assert inside == [(8080, "TCP"), (8080, "UDP")], "what is exposed to all, and not the database beside it"
    assert lets_through(cluster, pods["attacker"], pods["attacker"], 5000)


def test_an_address_each_is_not_shared_and_shows_who_plays(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "START_POLL_SECONDS", 0.1)
    arena = open_arena(cluster, teams=1, address_policy="instance")
    made = [arena.launch(arena.teams[0], runs(arena.event)) for _ in range(2)]

    arena.run(*made)

    assert len({arena.fresh(one).connections[0].ip for one in made}) == 2
    for service in cluster.objects("services"):
        assert "metallb.io/allow-shared-ip" not in service["metadata"]["annotations"]
        assert service["spec"]["externalTrafficPolicy"] == "Local"
    assert all(arena.at(one) == [(one.engine_name, 8080)] for one in made)


def test_an_address_that_somebody_else_has_is_blocked_and_the_team_moves(arena: OnCluster) -> None:
    ports = [{"port": 8080, "protocol": "TCP"}]
    service = arena.cluster.put("services", "others", "printer", type="LoadBalancer", ports=ports, selector={})
    service["status"] = {"loadBalancer": {"ingress": [{"ip": "192.168.250.100"}]}}

    instance = arena.launch(arena.teams[0], runs(arena.event))
    arena.run(instance)

    assert arena.fresh(instance).connections[0].ip != "192.168.250.100"
    blocked = Address.objects.filter(node=arena.node, state=AddressState.BLOCKED)
    assert {str(one.ip) for one in blocked} == {"192.168.250.100"}
    assert "printer" in blocked[0].reason
    assert [one.port for one in blocked] == [None], "one address, and not its ports one after the other"


def test_an_address_that_no_pool_of_the_cluster_has_is_left_at_once(arena: OnCluster) -> None:
    for pool in arena.cluster.objects("ipaddresspools"):
        if pool["metadata"]["name"] == "players":
            pool["spec"]["addresses"] = ["192.168.250.102-192.168.250.130"]

    instance = arena.launch(arena.teams[0], runs(arena.event))
    arena.run(instance)

    assert arena.fresh(instance).connections[0].ip == "192.168.250.102"
    assert ips.count(arena.node)["blocked"] == 2


def test_a_cluster_that_has_none_of_the_addresses_is_waited_for_and_none_is_blocked(arena: OnCluster) -> None:
    players = next(one for one in arena.cluster.objects("ipaddresspools") if one["metadata"]["name"] == "players")
    players["spec"]["addresses"] = ["10.9.9.0/24"]
    instance = arena.launch(arena.teams[0], runs(arena.event))

    arena.settle(lambda: arena.fresh(instance).status_reason, "what it waits for")
    told, count = arena.fresh(instance), ips.count(arena.node)
    engine_of(arena).pools._until = 0.0  # they are asked for once a minute
    players["spec"]["addresses"] = ["192.168.250.100-192.168.250.130"]
    arena.run(instance)

    text = "No pool of the cluster's load balancer has any of this node's addresses: see its examination."
    assert (told.observed_status, told.status_reason) == ("queued", f"{text} The hub tries again.")
    assert (count["blocked"], count["leased"]) == (0, 1)


def test_granted_powers_run_on_a_marked_cluster_and_nowhere_else(arena: OnCluster) -> None:
    challenge = runs(arena.event, capabilities=["NET_ADMIN"])
    challenge.containers.update(is_privileged=False)
    Challenge.objects.filter(pk=challenge.pk).update(powers_granted_at=timezone.now())
    team = arena.teams[0]

    with pytest.raises(Exception, match="no addresses for this challenge"):
        arena.launch(team, challenge)
    arena.node.options = {"allow_grants": True}
    arena.node.save()
    arena.event.refresh_from_db()
    instance = arena.launch(team, challenge)
    arena.run(instance)

    (container,) = arena.pod(instance)["spec"]["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    home = next(one for one in arena.cluster.objects("namespaces") if one["metadata"]["name"] == instance.engine_name)
    assert home["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"


def test_what_holds_a_namespace_is_shown_and_its_address_stays_leased(arena: OnCluster) -> None:
    instance = arena.launch(arena.teams[0], runs(arena.event))
    arena.run(instance)
    cluster = arena.cluster
    cluster.stuck.add(instance.engine_name)
    services.stop_instance(instance, actor=arena.teams[0].captain)

    def is_going() -> bool:
        return "deletionTimestamp" in cluster.store.get("namespaces", "", instance.engine_name)["metadata"]

    arena.settle(is_going, "the deletion")
    since = datetime.now(UTC) - timedelta(minutes=6)
    with cluster.store.lock:
        home = cluster.store.get("namespaces", "", instance.engine_name)
        home["metadata"]["deletionTimestamp"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        message = "Some content in the namespace has finalizers remaining: example.org/lock in 1 resource instances"
        condition = {"type": "NamespaceFinalizersRemaining", "status": "True", "message": message}
        home["status"] = {"phase": "Terminating", "conditions": [condition]}

    arena.settle(lambda: "example.org/lock" in arena.fresh(instance).status_reason, "what holds it")

    assert "for 6 minutes" in arena.fresh(instance).status_reason
    assert ips.count(arena.node)["leased"] == 1, "an address is given up once its namespace is not found"
    cluster.stuck.clear()
    arena.settle(lambda: arena.fresh(instance).observed_status == "deleted", "its end")
    assert ips.count(arena.node)["leased"] == 0


def test_a_hundred_launches_and_ends_with_faults_leave_every_address_accounted_for(arena: OnCluster) -> None:
    dice = random.Random(11)  # noqa: S311 - the same faults each time
    Instance.objects.all().delete()
    cluster, event = arena.cluster, arena.event
    event.max_instances_per_team = 9
    event.save()
    cluster.linger_seconds = 0.0
    challenges = [runs(event, health_kind="none") for _ in range(3)]
    faults = ({"status": 500}, {"status": 503}, {"reset": True}, {"reset": True, "after": True})
    wishes = 0
    while wishes < 100:
        cluster.fail(skip=dice.randrange(12), **dice.choice(faults))
        team, challenge = dice.choice(arena.teams), dice.choice(challenges)
        found = Instance.objects.alive().filter(team=team, challenge=challenge).first()
        if found is None:
            arena.launch(team, challenge)
        elif found.desired_status == "running":
            services.stop_instance(found, actor=team.captain)
        else:
            tick(arena.node)
            continue
        wishes += 1
        Instance.objects.alive().update(next_check_at=timezone.now())
        tick(arena.node)
    cluster.faults.clear()

    def is_settled() -> bool:
        Instance.objects.alive().update(next_check_at=timezone.now())
        return all(one.observed_status == "running" == one.desired_status for one in Instance.objects.alive())

    arena.settle(is_settled, "the end of it all")
    sweep(arena.node)

    alive = list(Instance.objects.alive().with_details())
    assert alive, "or it proves nothing"
    assert arena.namespaces() == {one.engine_name for one in alive}
    given = {
        (service["metadata"]["namespace"], service["status"]["loadBalancer"]["ingress"][0]["ip"], port["port"])
        for service in cluster.objects("services")
        for port in service["spec"]["ports"]
    }
    assert given == {(one.engine_name, line.ip, line.port) for one in alive for line in one.connections}
    count = ips.count(arena.node)
    assert sum(count[state] for state in ("free", "leased", "quarantined", "blocked")) == 31
    assert count["leased"] == len({one.team_id for one in alive})
    held = Address.objects.filter(node=arena.node, port__isnull=False, state=AddressState.LEASED)
    assert {row.holder for row in held} == {one.pk for one in alive}
