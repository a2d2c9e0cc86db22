"""nginx with the configuration of deploy/, before web processes as docker-compose.yml starts them."""

from __future__ import annotations

import datetime
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from string import Template
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import settings

from hub.launcher.processes import follow_parent
from hub.testing import child_environment, free_port, wait_until

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
NAME = "hub.example.org"
WHOLE = """daemon off;
{user}
pid {root}/nginx.pid;
error_log {root}/error.log;
events {{}}
http {{
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxied;
    access_log off;
    include {root}/hub.conf;
}}
"""


class Proxy:
    """Web processes by name and the nginx before them, all below one directory."""

    def __init__(self, root: Path, **environment: str) -> None:
        self.root, self.sockets, self.bundles = root, root / "sockets", root / "data" / "bundles"
        for folder in (self.sockets, self.bundles, root / "data" / "static"):
            folder.mkdir(parents=True)
        self.web: dict[str, subprocess.Popen[bytes]] = {}
        self.plain, self.tls = free_port(), free_port()
        self.environment = child_environment(
            HUB_DATA=str(root / "data"),
            HUB_URL=f"https://{NAME}",
            HUB_SOCKETS=str(self.sockets),
            HUB_LOG_LEVEL="ERROR",
            PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            **environment,
        )
        self._write()

    def _write(self) -> None:
        certificate, key = self_signed()
        (self.root / "tls.crt").write_bytes(certificate)
        (self.root / "tls.key").write_bytes(key)
        template = (settings.BASE_DIR / "deploy" / "nginx" / "hub.conf.template").read_text()
        filled = Template(template).safe_substitute(
            HUB_NAME=NAME,
            HUB_PORT_PLAIN=f"127.0.0.1:{self.plain}",
            HUB_PORT_TLS=f"127.0.0.1:{self.tls}",
            HUB_SOCKETS=self.sockets,
            HUB_CERTIFICATES=self.root,
            HUB_BUNDLES=self.bundles,
            HUB_CHALLENGE_FILES=self.root / "data" / "challenge-files",
            HUB_MAX_BODY="8m",
            HUB_MAX_FILE="201m",
        )
        assert "${" not in filled, "a value of the configuration is not given"
        (self.root / "hub.conf").write_text(filled)
        (self.root / "nginx.conf").write_text(
            WHOLE.format(root=self.root, user="user root;" if os.geteuid() == 0 else "")
        )

    @contextmanager
    def running(self, *names: str) -> Iterator[Proxy]:
        """With these web processes, ready, and nginx."""
        nginx = subprocess.Popen(
            [str(NGINX), "-e", str(self.root / "error.log"), "-c", str(self.root / "nginx.conf")],
            stdout=subprocess.DEVNULL,
            preexec_fn=follow_parent(signal.SIGTERM),
        )
        try:
            for name in names:
                self.start(name)
            for name in names:
                self.wait_for(name)
            wait_until(self._listens, what="nginx")
            yield self
        finally:
            nginx.terminate()
            for web in self.web.values():
                web.terminate()
            for process in (nginx, *self.web.values()):
                process.wait(60)

    def start(self, name: str) -> None:
        self.web[name] = subprocess.Popen(
            ["deploy/compose/web", name], cwd=settings.BASE_DIR, env=self.environment, start_new_session=True
        )

    def wait_for(self, name: str) -> None:
        wait_until((self.sockets / f"{name}.sock").exists, timeout=90, what=f"{name} to be ready")

    def renew(self, name: str) -> int:
        """End this process in its own time and start another; how the old one ended."""
        self.web[name].terminate()
        code = self.web[name].wait(60)
        self.start(name)
        self.wait_for(name)
        return code

    def connect(self) -> HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.root / "tls.crt"))
        context.check_hostname = False  # we ask by the address
        return HTTPSConnection("127.0.0.1", self.tls, timeout=120, context=context)

    def ask(self, path: str, *, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any, bytes]:
        """One request over TLS: status, headers and body."""
        connection = self.connect()
        try:
            connection.request(method, path, body, {"Host": NAME, **headers})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def ask_plainly(self, path: str) -> tuple[int, str | None]:
        """One request without TLS: status and where it leads."""
        connection = HTTPConnection("127.0.0.1", self.plain, timeout=120)
        connection.request("GET", path, headers={"Host": NAME})
        answer = connection.getresponse()
        connection.close()
        return answer.status, answer.headers["Location"]

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.tls)) == 0


def self_signed(host: str = NAME) -> tuple[bytes, bytes]:
    """A certificate for a host and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
