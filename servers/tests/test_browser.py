"""What a person sees and does in a real browser: with scripts, without them, on a wide screen and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from playwright.sync_api import Browser, BrowserContext, Page, expect

from accounts.tests.factories import PASSWORD, UserFactory
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Node, Operation
from servers.models import ConsoleCommand, GameServer

from .factories import TemplateFactory, VariableFactory, make_node, make_server
from .test_browser_pages import serious

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

WIDE, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(autouse=True)
def _fresh_counters() -> None:
    """Logins of other tests must not count against the limit of this one."""
    cache.clear()


@pytest.fixture
def people(transactional_db: None) -> dict[str, Any]:
    return {"tendai": UserFactory(username="tendai"), "rudo": UserFactory(username="rudo", role="Operator")}


@pytest.fixture
def node(people: dict[str, Any]) -> Node:
    return make_node(name="harare-1")


@pytest.fixture
def complaints(context: BrowserContext) -> Iterator[list[str]]:
    """What the browser complains about; a page that works has nothing to complain about."""
    said: list[str] = []
    context.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    context.on("weberror", lambda error: said.append(str(error.error)))
    yield said
    assert not [text for text in said if "Failed to load resource" not in text]


def log_in(page: Page, live_server: Any, name: str = "tendai") -> None:
    page.goto(f"{live_server.url}/accounts/login/")
    page.get_by_label("User name or e-mail").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def observe(server: GameServer, status: str, **values: Any) -> None:
    """What the node's agent would have stored."""
    GameServer.objects.filter(pk=server.pk).update(observed_status=status, **values)
    connection.close()


def finish(server: GameServer, **values: Any) -> None:
    Operation.objects.filter(workload_id=server.pk).update(**{"status": "done", **values})
    connection.close()


def test_person_creates_watches_stops_and_deletes_a_server(
    page: Page, live_server: Any, node: Node, complaints: list[str]
) -> None:
    template = TemplateFactory(name="Sample")
    VariableFactory(template=template, key="MOTD", label="Welcome line", default="Hello")
    page.set_viewport_size(WIDE)
    log_in(page, live_server)

    page.get_by_role("link", name="New server").first.click()
    page.get_by_label("Name", exact=True).fill("smp-harare")
    expect(page.locator("#preview")).to_contain_text("127.0.0.1:25565")
    page.get_by_label("Memory, GiB", exact=True).fill("3")
    expect(page.locator("#preview")).to_contain_text("3 GiB")
    page.get_by_role("button", name="Create server").first.click()

    head = page.locator("#server-head")
    expect(head).to_contain_text("Queued")
    server = GameServer.objects.get(name="smp-harare")
    observe(server, ObservedStatus.PULLING, progress_percent=64, status_reason="Pulling kutanga/sample")
    expect(head).to_contain_text("Pulling image, 64 %")
    observe(server, ObservedStatus.RUNNING, progress_percent=None, status_reason="")
    finish(server)
    expect(head).to_contain_text("Running")
    expect(page.locator("#toasts")).to_contain_text("create is done")

    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#toasts")).to_contain_text("is being stopped")
    observe(server, ObservedStatus.STOPPED)
    expect(head).to_contain_text("Stopped")

    page.get_by_label("More actions").click()
    page.get_by_role("link", name="Delete…").click()
    delete = page.locator("dialog [data-danger]")
    expect(delete).to_be_disabled()
    page.locator("dialog input[name=typed]").fill("smp-harare")
    delete.click()
    expect(page.locator("#toasts")).to_contain_text("is being deleted")
    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.DELETED


