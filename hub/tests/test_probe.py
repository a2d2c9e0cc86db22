"""The bind probe against real sockets: each row of what may hold a port."""

import contextlib
import errno
import os
import socket

import pytest

from hub.engines.base import EngineError, Reason
from hub.engines.probe import probe
from hub.testing import free_port

from .harnesses import held_socket

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM


def has_ipv6() -> bool:
    with contextlib.suppress(OSError), held_socket("::1", 0, TCP):
        return True
    return False


ADDRESSES = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")),
]


@contextlib.contextmanager
def lingering_connection(port: int):
    """A port whose only user is a connection that its server closed first (TIME_WAIT)."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()
            client.recv(1)
    yield


@pytest.mark.parametrize("ip", ADDRESSES)
def test_free_address_has_nothing_in_its_way(ip):
    assert probe(ip, free_port(ip)) == ""


@pytest.mark.parametrize("ip", ADDRESSES)
@pytest.mark.parametrize(("kind", "name"), [(TCP, "TCP"), (UDP, "UDP")])
def test_busy_address_is_named_with_its_protocol(ip, kind, name):
    port = free_port(ip)

    with held_socket(ip, port, kind):
        obstacle = probe(ip, port)

    assert obstacle == f"{name} port {port} on {ip} is in use by another program."


def test_socket_on_all_addresses_keeps_each_of_them_busy():
    port = free_port("0.0.0.0")  # noqa: S104 - that is the case under test

    with held_socket("0.0.0.0", port, TCP):  # noqa: S104
        assert probe("127.0.0.1", port)


def test_socket_on_one_address_leaves_another_free():
    port = free_port("0.0.0.0")  # noqa: S104 - free on every address

    with held_socket("127.0.0.1", port, TCP):
        assert probe("127.0.0.2", port) == ""


def test_shared_udp_socket_is_seen():
    port = free_port()

    with held_socket("127.0.0.1", port, UDP, reuse=True):
        assert probe("127.0.0.1", port)


@pytest.mark.parametrize("allow_lingering", [False, True])
def test_bound_socket_that_listens_is_seen_even_when_it_shares(allow_lingering):
    port = free_port()

    with held_socket("127.0.0.1", port, TCP, reuse=True):
        assert probe("127.0.0.1", port, allow_lingering=allow_lingering)


def test_bound_socket_that_does_not_listen_is_seen():
    port = free_port()

    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", port))

        assert probe("127.0.0.1", port)


def test_lingering_connection_counts_as_busy():
    port = free_port()

    with lingering_connection(port):
        assert probe("127.0.0.1", port)


def test_lingering_connection_does_not_keep_a_server_from_its_own_port():
    port = free_port()

    with lingering_connection(port):
        assert probe("127.0.0.1", port, allow_lingering=True) == ""


def test_probe_leaves_the_address_free():
    port = free_port()

    probe("127.0.0.1", port)

    with held_socket("127.0.0.1", port, TCP), held_socket("127.0.0.1", port, UDP):
        pass


@pytest.mark.parametrize("ip", ["198.51.100.7", "2001:db8::7"])
def test_address_that_the_node_lacks_is_told_apart(ip):
    with pytest.raises(EngineError) as missing:
        probe(ip, 25565)

    assert (missing.value.reason, missing.value.ip, missing.value.port) == (Reason.ADDRESS_MISSING, ip, 25565)


@pytest.mark.parametrize(("ip", "port"), [("example.org", 25565), ("", 25565), ("127.0.0.1", 0), ("127.0.0.1", 65536)])
def test_nonsense_is_refused_for_good(ip, port):
    with pytest.raises(EngineError) as refused:
        probe(ip, port)

    assert (refused.value.reason, refused.value.permanent) == (Reason.REFUSED, True)


def test_port_that_needs_rights_says_so(monkeypatch):
    def deny(self, address):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(socket.socket, "bind", deny)

    assert probe("127.0.0.1", 80) == "TCP port 80 on 127.0.0.1 may not be used without special rights."
