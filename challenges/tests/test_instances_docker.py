"""Three teams with two challenges each on a real Docker Engine: addresses, flags, walls between them, and their end."""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from accounts.actors import SCHEDULER
from challenges import flags, services
from challenges.models import ChallengePort, Instance
from hub.nodes import ips, reconcile
from hub.nodes.sweep import sweep
from hub.testing import empty_queues, wait_until
from hub.tests import reach
from hub.tests.docker_images import image

from .docker_arena import ROW, SECONDS, SHOP, WEB, Docker, open_docker_arena, page, runs
from .factories import ChallengeFactory, ContainerFactory, EntryFactory

pytestmark = [pytest.mark.docker, pytest.mark.slow, pytest.mark.django_db]

REACH = Path(reach.__file__).read_text(encoding="utf-8")
ECHO_PORT = 9000


@contextmanager
def neighbour(ip: str) -> Iterator[str]:
    """A page on this machine itself, as the hub's own would be."""
    server = http.server.ThreadingHTTPServer((ip, 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{ip}:{server.server_port}/"
    finally:
        server.shutdown()


@pytest.fixture
def arena(monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    monkeypatch.setattr(reconcile, "POLL_SECONDS", 0.1)
    with open_docker_arena() as arena:
        yield arena


def test_three_teams_with_two_challenges_each_from_launch_to_nothing(arena: Docker):
    web, shop = runs(arena.event, WEB), runs(arena.event, SHOP, sidecar=True)
    made = {(team.pk, one.pk): arena.launch(team, one) for team in arena.teams for one in (web, shop)}
    arena.run(list(made.values()))

    # Addresses and flags.
    lines = {key: arena.fresh(one).connections[0] for key, one in made.items()}
    pages = {key: page(line.url) for key, line in lines.items()}
    wanted = {
        (team.pk, one.pk): flags.flag_for(one.flags.get(), team, arena.event)
        for team in arena.teams
        for one in (web, shop)
    }
    assert len(set(wanted.values())) == 6
    assert all(wanted[key] in pages[key] for key in made), pages
    assert all(ROW in pages[team.pk, shop.pk] for team in arena.teams)
    assert len({lines[team.pk, web.pk].ip for team in arena.teams}) == 3
    for team in arena.teams:
        assert lines[team.pk, web.pk].ip == lines[team.pk, shop.pk].ip
        assert {lines[team.pk, one.pk].port for one in (web, shop)} == {8080, 20000}

    # Walls: what answers to this machine answers to no instance, not even of the same team.
    first, second = arena.teams[0], arena.teams[1]
    others = [made[second.pk, web.pk], made[second.pk, shop.pk], made[first.pk, shop.pk]]
    targets = [lines[second.pk, web.pk].url, lines[second.pk, shop.pk].url, lines[first.pk, shop.pk].url]
    targets += [f"http://{arena.own_address(one)}:8080/" for one in others]
    targets += [f"http://{arena.own_address(made[second.pk, shop.pk])}:5000/row"]
    gateway = arena.own_address(made[first.pk, web.pk]).rpartition(".")[0] + ".1"
    with neighbour(gateway) as own_page, neighbour(lines[first.pk, web.pk].ip) as on_team_address:
        targets += [own_page, on_team_address]
        assert [url for url in targets if not page(url)] == [], "a target that does not answer proves nothing"
        attacker = made[first.pk, web.pk]
        assert wanted[first.pk, web.pk] in arena.inside(attacker, "http://127.0.0.1:8080/"), "the tool works"
        assert arena.answering(attacker, [*targets, "http://127.0.0.1:8080/"]) == ["http://127.0.0.1:8080/"]
        own = {targets[2], f"http://{arena.own_address(others[2])}:8080/"}
        assert set(arena.answering(others[2], targets)) <= own

    # Reset keeps flag, address and time left.
    before = arena.fresh(made[first.pk, shop.pk])
    services.reset_instance(before, actor=first.captain, kind="redeploy")
    arena.settle(
        lambda: (now := arena.fresh(before)).observed_status == "running" and now.generation == 2, "the reset instance"
    )
    after = arena.fresh(before)
    assert (after.connections, after.expires_at) == (before.connections, before.expires_at)
    assert wanted[first.pk, shop.pk] in page(after.connections[0].url)

    # Redis emptied, and a container lost behind the hub's back.
    empty_queues()
    lost = made[second.pk, web.pk]
    arena.docker.client.api.remove_container(lost.engine_name, force=True)
    sweep(arena.node)
    Instance.objects.update(restart_after=None, next_check_at=timezone.now())
    arena.settle(lambda: wanted[second.pk, web.pk] in page(lines[second.pk, web.pk].url), "the lost instance")

    # Expiry: containers, files, networks and in the end the address go.
    third = arena.teams[2]
    Instance.objects.filter(team=third).update(expires_at=timezone.now() - timedelta(seconds=1))
    gone = [made[third.pk, one.pk] for one in (web, shop)]
    arena.settle(lambda: all(arena.fresh(one).observed_status == "deleted" for one in gone), "the end of two instances")
    assert not [name for name in arena.traces() if any(one.engine_name in name for one in gone)]
    assert ips.count(arena.node) == {"free": 3, "leased": 2, "quarantined": 1, "blocked": 0, "waiting": 0}
    assert page(lines[third.pk, web.pk].url) == ""

    # The end of the event takes the rest.
    services.end_event(arena.event, actor=SCHEDULER)
    arena.settle(lambda: not Instance.objects.alive().exists(), "the end of all instances")
    assert arena.traces() == set()
    assert ips.count(arena.node)["leased"] == 0


def test_sidecar_that_ends_is_told_of_and_started_again(arena: Docker):
    shop = runs(arena.event, SHOP, sidecar=True)
    instance = arena.launch(arena.teams[0], shop)
    arena.run([instance])
    arena.docker.client.api.remove_container(f"{instance.engine_name}-db", force=True)

    Instance.objects.update(next_check_at=timezone.now())
    arena.settle(lambda: arena.inside(instance, "http://db:5000/row") == f"{ROW}\n", "the database")

    assert arena.fresh(instance).observed_status == "running"


def test_no_way_from_a_team_to_another_over_either_protocol_and_ip_version(arena: Docker):
    """Each target is tried from this machine first, and its own port from inside. Egress is on: only that has IPv6."""
    everywhere = json.dumps([["0.0.0.0", ECHO_PORT], ["::", ECHO_PORT]])  # noqa: S104 - inside the container
    challenge = ChallengeFactory(kind="container", flag="", allows_egress=True)
    container = ContainerFactory(
        challenge=challenge, image=image("python"), command=["python3", "-c", REACH, "serve", everywhere], port=0
    )
    for protocol in ("tcp", "udp"):
        ChallengePort.objects.create(container=container, name=protocol, number=ECHO_PORT, protocol=protocol)
    EntryFactory(event=arena.event, challenge=challenge)
    attacker, victim = (arena.launch(team, challenge) for team in arena.teams[:2])
    arena.run([attacker, victim])
    line = arena.fresh(victim).connections[0]
    networks = arena.docker.client.get(f"/containers/{victim.engine_name}/json")["NetworkSettings"]["Networks"]
    own = [network[key] for network in networks.values() for key in ("IPAddress", "GlobalIPv6Address") if network[key]]
    targets = [(line.ip, line.port), *((ip, ECHO_PORT) for ip in own)]
    assert [":" in ip for ip, _ in targets] == [False, False, True]
    wait_until(lambda: attempts(arena, None, targets) == {True}, SECONDS, pause=0.2, what="targets that answer")

    assert attempts(arena, attacker, targets) == {False}
    assert attempts(arena, attacker, [("127.0.0.1", ECHO_PORT), ("::1", ECHO_PORT)]) == {True}


def attempts(arena: Docker, instance: Instance | None, targets: Sequence[tuple[str, int]]) -> set[bool]:
    """What came of asking every target over TCP and UDP, from inside an instance or from this machine."""
    words = ["python3", "-c", REACH, "attempt", json.dumps(targets)]
    if instance is None:
        said = subprocess.run(words, capture_output=True, text=True, check=True, timeout=120).stdout
    else:
        api = arena.docker.client.api
        said = api.exec_start(api.exec_create(instance.engine_name, words, stderr=False)["Id"]).decode()
    found = json.loads(said)
    assert len(found) == 2 * len(targets)
    return set(found.values())
