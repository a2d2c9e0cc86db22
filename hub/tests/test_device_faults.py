"""The web is killed, Redis forgets, PostgreSQL crashes: no device loses work or does it twice, nothing is replayed."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.tests.factories import UserFactory, token_for
from devices import services
from devices.bundles import services as bundle_services
from devices.bundles import store
from devices.bundles.models import Bundle
from devices.deployments.models import Deployment, DeploymentTarget, TargetEvent
from devices.deployments.services import Chosen, Terms, create_deployment
from devices.models import Device, DeviceBeat
from devices.tests.bundle_files import archive, member
from hub.testing import empty_queues, free_port, wait_until
from servers.tests.outages import Program, Programs, database_at, forget_connections, own_service
from servers.tests.test_late_workers import wait_for_transaction

sys.path.insert(0, str(django_settings.BASE_DIR / "agent"))
from kutanga_agent.hub import HubError
from kutanga_agent.keys import Key, KeyStore
from kutanga_agent.loop import Agent
from kutanga_agent.state import State

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PATIENCE = 60.0
SCRIPT = b'#!/bin/sh\necho once >> "$KUTANGA_STATE/count"\n'


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    programs = Programs(tmp_path)
    yield programs
    try:
        programs.end()
    finally:
        print(programs.logs())


@pytest.fixture(autouse=True)
def _patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A web that has just begun is slow on a busy machine; what is asked here is not how soon it answers."""
    monkeypatch.setattr("kutanga_agent.hub.TIMEOUT_SECONDS", 60)


@pytest.fixture
def port() -> int:
    return free_port()


def release(version: str = "1.0") -> Bundle:
    """A bundle whose script counts how often it was run."""
    facts = {"version": version, "deploy": {"script": "deploy.sh"}}
    members = [member("manifest.json", json.dumps(facts).encode()), member("deploy.sh", SCRIPT, mode=0o755)]
    data = archive(members)
    return bundle_services.upload_bundle(
        file=io.BytesIO(data), name="camera", version=version, actor=SYSTEM, size_bytes=len(data)
    )


def put(device: Device) -> Deployment:
    return create_deployment(release(), Chosen(devices=[device.pk]), Terms(soak_seconds=0), actor=SYSTEM).deployment


def enrol(place: Path, port: int) -> Agent:
    """Our agent, driven from here, as a device that is accepted; its hub is the one at the port."""
    state = State(place)
    state.memory.hub, state.memory.identity = f"http://localhost:{port}", {"serial": "GW-0042"}
    key, store_of_keys = Key.make("ed25519"), KeyStore(state)
    store_of_keys.save(key)
    agent = Agent(state, store_of_keys, key)
    expires = timezone.now() + timedelta(hours=1)
    agent.enrol(token=services.create_token(actor=SYSTEM, name="batch", expires_at=expires)[1])
    agent.step()
    return agent


def runs(agent: Agent) -> int:
    file = agent.state.place / "data" / "count"
    return len(file.read_text().splitlines()) if file.exists() else 0


def succeeded_once(deployment: Deployment) -> bool:
    target = deployment.targets.get()
    events = TargetEvent.objects.filter(target=target, status="succeeded")
    return (target.status, target.attempt, events.count()) == ("succeeded", 1, 1)


@contextmanager
def killed_in(web: Program, action: Callable[[], Any], is_there: Callable[[], Any]) -> Iterator[list[Any]]:
    """Do something over HTTP, and kill the web with all its processes when it has got that far."""
    answers: list[Any] = []
    client = threading.Thread(target=lambda: answers.append(action()))
    client.start()
    wait_until(is_there, PATIENCE, what="the web to get that far")
    web.kill_all()
    client.join(PATIENCE)
    yield answers


# --- The web ------------------------------------------------------------------------------------------------------


def test_upload_goes_on_after_the_web_was_killed_in_the_middle(programs: Programs, port: int) -> None:
    data = archive([member("manifest.json", b'{"version": "1.0"}'), member("noise.bin", os.urandom(300_000))])
    half = 150_000
    _, token = token_for(UserFactory(role="Admin"))

    def ask(method: str, path: str, body: Any = None) -> tuple[int, Any]:
        client = http.client.HTTPConnection("localhost", port, timeout=60)
        headers = {"Authorization": f"Token {token}", "Content-Type": "application/json"}
        try:
            client.request(method, f"/api/v1/bundles{path}", json.dumps(body or {}), headers)
            answer = client.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            client.close()

    def piece(key: str, offset: int) -> tuple[int, Any]:
        content = base64.b64encode(data[offset : offset + half]).decode()
        return ask("POST", f"/{key}/piece", {"offset": offset, "content": content})

    web = programs.web(port, HUB_FAILPOINT="bundles.piece_written@2=sleep:60")
    digest = hashlib.sha256(data).hexdigest()
    _, made = ask("POST", "", {"name": "camera", "version": "1.0", "size_bytes": len(data), "sha256": digest})
    assert piece(made["id"], 0)[0] == 200
    file = store.incoming(Bundle.objects.get().pk)
    with killed_in(web, lambda: piece(made["id"], half), lambda: file.stat().st_size > half) as answers:
        assert answers == [(0, None)]  # written, and not said
    programs.web(port)

    at = ask("GET", f"/{made['id']}")[1]["received_bytes"]
    assert at == half
    while at < len(data):
        at = piece(made["id"], at)[1]["received_bytes"]
    status, done = ask("POST", f"/{made['id']}/finish")

    assert (status, done["status"], done["sha256"]) == (200, "ready", digest)
    assert Bundle.objects.get().manifest == {"version": "1.0"}


