"""What engines are asked to run: environment from nothing, ports, secrets, commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from accounts.models import User
from hub.engines.base import Capabilities, EngineError, Reason, WorkloadSpec
from hub.engines.fake import FakeEngine
from hub.engines.process import ProcessEngine
from hub.nodes.models import Address, Node
from servers.launching import ANY_ADDRESS, heap_mb
from servers.models import GameServer
from servers.tests.factories import GAME, TemplateFactory, VariableFactory, make_node, make_server

pytestmark = pytest.mark.django_db


class Programs(FakeEngine):
    """A fake engine that runs programs and knows no images."""

    capabilities: Capabilities = ProcessEngine.capabilities


def spec_of(server: GameServer, *, by_image: bool = True) -> WorkloadSpec:
    addresses: Sequence[Address] = list(server.addresses())
    return server.build_spec(addresses, (FakeEngine if by_image else Programs)(node="n", options={}))


@pytest.fixture
def template() -> Any:
    template = TemplateFactory(
        env={"HEAP": "{{HEAP_MB}}M", "BANNER": "{{SERVER_NAME}}: {{MOTD}}", "DATA_DIR": "{{DATA_PATH}}"},
        process_command=["{{PYTHON}}", "-I", "{{SAMPLE_SERVER}}", "--port={{SERVER_PORT}}"],
    )
    VariableFactory(template=template, key="MOTD", default="hello")
    VariableFactory(template=template, key="EMPTY_ONE")
    VariableFactory(template=template, key="ADMIN_WORD", kind="secret")
    return template


def test_container_environment_is_built_from_nothing(owner: User, node: Node, template: Any) -> None:
    server = make_server(owner=owner, node=node, template=template, name="My World", memory_mb=4096)

    spec = spec_of(server)

    secrets = {name: spec.env[name] for name in ("ADMIN_WORD", "RCON_PASSWORD")}
    assert dict(spec.env) == {
        "SERVER_ID": str(server.pk),
        "SERVER_NAME": "My World",
        "SERVER_IP": ANY_ADDRESS,
        "SERVER_PORT": "25565",
        "MEMORY_MB": "4096",
        "RCON_IP": ANY_ADDRESS,
        "RCON_PORT": "25575",
        "MOTD": "hello",
        "HEAP": "3072M",
        "BANNER": "My World: hello",
        "DATA_DIR": "/data",
        **secrets,
    }
    assert (spec.image, list(spec.command), spec.data_path) == ("kutanga/sample", [], "/data")


def test_container_port_is_the_images_and_host_port_the_leased_one(owner: User, node: Node, template: Any) -> None:
    make_server(owner=owner, node=node, template=template)
    server = make_server(owner=owner, node=node, template=template)

    assert [(p.name, p.port, p.target_port, p.public) for p in spec_of(server).ports] == [("game", 25566, 25565, True)]


def test_process_gets_its_leased_ports_and_addresses(owner: User, template: Any) -> None:
    server = make_server(owner=owner, template=template, node=make_node(engine="process", options={"root": "/x"}))

    spec = spec_of(server, by_image=False)

    assert (spec.env["SERVER_IP"], spec.env["SERVER_PORT"]) == ("127.0.0.1", "25565")
    assert (spec.env["RCON_IP"], spec.env["RCON_PORT"]) == ("127.0.0.1", "26001")
    assert spec.command[1:] == ["-I", spec.command[2], "--port=25565"]
    assert (spec.image, spec.data_path, spec.env["DATA_DIR"]) == ("", "", ".")


def test_every_secret_is_listed_for_masking_and_in_no_argument(owner: User, node: Node, template: Any) -> None:
    server = GameServer.objects.get(pk=make_server(owner=owner, node=node, template=template).pk)

    spec = spec_of(server)

    assert set(spec.secrets) == {
        server.rcon_password.reveal(),
        spec.env["ADMIN_WORD"],
    }
    assert not any(secret in word for secret in spec.secrets for word in spec.command)


def test_text_of_users_is_data_and_never_a_placeholder(owner: User, node: Node, template: Any) -> None:
    hostile = "$(reboot) `id` {{ADMIN_WORD}} {{SERVER_ID}}"
    server = make_server(owner=owner, node=node, template=template, values={"MOTD": hostile})

    spec = spec_of(server)

    assert spec.env["MOTD"] == hostile
    assert spec.env["BANNER"] == f"{server.name}: {hostile}"


def test_a_variable_added_later_has_its_default_and_a_removed_one_is_gone(
    owner: User, node: Node, template: Any
) -> None:
    server = make_server(owner=owner, node=node, template=template)
    VariableFactory(template=template, key="ADDED", default="new")
    template.variables.filter(key="MOTD").delete()
    template.env = {}
    template.save()

    env = spec_of(GameServer.objects.get(pk=server.pk)).env

    assert env["ADDED"] == "new"
    assert "MOTD" not in env


def test_a_port_that_the_template_no_longer_has_is_not_bound(owner: User, node: Node, template: Any) -> None:
    server = make_server(owner=owner, node=node, template=template, published_ports=["rcon"])
    template.ports = [GAME]
    template.save()

    assert [port.name for port in spec_of(GameServer.objects.get(pk=server.pk)).ports] == ["game"]


def test_a_missing_program_is_said_before_the_launch(owner: User) -> None:
    template = TemplateFactory(process_program="/usr/games/not-there")
    server = make_server(owner=owner, template=template, node=make_node(engine="process", options={"root": "/x"}))

    with pytest.raises(EngineError, match="not-there is not installed") as error:
        spec_of(server, by_image=False)

    assert (error.value.reason, error.value.permanent) == (Reason.REFUSED, True)


@pytest.mark.parametrize(("memory", "heap"), [(1024, 512), (2048, 1536), (4096, 3072), (16384, 12288)])
def test_l62_heap_is_smaller_than_the_containers_memory(memory: int, heap: int) -> None:
    assert heap_mb(memory) == heap


def test_stop_grace_and_readiness_time_are_the_templates(owner: User, node: Node) -> None:
    template = TemplateFactory(stop_grace_seconds=77, ready_timeout_seconds=99)
    server = make_server(owner=owner, node=node, template=template)

    assert (server.stop_grace_seconds, server.ready_timeout_seconds) == (77, 99)
    assert spec_of(server).stop_grace_seconds == 77


@pytest.mark.parametrize(
    ("kind", "text", "signal"),
    [("signal", "SIGINT", "SIGINT"), ("signal", "SIGTERM", "SIGTERM"), ("console", "save-and-quit", "SIGTERM")],
)
def test_stop_signal_is_known_at_the_launch(owner: User, node: Node, kind: str, text: str, signal: str) -> None:
    """A cluster cannot be told another one while it runs."""
    template = TemplateFactory(stop_kind=kind, stop_value=text)

    assert spec_of(make_server(owner=owner, node=node, template=template)).stop_signal == signal


def test_repr_of_a_specification_shows_no_secret(owner: User, node: Node, template: Any) -> None:
    spec = spec_of(make_server(owner=owner, node=node, template=template))

    assert not any(secret in repr(spec) for secret in spec.secrets)
