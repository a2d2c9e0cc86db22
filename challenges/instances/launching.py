"""From an instance's row to what its engine needs, and whether it answers."""

from __future__ import annotations

import http.client
import logging
import socket
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.utils import timezone

from challenges import flags
from challenges.choices import AddressPolicy, HealthKind, PortProtocol
from hub.engines.base import (
    Engine,
    EngineError,
    Limits,
    Observation,
    Probe,
    ProbeKind,
    Reason,
    Sidecar,
    WorkloadSpec,
)
from hub.nodes import janitor
from hub.nodes.choices import PoolKind
from hub.nodes.models import Address, AddressPool
from hub.nodes.workloads import Health, PortRequest, bindings

from .connections import public_ports

if TYPE_CHECKING:
    from challenges.models import ChallengeContainer, ChallengePort, Instance

logger = logging.getLogger(__name__)

TEST_MINUTES: Final = 60
"""How long an organiser's test copy lives."""
LABEL_SLACK: Final = timedelta(minutes=1)
"""What a label may be behind: its time begins a moment after it was written, and a janitor waits longer than that."""
NETWORK: Final = "network"
NOT_READY: Final = "The cluster's probe of its port gets no good answer."
ANSWER_SECONDS: Final = 2.0
LOG_LINES: Final = 500
LOG_BYTES: Final = 64 * 1024


def lessee_of(instance: Instance) -> uuid.UUID:
    """Who has the address: the team in this event, so that its instances share it; or the instance alone."""
    event = instance.event
    if event is None or event.address_policy == AddressPolicy.INSTANCE:
        return instance.pk
    return team_key(event.pk, instance.team_id)


def team_key(event_id: int, team_id: int) -> uuid.UUID:
    """The same for every instance of a team in an event, and nobody else's."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"kutanga-hub/event/{event_id}/team/{team_id}")


def ports_wanted(instance: Instance) -> list[PortRequest]:
    """A port on the address for each public one, and a subnet for several containers where the node has some."""
    wanted = [
        PortRequest(name, kind=PoolKind.LOAD_BALANCER, number=port.number, lessee=lessee_of(instance))
        for name, port in public_ports(instance)
    ]
    containers = instance.challenge.containers.all()
    subnets = AddressPool.objects.filter(node=instance.node_id, kind=PoolKind.SUBNETS, is_enabled=True)
    if len(containers) > 1 and subnets.exists():
        wanted.append(PortRequest(NETWORK, is_public=False, kind=PoolKind.SUBNETS))
    return wanted


def build_spec(instance: Instance, addresses: Sequence[Address], engine: Engine) -> WorkloadSpec:
    """Everything the engine needs, flags included. Raises EngineError when it must not be launched any more."""
    challenge, main = instance.challenge, instance.main
    if main is None:
        raise _refusal("The challenge has nothing to run.")
    if challenge.wants_powers and not challenge.has_powers:
        raise _refusal("An Admin has not granted what the challenge's containers ask for.")
    if last_moment(instance) <= timezone.now() or (instance.expires_at and instance.expires_at <= timezone.now()):
        raise _refusal("Its time is over.")
    sidecars = [container for container in challenge.containers.all() if not container.is_main]
    if sidecars and not engine.capabilities.sidecars:
        raise _refusal("This node runs single containers only.")
    planted = flags.planted(challenge, instance.team, instance.event)
    targets = {name: port.number for name, port in public_ports(instance)}
    return WorkloadSpec(
        kind=instance.kind,
        id=instance.pk,
        generation=instance.generation,
        owner=f"team-{instance.team_id}",
        team=str(instance.team_id),
        command=main.command,
        limits=_limits(main),
        image=main.image,
        env=_environment(main, planted),
        files=_files(main, planted),
        ports=bindings([address for address in addresses if address.port_name in targets], targets),
        stop_grace_seconds=instance.stop_grace_seconds,
        expires_at=last_moment(instance) if engine.capabilities.relabels else farthest_moment(instance),
        secrets=[flag.value for flag in planted],
        subnet=_subnet(addresses),
        sidecars=[
            Sidecar(
                name=container.name,
                image=container.image,
                limits=_limits(container),
                command=container.command,
                env=_environment(container, planted),
                files=_files(container, planted),
                writable_paths=container.writable_paths,
                is_read_only=container.is_read_only,
            )
            for container in sidecars
        ],
        writable_paths=main.writable_paths,
        is_read_only=main.is_read_only,
        egress=challenge.allows_egress,
        added_capabilities=main.capabilities,
        is_privileged=main.is_privileged,
        probe=_probe(main),
        shares_address=lessee_of(instance) != instance.pk,
    )


def last_moment(instance: Instance) -> datetime:
    """Beyond which no extension by the rules goes: what its labels say, for a janitor that can ask nobody."""
    event = instance.event
    if event is None:
        return (instance.expires_at or timezone.now()) + timedelta(minutes=TEST_MINUTES)
    if event.max_extensions is None:
        return event.ends_at
    begun = (instance.expires_at or first_end(instance)) - timedelta(minutes=instance.extensions * event.extend_minutes)
    return min(begun + timedelta(minutes=event.max_extensions * event.extend_minutes), event.ends_at)


def farthest_moment(instance: Instance) -> datetime:
    """Beyond which no extension goes at all: organisers are bound by the event's end alone, of a test copy by a day.

    For engines whose labels stay what they were at the launch: a janitor errs on the later side there.
    """
    if instance.event is None:
        return last_moment(instance) + timedelta(days=1)
    return instance.event.ends_at


def first_end(instance: Instance) -> datetime:
    """When an instance that is launched now ends, unless somebody extends it."""
    if instance.event is None:
        return timezone.now() + timedelta(minutes=TEST_MINUTES)
    return min(timezone.now() + timedelta(minutes=instance.event.instance_minutes), instance.event.ends_at)


def begin_launch(instance: Instance, engine: Engine) -> dict[str, Any]:
    """Begin its time with its first launch, and from nothing where that was asked."""
    if instance.is_fresh_wanted:
        engine.remove(instance.engine_name)
    return {"is_fresh_wanted": False, "expires_at": instance.expires_at or first_end(instance)}


def check_health(instance: Instance, engine: Engine, observation: Observation) -> Health:
    """Whether the main container answers as its author says; a sidecar that has ended is started again."""
    main = instance.main
    _keep_label(instance, engine, observation)
    if observation.detail:
        try:
            engine.ensure(build_spec(instance, list(instance.addresses()), engine))
        except EngineError as error:
            logger.warning("sidecars of %s: %s", instance.engine_name, error)
        return Health(is_ok=False, detail=observation.detail)
    if observation.is_ready is not None:
        return Health(is_ok=observation.is_ready, detail="" if observation.is_ready else NOT_READY)
    port = _checked_port(main) if main else None
    if main is None or port is None:
        return Health(is_ok=True)
    host = observation.host or next((binding.ip for binding in observation.ports), "127.0.0.1")
    if main.health_kind == HealthKind.HTTP:
        return _by_http(host, port.number, main.health_path or "/")
    return _by_connection(host, port.number)


def _keep_label(instance: Instance, engine: Engine, observation: Observation) -> None:
    """Tell the engine when an extension, or the event's own, has moved its last moment."""
    told, last = janitor.last_moment(observation), last_moment(instance)
    if engine.capabilities.relabels and told is not None and last - told > LABEL_SLACK:
        try:
            engine.put_off(instance.engine_name, last)
        except EngineError as error:
            logger.warning("the end of %s was not written to its labels: %s", instance.engine_name, error)


