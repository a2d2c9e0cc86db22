"""The one way out: HTTP requests to addresses that people gave us, such as webhooks and downloads.

A name is resolved once, every address it has is checked, and the connection goes to a checked address itself: a name
that answers differently the second time gains nothing. Redirects open connections the same way. Proxies of the
environment are not used, because behind one nobody could check. `HUB_OUTGOING_ALLOWED` names private networks that may
be reached all the same.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread

from django.conf import settings
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, Retry, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationParseError, LocationValueError, MaxRetryError
from urllib3.response import BaseHTTPResponse
from urllib3.util import parse_url

from .exceptions import Invalid, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
NAT64 = ipaddress.ip_network("64:ff9b::/96")
CHUNK = 65_536
RESOLVE_SECONDS = 3.0


class AddressRefused(Invalid):
    """The URL leads into a network that people must not reach through us."""

    code = "address_refused"


class Unreachable(Unavailable):
    """The other side did not answer, or not in a way that we take."""

    code = "unreachable"


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def request(
    method: str,
    url: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 10,
    max_bytes: int = 1_048_576,
    redirects: int = 0,
) -> Answer:
    """Ask, and read the whole answer within the time and size given. Raises `AddressRefused` and `Unreachable`.

    Without `redirects` a redirect is an answer like any other. Authorization and cookies do not follow to another host,
    other headers do.
    """
    check_url(url)
    deadline = time.monotonic() + timeout
    retries = Retry(total=redirects, connect=0, read=0, other=0, redirect=redirects, raise_on_redirect=bool(redirects))
    with GuardedManager(num_pools=redirects + 1, retries=retries, timeout=Timeout(total=timeout)) as manager:
        try:
            response = manager.request(
                method, url, body=body, headers=dict(headers or {}), redirect=bool(redirects), preload_content=False
            )
            return Answer(response.status, dict(response.headers), _read(response, deadline, max_bytes))
        except MaxRetryError as error:
            raise Unreachable(f"{_host(url)} does not answer: {type(error.reason).__name__}.") from None
        except (HTTPError, OSError) as error:
            raise Unreachable(f"{_host(url)} does not answer: {type(error).__name__}.") from None


def check_url(url: str) -> None:
    """Refuse what is not a plain http or https URL, before anything is sent. Raises `Invalid`."""
    try:
        parts = parse_url(url)
    except (LocationParseError, LocationValueError):
        raise Invalid("This is not a URL.", field="url") from None
    if parts.scheme not in ("http", "https") or not parts.host:
        raise Invalid("Only http and https URLs can be used.", field="url")
    if parts.auth:
        raise Invalid("A URL must not hold a name or password.", field="url")


def check_place(url: str) -> None:
    """`check_url`, and refuse what leads into a private network as far as can be told now. Raises `AddressRefused`.

    For what is stored to be used later. A name that nobody knows just now, or not soon enough, is let pass: each
    request checks again.
    """
    check_url(url)
    parts = parse_url(url)
    for place in _resolved_soon(str(parts.host).strip("[]"), parts.port or 443):
        _check_address(str(parts.host), place)


def _resolved_soon(host: str, port: int) -> list[str]:
    """The addresses of a name, asked in a thread because nothing else can be given up when it takes too long."""
    found: list[str] = []

    def ask() -> None:
        with suppress(OSError, UnicodeError):
            found.extend(str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(RESOLVE_SECONDS)
    return list(found)


def _check_address(host: str, address: str) -> None:
    if not is_allowed(ipaddress.ip_address(address.partition("%")[0])):
        raise AddressRefused(f"{host} is in a network that cannot be reached from here.", field="url")


def is_allowed(address: Address) -> bool:
    """Whether people may reach this address through us: public ones, and networks that the settings allow."""
    address = _inner(address)
    if any(address in network for network in settings.HUB_OUTGOING_ALLOWED if network.version == address.version):
        return True
    return address.is_global and not address.is_multicast


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address only wraps."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else address)


def _connect(host: str, port: int, timeout: float | None) -> socket.socket:
    """A connection to the first address of this name, when people may reach every one of them."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    for *_, place in found:
        _check_address(host, str(place[0]))
    family, kind, protocol, _, place = found[0]
    connection = socket.socket(family, kind, protocol)
    try:
        connection.settimeout(timeout)
        connection.connect(place)
    except BaseException:
        connection.close()
        raise
    return connection


class GuardedHTTPConnection(HTTPConnection):
    """Connects to checked addresses only."""

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, self.port, self.timeout)


class GuardedHTTPSConnection(HTTPSConnection):
    """Connects to checked addresses only; the certificate is still checked against the name."""

    def _new_conn(self) -> socket.socket:
        return _connect(self._dns_host, self.port, self.timeout)


class GuardedHTTPPool(HTTPConnectionPool):
    ConnectionCls = GuardedHTTPConnection


class GuardedHTTPSPool(HTTPSConnectionPool):
    ConnectionCls = GuardedHTTPSConnection


class GuardedManager(PoolManager):
    """Makes guarded connections, also when it follows redirects."""

    def __init__(self, **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]  # passed on
        self.pool_classes_by_scheme = {"http": GuardedHTTPPool, "https": GuardedHTTPSPool}


def _read(response: BaseHTTPResponse, deadline: float, max_bytes: int) -> bytes:
    """The body, unless it is too long or comes too slowly; one that unpacks to more than the limit is too long."""
    body = bytearray()
    while chunk := response.read1(CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:
            raise Unreachable(f"The answer is longer than {max_bytes} bytes.")
        if time.monotonic() > deadline:
            raise Unreachable("The answer takes too long.")
    return bytes(body)


def _host(url: str) -> str:
    """Who was asked; the rest of a URL may be a secret."""
    return parse_url(url).host or "The other side"
