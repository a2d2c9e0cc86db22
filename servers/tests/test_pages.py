"""Pages of servers: who may open what, what they show, and what a click comes to."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from accounts.models import AuditEntry
from accounts.tests.factories import QuotaFactory, UserFactory
from hub.nodes import operations
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Node, Operation
from hub.pages.templatetags.forms import control
from hub.testing import assert_constant_queries
from monitoring import store
from monitoring.measure import Reading
from servers.models import GameServer, ServerLog

from .factories import TemplateFactory, VariableFactory, make_server

pytestmark = pytest.mark.django_db

FRAGMENT = {"HX-Request": "true"}
TABS = ("detail", "log", "console", "operations", "settings", "activity")


@pytest.fixture
def server(node, owner):
    return make_server(owner=owner, node=node, name="smp-harare")


@pytest.fixture
def web(client, owner):
    client.force_login(owner)
    return client


def at(name, server, *more):
    return reverse(f"servers:{name}", args=[server.pk, *more])


def observe(server, status, **values):
    GameServer.objects.filter(pk=server.pk).update(observed_status=status, **values)


# Who may open what -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["server_list", "server_create", "template_list"])
def test_pages_ask_for_a_login(client, name):
    assert client.get(reverse(f"servers:{name}")).status_code == 302


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize(
    ("who", "status"), [("owner", 200), ("stranger", 404), ("Viewer", 200), ("Operator", 200), ("Admin", 200)]
)
def test_server_is_seen_by_those_who_may(client, server, tab, who, status):
    people = {"owner": server.owner}
    client.force_login(people.get(who) or UserFactory(role=who if who != "stranger" else "Player"))
    if tab in ("log", "console") and who == "Viewer":
        status = 403  # sees everybody's servers and no console

    assert client.get(at(f"server_{tab}", server)).status_code == status


@pytest.mark.parametrize(
    "name", ["server_start", "server_stop", "server_restart", "server_rotate", "server_credentials"]
)
@pytest.mark.parametrize(("role", "status"), [("Player", 404), ("Viewer", 403)])
def test_power_of_others_is_refused(client, server, name, role, status):
    client.force_login(UserFactory(role=role))

    assert client.post(at(name, server)).status_code == status
    assert Operation.objects.filter(workload_id=server.pk).count() == 1


@pytest.mark.parametrize("name", ["server_start", "server_stop", "server_restart", "server_rotate", "server_suspend"])
def test_a_click_is_a_post(web, server, name):
    assert web.get(at(name, server)).status_code == 405


def test_unknown_server_is_not_found(web):
    assert web.get(reverse("servers:server_detail", args=[uuid.uuid4()])).status_code == 404


# The list --------------------------------------------------------------------------------------------------------


def test_list_costs_the_same_queries_with_more_rows(web, node, owner):
    QuotaFactory(user=owner, servers=50, memory_mb=10**6, cpu_percent=10**5, disk_mb=10**6)
    template = TemplateFactory()
    for number in range(3):
        make_server(owner=owner, node=node, template=template, name=f"first {number}")

    def add_rows():
        for number in range(4):
            make_server(owner=owner, node=node, template=template, name=f"more {number}")

    def look():
        cache.clear()  # sparklines of rows seen before
        web.get(reverse("servers:server_list"))

    assert_constant_queries(look, add_rows)


def test_list_shows_the_last_hour_of_each_server(web, owner):
    server = make_server(owner=owner)
    times = [(timezone.now() - timedelta(minutes=each), each) for each in (10, 20)]
    store.store([Reading(f"server:{server.pk}", when, {"cpu_percent": 4.0 * each}).line() for when, each in times])

    assert "at most 80.0 % in the last hour" in web.get(reverse("servers:server_list")).content.decode()
    assert "k-spark" not in web.get(reverse("servers:server_list"), {"columns": "name,status"}).content.decode()


def test_search_finds_templates(web):
    template = TemplateFactory(name="Needle craft", is_published=True)

    assert template.get_absolute_url() in web.get("/search", {"q": "needle"}).content.decode()


def test_empty_list_says_what_to_do(web):
    text = web.get(reverse("servers:server_list")).content.decode()

    assert "No server yet" in text
    assert reverse("servers:server_create") in text


def test_list_hides_servers_of_others(client, server):
    client.force_login(UserFactory())

    assert b"smp-harare" not in client.get(reverse("servers:server_list")).content


@pytest.mark.parametrize("text", ["harare", "25565", "127.0.0.1:25565"])
def test_list_finds_by_name_and_address(web, server, text):
    assert b"smp-harare" in web.get(reverse("servers:server_list"), {"q": text}).content


def test_list_finds_by_the_beginning_of_the_id(web, server):
    assert b"smp-harare" in web.get(reverse("servers:server_list"), {"q": str(server.pk)[:8]}).content


def test_list_that_finds_nothing_offers_the_way_back(web, server):
    assert b"Nothing matches" in web.get(reverse("servers:server_list"), {"q": "zzz"}).content


def test_list_fragment_is_304_until_a_state_moves(web, server):
    url, headers = reverse("servers:server_list"), {**FRAGMENT, "HX-Target": "list"}
    tag = web.get(url, headers=headers)["ETag"]

    same = web.get(url, headers={**headers, "If-None-Match": tag})
    observe(server, ObservedStatus.RUNNING)
    moved = web.get(url, headers={**headers, "If-None-Match": tag})

    assert (same.status_code, moved.status_code) == (304, 200)


def test_list_shows_what_running_servers_use(web, server):
    used = {"cpu_percent": 85.0, "memory_bytes": 300 * 2.0**20}
    store.store([Reading(f"server:{server.pk}", timezone.now(), used).line()])

    text = web.get(reverse("servers:server_list")).content.decode()

    assert '<b>0.8</b><span class="k-faint">1 core</span>' in text
    assert 'class="k-bar k-warn" value="85"' in text
    assert "<b>300 MiB</b>" in text


def test_what_they_use_is_news_once_a_minute(web, server):
    url, headers = reverse("servers:server_list"), {**FRAGMENT, "HX-Target": "list"}
    tag = web.get(url, headers=headers)["ETag"]

    Node.objects.filter(pk=server.node_id).update(agent_seen_at=timezone.now() + timedelta(minutes=1))

    assert web.get(url, headers={**headers, "If-None-Match": tag}).status_code == 200


def test_csv_has_the_servers(web, server):
    text = web.get(reverse("servers:server_list"), {"csv": "1"}).content.decode()

    assert "smp-harare" in text
    assert "127.0.0.1:25565" in text


# Create ----------------------------------------------------------------------------------------------------------


def form_of(template, node, **values):
    usual = {
        "template": template.slug,
        "name": "smp-harare",
        "region": node.region.slug,
        "memory": "2",
        "disk": "10",
        "cpu": "1",
    }
    return {**usual, **values}


def create(web, template, node, **values):
    return web.post(reverse("servers:server_create"), form_of(template, node, **values))


def test_create_makes_the_server_and_leads_to_it(web, node, owner):
    answer = create(web, TemplateFactory(), node)

    made = GameServer.objects.get()
    assert answer["Location"] == made.get_absolute_url()
    assert (made.owner, made.name, made.memory_mb, made.disk_mb, made.cpu_percent) == (
        owner,
        "smp-harare",
        2048,
        10_000,
        100,
    )


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("name", "ab", "at least 3"),
        ("memory", "64", "less than or equal to 16"),
        ("memory", "lots", "Enter a number"),
        ("region", "nowhere", "Select a valid choice"),
    ],
)
def test_wrong_input_is_said_at_its_field_and_nothing_is_made(web, node, field, value, words):
    answer = create(web, TemplateFactory(), node, **{field: value, "description": "kept"})

    assert answer.status_code == 422
    assert words in str(answer.context["form"].errors[field])
    assert b'value="kept"' in answer.content
    assert not GameServer.objects.exists()


def test_refusal_of_the_service_stands_at_its_field(web, node, server):
    answer = create(web, TemplateFactory(), node)

    assert "already" in str(answer.context["form"].errors["name"])


def test_quota_is_refused_at_the_memory(web, node, owner):
    QuotaFactory(user=owner, memory_mb=1024)

    assert "memory" in create(web, TemplateFactory(), node).context["form"].errors


def test_settings_of_the_template_are_fields(web, node):
    template = TemplateFactory()
    VariableFactory(template=template, key="MOTD", label="Welcome line", default="Hello")
    VariableFactory(template=template, key="HIDDEN", label="House rule", is_editable=False)

    text = web.get(reverse("servers:server_create"), {"template": template.slug}).content.decode()
    create(web, template, node, value_MOTD="Mauya")

    assert "Welcome line" in text
    assert "House rule" not in text
    assert GameServer.objects.get().values["MOTD"] == "Mauya"


def test_setting_that_does_not_fit_is_said_at_its_field(web, node):
    template = TemplateFactory()
    VariableFactory(template=template, key="PLAYERS", kind="integer", minimum=1, maximum=20)

    answer = create(web, template, node, value_PLAYERS="99")

    assert "value_PLAYERS" in answer.context["form"].errors


def test_several_templates_are_offered_first(web, node):
    first, _ = TemplateFactory(name="Luanti"), TemplateFactory(name="Teeworlds")

    text = web.get(reverse("servers:server_create")).content.decode()

    assert f"?template={first.slug}" in text
    assert "Teeworlds" in text


def test_unpublished_template_is_not_offered(web, node):
    hidden = TemplateFactory(name="Hidden", is_published=False)
    TemplateFactory(), TemplateFactory()

    assert b"Hidden" not in web.get(reverse("servers:server_create"), {"template": hidden.slug}).content


def test_preview_shows_address_node_and_quota(web, node):
    template = TemplateFactory()

    text = web.get(reverse("servers:server_preview"), form_of(template, node)).content.decode()

    assert "127.0.0.1:25565" in text
    assert node.name in text
    assert "1</b>" in text
    assert not GameServer.objects.exists()


def test_preview_says_why_it_cannot_be_made(web, node, owner):
    QuotaFactory(user=owner, servers=0)

    assert b"cannot be made" in web.get(reverse("servers:server_preview"), form_of(TemplateFactory(), node)).content


def test_check_button_shows_the_preview_without_creating(web, node):
    answer = create(web, TemplateFactory(), node, check="yes")

    assert b"127.0.0.1:25565" in answer.content
    assert not GameServer.objects.exists()


def test_region_where_nothing_runs_it_cannot_be_chosen(web, node):
    template = TemplateFactory(image="")
    node.engine = "docker"
    node.save()

    text = web.get(reverse("servers:server_create"), {"template": template.slug}).content.decode()

    assert re.search(r'name="region"[^>]*disabled', text)


def test_only_admins_choose_an_owner(client, web, node):
    template = TemplateFactory()
    url = reverse("servers:server_create")

    assert b'name="owner"' not in web.get(url, {"template": template.slug}).content

    client.force_login(UserFactory(role="Admin"))

    assert b'name="owner"' in client.get(url, {"template": template.slug}).content


# One server ------------------------------------------------------------------------------------------------------


def test_overview_has_address_template_and_owner(web, server):
    text = web.get(server.get_absolute_url()).content.decode()

    for part in ("smp-harare", "127.0.0.1:25565", server.template.name, "owner"):
        assert part in text


@pytest.mark.parametrize(
    "name", ["server_detail", "server_operations", "server_settings", "server_activity", "server_list"]
)
def test_no_secret_stands_in_a_page(web, server, name):
    url = reverse(f"servers:{name}") if name == "server_list" else at(name, server)

    text = web.get(url).content.decode()

    assert server.rcon_password.reveal() not in text


def test_broken_server_says_why_and_what_to_do(web, server):
    observe(server, ObservedStatus.FAILED, status_reason="The image does not exist.")

    text = web.get(server.get_absolute_url()).content.decode()

    assert "The image does not exist." in text
    assert "start it again" in text


def test_button_that_cannot_be_used_says_why(web, server):
    observe(server, ObservedStatus.RUNNING)

    text = web.get(server.get_absolute_url()).content.decode()

    assert re.search(r'id="power-start"[^>]*aria-disabled="true" title="It runs already."', text)
    assert not re.search(r'id="power-stop"[^>]*aria-disabled', text)


def test_stop_without_scripts_leads_back_to_the_page(web, server):
    observe(server, ObservedStatus.RUNNING)

    answer = web.post(at("server_stop", server))

    server.refresh_from_db()
    assert answer["Location"] == server.get_absolute_url()
    assert server.desired_status == DesiredStatus.STOPPED


def test_stop_from_the_list_stays_in_the_list(web, server):
    observe(server, ObservedStatus.RUNNING)

    assert web.post(at("server_stop", server), {"next": "/servers/?q=smp"})["Location"] == "/servers/?q=smp"


def test_click_of_a_script_answers_the_head_with_a_toast(web, server):
    observe(server, ObservedStatus.RUNNING)

    text = web.post(at("server_stop", server), headers={**FRAGMENT, "HX-Target": "server-head"}).content.decode()

    assert 'id="server-head"' in text
    assert "is being stopped" in text
    assert "<html" not in text


def test_refused_click_is_said_and_changes_nothing(web, server):
    answer = web.post(at("server_start", server), follow=True)

    assert b"That was asked already" in answer.content
    assert Operation.objects.count() == 1


def test_head_asks_more_often_while_something_happens(web, server):
    busy = web.get(at("server_head", server), headers=FRAGMENT).content.decode()
    Operation.objects.update(status="done")
    observe(server, ObservedStatus.RUNNING)
    calm = web.get(at("server_head", server), headers=FRAGMENT).content.decode()

    assert "every 2s" in busy
    assert "every 10s" in calm


def test_head_is_304_until_the_state_moves(web, server):
    tag = web.get(at("server_head", server), headers=FRAGMENT)["ETag"]

    same = web.get(at("server_head", server), headers={**FRAGMENT, "If-None-Match": tag})
    observe(server, ObservedStatus.STARTING)
    moved = web.get(at("server_head", server), headers={**FRAGMENT, "If-None-Match": tag})

    assert (same.status_code, moved.status_code) == (304, 200)


def test_deleted_server_ends_the_polling(web, server):
    observe(server, ObservedStatus.DELETED, desired_status=DesiredStatus.DELETED)

    assert web.get(at("server_head", server), headers=FRAGMENT).status_code == 286


def test_finished_operation_leaves_its_fate_for_the_toast(web, server):
    Operation.objects.update(status="failed", error="Disk full.")
    observe(server, ObservedStatus.FAILED)

    assert "Could not create smp-harare: Disk full." in web.get(at("server_head", server)).content.decode()


def test_silent_node_is_said(web, server):
    assert b"was never seen" in web.get(server.get_absolute_url()).content


def test_log_is_escaped_and_marks_errors(web, server):
    ServerLog.objects.create(server=server, text="all fine\n10:00 ERROR <script>alert(1)</script>\n")

    text = web.get(at("server_log", server)).content.decode()

    assert '<span class="k-e">10:00 ERROR &lt;script&gt;' in text
    assert "<script>alert" not in text


def test_activity_names_who_did_what(web, server):
    assert b"created server" in web.get(at("server_activity", server)).content


def test_network_addresses_of_people_are_for_those_who_read_the_audit(client, web, server):
    AuditEntry.objects.all()
    web.post(at("server_stop", server))
    assert b"from 127.0.0.1" not in web.get(at("server_activity", server)).content

    client.force_login(UserFactory(role="Viewer"))

    assert b"from 127.0.0.1" in client.get(at("server_activity", server)).content


# Passwords -------------------------------------------------------------------------------------------------------


def test_passwords_are_revealed_by_an_audited_post(web, server):
    answer = web.post(at("server_credentials", server), headers=FRAGMENT)

    assert server.rcon_password.reveal() in answer.content.decode()
    assert AuditEntry.objects.filter(action="server.credentials_revealed").count() == 1


def test_revealed_passwords_are_not_cached_and_hide_again(web, server):
    answer = web.post(at("server_credentials", server), headers=FRAGMENT)

    assert answer["Cache-Control"] == "no-store"
    assert 'data-secret="30"' in answer.content.decode()


def test_revealed_passwords_are_in_no_template_context(web, server):
    answer = web.post(at("server_credentials", server))

    assert server.rcon_password.reveal() in answer.content.decode()
    assert server.rcon_password.reveal() not in str([str(context) for context in answer.context or ()])


def test_looking_without_asking_shows_dots(web, server):
    answer = web.get(at("server_credentials", server), headers=FRAGMENT)

    assert "••••" in answer.content.decode()
    assert not AuditEntry.objects.filter(action="server.credentials_revealed").exists()


# Settings --------------------------------------------------------------------------------------------------------


def test_rename(web, server):
    web.post(at("server_settings", server), {"form": "rename", "name": "smp-bulawayo", "description": "ours"})

    server.refresh_from_db()
    assert (server.name, server.description) == ("smp-bulawayo", "ours")


def test_rename_that_is_refused_keeps_what_was_typed(web, server, owner, node):
    make_server(owner=owner, node=node, name="taken")

    answer = web.post(at("server_settings", server), {"form": "rename", "name": "taken"})

    assert answer.status_code == 422
    assert b"already" in answer.content
    assert b'value="taken"' in answer.content


def test_resize_speaks_gibibytes_and_cores(web, server):
    web.post(at("server_settings", server), {"form": "resize", "memory": "2.5", "disk": "8", "cpu": "1.5"})

    server.refresh_from_db()
    assert (server.memory_mb, server.disk_mb, server.cpu_percent) == (2560, 8000, 150)


def test_operations_of_a_server_are_a_list_like_others(web, server):
    for _ in range(30):
        operations.record(server, verb="restart", actor=server.owner)
    Operation.objects.filter(verb="create").update(status="failed", error="No room.")
    at_page = partial(web.get, at("server_operations", server))

    pages = [at_page({"page_size": 25, "page": page}).context["list"].page for page in (1, 2)]
    failed = at_page({"status": "failed"}).content.decode()
    table = at_page({"csv": "1"}).content.decode().splitlines()

    assert [len(page.object_list) for page in pages] == [25, 6]
    assert "Create" in failed
    assert "Restart" not in failed.split('id="list"')[1]
    assert (len(table), table[0]) == (32, "Asked for,Fate,By,Took,When")


@pytest.mark.parametrize(
    ("form", "typed", "meanwhile", "after"),
    [
        ("resize", {"memory": "2.5"}, {"disk_mb": 9000}, {"memory_mb": 2560, "disk_mb": 9000}),
        ("rename", {"name": "smp-bulawayo"}, {"description": "theirs"}, {"description": "theirs"}),
        (
            "variables",
            {"value_MOTD": "ours"},
            {"values": {"MOTD": "", "PVP": "false"}},
            {"values": {"MOTD": "ours", "PVP": "false"}},
        ),
    ],
)
def test_settings_that_were_not_changed_stay_as_somebody_else_has_set_them(
    web, owner, node, form, typed, meanwhile, after
):
    template = TemplateFactory()
    VariableFactory(template=template, key="MOTD", kind="text")
    VariableFactory(template=template, key="PVP", kind="boolean", default="true")
    server = make_server(owner=owner, node=node, template=template)
    shown = web.get(at("server_settings", server)).context["forms"][form]
    page = {name: value for bound in shown for name, value in sent_back(bound)}
    GameServer.objects.filter(pk=server.pk).update(**meanwhile)

    answer = web.post(at("server_settings", server), {"form": form, **page, **typed})

    assert answer.status_code == 302
    server.refresh_from_db()
    assert {name: getattr(server, name) for name in after} == after


def sent_back(bound: Any) -> Iterator[tuple[str, Any]]:
    """What a browser sends for a field that nobody has touched."""
    markup = control(bound)
    for name in (bound.html_name, bound.html_initial_name):
        assert f'name="{name}"' in markup
        if bound.initial is not False:
            yield name, bound.initial


def test_settings_of_the_template_change(web, owner, node):
    template = TemplateFactory()
    VariableFactory(template=template, key="PVP", kind="boolean", default="true")
    server = make_server(owner=owner, node=node, template=template)

    web.post(at("server_settings", server), {"form": "variables"})

    server.refresh_from_db()
    assert server.values["PVP"] == "false"


def test_secret_setting_left_empty_stays(web, owner, node):
    template = TemplateFactory()
    VariableFactory(template=template, key="JOIN", kind="secret")
    server = make_server(owner=owner, node=node, template=template, values={"JOIN": "abcdefghijkl12"})
    before = server.secret_values.reveal()

    text = web.get(at("server_settings", server)).content.decode()
    web.post(at("server_settings", server), {"form": "variables", "value_JOIN": ""})

    server.refresh_from_db()
    assert "abcdefghijkl12" not in text
    assert server.secret_values.reveal() == before


def test_port_is_published_and_withdrawn(web, server):
    web.post(at("port_publish", server, "rcon"))
    server.refresh_from_db()
    assert server.published_ports == ["rcon"]

    web.post(at("port_withdraw", server, "rcon"))
    server.refresh_from_db()
    assert server.published_ports == []


# Danger ----------------------------------------------------------------------------------------------------------


def test_delete_wants_the_name(web, server):
    answer = web.post(at("server_delete", server), {"typed": "smp"})

    server.refresh_from_db()
    assert answer.status_code == 422
    assert server.desired_status == DesiredStatus.RUNNING


def test_delete_with_the_name_deletes(web, server):
    web.post(at("server_delete", server), {"typed": "smp-harare"})

    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.DELETED


def test_delete_says_what_will_be_lost(web, server):
    text = web.get(at("server_delete", server)).content.decode()

    assert "127.0.0.1:25565" in text
    assert "world" in text


def test_dialog_is_only_the_question(web, server):
    text = web.get(at("server_delete", server), headers={**FRAGMENT, "HX-Target": "dialog"}).content.decode()

    assert "<html" not in text
    assert "data-must-be" in text


def test_kill_asks_first(web, server):
    observe(server, ObservedStatus.RUNNING)

    web.get(at("server_kill", server))
    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.RUNNING

    web.post(at("server_kill", server))
    server.refresh_from_db()
    assert server.is_kill_wanted


@pytest.mark.parametrize("name", ["server_delete", "server_kill"])
def test_danger_is_closed_to_those_who_only_look(client, server, name):
    client.force_login(UserFactory(role="Viewer"))

    assert client.get(at(name, server)).status_code == 403


def test_suspension_shows_its_reason_to_the_owner(client, web, server):
    client.force_login(UserFactory(role="Operator"))
    client.post(at("server_suspend", server), {"reason": "Copyright."})

    client.force_login(server.owner)

    assert b"Copyright." in client.get(server.get_absolute_url()).content


# Several at once -------------------------------------------------------------------------------------------------


def bulk(web, verb, *servers, **values):
    return web.post(reverse("servers:server_bulk"), {"verb": verb, "ids": [row.pk for row in servers], **values})


def test_bulk_says_the_result_of_each(web, node, owner):
    running, stopped = (make_server(owner=owner, node=node, name=name) for name in ("running", "stopped"))
    observe(running, ObservedStatus.RUNNING)
    observe(stopped, ObservedStatus.STOPPED, desired_status=DesiredStatus.STOPPED)

    answer = bulk(web, "restart", running, stopped)

    results = {result.row.name: result for result in answer.context["results"]}
    assert results["running"].is_done
    assert "start it instead" in results["stopped"].problem.detail


def test_bulk_leaves_out_servers_one_may_not_see(web, server, node):
    hers = make_server(node=node, name="hers")

    answer = bulk(web, "stop", server, hers)

    hers.refresh_from_db()
    assert len(answer.context["results"]) == 1
    assert hers.desired_status == DesiredStatus.RUNNING


def test_bulk_delete_wants_a_phrase(web, server):
    bulk(web, "delete", server)
    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.RUNNING

    bulk(web, "delete", server, typed="delete 1")
    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.DELETED


@pytest.mark.parametrize("verb", ["explode", "stop"])
def test_bulk_of_nothing_leads_back(web, verb):
    answer = web.post(reverse("servers:server_bulk"), {"verb": verb, "ids": ["nonsense"]})

    assert answer["Location"] == reverse("servers:server_list")


# Templates -------------------------------------------------------------------------------------------------------


def test_template_page_lists_its_settings(web):
    template = TemplateFactory()
    VariableFactory(template=template, label="Welcome line")

    assert b"Welcome line" in web.get(reverse("servers:template_detail", args=[template.slug])).content


def test_unpublished_template_has_no_page(web):
    template = TemplateFactory(is_published=False)

    assert web.get(reverse("servers:template_detail", args=[template.slug])).status_code == 404
