"""The guarded client, against a server of our own and a resolver that says what the test wants."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from threading import Event, Thread
from typing import Any

import pytest

from hub import outgoing
from hub.exceptions import Invalid
from hub.outgoing import AddressRefused, Unreachable


class Handler(BaseHTTPRequestHandler):
    """Answers by path."""

    def do_GET(self) -> None:
        path, _, rest = self.path.partition("?")
        if path == "/to":
            self.send_response(302)
            self.send_header("Location", rest)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.end_headers()
        if path == "/slow":
            for _ in range(20):
                self.wfile.write(b"x")
                self.wfile.flush()
                time.sleep(0.1)
        self.wfile.write(b"x" * 5000 if path == "/long" else self.headers["Host"].encode())

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[list[str]]]:
    """The resolver: for each name its answers, the last of which stays."""
    table: dict[str, list[list[str]]] = {}

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        answers = table.get(host, [[host]])
        addresses = answers.pop(0) if len(answers) > 1 else answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", getaddrinfo)
    return table


@pytest.fixture
def loopback_allowed(settings: Any) -> None:
    settings.HUB_OUTGOING_ALLOWED = [ip_network("127.0.0.0/8")]


PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 - to be refused, not listened on
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "fe80::1",
    "fd00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "ff02::1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_refused(address: str) -> None:
    assert not outgoing.is_allowed(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert outgoing.is_allowed(ip_address(address))


@pytest.mark.parametrize("url", ["http://intern.example/", "http://10.0.0.8/", "https://[fd00::1]/x"])
def test_place_in_a_private_network_is_refused_before_anything_is_sent(names: Any, url: str) -> None:
    names["intern.example"] = [["93.184.216.34", "10.0.0.8"]]

    with pytest.raises(AddressRefused):
        outgoing.check_place(url)


def test_place_that_nobody_knows_or_not_soon_enough_is_left_to_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: Any, **kwargs: Any) -> None:
        raise socket.gaierror

    monkeypatch.setattr(outgoing.socket, "getaddrinfo", unknown)
    outgoing.check_place("https://hooks.example/")
    let_go = Event()
    monkeypatch.setattr(outgoing.socket, "getaddrinfo", lambda *args, **kwargs: let_go.wait(60) and [])
    monkeypatch.setattr(outgoing, "RESOLVE_SECONDS", 0.1)
    began = time.monotonic()

    outgoing.check_place("https://hooks.example/")

    let_go.set()
    assert time.monotonic() - began < 30


def test_name_of_a_private_address_is_refused_after_resolution(names: Any) -> None:
    names["intern.example"] = [["10.0.0.8"]]

    with pytest.raises(AddressRefused) as refusal:
        outgoing.request("GET", "http://intern.example/")

    assert (refusal.value.field, refusal.value.status) == ("url", 400)
    assert "10.0.0.8" not in refusal.value.message


def test_one_private_address_among_public_ones_is_enough(names: Any) -> None:
    names["mixed.example"] = [["1.1.1.1", "192.168.0.1"]]

    with pytest.raises(AddressRefused):
        outgoing.request("GET", "http://mixed.example/")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "http://[::1]/", "http://2130706433/", "http://0x7f.1/"])
def test_written_addresses_are_refused_however_they_are_spelled(url: str) -> None:
    with pytest.raises((AddressRefused, Unreachable)):
        outgoing.request("GET", url, timeout=2)


@pytest.mark.usefixtures("loopback_allowed")
def test_checked_address_is_the_one_connected_to(names: Any, port: int) -> None:
    names["rebind.example"] = [["127.0.0.1"], ["10.0.0.8"]]

    answer = outgoing.request("GET", f"http://rebind.example:{port}/")

    assert (answer.status, answer.body) == (200, f"rebind.example:{port}".encode())
    assert names["rebind.example"] == [["10.0.0.8"]]


@pytest.mark.usefixtures("loopback_allowed")
@pytest.mark.parametrize("target", ["http://intern.example/", "http://169.254.169.254/latest/meta-data"])
def test_redirect_into_a_private_network_is_refused(names: Any, port: int, target: str) -> None:
    names["intern.example"] = [["10.0.0.8"]]

    with pytest.raises(AddressRefused):
        outgoing.request("GET", f"http://127.0.0.1:{port}/to?{target}", redirects=3)


@pytest.mark.usefixtures("loopback_allowed")
def test_redirects_are_followed_only_when_asked(port: int) -> None:
    url = f"http://127.0.0.1:{port}/to?http://127.0.0.1:{port}/"

    assert outgoing.request("GET", url).status == 302
    assert outgoing.request("GET", url, redirects=1).status == 200


@pytest.mark.usefixtures("loopback_allowed")
@pytest.mark.parametrize("target", ["/to?/to?/to?/", "file:///etc/passwd", "ftp://127.0.0.1/"])
def test_endless_and_strange_redirects_end(port: int, target: str) -> None:
    with pytest.raises((Unreachable, Invalid)):
        outgoing.request("GET", f"http://127.0.0.1:{port}/to?{target}", redirects=1)


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "gopher://x/", "//x/", "http://", "http://a:b@x/", "x", "http://[::"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        outgoing.request("GET", url)

    assert refusal.value.field == "url"


@pytest.mark.usefixtures("loopback_allowed")
def test_long_and_slow_answers_are_cut(port: int) -> None:
    with pytest.raises(Unreachable, match="longer"):
        outgoing.request("GET", f"http://127.0.0.1:{port}/long", max_bytes=4999)
    with pytest.raises(Unreachable):
        outgoing.request("GET", f"http://127.0.0.1:{port}/slow", timeout=0.5)


@pytest.mark.usefixtures("loopback_allowed")
def test_nobody_there_is_said_without_the_path() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable) as refusal:
            outgoing.request("GET", f"http://127.0.0.1:{taken.getsockname()[1]}/secret-path", timeout=2)

    assert "secret-path" not in refusal.value.message


@pytest.mark.usefixtures("loopback_allowed")
def test_proxy_of_the_environment_is_not_used(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")

    assert outgoing.request("POST", f"http://127.0.0.1:{port}/", body=b"{}").status == 200
