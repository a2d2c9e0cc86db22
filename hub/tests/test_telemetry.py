"""Traces and errors really arrive at a collector, scrubbed; without their addresses nothing is even imported."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.conf import settings
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from hub import telemetry
from hub.env import EnvError
from hub.testing import child_environment

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

CANARY = "canary4711zz"
# One request, one job that fails with a secret in its words, in a process of its own: what is switched on stays on.
WORK = f"""
import logging, sys
import django
django.setup()
from django.test import Client
from hub import jobs, telemetry
print("loaded", sorted(name for name in ("sentry_sdk", "opentelemetry.instrumentation.django") if name in sys.modules))
client = Client(SERVER_NAME="localhost")
client.get("/health/live?token={CANARY}")
client.get("/invite/{CANARY}")
local = "{CANARY}"
try:
    jobs.perform("hub.logs.scrub", "request-1", {{"password": local}})
except Exception:
    pass
try:
    raise ValueError("password={CANARY} was wrong")
except ValueError:
    logging.getLogger("servers.jobs").exception("it failed with token=%s", "{CANARY}")
telemetry.flush()
if "sentry_sdk" in sys.modules:
    import sentry_sdk
    sentry_sdk.flush(5)
"""


class Collector(BaseHTTPRequestHandler):
    """Keeps what is posted."""

    got: list[tuple[str, bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        elif self.headers.get("Content-Encoding") == "deflate":
            body = zlib.decompress(body)
        self.got.append((self.path, body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def collector() -> Iterator[Any]:
    kind = type("OneCollector", (Collector,), {"got": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    Thread(target=server.serve_forever, daemon=True).start()
    kind.port = server.server_port  # type: ignore[attr-defined]
    yield kind
    server.shutdown()
    server.server_close()


def run(**environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WORK],
        cwd=settings.BASE_DIR,
        env=child_environment(**environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[0]


def test_traces_of_requests_and_jobs_arrive_without_paths_and_secrets(collector: Any) -> None:
    run(HUB_TRACES_URL=f"http://127.0.0.1:{collector.port}")

    assert {path for path, _ in collector.got} == {"/v1/traces"}
    spans = []
    for _, body in collector.got:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    named = {span.name: {each.key: each.value.string_value for each in span.attributes} for span in spans}
    assert "GET health/live" in named
    assert "GET invite/<str:secret>" in named
    assert named["hub.logs.scrub"]["hub.request_id"] == "request-1"
    assert not telemetry.PLACES & {key for attributes in named.values() for key in attributes}
    assert CANARY.encode() not in b"".join(body for _, body in collector.got)


def test_errors_arrive_at_sentry_without_secrets(collector: Any) -> None:
    run(HUB_SENTRY_DSN=f"http://public@127.0.0.1:{collector.port}/1")

    text = b"".join(body for _, body in collector.got)
    events = [json.loads(line) for _, body in collector.got for line in body.splitlines() if b'"exception"' in line]
    kinds = {event["exception"]["values"][-1]["type"] for event in events}
    assert {path for path, _ in collector.got} == {"/api/1/envelope/"}
    assert "ValueError" in kinds
    assert len(kinds) == 2
    assert {"request-1"} <= {event["tags"]["request_id"] for event in events}
    assert CANARY.encode() not in text
    assert b"[hidden]" in text


def test_without_addresses_nothing_is_loaded() -> None:
    assert run() == "loaded []"


@pytest.mark.parametrize("variable", ["HUB_TRACES_URL", "HUB_SENTRY_DSN"])
def test_missing_packages_are_said(variable: str) -> None:
    with pytest.raises(EnvError, match="requirements-optional"):
        telemetry._need(variable, "no_such_package.inside")


def test_event_keeps_nothing_of_a_request_but_its_method() -> None:
    request = {"method": "POST", "url": f"https://hub/reset/{CANARY}", "cookies": CANARY, "headers": {"x": CANARY}}
    event = {"request": request, "user": {"ip_address": "192.0.2.1"}, "extra": {"args": (f"token={CANARY}", 1)}}

    cleaned = telemetry.clean_event(event, {})

    assert cleaned["request"] == {"method": "POST"}
    assert "user" not in cleaned
    assert CANARY not in json.dumps(cleaned)
