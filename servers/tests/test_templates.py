"""Templates: what is refused, and who may write what runs where."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import AuditEntry, User
from hub.exceptions import Conflict, Invalid, NotAllowed
from hub.nodes.models import Node
from servers.models import Template
from servers.services import create_template, delete_template, update_template
from servers.tests.factories import GAME, RCON, TemplateFactory, VariableFactory, make_server

pytestmark = pytest.mark.django_db
IMAGE_ONLY: dict[str, Any] = {"slug": "mine", "name": "Mine", "game": "Game", "image": "example/game", "ports": [GAME]}


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"ports": []}, "ports"),
        ({"ports": [RCON]}, "ports"),
        ({"ports": [GAME, GAME]}, "ports"),
        ({"ports": [{"name": "game"}]}, "ports"),
        ({"ports": [{"name": "game", "target_port": 70000}]}, "ports"),
        ({"ports": [{**GAME, "variable": "LD_PRELOAD"}]}, "ports"),
        ({"ports": [{**RCON, "is_public": True}]}, "ports"),
        ({"process_command": "a string"}, "process_command"),
        ({"process_command": ["run", "{{SERVER_NAME}}"]}, "process_command"),
        ({"image_command": ["run", "{{MOTD}}"]}, "image_command"),
        ({"env": {"lower": "x"}}, "env"),
        ({"env": {"X": "{{NOTHING}}"}}, "env"),
        ({"env": ["x"]}, "env"),
        ({"stop_value": "SIGKILL"}, "stop_value"),
        ({"stop_kind": "econ", "stop_value": "shutdown"}, "stop_value"),
        ({"stop_kind": "console", "stop_value": "two\nlines"}, "stop_value"),
        ({"readiness_port": "nowhere"}, "readiness_port"),
        ({"readiness_kind": "log"}, "readiness_port"),
        ({"readiness_kind": "log", "readiness_pattern": "["}, "readiness_pattern"),
        ({"image": "", "process_command": []}, "image"),
        ({"default_memory_mb": 1024, "min_memory_mb": 2048}, "default_memory_mb"),
    ],
)
def test_wrong_templates_are_refused(wrong: dict[str, Any], field: str) -> None:
    template = TemplateFactory(slug="wrong")
    for name, value in wrong.items():
        setattr(template, name, value)

    with pytest.raises(ValidationError) as error:
        template.full_clean()

    assert field in error.value.message_dict


def test_a_secret_is_never_among_the_placeholders() -> None:
    template = TemplateFactory()
    VariableFactory(template=template, key="API_WORD", kind="secret")
    template.env = {"COPY": "{{API_WORD}}"}

    with pytest.raises(ValidationError, match="no placeholder"):
        template.full_clean()


def test_an_operator_makes_templates_for_containers(operator: User) -> None:
    template = create_template(actor=operator, variables=[{"key": "MOTD", "label": "Message"}], **IMAGE_ONLY)

    assert template.engines == {"docker", "kubernetes", "fake"}
    assert [variable.key for variable in template.variables.all()] == ["MOTD"]
    assert AuditEntry.objects.get(action="template.created").target_name == "Mine"


def test_programs_on_a_node_are_the_admins_alone(operator: User, admin: User) -> None:
    by_program = TemplateFactory()

    with pytest.raises(NotAllowed, match="Admin's alone"):
        create_template(actor=operator, **{**IMAGE_ONLY, "process_command": ["rm"]})
    with pytest.raises(NotAllowed, match="Admin's alone"):
        update_template(by_program, actor=operator, name="Changed")
    with pytest.raises(NotAllowed, match="Admin's alone"):
        update_template(TemplateFactory(process_command=[]), actor=operator, process_command=["rm"])
    assert update_template(by_program, actor=admin, name="Changed").name == "Changed"


def test_players_write_no_templates(owner: User) -> None:
    with pytest.raises(NotAllowed):
        create_template(actor=owner, **IMAGE_ONLY)


def test_a_wrong_template_leaves_nothing_behind(operator: User) -> None:
    with pytest.raises(Invalid) as error:
        create_template(actor=operator, variables=[{"key": "PATH", "label": "x"}], **IMAGE_ONLY)

    assert error.value.field == "variables.0.key"
    assert not Template.objects.exists()


def test_changing_a_template_marks_it_and_moves_its_time(admin: User) -> None:
    template = TemplateFactory()

    changed = update_template(template, actor=admin, variables=[{"key": "MOTD", "label": "x"}], description="new")

    assert changed.is_customized
    assert changed.updated_at > template.updated_at
    assert AuditEntry.objects.get(action="template.changed").data == {"changed": ["description"]}


def test_a_template_in_use_stays(admin: User, node: Node) -> None:
    server = make_server(node=node)

    with pytest.raises(Conflict, match="Unpublish"):
        delete_template(server.template, actor=admin)


def test_an_unused_template_goes(admin: User) -> None:
    delete_template(TemplateFactory(), actor=admin)

    assert not Template.objects.exists()
