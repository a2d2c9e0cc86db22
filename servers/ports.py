"""Named ports of a template: kept as JSON, used as dataclasses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

from .choices import PortProtocol

NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


@dataclass(frozen=True)
class TemplatePort:
    """One port that a server needs.

    `target_port` is where it listens inside a container; `variable` and `password_variable` are the environment
    variables that tell it the port and, for a remote console, the password. With `ECON_PORT` comes `ECON_IP`, the
    address to listen on. Public ports are for players; the others are reached by the node's agent only, unless the
    owner publishes them.
    """

    name: str
    target_port: int
    is_public: bool = True
    protocol: str = PortProtocol.GAME
    variable: str = ""
    password_variable: str = ""

    @property
    def ip_variable(self) -> str:
        return f"{self.variable.removesuffix('_PORT')}_IP" if self.variable else ""

    @property
    def told(self) -> list[str]:
        """The variables that tell the server about this port."""
        return [name for name in (self.variable, self.ip_variable, self.password_variable) if name]

    @property
    def is_console(self) -> bool:
        return self.protocol in (PortProtocol.RCON, PortProtocol.ECON)


def parse_ports(rows: Iterable[dict[str, Any]]) -> list[TemplatePort]:
    """Read the stored form. Raises ValueError with a sentence for whoever writes templates."""
    ports = [_parse(row) for row in rows]
    names = [port.name for port in ports]
    if len(set(names)) < len(names):
        raise ValueError("Two ports have the same name.")
    return ports


def dump_ports(ports: Iterable[TemplatePort]) -> list[dict[str, Any]]:
    """The stored form."""
    return [asdict(port) for port in ports]


def _parse(row: Any) -> TemplatePort:
    known = {field.name for field in fields(TemplatePort)}
    if not isinstance(row, dict) or not {"name", "target_port"} <= row.keys() <= known:
        raise ValueError(f"A port has the fields {', '.join(sorted(known))}; name and target_port are needed.")
    port = TemplatePort(**row)
    if not isinstance(port.name, str) or not NAME.fullmatch(port.name):
        raise ValueError("The name of a port is short, of small letters, digits and hyphens.")
    if isinstance(port.target_port, bool) or not isinstance(port.target_port, int) or not 0 < port.target_port < 65536:
        raise ValueError(f"The target port of {port.name} must lie between 1 and 65535.")
    if port.protocol not in PortProtocol.values:
        raise ValueError(f"The protocol of {port.name} must be one of {', '.join(PortProtocol.values)}.")
    if port.is_console and port.is_public:
        raise ValueError(f"The console port {port.name} must not be public: the owner may publish it.")
    return port
