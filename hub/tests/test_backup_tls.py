"""A distant server that wants TLS gets it from the programs that come with the hub."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from hub.backups import programs

from .proxy import self_signed

ASKS_FOR_TLS = b"\x00\x00\x00\x08\x04\xd2\x16/"


@pytest.mark.parametrize("name", ["pg_dump", "psql", "pg_basebackup", "pg_receivewal"])
def test_program_of_the_embedded_server_speaks_tls(name: str, tmp_path: Path) -> None:
    """The server here takes the first message over TLS and hangs up: what comes then is as without."""
    heard: list[bytes] = []
    certificate = tmp_path / "certificate"
    certificate.write_bytes(b"".join(self_signed()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.set_alpn_protocols(["postgresql"])
    program = str(programs._embedded_program(name))
    places = {"pg_basebackup": [f"--pgdata={tmp_path}/base"], "pg_receivewal": [f"--directory={tmp_path}", "--no-loop"]}

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                heard.append(connection.recv(8))
                connection.sendall(b"S")
                with context.wrap_socket(connection, server_side=True) as secured:
                    heard.append(secured.recv(500))

        thread = threading.Thread(target=serve)
        thread.start()
        address = (
            f"host=127.0.0.1 port={listening.getsockname()[1]} user=hub sslmode=verify-ca sslrootcert={certificate}"
        )
        command = [program, "--no-password", f"--dbname={address} dbname=hub", *places.get(name, ())]
        done = subprocess.run(
            command,
            env=programs.environment(program, "secret"),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        thread.join(60)

    assert heard[0] == ASKS_FOR_TLS, done.stderr
    assert b"user\x00hub\x00" in heard[1]


def test_programs_of_the_machine_keep_their_own_library(monkeypatch: Any) -> None:
    monkeypatch.delenv("LD_PRELOAD", raising=False)

    assert "LD_PRELOAD" not in programs.environment("/usr/bin/pg_dump")
