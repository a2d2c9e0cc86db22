"""Templates on pages and in the API: changed with what is wrong beside its field, and tried with a server."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.engines.fake import FakeEngine
from hub.exceptions import Conflict, Invalid, LimitReached, NotAllowed
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Node
from hub.nodes.tests.factories import RegionFactory
from hub.testing import api_client
from servers import services
from servers.models import GameServer, ServerLog, Template, TemplateTrial
from servers.template_forms import TemplateEditor
from servers.tests.factories import GAME, RCON, TemplateFactory, VariableFactory, make_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def template() -> Template:
    template = TemplateFactory(slug="luanti", name="Luanti", process_command=[], ports=[GAME, RCON], env={"A": "1=2"})
    VariableFactory(template=template, key="MOTD", label="Message", default="hello")
    return template


@pytest.fixture
def operator() -> User:
    return UserFactory(username="operator", role="Operator")


@pytest.fixture
def web(client: Client, operator: User) -> Client:
    client.force_login(operator)
    return client


def filled(template: Template | None, **changes: Any) -> dict[str, Any]:
    """What a browser sends when nothing but `changes` was typed."""
    editor = TemplateEditor(None, template)
    forms = [editor.form, *editor.ports.forms, *editor.variables.forms]
    forms += [editor.ports.management_form, editor.variables.management_form]
    sent: dict[str, Any] = {}
    for form in forms:
        for bound in form:
            value = bound.field.prepare_value(bound.value()) if hasattr(bound.field, "prepare_value") else bound.value()
            if value is True:
                value = "on"
            if value is not None and value is not False:
                sent[bound.html_name] = value
    return {**sent, **changes}


def url(template: Template, name: str = "update") -> str:
    return reverse(f"servers:template_{name}", args=[template.slug])


def test_saving_without_a_change_keeps_everything(web: Client, template: Template):
    before = {field.name: getattr(template, field.name) for field in Template._meta.concrete_fields}

    assert web.post(url(template), filled(template)).status_code == 302

    template = Template.objects.get(pk=template.pk)
    after = {field.name: getattr(template, field.name) for field in Template._meta.concrete_fields}
    changed = {name for name, value in after.items() if value != before[name]}
    assert changed <= {"updated_at", "is_customized", "ports"}
    assert [port.name for port in template.named_ports] == ["game", "rcon"]
    assert template.variables.get().default == "hello"


def test_what_was_typed_is_stored_and_audited(web: Client, template: Template):
    sent = filled(template, name="Luanti 5", env="MEMORY={{MEMORY_MB}}", image_command="run\n--fast")
    sent |= {"variables-1-key": "SEED", "variables-1-label": "Seed", "variables-1-kind": "integer"}
    sent |= {"variables-1-is_visible": "on"}

    assert web.post(url(template), sent).status_code == 302

    template.refresh_from_db()
    assert (template.name, template.image_command) == ("Luanti 5", ["run", "--fast"])
    assert template.env == {"MEMORY": "{{MEMORY_MB}}"}
    assert [variable.key for variable in template.variables.all()] == ["MOTD", "SEED"]
    assert AuditEntry.objects.filter(action="template.changed", actor_name="operator").count() == 1


@pytest.mark.parametrize(
    ("wrong", "beside"),
    [
        ({"stop_value": "SIGKILL"}, "The signal must be one of"),
        ({"default_memory_mb": "999999"}, "default_memory_mb"),
        ({"env": "no sign"}, "Write NAME=text"),
        ({"env": "X={{NOTHING}}"}, "NOTHING"),
        ({"ports-0-target_port": "70000"}, "less than or equal to 65535"),
        ({"ports-1-is_public": "on"}, "must not be public"),
        ({"variables-0-minimum": "5", "variables-0-maximum": "2"}, "greatest value is below the least"),
        ({"variables-0-key": "lower"}, "capital letters"),
        ({"readiness_port": "nowhere"}, "There is no port of this name"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_stored(
    web: Client, template: Template, wrong: dict[str, str], beside: str
):
    answer = web.post(url(template), filled(template, name="Other", **wrong))

    template.refresh_from_db()
    assert answer.status_code == 422
    assert beside in answer.content.decode()
    assert 'value="Other"' in answer.content.decode()
    assert template.name == "Luanti"
    assert template.variables.get().key == "MOTD"


def test_a_variable_marked_for_removal_goes(web: Client, template: Template):
    web.post(url(template), filled(template, **{"variables-0-DELETE": "on"}))

    assert not template.variables.exists()


def test_a_new_template_is_made(web: Client):
    sent = filled(None, slug="fresh", name="Fresh", game="Game", image="example/fresh")
    sent |= {"ports-0-name": "game", "ports-0-target_port": "4000", "ports-0-is_public": "on"}

    answer = web.post(reverse("servers:template_create"), sent)

    assert answer.status_code == 302
    assert Template.objects.get(slug="fresh").ports[0]["target_port"] == 4000


@pytest.mark.parametrize(("role", "status"), [("Admin", 200), ("Operator", 200), ("Viewer", 403), ("Player", 403)])
def test_the_form_is_for_those_who_may(client: Client, template: Template, role: str, status: int):
    client.force_login(UserFactory(role=role))

    assert client.get(url(template)).status_code == status
    assert ("/edit" in client.get(template.get_absolute_url()).content.decode()) is (status == 200)


def test_programs_on_a_node_are_edited_and_tried_by_the_admin_alone(client: Client, operator: User):
    template = TemplateFactory(slug="program")
    client.force_login(operator)

    assert client.get(url(template)).status_code == 403
    with pytest.raises(NotAllowed):
        services.try_template(template, actor=operator)


# Trials ---------------------------------------------------------------------------------------------------------


def observe(trial: TemplateTrial, **facts: Any) -> None:
    GameServer.objects.filter(pk=trial.server_id).update(**facts)
    services.follow_trials()
    trial.refresh_from_db()
    trial.server.refresh_from_db()


def test_a_trial_starts_a_server_by_the_ordinary_services(
    web: Client, node: Node, engine: FakeEngine, template: Template, operator: User
):
    web.post(url(template, "try"))

    trial = TemplateTrial.objects.get(template=template)
    assert trial.server.owner == operator
    assert trial.is_open
    assert "Under way" in web.get(template.get_absolute_url()).content.decode()
    assert AuditEntry.objects.filter(action="template.trial_started", target_name="Luanti").exists()


def test_a_server_that_becomes_ready_is_told_and_removed(
    node: Node, engine: FakeEngine, template: Template, operator: User, web: Client
):
    trial = services.try_template(template, actor=operator)

    observe(trial, observed_status=ObservedStatus.RUNNING)

    assert trial.status == "ready"
    assert trial.ready_seconds is not None
    assert trial.server.desired_status == DesiredStatus.DELETED
    page = web.get(url(template, "trial"), headers={"HX-Request": "true"})
    assert page.status_code == 286
    assert "It was ready after" in page.content.decode()


def test_a_server_that_fails_is_told_with_reason_and_output_and_removed(
    node: Node, engine: FakeEngine, template: Template, operator: User, web: Client
):
    trial = services.try_template(template, actor=operator)
    ServerLog.objects.create(server=trial.server, text="no such map <b>")

    observe(trial, observed_status=ObservedStatus.CRASHED, status_reason="It ended with code 3.")

    page = web.get(template.get_absolute_url()).content.decode()
    assert trial.status == "failed"
    assert trial.server.desired_status == DesiredStatus.DELETED
    assert "It ended with code 3." in page
    assert "no such map &lt;b&gt;" in page


def test_a_server_that_never_becomes_ready_is_given_up(
    node: Node, engine: FakeEngine, template: Template, operator: User
):
    trial = services.try_template(template, actor=operator)
    services.follow_trials()
    assert TemplateTrial.objects.get(pk=trial.pk).is_open

    with connection.cursor() as cursor:
        cursor.execute("UPDATE servers_templatetrial SET created_at = created_at - interval '1 hour'")
    services.follow_trials()

    trial.refresh_from_db()
    assert trial.status == "failed"
    assert "not ready after" in trial.reason


def test_a_server_that_tries_a_template_is_not_suspended(
    node: Node, engine: FakeEngine, template: Template, operator: User
):
    trial = services.try_template(template, actor=operator)

    with pytest.raises(Conflict, match="tries a template"):
        services.suspend_server(trial.server, actor=operator, reason="Unpaid")

    observe(trial, observed_status=ObservedStatus.RUNNING)
    assert trial.status == "ready"


def test_a_second_trial_waits_for_the_first(node: Node, engine: FakeEngine, template: Template, operator: User):
    services.try_template(template, actor=operator)

    with pytest.raises(Conflict):
        services.try_template(template, actor=operator)

    assert GameServer.objects.count() == 1


def test_a_trial_goes_where_there_is_room(node: Node, engine: FakeEngine, template: Template, operator: User):
    node.region.position = 1
    node.region.save()
    make_node(region=RegionFactory(slug="full"), memory_mb=1)

    assert services.try_template(template, actor=operator).server.node == node


def test_a_trial_without_room_anywhere_says_so(node: Node, engine: FakeEngine, template: Template, operator: User):
    Node.objects.update(memory_mb=1)

    with pytest.raises(LimitReached, match="full"):
        services.try_template(template, actor=operator)


def test_a_template_that_no_node_can_run_says_so(web: Client, template: Template, operator: User):
    with pytest.raises(Invalid):
        services.try_template(template, actor=operator)

    assert "No node" in web.post(url(template, "try"), follow=True).content.decode()


def test_the_api_starts_a_trial_and_tells_its_end(node: Node, engine: FakeEngine, template: Template, operator: User):
    api = api_client(operator)

    begun = api.post("/api/v1/templates/luanti/try")
    observe(TemplateTrial.objects.get(), observed_status=ObservedStatus.RUNNING)
    told = api.get("/api/v1/templates/luanti/trials")

    assert begun.status_code == 202
    assert begun.json()["status"] == "running"
    assert [row["status"] for row in told.json()] == ["ready"]
    assert api_client(UserFactory()).post("/api/v1/templates/luanti/try").status_code == 403
