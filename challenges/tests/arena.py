"""An event on a node with addresses, challenges that run something, and an agent that works in the test."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from accounts.models import User
from challenges import services
from challenges.models import Challenge, DeployRun, Event, Instance, Team
from hub.engines.base import Engine
from hub.engines.fake import FakeEngine
from hub.nodes.choices import PoolKind
from hub.nodes.models import Address, Node
from hub.nodes.sweep import tick
from hub.nodes.tests.factories import NodeFactory, PoolFactory

from .factories import (
    ChallengeFactory,
    ContainerFactory,
    EntryFactory,
    EventFactory,
    FlagFactory,
    TeamFactory,
    participate,
)


@dataclass
class Arena:
    """What the tests of instances stand on."""

    node: Node
    event: Event
    teams: list[Team] = field(default_factory=list)

    @property
    def engine(self) -> FakeEngine:
        return FakeEngine(node=self.node.name, options={})

    def launch(self, team: Team, challenge: Challenge, **asked: Any) -> Instance:
        """A member's click."""
        return services.launch_instance(self.event, challenge.slug, actor=team.captain, **asked).instance

    def deploy(self, challenge: Challenge, *, actor: Any, **asked: Any) -> DeployRun:
        """An organiser's click on Deploy, and what a worker makes of it."""
        run = services.deploy_for_all(self.event, challenge.slug, actor=actor, **asked)
        services.carry_out_deploy(run.pk)
        run.refresh_from_db()
        return run

    def work(self, times: int = 6, engine: Engine | None = None) -> None:
        """What the agent does in a few seconds."""
        for _ in range(times):
            Instance.objects.alive().update(next_check_at=None)
            Instance.objects.alive().update(next_check_at=_past())
            tick(self.node, engine=engine)

    def fresh(self, instance: Instance) -> Instance:
        return Instance.objects.with_details().get(pk=instance.pk)


def _past() -> Any:
    from django.db.models.functions import Now

    return Now()


def lb_pool(node: Node, size: int = 31, **values: Any) -> Any:
    """The default pool of load-balancer addresses."""
    asked = {"first_ip": "192.168.250.100", "last_ip": f"192.168.250.{99 + size}", **values}
    return PoolFactory(node=node, kind=PoolKind.LOAD_BALANCER, first_port=None, last_port=None, **asked)


def make_arena(*, addresses: int = 31, teams: int = 2, rest: int | None = None, **of_event: Any) -> Arena:
    """A running event with teams in it."""
    node = of_event.pop("node", None) or NodeFactory()
    lb_pool(node, addresses, quarantine_seconds=rest)
    event = EventFactory(node=node, region=node.region, **of_event)
    arena = Arena(node, event, [TeamFactory() for _ in range(teams)])
    for team in arena.teams:
        participate(event, team)
    return arena


def runnable(event: Event | None = None, *, sidecar: bool = False, **of_container: Any) -> Challenge:
    """A published challenge with one web port and a flag of each team, planted by variable and by file."""
    challenge = ChallengeFactory(kind="container", flag="")
    asked = {"health_kind": "none", **of_container}
    ContainerFactory(challenge=challenge, **asked)
    if sidecar:
        ContainerFactory(challenge=challenge, name="db", is_main=False, image="kutanga/db", health_kind="none", port=0)
    FlagFactory(
        challenge=challenge, kind="team", content="crypto-TRI{{flag_placeholder}}", plant_env="FLAG", plant_path="/flag"
    )
    if event is not None:
        EntryFactory(event=event, challenge=challenge)
    return challenge


def organiser_of(event: Event, user: User) -> User:
    event.organisers.add(user)
    return user


def leased_ips(node: Node) -> list[str]:
    """Whole addresses that somebody has."""
    rows = Address.objects.filter(node=node, port=None, state="leased").order_by("ip")
    return [str(row.ip) for row in rows]
