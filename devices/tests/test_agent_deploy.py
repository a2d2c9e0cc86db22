"""The agent installs, refuses, goes on after an interruption, goes back and reports, against a live hub."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings as django_settings

from accounts.actors import SYSTEM
from devices.bundles import services as bundle_services
from devices.bundles import store
from devices.bundles.models import Bundle
from devices.configuration import services as configuration
from devices.configuration.models import DeviceConfig
from devices.deployments.models import Deployment, DeploymentTarget
from devices.deployments.services import Chosen, Terms, cancel_deployment, create_deployment, rollback_devices
from devices.models import Device, DeviceBeat
from devices.packaging.signatures import Statement, sign

sys.path.insert(0, str(django_settings.BASE_DIR / "agent"))
from kutanga_agent import deploy, fetch, scripts, unpack
from kutanga_agent.errors import WorkError
from kutanga_agent.loop import Agent

from .bundle_files import archive, bundle, member
from .signing import pem_of
from .test_agent import Machine, enrolled, machine, wait_for  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True)]
PUBLISHER = Ed25519PrivateKey.generate()


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    options = {"location": tmp_path / "bundles"}
    backend = "django.core.files.storage.FileSystemStorage"
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}


@pytest.fixture
def agent(enrolled: Machine) -> Agent:  # noqa: F811
    made = enrolled.agent()
    made.step()  # registers its sealing key
    return made


def upload(data: bytes, version: str, **said: Any) -> Bundle:
    facts = {"name": "camera", "version": version, "actor": SYSTEM, "size_bytes": len(data), **said}
    return bundle_services.upload_bundle(file=io.BytesIO(data), **facts)


def release(version: str, script: str = "exit 0", **manifest: Any) -> Bundle:
    """A bundle with this deploy script."""
    facts = {"version": version, "deploy": {"script": "deploy.sh"}, **manifest}
    members = [member("manifest.json", json.dumps(facts).encode())]
    for name in ("deploy", "health", "rollback"):
        if name in facts:
            text = f"#!/bin/sh\n{script if name == 'deploy' else facts[name].pop('text', 'exit 0')}\n"
            members.append(member(f"{name}.sh", text.encode(), mode=0o755))
    members[0] = member("manifest.json", json.dumps(facts).encode())
    return upload(archive(members), version)


def put(made: Bundle, **terms: Any) -> Deployment:
    asked = Terms(**{"soak_seconds": 0, **terms})
    device = Device.objects.get()
    return create_deployment(made, Chosen(devices=[device.pk]), asked, actor=SYSTEM).deployment


def target(deployment: Deployment) -> DeploymentTarget:
    return deployment.targets.get()


def test_a_sealed_bundle_is_installed_and_reported(agent: Agent) -> None:
    deployment = put(upload(bundle("1.0"), "1.0"))

    agent.step()

    assert target(deployment).status == "succeeded", target(deployment).error_message
    assert (agent.state.place / "data" / "installed").read_text() == "1.0"
    assert agent.state.memory.bundle_version == "1.0"
    agent.step()
    assert DeviceBeat.objects.get().bundle_version == "1.0"
    assert not list((agent.state.place / "bundles").glob("*.part"))


def test_a_failing_script_is_told_with_its_output(agent: Agent) -> None:
    deployment = put(release("1.0", "echo no camera here; exit 3"))

    agent.step()

    found = target(deployment)
    assert (found.status, found.error_code, found.error_message) == ("failed", "script", "The script ended with 3.")
    assert found.output == "no camera here\n"
    assert agent.state.memory.bundle_version == ""


def test_what_is_configured_bounds_scripts_and_requests(agent: Agent, settings: Any) -> None:
    """X90: `deploy_timeout` is heeded; a bundle that says its own time has that."""
    configuration.set_device_config(Device.objects.get(), {"deploy_timeout": 60, "heartbeat_timeout": 7}, actor=SYSTEM)
    agent.step()
    assert agent.hub.timeout == 7
    assert deploy.configure.deploy_seconds(agent, 300) == 60
    agent.state.memory.settings["deploy_timeout"] = 1

    late = put(release("1.0", "sleep 20"))
    agent.step()
    own = put(release("1.1", "sleep 2", deploy={"script": "deploy.sh", "timeout_seconds": 60}))
    agent.step()

    assert (target(late).status, target(late).error_code) == ("failed", "script_timeout")
    assert target(own).status == "succeeded", target(own).error_message


def test_a_cut_download_goes_on_where_it_was(agent: Agent) -> None:
    made = upload(bundle("1.0"), "1.0")
    deployment = put(made)
    with store.opened(made.stored_name) as file:
        sealed = file.read()
    (agent.state.place / "bundles").mkdir()
    (agent.state.place / "bundles" / f"{made.pk}.part").write_bytes(sealed[:100])

    agent.step()

    assert target(deployment).status == "succeeded"


def test_a_download_tells_how_far_it_is_and_ends_when_it_is_called_off(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TELL_SECONDS", 0)
    done = put(upload(bundle("1.0"), "1.0"))
    agent.step()
    stopped, write = put(upload(bundle("1.1"), "1.1")), fetch._write

    def call_off(*words: Any) -> None:
        cancel_deployment(stopped, actor=SYSTEM)
        write(*words)

    monkeypatch.setattr(fetch, "_write", call_off)
    agent.step()

    assert (target(done).status, target(done).reports) == ("succeeded", 3)  # downloading, so far, installing
    assert target(stopped).status == "cancelled"
    assert agent.state.memory.bundle_version == "1.0"


def test_a_full_disk_is_told_and_given_back_what_was_taken(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = put(upload(bundle("1.0"), "1.0"))

    def full(answer: Any, path: Path, *_: Any) -> None:
        path.write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_write", full)
    agent.step()

    assert (target(deployment).status, target(deployment).error_code) == ("failed", "space")
    assert not list((agent.state.place / "bundles").iterdir())


def test_what_needs_a_restart_is_proven_after_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    deployment = put(release("1.0", needs_restart=True))
    agent.step()
    assert target(deployment).status == "installing"
    assert (agent.state.place / deploy.RESTART).exists()
    deploy.recover(agent)  # the program alone was started again
    assert agent.state.memory.bundle_version == ""

    monkeypatch.setattr(deploy, "boot_id", lambda: "another")
    deploy.recover(agent)
    agent.step()

    assert target(deployment).status == "succeeded"
    assert agent.state.memory.bundle_version == "1.0"
    assert not (agent.state.place / deploy.RESTART).exists()


def test_a_damaged_file_is_never_unpacked(agent: Agent) -> None:
    made = upload(bundle("1.0"), "1.0")
    deployment = put(made)
    path = Path(store.storage().path(made.stored_name))
    raw = bytearray(path.read_bytes())
    raw[200] ^= 1
    path.write_bytes(bytes(raw))

    agent.step()

    assert (target(deployment).status, target(deployment).error_code) == ("waiting", "corrupted")
    assert not (agent.state.place / "data").exists()


@pytest.mark.parametrize(
    ("who", "status", "code"),
    [("publisher", "succeeded", ""), ("stranger", "failed", "signature"), ("nobody", "failed", "signature")],
)
def test_only_a_trusted_publishers_bundle_is_installed(agent: Agent, who: str, status: str, code: str) -> None:
    """The hub takes it in each case: whoever has taken over the hub cannot have devices install what he likes."""
    (agent.state.place / "publishers").mkdir()
    (agent.state.place / "publishers" / "factory.pem").write_text(pem_of(PUBLISHER))
    data = bundle("1.0")
    statement = Statement("camera", "1.0", hashlib.sha256(data).hexdigest(), len(data))
    made = upload(data, "1.0")
    key = PUBLISHER if who == "publisher" else Ed25519PrivateKey.generate()
    Bundle.objects.filter(pk=made.pk).update(signed=None if who == "nobody" else sign(statement, key))

    deployment = put(made)
    agent.step()

    assert (target(deployment).status, target(deployment).error_code) == (status, code)


def test_it_goes_back_by_itself_when_it_is_not_well(agent: Agent) -> None:
    first = 'printf %s "$KUTANGA_VERSION" > "$KUTANGA_STATE/installed"'
    put(release("1.0", first))
    agent.step()
    deployment = put(release("2.0", first, health={"script": "health.sh", "text": "exit 1"}))

    agent.step()

    assert target(deployment).status == "rolled_back"
    assert (agent.state.place / "data" / "installed").read_text() == "1.0"
    assert agent.state.memory.bundle_version == "1.0"


def test_a_rollback_of_the_hub_runs_its_script(agent: Agent) -> None:
    for version in ("1.0", "2.0"):
        put(release(version, rollback={"script": "rollback.sh", "text": 'echo back > "$KUTANGA_STATE/back"'}))
        agent.step()

    made = rollback_devices(Device.objects.all(), actor=SYSTEM, terms=Terms(soak_seconds=0))
    agent.step()

    assert target(made.deployment).status == "succeeded"
    assert (agent.state.place / "data" / "back").exists()
    assert agent.state.memory.bundle_version == "1.0"


def test_a_restart_in_the_middle_is_told(agent: Agent) -> None:
    deployment = put(release("1.0"))
    agent.beat()
    agent.state.write(deploy.WORK, json.dumps({"deployment_id": str(deployment.pk)}).encode())

    deploy.recover(agent)
    agent.step()

    assert (target(deployment).status, target(deployment).error_code) == ("waiting", "busy")


def test_the_last_word_is_kept_until_it_is_taken(agent: Agent) -> None:
    deployment = put(release("1.0"))
    url = agent.state.memory.hub
    agent.beat()
    agent.state.memory.hub = "http://127.0.0.1:9"
    deploy._keep(agent, str(deployment.pk), {"status": "installed"})
    assert agent.step() >= 1
    assert (agent.state.place / deploy.REPORT).exists()

    agent.state.memory.hub = url
    agent.step()

    assert target(deployment).status == "succeeded"
    assert not (agent.state.place / deploy.REPORT).exists()


def test_configuration_is_kept_and_acknowledged(agent: Agent) -> None:
    device = Device.objects.get()
    configuration.set_device_config(device, {"polling_interval": 30, "settings": {"led": "on"}}, actor=SYSTEM)

    agent.step()

    assert json.loads((agent.state.place / "settings.json").read_text()) == {"led": "on"}
    assert DeviceConfig.objects.get().applied_version == 2
    assert DeviceConfig.objects.all().drifting().count() == 0


@pytest.mark.slow
def test_a_program_of_its_own_does_all_of_it(enrolled: Machine) -> None:  # noqa: F811
    process = enrolled.start()
    try:
        wait_for(lambda: DeviceBeat.objects.exclude(last_seen_at=None).exists())
        DeviceBeat.objects.update(interval_seconds=1)
        wait_for(lambda: Device.objects.filter(sealing_key__isnull=False).exists())
        deployment = put(upload(bundle("1.0"), "1.0"))
        process.terminate()
        process.wait(60)
        process = enrolled.start()
        wait_for(lambda: target(deployment).status == "succeeded")
    finally:
        process.kill()
        process.wait()


# Without a hub ----------------------------------------------------------------------------------------------------


def test_scripts_have_a_time_limit_for_all_they_start(tmp_path: Path) -> None:
    script = tmp_path / "slow.sh"
    script.write_text("echo begun; sleep 600 & sleep 600\n")

    with pytest.raises(WorkError) as refusal:
        scripts.run(script, tmp_path, seconds=3, values={})

    assert (refusal.value.code, refusal.value.output) == ("script_timeout", "begun\n")


def test_output_is_capped(tmp_path: Path) -> None:
    script = tmp_path / "loud.sh"
    script.write_text("head -c 3000000 /dev/zero | tr '\\0' x; echo the end\n")

    output = scripts.run(script, tmp_path, seconds=60, values={})

    assert len(output) == scripts.MOST_OUTPUT
    assert output.endswith("the end\n")


@pytest.mark.parametrize(
    "attack",
    [
        member("../outside", b"x"),
        member("/tmp/outside", b"x"),
        member("link", type=b"2", linkname="/etc/passwd"),
        member("hard", type=b"1", linkname="manifest.json"),
        member("device", type=b"3"),
        member("manifest.json", b"again"),
    ],
    ids=lambda each: each[0].name,
)
def test_attacks_leave_nothing(attack: Any, tmp_path: Path) -> None:
    file = tmp_path / "bundle.tar.gz"
    file.write_bytes(archive([member("manifest.json", b'{"version": "1"}'), attack]))

    with pytest.raises(WorkError) as refusal:
        unpack.unpack(file, tmp_path / "target")

    assert refusal.value.code == "archive"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["bundle.tar.gz"]


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.tar.gz"
    file.write_bytes(archive([member("zeros", bytes(3 << 20))]))

    with pytest.raises(WorkError, match="far larger"):
        unpack.unpack(file, tmp_path / "target", most_bytes=1 << 20)
