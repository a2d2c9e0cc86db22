"""The admin site: every page opens, actions go through the services, secrets stay away."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.nodes.models import Node
from servers.models import GameServer, ServerLog, Template
from servers.tests.factories import TemplateFactory, VariableFactory, make_server

pytestmark = pytest.mark.django_db


@pytest.fixture
def site(client: Client, admin: User) -> Client:
    client.force_login(admin)
    return client


@pytest.mark.parametrize("model", ["template", "gameserver", "serverlog"])
def test_lists_open(site: Client, node: Node, model: str) -> None:
    ServerLog.objects.want(make_server(node=node))

    answer = site.get(reverse(f"admin:servers_{model}_changelist"))

    assert answer.status_code == 200


def test_server_page_shows_facts_and_no_secret(site: Client, node: Node) -> None:
    server = make_server(node=node)

    answer = site.get(reverse("admin:servers_gameserver_change", args=[server.pk]))

    page = answer.content.decode()
    assert answer.status_code == 200
    assert server.name in page
    assert server.rcon_password.reveal() not in page
    assert "rcon_password" not in page


def test_actions_call_the_services(site: Client, node: Node) -> None:
    server = make_server(node=node)

    site.post(reverse("admin:servers_gameserver_changelist"), {"action": "stop", "_selected_action": [str(server.pk)]})

    server.refresh_from_db()
    assert server.desired_status == "stopped"
    assert AuditEntry.objects.filter(action="server.stopped").exists()


def test_an_action_that_is_refused_says_why(site: Client, node: Node) -> None:
    server = make_server(node=node)

    answer = site.post(
        reverse("admin:servers_gameserver_changelist"),
        {"action": "unsuspend", "_selected_action": [str(server.pk)]},
        follow=True,
    )

    assert "It is not suspended." in answer.content.decode()


def test_publishing_marks_a_template_as_edited(site: Client) -> None:
    template = TemplateFactory(is_published=False)

    site.post(
        reverse("admin:servers_template_changelist"), {"action": "publish", "_selected_action": [str(template.pk)]}
    )

    template.refresh_from_db()
    assert template.is_published
    assert template.is_customized


def test_template_form_saves_template_and_variables(site: Client) -> None:
    template = TemplateFactory()
    variable = VariableFactory(template=template, key="MOTD", default="old")
    url = reverse("admin:servers_template_change", args=[template.pk])
    page = site.get(url)
    form = page.context["adminform"].form
    data = {name: "" if form[name].value() is None else form[name].value() for name in form.fields}
    data |= {"name": "Renamed", "variables-TOTAL_FORMS": "1", "variables-INITIAL_FORMS": "1"}
    inline = page.context["inline_admin_formsets"][0].formset.forms[0]
    data |= {f"variables-0-{name}": inline[name].value() for name in inline.fields}
    data |= {"variables-0-default": "new", "variables-0-choices": "[]", "variables-0-template": template.pk}
    data = {name: "" if value is None else value for name, value in data.items() if value is not False}

    answer = site.post(url, data)

    assert answer.status_code == 302, answer.context["errors"]
    variable.refresh_from_db()
    assert Template.objects.get().name == "Renamed"
    assert variable.default == "new"


def test_operators_may_not_edit_what_runs_on_a_node_itself(client: Client, operator: User) -> None:
    by_program, by_image = TemplateFactory(), TemplateFactory(process_command=[])
    client.force_login(operator)

    pages = [
        client.get(reverse("admin:servers_template_change", args=[template.pk])).content.decode()
        for template in (by_program, by_image)
    ]

    assert 'name="_save"' not in pages[0]
    assert 'name="_save"' in pages[1]


def test_a_regional_operator_sees_servers_of_his_regions_only(client: Client, node: Node) -> None:
    server = make_server(node=node)
    client.force_login(UserFactory(role="Operator", regions=["elsewhere"]))

    page = client.get(reverse("admin:servers_gameserver_changelist")).content.decode()

    assert GameServer.objects.count() == 1
    assert server.name not in page
