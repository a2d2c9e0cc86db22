"""Try to bind an address the way a server would: the only honest answer to "is it free?".

TCP and UDP are tried one after the other, in the family of the IP, without SO_REUSEADDR: with it, a UDP socket or a
socket that does not listen yet would be overlooked. A port that closed connections still linger on (TIME_WAIT) counts
as busy. The answer holds for this moment and this network namespace; the proof is the server's own bind.
"""

from __future__ import annotations

import errno
import ipaddress
import socket

from .base import EngineError, Reason

KINDS = ((socket.SOCK_STREAM, "TCP"), (socket.SOCK_DGRAM, "UDP"))


def probe(ip: str, port: int, *, allow_lingering: bool = False) -> str:
    """Say what stands in the way of binding, or "" when nothing does. Raises ADDRESS_MISSING and REFUSED.

    `allow_lingering` is for a server that comes back to its own port: closed connections of its last run do not count,
    but anything that listens does.
    """
    address = _parse(ip, port)
    for kind, name in KINDS:
        try:
            _bind(address, port, kind, reuse=False)
        except OSError as error:
            if error.errno == errno.EADDRINUSE and allow_lingering and _only_lingers(address, port, kind):
                continue
            return _explain(error, ip, port, name)
    return ""


def _parse(ip: str, port: int) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        raise EngineError(f"{ip!r} is not an IP address.", reason=Reason.REFUSED, permanent=True, ip=ip) from None
    if not 1 <= port <= 65535:
        raise EngineError(f"{port} is not a port.", reason=Reason.REFUSED, permanent=True, ip=ip, port=port)
    return address


def _bind(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, kind: socket.SocketKind, *, reuse: bool
) -> None:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    with socket.socket(family, kind) as probe_socket:
        if family == socket.AF_INET6:
            probe_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if reuse:
            probe_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe_socket.bind((str(address), port))
        if reuse:
            probe_socket.listen(1)


def _only_lingers(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int, kind: socket.SocketKind) -> bool:
    """With SO_REUSEADDR, closed connections do not hinder a bind, and a listener still does."""
    if kind != socket.SOCK_STREAM:
        return False
    try:
        _bind(address, port, kind, reuse=True)
    except OSError:
        return False
    return True


def _explain(error: OSError, ip: str, port: int, name: str) -> str:
    if error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
        raise EngineError(
            f"This node does not have the address {ip}.", reason=Reason.ADDRESS_MISSING, ip=ip, port=port
        ) from None
    if error.errno == errno.EADDRINUSE:
        return f"{name} port {port} on {ip} is in use by another program."
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{name} port {port} on {ip} may not be used without special rights."
    return f"{name} port {port} on {ip} cannot be used: {error.strerror}."
