"""The agent does what somebody sends by hand: once, with its result told however often something is cut short."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings

from accounts.actors import SYSTEM
from devices.manual import services
from devices.manual.models import ManualCommand
from devices.models import Device

sys.path.insert(0, str(django_settings.BASE_DIR / "agent"))
from kutanga_agent import manual
from kutanga_agent.hub import HubError
from kutanga_agent.loop import Agent

from .bundle_files import archive, member
from .test_agent import enrolled, machine, wait_for  # noqa: F401 - fixtures
from .test_agent_deploy import agent, own_store, put, upload  # noqa: F401 - fixtures

pytestmark = [pytest.mark.django_db(transaction=True)]
SCRIPT = b'#!/bin/sh\necho once >> "$KUTANGA_STATE/count"\nprintf "%s|" "$@"\n[ "$1" != fail ]\n'


def send(name: str, **said: Any) -> ManualCommand:
    return services.send_command(Device.objects.get(), actor=SYSTEM, name=name, **said)


def ended(command: ManualCommand) -> ManualCommand:
    return ManualCommand.objects.get(pk=command.pk)


@pytest.fixture
def installed(agent: Agent) -> Agent:  # noqa: F811
    """An agent whose bundle declares the command `count`."""
    facts = {"version": "1.0", "commands": {"count": {"script": "count.sh"}}}
    members = [member("manifest.json", json.dumps(facts).encode()), member("count.sh", SCRIPT, mode=0o755)]
    put(upload(archive(members), "1.0"))
    agent.step()
    agent.beat()
    return agent


def count(agent: Agent) -> int:  # noqa: F811
    file = agent.state.place / "data" / "count"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_diagnose_says_how_the_device_is(agent: Agent) -> None:  # noqa: F811
    command = send("diagnose")

    agent.step()

    found = ended(command)
    assert found.status == "done", found.error_message
    assert json.loads(found.output)["key"] == agent.hub.key.fingerprint


def test_script_of_the_bundle_gets_its_words_as_they_are(installed: Agent) -> None:
    command = send("count", arguments=["a b", "$(id)", ""])
    failing = send("count", arguments=["fail"])

    installed.step()
    installed.step()

    assert (ended(command).status, ended(command).output) == ("done", "a b|$(id)||")
    found = ended(failing)
    assert (found.status, found.error_message) == ("failed", "The script ended with 1.")
    assert count(installed) == 2


def test_nothing_is_done_that_the_bundle_does_not_declare(installed: Agent) -> None:
    """Also when the hub asks for it: the device believes its own, signed, bundle."""
    command = send("diagnose")
    ManualCommand.objects.update(name="rm")

    installed.step()

    assert ended(command).error_message == "The bundle declares no command rm."


def test_result_is_kept_until_the_hub_takes_it(installed: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    command, signed = send("count"), installed.hub.signed

    def refuse(method: str, path: str, *rest: Any, **more: Any) -> Any:
        if "/commands/" in path:
            raise HubError(503, "busy", "Come again.")
        return signed(method, path, *rest, **more)

    monkeypatch.setattr(installed.hub, "signed", refuse)
    installed.step()
    assert ended(command).status == "offered"
    monkeypatch.undo()
    installed.step()

    assert (ended(command).status, count(installed)) == ("done", 1)


def test_offered_again_it_is_not_done_again(installed: Agent) -> None:
    command = send("count")
    (asked,) = installed.beat()["commands"]
    manual._do(installed, "count", asked)  # it began, and the machine went down before it could say so
    installed.state.memory.commands_done.append(str(command.pk))

    manual.command(installed, asked)

    assert (ended(command).status, count(installed)) == ("failed", 1)
    assert "begun before" in ended(command).error_message


def test_restart_in_the_middle_is_told(installed: Agent) -> None:
    command = send("count")
    installed.beat()
    installed.state.write(manual.BEGUN, json.dumps({"command_id": str(command.pk)}).encode())

    manual.recover(installed)
    installed.step()

    assert ended(command).error_message == "The agent was restarted in the middle of it."
    assert count(installed) == 0


def test_restart_is_told_and_then_the_agent_ends(agent: Agent) -> None:  # noqa: F811
    command = send("restart")

    agent.run()  # returns, because the command ends it

    assert ended(command).status == "done"