@pytest.mark.parametrize("failpoint", ["devices.beat_taken", "devices.beat_answered"])
def test_work_is_not_lost_with_the_answer_to_a_heartbeat(
    programs: Programs, port: int, tmp_path: Path, failpoint: str
) -> None:
    """Its counter is taken; the command stands on the deployment, and is offered again when its lease is over."""
    first = programs.web(port)
    agent = enrol(tmp_path / "state", port)
    first.kill_all()
    deployment = put(Device.objects.get())
    counter = DeviceBeat.objects.get().counter
    web = programs.web(port, HUB_FAILPOINT=f"{failpoint}=sleep:60")

    def got_there() -> bool:
        offered = deployment.targets.get().status == "offered"
        return DeviceBeat.objects.get().counter > counter and (offered or failpoint == "devices.beat_taken")

    with killed_in(web, agent.step, got_there) as answers:
        assert answers[0] >= 1  # it waits, and calls again
    programs.web(port)
    DeploymentTarget.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    agent.step()

    assert succeeded_once(deployment)
    assert runs(agent) == 1


@pytest.mark.parametrize("failpoint", ["devices.result_taken", "devices.result_stored"])
def test_result_counts_once_although_the_web_was_killed_over_it(
    programs: Programs, port: int, tmp_path: Path, failpoint: str
) -> None:
    """Before its commit nothing is known, after it the device repeats what the hub knows already."""
    first = programs.web(port)
    agent = enrol(tmp_path / "state", port)
    first.kill_all()
    deployment = put(Device.objects.get())
    web = programs.web(port, HUB_FAILPOINT=f"{failpoint}=sleep:60")

    def got_there() -> bool:
        if failpoint == "devices.result_stored":
            return deployment.targets.get().status == "succeeded"
        if deployment.targets.get().status != "installing":
            return False
        wait_for_transaction()
        return True

    with killed_in(web, agent.step, got_there):
        assert deployment.targets.get().status == (
            "succeeded" if failpoint == "devices.result_stored" else "installing"
        )
    programs.web(port)
    agent.step()

    assert succeeded_once(deployment)
    assert runs(agent) == 1


# --- What it stands on --------------------------------------------------------------------------------------------


def test_redis_forgets_and_nothing_can_be_replayed(programs: Programs, port: int, tmp_path: Path) -> None:
    """Counters and spent assertions stand in PostgreSQL, nonces and short tokens are signed."""
    programs.web(port)
    agent = enrol(tmp_path / "state", port)
    sent: list[tuple[str, str, bytes | None, dict[str, str]]] = []
    send = agent.hub._send

    def remember(method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Any:
        sent.append((method, path, body, headers))
        return send(method, path, body, headers)

    agent.hub._send = remember  # type: ignore[method-assign]
    agent.beat()
    agent.hub._token_until = 0
    agent.hub.read("/api/v1/devices/self")
    token = agent.hub._token
    nonce = agent.hub.open("POST", "/api/v1/devices/nonce")["nonce"]

    empty_queues()

    refusals = []
    for again in [each for each in sent if each[0] == "POST" and "nonce" not in each[1]]:
        with pytest.raises(HubError) as refused:
            send(*again)
        refusals.append((again[1].rpartition("/")[2], refused.value.status, refused.value.code))
    assert refusals == [("heartbeat", 401, "replayed"), ("token", 401, "replayed")]
    assert agent.hub.read("/api/v1/devices/self")["device_id"] == agent.state.memory.device_id
    assert agent.hub._token == token
    body = {"public_key": agent.hub.key.public_pem, "identity": agent.state.memory.identity}
    known = agent.hub.signed("POST", "/api/v1/devices/register", body, tag="hub-enrol", nonce=nonce)
    assert known["device_id"] == agent.state.memory.device_id
    assert agent.step() > 1


def test_postgresql_crashes_and_returns_below_a_fleet(
    programs: Programs, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with own_service("postgres") as postgres:
        postgres.embedded.create_database()
        with database_at(postgres.embedded.database_url, monkeypatch):
            call_command("migrate", verbosity=0)
            programs.web(port)
            agent = enrol(tmp_path / "state", port)
            deployment = put(Device.objects.get())
            (command,) = agent.beat()["commands"]  # offered, and then everything stops
            counter = DeviceBeat.objects.get().counter

            postgres.crash()
            away = agent.step()
            postgres.start()
            forget_connections()
            after = DeviceBeat.objects.get().counter
            DeploymentTarget.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            wait_until(lambda: agent.step() != 0 and runs(agent) == 1, PATIENCE, what="the work")
            agent.step()

            assert command["deployment_id"] == str(deployment.pk)
            assert away >= 1
            assert after == counter
            assert succeeded_once(deployment)
            assert runs(agent) == 1
            programs.end()