def newest_output(engine: Engine, name: str) -> str | None:
    """The newest output with its flags masked; None when the engine does not answer, which costs only the log."""
    try:
        text = "\n".join(engine.logs(name, tail=LOG_LINES).lines)
    except EngineError as error:
        logger.warning("log of %s: %s", name, error)
        return None
    return text.replace("\0", "")[-LOG_BYTES:]


def _limits(container: ChallengeContainer) -> Limits:
    return Limits(
        memory_mb=container.memory_mb,
        cpu_percent=container.cpu_percent,
        disk_mb=container.disk_mb,
        pids=container.pids,
    )


def _environment(container: ChallengeContainer, planted: Sequence[flags.Planted]) -> dict[str, str]:
    return container.env | {flag.env: flag.value for flag in planted if flag.env and flag.container == container.name}


def _files(container: ChallengeContainer, planted: Sequence[flags.Planted]) -> dict[str, str]:
    return {flag.path: f"{flag.value}\n" for flag in planted if flag.path and flag.container == container.name}


def _subnet(addresses: Sequence[Address]) -> str:
    for address in addresses:
        if address.port_name == NETWORK and address.pool.kind == PoolKind.SUBNETS:
            return f"{address.ip}/{address.pool.prefix_length}"
    return ""


def _checked_port(main: ChallengeContainer) -> ChallengePort | None:
    """The port that is asked; None where nothing can be asked."""
    ports = list(main.ports.all())
    named = [port for port in ports if port.name == main.health_port] if main.health_port else ports
    if main.health_kind == HealthKind.NONE or not named or named[0].protocol == PortProtocol.UDP:
        return None
    return named[0]


def _probe(main: ChallengeContainer) -> Probe | None:
    """The same question for engines that ask by themselves."""
    port = _checked_port(main)
    if port is None:
        return None
    if main.health_kind == HealthKind.HTTP:
        return Probe(ProbeKind.HTTP, port.number, main.health_path or "/")
    return Probe(ProbeKind.TCP, port.number)


def _by_connection(host: str, port: int) -> Health:
    try:
        socket.create_connection((host, port), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        return Health(is_ok=False, detail=f"Nothing answers at its port {port} ({error.strerror or error}).")
    return Health(is_ok=True)


def _by_http(host: str, port: int, path: str) -> Health:
    """Any answer but an error of the server itself will do: a challenge may well say 404 or 403."""
    asked = http.client.HTTPConnection(host, port, timeout=ANSWER_SECONDS)
    try:
        asked.request("GET", path)
        status = asked.getresponse().status
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Health(is_ok=False, detail=f"{path} at its port {port} gives no answer ({type(error).__name__}).")
    finally:
        asked.close()
    if status >= http.client.INTERNAL_SERVER_ERROR:
        return Health(is_ok=False, detail=f"{path} at its port {port} answers {status}.")
    return Health(is_ok=True)


def _refusal(message: str) -> EngineError:
    return EngineError(message, reason=Reason.REFUSED, permanent=True)
