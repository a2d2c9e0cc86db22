"""From a server's row to what its engine needs: ports, command, environment."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from django.db import transaction

from hub.engines.base import Engine, EngineError, Probe, ProbeKind, Reason, WorkloadSpec
from hub.nodes.choices import EngineKind
from hub.nodes.models import Address
from hub.nodes.workloads import PortRequest, bindings

from . import placeholders, programs, variables
from .choices import ReadinessKind, StopKind
from .ports import TemplatePort
from .stopping import FALLBACK_SIGNAL

if TYPE_CHECKING:
    from .models import GameServer

HEAP_SHARE = 0.75
HEAP_SPARE_MB = 512
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 - inside a container, which has one interface of its own


def ports_wanted(server: GameServer) -> list[PortRequest]:
    """Public ports, and those the owner has published.

    The agent reaches the others inside the container's own network; only the process engine, whose programs share the
    machine's, needs a loopback port for each.
    """
    has_own_network = server.node.engine != EngineKind.PROCESS
    wanted = []
    for port in server.template.named_ports:
        is_public = port.is_public or port.name in server.published_ports
        if is_public or not has_own_network:
            wanted.append(PortRequest(port.name, is_public=is_public))
    return wanted


def build_spec(server: GameServer, addresses: Sequence[Address], engine: Engine) -> WorkloadSpec:
    """Everything the engine needs, secrets included. Raises EngineError when the node lacks the program."""
    template = server.template
    by_image = engine.capabilities.images
    if not by_image:
        _need_program(template.process_program)
    settings = current_settings(server)
    secrets = settings.secret | _console_passwords(server)
    wanted = {port.name for port in ports_wanted(server)}
    addresses = [address for address in addresses if address.port_name in wanted]
    facts = _facts(server, addresses, by_image=by_image)
    command = template.image_command if by_image else template.process_command
    return WorkloadSpec(
        kind=server.kind,
        id=server.pk,
        generation=server.generation,
        owner=str(server.owner_id),
        image=template.image if by_image else "",
        command=[placeholders.fill(word, facts) for word in command],
        env=_environment(server, settings.plain, facts) | secrets,
        ports=bindings(addresses, {port.name: port.target_port for port in template.named_ports} if by_image else None),
        limits=server.limits(),
        data_path=template.data_path if by_image else "",
        stop_signal=template.stop_value if template.stop_kind == StopKind.SIGNAL else FALLBACK_SIGNAL,
        stop_grace_seconds=template.stop_grace_seconds,
        secrets=[secret for secret in secrets.values() if secret],
        probe=_probe(server),
    )


def _probe(server: GameServer) -> Probe | None:
    """For engines that ask by themselves: whether its port takes connections. What games speak, only the hub knows."""
    port = server.template.checked_port
    if port is None or server.template.readiness_kind not in (ReadinessKind.TCP, ReadinessKind.MINECRAFT):
        return None
    return Probe(ProbeKind.TCP, port.target_port)


def secrets_of(server: GameServer) -> list[str]:
    """What must not be read in anything that the server says: its passwords and secret settings."""
    known = variables.of_server(server).secret | _console_passwords(server)
    return [secret for secret in {*known.values(), server.console_password} if secret]


def make_missing_secrets(server: GameServer) -> None:
    """Give a server the secrets that its template has got since, or it would start with empty passwords."""
    offered = server.template.variables.all()
    if not variables.missing_secrets(offered, variables.of_server(server)):
        return
    rows = type(server).objects.select_for_update(no_key=True, of=("self",))
    with transaction.atomic():
        locked = rows.get(pk=server.pk)  # its owner may have changed them meanwhile
        stored = variables.of_server(locked)
        stored.secret.update(variables.missing_secrets(offered, stored))
        locked.secret_values = variables.dump_secrets(stored)
        locked.save(update_fields=["secret_values"])
    server.secret_values = locked.secret_values


def current_settings(server: GameServer) -> variables.Settings:
    """The server's values for the variables its template has now: one that was added since has its default."""
    stored, settings = variables.of_server(server), variables.Settings()
    for variable in server.template.variables.all():
        if variable.is_secret:
            settings.secret[variable.key] = stored.secret.get(variable.key, "")
        else:
            settings.plain[variable.key] = stored.plain.get(variable.key, variable.default)
    return settings


def _console_passwords(server: GameServer) -> dict[str, str]:
    """The password of the remote console under the one variable that is its own."""
    ports = [port for port in server.template.named_ports if port.password_variable and server.rcon_password]
    return {port.password_variable: server.rcon_password.reveal() for port in ports}


def heap_mb(memory_mb: int) -> int:
    """What a Java heap may take: the rest of the container's memory is for the machine itself."""
    return max(256, min(int(memory_mb * HEAP_SHARE), memory_mb - HEAP_SPARE_MB))


def _facts(server: GameServer, addresses: Sequence[Address], *, by_image: bool) -> dict[str, str]:
    """The values of all placeholders that commands may use."""
    template = server.template
    leased = {address.port_name: address for address in addresses}
    ports: dict[str, str] = {}
    for port in template.named_ports:
        ip, number = _inner_address(port, leased, by_image=by_image)
        ports |= {"SERVER_IP": ip, "SERVER_PORT": number} if not ports else {}
        ports |= {port.variable: number, port.ip_variable: ip} if port.variable else {}
    facts = {
        "SERVER_ID": str(server.pk),
        "MEMORY_MB": str(server.memory_mb),
        "HEAP_MB": str(heap_mb(server.memory_mb)),
        "DISK_MB": str(server.disk_mb),
        "CPU_PERCENT": str(server.cpu_percent),
        "DATA_PATH": (template.data_path or ".") if by_image else ".",
    }
    if not by_image:
        facts |= {"PYTHON": programs.python(), "SAMPLE_SERVER": programs.sample_server()}
    return facts | ports


def _inner_address(port: TemplatePort, leased: Mapping[str, Address], *, by_image: bool) -> tuple[str, str]:
    """Where the server itself listens."""
    if by_image:
        return ANY_ADDRESS, str(port.target_port)
    return str(leased[port.name].ip), str(leased[port.name].port)


def _environment(server: GameServer, plain: Mapping[str, str], facts: Mapping[str, str]) -> dict[str, str]:
    """Built from nothing: facts, ports, the owner's values, the template's own texts."""
    known = {**facts, "SERVER_NAME": server.name, **plain}
    told = {"SERVER_ID", "SERVER_NAME", "SERVER_IP", "SERVER_PORT", "MEMORY_MB"}
    told |= {name for port in server.template.named_ports for name in port.told if name in facts}
    environment = {name: known[name] for name in sorted(told)}
    environment |= {key: value for key, value in plain.items() if value}
    return environment | {name: placeholders.fill(text, known) for name, text in server.template.env.items()}


def _need_program(program: str) -> None:
    if program and shutil.which(program) is None:
        raise EngineError(
            f"The program {program} is not installed on this node.", reason=Reason.REFUSED, permanent=True
        )
