"""Every path of an update with the agent as a program of its own against a live hub: what a device in the field does.

Its parts are tested one by one in `test_agent`, `test_agent_deploy` and `test_agent_commands`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from accounts.actors import SYSTEM
from devices import services
from devices.bundles import services as bundle_services
from devices.bundles import store
from devices.bundles.models import Bundle
from devices.choices import KeyState
from devices.configuration.models import DeviceConfig
from devices.configuration.services import set_device_config
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.services import Chosen, Terms, create_deployment, rollback_devices
from devices.models import Device, DeviceBeat, DeviceKey
from devices.packaging.signatures import Statement, sign
from hub.testing import wait_until

from .agent_program import PATIENCE, Program, program
from .bundle_files import archive, member
from .signing import pem_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PUBLISHER = Ed25519PrivateKey.generate()
COUNT = 'echo "$KUTANGA_VERSION" >> "$KUTANGA_STATE/runs"'


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    backend, options = "django.core.files.storage.FileSystemStorage", {"location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}


@pytest.fixture
def device(tmp_path: Path, live_server: Any) -> Iterator[Program]:
    """A device that its token has enrolled; it trusts one publisher and runs."""
    with program(tmp_path / "device", live_server.url) as made:
        enrol(made)
        made.start()
        wait_until(lambda: Device.objects.filter(sealing_key__isnull=False).exists(), PATIENCE)
        yield made


def enrol(made: Program) -> None:
    expires = timezone.now() + timedelta(hours=1)
    _, token = services.create_token(actor=SYSTEM, name="batch", expires_at=expires)
    assert made.enrol("--identity", "serial=GW-0042", "--token", "-", said=token)["status"] == "accepted"
    (made.state / "publishers").mkdir()
    (made.state / "publishers" / "factory.pem").write_text(pem_of(PUBLISHER))
    DeviceBeat.objects.update(interval_seconds=1)


def release(version: str, script: str = COUNT, *, by: Any = PUBLISHER, noise: int = 0, **manifest: Any) -> Bundle:
    """A bundle whose deploy script is this one; `health` and `rollback` are scripts, too."""
    scripts = {"deploy": script} | {name: manifest.pop(name) for name in ("health", "rollback") if name in manifest}
    facts: dict[str, Any] = {"version": version, **manifest}
    facts |= {name: {"script": f"{name}.sh", **facts.get(f"{name}_terms", {})} for name in scripts}
    facts.pop("deploy_terms", None)
    members = [member("manifest.json", json.dumps(facts).encode())]
    members += [
        member(f"{name}.sh", f"#!/bin/sh\nset -eu\n{text}\n".encode(), mode=0o755) for name, text in scripts.items()
    ]
    members += [member("noise.bin", os.urandom(noise))] if noise else []
    data = archive(members)
    made = bundle_services.upload_bundle(
        file=io.BytesIO(data), name="camera", version=version, actor=SYSTEM, size_bytes=len(data)
    )
    signed = sign(Statement("camera", version, hashlib.sha256(data).hexdigest(), len(data)), by)
    Bundle.objects.filter(pk=made.pk).update(signed=signed)
    return made


def put(bundle: Bundle, **terms: Any) -> Deployment:
    chosen = Chosen(devices=[Device.objects.get().pk])
    return create_deployment(bundle, chosen, Terms(**{"soak_seconds": 0, **terms}), actor=SYSTEM).deployment


def becomes(deployment: Deployment, status: str, code: str = "") -> DeploymentTarget:
    """Wait until its one target stands there, for this reason."""

    def found() -> DeploymentTarget | None:
        target = deployment.targets.get()
        return target if (target.status, target.error_code) == (status, code) else None

    try:
        return wait_until(found, PATIENCE, pause=0.05)  # type: ignore[return-value]
    except AssertionError:
        target = deployment.targets.get()
        raise AssertionError(f"{target.status} {target.error_code} {target.error_message}") from None


def try_again_now(deployment: Deployment) -> None:
    deployment.targets.update(not_before=timezone.now())


def test_enrolment_waits_for_somebody_and_ends_when_he_has_accepted(tmp_path: Path, live_server: Any) -> None:
    with program(tmp_path / "device", live_server.url) as made:
        answer = made.enrol("--identity", "serial=GW-0042", "--type", "gateway", "--key", "p256")
        assert (answer["status"], answer["key_state"]) == ("pending", "proposed")
        found = Device.objects.get()

        services.accept_device(found, actor=SYSTEM)
        assert made.enrol("--wait") == {**answer, "status": "accepted", "key_state": "active"}
        made.start()

        wait_until(lambda: DeviceBeat.objects.exclude(agent_version="").exists(), PATIENCE)
        assert made.stop() == 0
        assert (found.identity, found.device_type) == ({"serial": "GW-0042"}, "gateway")


def test_update_is_installed_and_a_rollback_brings_the_old_one_back(device: Program) -> None:
    mark = 'printf %s "$KUTANGA_VERSION" > "$KUTANGA_STATE/installed"'
    back = f"{mark}; touch $KUTANGA_STATE/back"
    for version in ("1.0", "2.0"):
        becomes(put(release(version, mark, rollback=back)), "succeeded")
        assert device.read("installed") == version
    wait_until(lambda: DeviceBeat.objects.get().bundle_version == "2.0", PATIENCE)

    made = rollback_devices(Device.objects.all(), actor=SYSTEM, terms=Terms(soak_seconds=0)).deployment

    becomes(made, "succeeded")
    assert (device.read("installed"), (device.state / "data" / "back").exists()) == ("1.0", True)
    assert device.status()["bundle_version"] == "1.0"


def test_success_is_proven_by_the_soak_time_and_it_goes_back_when_it_is_not_well(device: Program) -> None:
    becomes(put(release("1.0"), soak_seconds=1), "succeeded")

    failed = becomes(put(release("2.0", health="echo no picture; exit 1")), "rolled_back")

    assert "Went back to 1.0." in failed.error_message
    assert device.read("runs").split() == ["1.0", "2.0", "1.0"]
    assert device.status()["bundle_version"] == "1.0"


def test_what_goes_wrong_is_told_and_the_program_goes_on(device: Program) -> None:
    """A script that fails, one that never ends, and a bundle of a stranger: one process lives through them all."""
    failing = becomes(put(release("1.0", "echo no camera here; exit 3")), "failed", "script")
    assert (failing.error_message, failing.output) == ("The script ended with 3.", "no camera here\n")

    endless = 'echo $$ > "$KUTANGA_STATE/pids"; sleep 600 & echo $! >> "$KUTANGA_STATE/pids"; sleep 600'
    late = becomes(put(release("1.1", endless, deploy_terms={"timeout_seconds": 4})), "failed", "script_timeout")
    assert late.error_message == "The script did not end within 4 s."
    pids = [int(word) for word in device.read("pids").split()]
    assert len(pids) == 2
    wait_until(lambda: not any(map(is_alive, pids)), PATIENCE)

    strange = becomes(put(release("1.2", by=Ed25519PrivateKey.generate())), "failed", "signature")
    assert strange.attempt == 1

    assert device.read("runs") == ""
    becomes(put(release("1.3")), "succeeded")
    assert device.read("runs").split() == ["1.3"]
    assert device.is_running()


def is_alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody has asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_damaged_file_is_never_run_and_is_fetched_anew(device: Program) -> None:
    bundle = release("1.0")
    path = Path(store.storage().path(bundle.stored_name))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    deployment = put(bundle)

    becomes(deployment, "waiting", "corrupted")
    assert device.read("runs") == ""
    path.write_bytes(whole)
    try_again_now(deployment)

    assert becomes(deployment, "succeeded").attempt == 2


def test_cut_download_goes_on_at_its_byte(tmp_path: Path, live_server: Any) -> None:
    with Scissors(live_server.url, after=1_000_000) as line, program(tmp_path / "device", line.url) as made:
        enrol(made)
        made.start()
        wait_until(lambda: Device.objects.filter(sealing_key__isnull=False).exists(), PATIENCE)
        bundle = release("1.0", noise=3_000_000)

        becomes(put(bundle), "succeeded")

    whole = Bundle.objects.get(pk=bundle.pk).stored_bytes
    assert whole is not None
    first, second = line.asked
    assert first == 0
    assert 0 < second <= 1_000_000
    assert made.read("runs").split() == ["1.0"]


class Scissors:
    """A line to the hub that is cut in the middle of the first download."""

    def __init__(self, url: str, *, after: int) -> None:
        self.hub, self.after = (urlsplit(url).hostname or "", urlsplit(url).port or 0), after
        self.asked: list[int] = []  # at which byte each download began
        self.door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://localhost:{self.door.getsockname()[1]}"

    def __enter__(self) -> Scissors:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.door.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.door.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        """One request a connection, as the agent makes them."""
        with client, socket.create_connection(self.hub) as hub:
            head = b""
            while b"\r\n\r\n" not in head:
                block = client.recv(65_536)
                if not block:
                    return
                head += block
            left = None
            if b"/file HTTP" in head.split(b"\r\n")[0]:
                begin = head.lower().partition(b"\r\nrange: bytes=")[2].partition(b"-")[0]
                self.asked.append(int(begin or 0))
                left = self.after if len(self.asked) == 1 else None
            hub.sendall(head)
            body = threading.Thread(target=self._copy, args=(client, hub, None), daemon=True)
            body.start()
            self._copy(hub, client, left)
            with suppress(OSError):  # the agent may have hung up first
                client.shutdown(socket.SHUT_RDWR)
            body.join()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket, left: int | None) -> None:
        try:
            while (left is None or left > 0) and (block := source.recv(65_536 if left is None else min(65_536, left))):
                target.sendall(block)
                left = None if left is None else left - len(block)
        except OSError:
            return


def test_restart_in_the_middle_is_told_and_it_is_done_again(device: Program) -> None:
    wait = f'{COUNT}; while [ ! -e "$KUTANGA_STATE/go" ]; do sleep 0.05; done'
    deployment = put(release("1.0", wait))
    wait_until(lambda: device.read("runs"), PATIENCE)

    assert device.stop(signal.SIGKILL) == -signal.SIGKILL
    (device.state / "data" / "go").touch()
    device.start()

    found = becomes(deployment, "waiting", "busy")
    assert found.error_message == "The agent was restarted in the middle of it."
    try_again_now(deployment)
    assert becomes(deployment, "succeeded").attempt == 2
    assert device.read("runs").split() == ["1.0", "1.0"]


def test_configuration_is_applied_acknowledged_and_outlives_the_program(device: Program) -> None:
    found = Device.objects.get()
    wanted = {"polling_interval": 10, "log_level": "DEBUG", "settings": {"led": "on"}}

    set_device_config(found, wanted, actor=SYSTEM)

    applied = wait_until(lambda: DeviceConfig.objects.filter(applied_version=2).first(), PATIENCE)
    assert applied is not None
    assert json.loads((device.state / "settings.json").read_text()) == {"led": "on"}
    assert device.stop() == 0
    DeviceBeat.objects.update(config_version=None)
    device.start()
    wait_until(lambda: DeviceBeat.objects.get().config_version == 2, PATIENCE)
    assert DeviceConfig.objects.all().drifting().count() == 0


def test_key_is_rotated_beside_the_program_that_runs(device: Program) -> None:
    """The running program takes the next key up, so that it goes on when the time of the old one is over."""
    becomes(put(release("1.0")), "succeeded")
    old = device.status()["key"]

    device.ask("rotate-key", "--key", "p256")

    new = device.status()["key"]
    states = dict(DeviceKey.objects.values_list("fingerprint", "state"))
    assert states == {old: KeyState.RETIRING, new: KeyState.ACTIVE}
    DeviceKey.objects.filter(fingerprint=old).update(retires_at=timezone.now())
    becomes(put(release("2.0")), "succeeded")
    assert device.status()["bundle_version"] == "2.0"
    assert device.is_running()
