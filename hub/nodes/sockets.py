"""Who listens on this machine: TCP sockets that listen and UDP sockets that are bound, with their programs.

Only the agent asks, in the host's network and pid namespaces; without root the programs of other users stay unnamed.
"""

from __future__ import annotations

import ipaddress
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import psutil


@dataclass(frozen=True)
class Listener:
    """Who has bound one address; pid 0 and no program when that cannot be seen."""

    ip: str
    port: int
    protocols: tuple[str, ...]
    pid: int = 0
    program: str = ""

    def covers(self, ip: str) -> bool:
        """Whether a bind to this IP would meet it. A wildcard of IPv6 also takes IPv4, as a rule."""
        mine, other = ipaddress.ip_address(self.ip), ipaddress.ip_address(ip)
        if mine.is_unspecified:
            return mine.version == 6 or other.version == 4
        return mine == other

    def __str__(self) -> str:
        who = f"{self.program} (pid {self.pid})" if self.pid else "a program of another user"
        return f"{who} on {' and '.join(self.protocols)}"


Listeners = dict[int, list[Listener]]


def listeners(wanted: Callable[[int], bool] = lambda port: True) -> Listeners:
    """Everybody who listens on a wanted port, by port."""
    found: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for one in psutil.net_connections(kind="inet"):
        if one.laddr and wanted(one.laddr.port) and (protocol := _protocol(one)):
            found[_plain_ip(one.laddr.ip), one.laddr.port, one.pid or 0].add(protocol)
    by_port: Listeners = defaultdict(list)
    for (ip, port, pid), protocols in sorted(found.items()):
        by_port[port].append(Listener(ip, port, tuple(sorted(protocols)), pid, _program(pid)))
    return dict(by_port)


def on_address(found: Listeners, ip: str, port: int | None) -> list[Listener]:
    """Those of the listeners that hold this very address."""
    return [one for one in found.get(port or 0, ()) if one.covers(ip)]


def words(found: Iterable[Listener]) -> str:
    """Listeners in a sentence, each program once."""
    return ", ".join(dict.fromkeys(map(str, found)))


def _protocol(one: Any) -> str:
    if one.type == socket.SOCK_STREAM:
        return "TCP" if one.status == psutil.CONN_LISTEN else ""
    return "" if one.raddr else "UDP"


def _plain_ip(ip: str) -> str:
    """An IPv4 address that an IPv6 socket has bound is still that."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    return str(getattr(address, "ipv4_mapped", None) or address)


def _program(pid: int) -> str:
    try:
        return str(psutil.Process(pid).name()) if pid else ""
    except psutil.Error:
        return "a program that has just ended"