def test_address_is_copied(page: Page, context: BrowserContext, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    log_in(page, live_server)

    page.goto(f"{live_server.url}{server.get_absolute_url()}")
    page.get_by_role("button", name="Copy address").first.click()

    expect(page.locator("#toasts")).to_contain_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "127.0.0.1:25565"


def test_failed_launch_shows_its_reason(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node)
    log_in(page, live_server)
    page.goto(f"{live_server.url}{server.get_absolute_url()}")

    observe(server, ObservedStatus.FAILED, status_reason="The image kutanga/sample does not exist.")
    finish(server, status="failed", error="The image kutanga/sample does not exist.")

    expect(page.locator("#server-head")).to_contain_text("The image kutanga/sample does not exist.")
    expect(page.locator("#toasts")).to_contain_text("Could not create")


def test_lost_connection_is_said_and_recovers(
    page: Page, context: BrowserContext, live_server: Any, node: Node, people: Any
) -> None:
    make_server(owner=people["tendai"], node=node)
    log_in(page, live_server)
    page.goto(f"{live_server.url}/servers/")
    note = page.locator("[data-live-note]")

    context.set_offline(True)
    expect(note).to_contain_text("Last seen")
    context.set_offline(False)

    expect(note).to_have_text("Live")


def test_selection_and_scroll_survive_a_refresh(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node, name="dm-arena")
    log_in(page, live_server)
    page.goto(f"{live_server.url}/servers/")
    page.get_by_label("Select dm-arena").check()
    expect(page.locator("[data-bulk]")).to_contain_text("1 selected")

    observe(server, ObservedStatus.RUNNING)

    expect(page.locator("#list")).to_contain_text("Running")
    expect(page.get_by_label("Select dm-arena")).to_be_checked()


def test_selection_forgets_what_left_the_list(page: Page, live_server: Any, node: Node, people: Any) -> None:
    servers = [make_server(owner=people["tendai"], node=node, name=name) for name in ("dm-arena", "smp-harare")]
    log_in(page, live_server)
    page.goto(f"{live_server.url}/servers/")
    for server in servers:
        page.get_by_label(f"Select {server.name}").check()
    bar = page.locator("[data-bulk]")
    expect(bar).to_contain_text("2 selected")

    observe(servers[0], ObservedStatus.DELETED)

    expect(page.get_by_label("Select dm-arena")).to_have_count(0)
    expect(bar).to_contain_text("1 selected")


def test_passwords_are_shown_on_request(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node)
    log_in(page, live_server)
    page.goto(f"{live_server.url}{server.get_absolute_url()}")
    assert server.rcon_password.reveal() not in page.content()

    page.get_by_role("button", name="Reveal").click()

    expect(page.locator("#credentials")).to_contain_text(server.rcon_password.reveal())


def test_palette_jumps_to_a_server(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node, name="luanti-mesecons")
    log_in(page, live_server)

    page.keyboard.press("Control+k")
    page.keyboard.type("mesecons")
    expect(page.locator("dialog [role=option]").first).to_contain_text("luanti-mesecons")
    found = serious(page)
    page.keyboard.press("Enter")

    page.wait_for_url(f"**{server.get_absolute_url()}")
    assert found == []


def test_enter_opens_what_was_typed_even_before_the_answer_is_there(
    page: Page, live_server: Any, node: Node, people: Any
) -> None:
    server = make_server(owner=people["tendai"], node=node, name="luanti-mesecons")
    log_in(page, live_server)

    page.keyboard.press("Control+k")
    expect(page.locator("dialog [role=option]").first).to_contain_text("Overview")
    page.keyboard.type("mesecons")
    page.keyboard.press("Enter")

    page.wait_for_url(f"**{server.get_absolute_url()}")


def test_keyboard_reaches_the_content_and_closes_menus(page: Page, live_server: Any, node: Node) -> None:
    log_in(page, live_server)

    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.get_by_label("Account").click()
    expect(page.get_by_role("link", name="Profile")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Profile")).not_to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Servers")
    page.keyboard.press("Escape")
    page.keyboard.type("gs")

    page.wait_for_url("**/servers/")


def test_theme_changes_at_once_and_stays(page: Page, live_server: Any, people: Any) -> None:
    log_in(page, live_server)

    page.get_by_label("Theme").click()
    with page.expect_response("**/profile/theme"):
        page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-bs-theme", "dark")


def test_everything_works_without_scripts(browser: Browser, live_server: Any, node: Node, people: Any) -> None:
    TemplateFactory(name="Sample")
    page = browser.new_context(java_script_enabled=False, viewport=WIDE).new_page()
    log_in(page, live_server)

    page.get_by_role("link", name="New server").first.click()
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("button", name="Check first").click()
    expect(page.locator("#preview")).to_contain_text("127.0.0.1:25565")
    page.get_by_role("button", name="Create server").first.click()
    expect(page.get_by_role("heading", name="plain")).to_be_visible()
    server = GameServer.objects.get(name="plain")
    observe(server, ObservedStatus.RUNNING)

    page.reload()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#server-head")).to_contain_text("Stopping")
    page.get_by_role("button", name="Reveal").click()
    expect(page.locator("main")).to_contain_text(server.rcon_password.reveal())
    page.get_by_role("link", name="Hide").click()
    page.get_by_label("More actions").click()
    page.get_by_role("link", name="Delete…").click()
    page.get_by_label(re.compile("Type plain")).fill("plain")
    page.get_by_role("button", name="Delete server").click()

    expect(page.locator("main")).to_contain_text("Deleting")


def test_phone_has_navigation_and_power_at_the_thumb(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node)
    observe(server, ObservedStatus.RUNNING)
    page.set_viewport_size(PHONE)
    log_in(page, live_server)

    page.get_by_label("Open navigation").click()
    page.get_by_role("navigation", name="Main").get_by_role("link", name="Servers").click()
    page.get_by_role("link", name=server.name).click()

    box = page.get_by_role("button", name="Stop").bounding_box()
    assert box is not None
    assert box["y"] > PHONE["height"] - 80
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_phone_deletes_ticked_servers(page: Page, live_server: Any, node: Node, people: Any) -> None:
    server = make_server(owner=people["tendai"], node=node, name="dm-arena")
    page.set_viewport_size(PHONE)
    log_in(page, live_server)
    page.goto(f"{live_server.url}/servers/")
    page.get_by_label("Select dm-arena").check()

    bar = page.locator("[data-bulk]")
    assert bar.evaluate("bar => [...bar.children].every(each => each.scrollWidth <= each.clientWidth)")
    bar.get_by_role("button", name="Delete…").click()
    page.get_by_label("Type delete 1 to go on").fill("delete 1")
    page.get_by_role("button", name="Delete").click()

    expect(page.locator("main")).to_contain_text("1 of 1 asked")
    server.refresh_from_db()
    assert server.desired_status == DesiredStatus.DELETED


def test_console_sends_shows_and_remembers(
    page: Page, live_server: Any, node: Node, people: dict[str, Any], complaints: list[str]
) -> None:
    server = make_server(owner=people["tendai"], node=node, name="smp-harare")
    observe(server, ObservedStatus.RUNNING)
    log_in(page, live_server)
    page.goto(f"{live_server.url}{server.get_absolute_url()}/console")
    field = page.get_by_label("Command", exact=True)

    for text in ("list", "say <b>hi</b>"):
        field.fill(text)
        field.press("Enter")
        expect(page.locator("[data-said]").last).to_have_text(text)
        expect(field).to_have_value("")
    ConsoleCommand.objects.update(status="done", answer="There are 2 of <i>20</i> players.")
    connection.close()

    expect(page.locator("#server-console pre").last).to_have_text("There are 2 of <i>20</i> players.")
    keys = {"ArrowUp": ["say <b>hi</b>", "list", "list"], "ArrowDown": ["say <b>hi</b>", ""]}
    for key, values in keys.items():
        for value in values:
            field.press(key)
            expect(field).to_have_value(value)
