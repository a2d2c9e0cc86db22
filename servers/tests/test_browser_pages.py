"""Every page in a real browser: nothing serious for axe, no complaint of the browser, nothing wider than the screen.

With HUB_SCREENSHOTS naming a directory, a picture of each page is left there, wide and light, and narrow and dark; see
docs/screenshots.
"""

from __future__ import annotations

import logging
import math
import uuid
from datetime import timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page

from accounts.tests.factories import PASSWORD, UserFactory, token_for
from hub.nodes.choices import AddressState, DesiredStatus, ObservedStatus, ReportKind
from hub.nodes.models import Address, AddressPool, Node, NodeReport, Operation
from hub.tests.pictures import PICTURES, take_picture
from hub.tests.world import make_alert
from monitoring import store as store_samples
from monitoring.errors import store
from monitoring.errors.capture import failure_of
from monitoring.errors.models import ErrorGroup
from monitoring.measure import Reading
from servers.models import ConsoleCommand, GameServer, ServerLog, TemplateTrial

from .factories import TemplateFactory, VariableFactory, make_node, make_server

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SCREENS = {
    "1440": {"width": 1440, "height": 900},
    "1024": {"width": 1024, "height": 768},
    "390": {"width": 390, "height": 844},
}
SERIOUS = ("serious", "critical")
PICTURED = {("light", "1440"): "", ("dark", "390"): "-phone"}
STICKS_OUT = """() => [...document.querySelectorAll("main *")]
    .filter(each => each.getBoundingClientRect().right > innerWidth).slice(0, 4)
    .map(each => `${each.tagName}.${each.getAttribute("class")}`).join(", ")"""
MENUS_CUT = """() => [...document.querySelectorAll("main details.k-menu")].filter(menu => {
    menu.open = true
    const box = menu.querySelector(".k-menu-list")?.getBoundingClientRect()
    menu.open = false
    return box?.width && (box.left < 0 || box.right > innerWidth + 1)
}).map(menu => menu.querySelector("summary").ariaLabel || menu.querySelector("summary").textContent).join(", ")"""
SCREENFULS = 100
STATES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("smp-harare", ObservedStatus.RUNNING, {"facts": {"players": 38, "max_players": 60, "latency_ms": 3.2}}),
    ("creative-plots", ObservedStatus.RUNNING, {"facts": {"players": 17, "max_players": 40, "latency_ms": 2.1}}),
    ("skyblock-delta", ObservedStatus.PULLING, {"progress_percent": 64}),
    ("modded-atm10", ObservedStatus.CRASHED, {"status_reason": "Out of memory at 1 GiB. Started again in 2 min 40 s."}),
    ("teeworlds-gctf", ObservedStatus.FAILED, {"status_reason": "The image hub/teeworlds:0.7.6 does not exist."}),
    ("survival-kids", ObservedStatus.UNHEALTHY, {"status_reason": "No answer to the list ping for 3 min."}),
    ("event-uhc", ObservedStatus.STARTING, {"status_reason": "Waiting for the port to answer."}),
    ("hardcore-s4", ObservedStatus.STOPPED, {"desired_status": DesiredStatus.STOPPED}),
)
LOG = """10:41:58 [Server thread/INFO]: Kudzi_ZW joined the game
10:42:31 [Server thread/WARN]: Can't keep up! Running 2104 ms or 42 ticks behind
10:43:10 [Server thread/ERROR]: Could not save region r.0.0
"""


def _error() -> ErrorGroup:
    try:
        {}["players"]
    except KeyError as error:
        record = logging.LogRecord(
            "servers.jobs", logging.ERROR, "", 1, "x", None, (KeyError, error, error.__traceback__)
        )
        store.store([failure_of(record, error, error.__traceback__)])
    return ErrorGroup.objects.get()


def measure(*subjects: str) -> None:
    """An hour of samples in the past, as an agent would have left them: two waves and a bit of growth."""
    now, lines = timezone.now(), []
    for number, subject in enumerate(subjects):
        for step in range(0, 3600, 10):
            wave = math.sin(step / 420 + number) + 0.3 * math.sin(step / 67)
            values = {
                "cpu_percent": 55 + 22 * wave,
                "cpu_share": 40 + 16 * wave,
                "memory_bytes": (600 + 40 * wave + step / 60) * 2.0**20,
                "disk_bytes": 2.1e9 + step * 4e4,
                "net_in": 9e4 + 3e4 * wave,
                "net_out": 4e5 + 2e5 * wave,
                "players": round(34 + 6 * wave),
            }
            lines.append(Reading(subject, now - timedelta(seconds=3600 - step), values).line())
    store_samples.store(lines)


def fill() -> dict[str, str]:
    """A hub with something in every state; answers the address of each page by its name."""
    cache.clear()
    admin = UserFactory(username="tendai", role="Admin")
    node = make_node(size=40, name="harare-1", memory_mb=65_536, cpu_percent=3200)
    Node.objects.update(agent_seen_at=timezone.now(), agent_version="0.1.0")
    template = TemplateFactory(slug="minecraft-java", name="Minecraft Java", description="The block game.")
    tried, trying = (TemplateFactory(slug=name.lower(), name=name, game=name) for name in ("Luanti", "Teeworlds"))
    VariableFactory(template=template, key="MOTD", label="Welcome line", default="Mauya! Be kind, build tall.")
    VariableFactory(template=template, key="PLAYERS", label="Players at most", kind="integer", default="60", minimum=1)
    for name, status, values in STATES:
        server = make_server(owner=admin, node=node, template=template, name=name)
        GameServer.objects.filter(pk=server.pk).update(observed_status=status, started_at=timezone.now(), **values)
    first = GameServer.objects.get(name="smp-harare")
    broken = GameServer.objects.get(name="teeworlds-gctf")
    Operation.objects.exclude(workload_id=broken.pk).update(status="done", finished_at=timezone.now())
    Operation.objects.filter(workload_id=broken.pk).update(status="failed", error="The image does not exist.")
    ServerLog.objects.create(server=first, text=LOG, captured_at=timezone.now())
    ConsoleCommand.objects.create(
        server=first, actor_name="tendai", kind="rcon", text="list", status="done", answer="There are 2 of 60 players."
    )
    ConsoleCommand.objects.create(
        server=first, actor_name="rudo", kind="rcon", text="save-all", status="failed", error="The server does not run."
    )
    Address.objects.filter(port=25600).update(state=AddressState.BLOCKED, reason="In use by another program.")
    token_for(admin, name="backup script")
    ended = {"status": "failed", "reason": "It was not ready in time.", "output": LOG, "ended_at": timezone.now()}
    TemplateTrial.objects.create(template=tried, server=broken, actor_name="tendai", **ended)
    TemplateTrial.objects.create(template=trying, server=broken, actor_name="tendai")
    left = f"hub-server-{uuid.uuid4()}"
    report(node, ReportKind.DATA, name=left, owner="", size_bytes=9_400_000, changed_at="")
    report(node, ReportKind.IMAGES, id="sha256:1f0c", names=["hub/luanti:5.9"], size_bytes=90_400_000, used_by=[])
    measure(f"server:{first.pk}", f"node:{node.name}")
    error, alert = _error(), make_alert(node)
    connection.close()
    at = first.get_absolute_url()
    return {
        "overview": "/",
        "servers": "/servers/",
        "server": at,
        "server-failed": broken.get_absolute_url(),
        "server-charts": f"{at}/charts",
        "server-log": f"{at}/log",
        "server-console": f"{at}/console",
        "server-operations": f"{at}/operations",
        "server-settings": f"{at}/settings",
        "server-activity": f"{at}/activity",
        "server-delete": f"{at}/delete",
        "server-choose": "/servers/new",
        "server-new": f"/servers/new?template={template.slug}",
        "templates": "/templates/",
        "template": f"/templates/{template.slug}",
        "template-edit": f"/templates/{template.slug}/edit",
        "template-new": "/templates/new",
        "template-tried": f"/templates/{tried.slug}",
        "template-trying": f"/templates/{trying.slug}",
        "operations": "/operations/",
        "nodes": "/nodes/",
        "node": f"/nodes/{node.name}/",
        "node-drift": f"/nodes/{node.name}/drift",
        "node-images": f"/nodes/{node.name}/images",
        "node-data": f"/nodes/{node.name}/data",
        "node-data-remove": f"/nodes/{node.name}/data/remove?name={left}",
        "node-new": "/nodes/new",
        "node-edit": f"/nodes/{node.name}/edit",
        "pools": "/pools/",
        "pool": f"/pools/{AddressPool.objects.values_list('pk', flat=True).first()}/",
        "pool-new": "/pools/new",
        "regions": "/regions/",
        "fleet": "/monitoring/",
        "charts": f"/monitoring/charts?subject=node:{node.name}",
        "charts-table": f"/monitoring/table?subject=node:{node.name}",
        "alerts": "/alerts/",
        "alert": alert["alert"].get_absolute_url(),
        "alert-rules": "/alert-rules/",
        "alert-rule-new": "/alert-rules/new",
        "alert-rule": f"/alert-rules/{alert['rule'].pk}/edit",
        "mutes": "/mutes/",
        "channels": "/channels/",
        "channel": alert["delivery"].channel.get_absolute_url(),
        "channel-new": "/channels/new",
        "channel-edit": f"{alert['delivery'].channel.get_absolute_url()}edit",
        "retention": "/monitoring/retention",
        "errors": "/monitoring/errors/",
        "error": error.get_absolute_url(),
        "users": "/users/",
        "user": f"/users/{admin.pk}",
        "user-new": "/users/new",
        "invitations": "/users/invites",
        "requests": "/requests/",
        "audit": "/audit/",
        "profile": "/profile",
        "tokens": "/tokens/",
        "search": "/search?q=smp",
        "notifications": "/notifications",
        "jobs": "/queues/",
        "kit": "/kit",
        "not-found": "/nowhere",
        "password": "/accounts/password/change/",
    }


def report(node: Node, kind: ReportKind, **row: Any) -> None:
    """What the node's agent has found."""
    NodeReport.objects.create(node=node, kind=kind, rows=[{**row, "created_at": ""}], taken_at=timezone.now())


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("User name or e-mail").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}/")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_sound(browser: Browser, live_server: Any, theme: str) -> None:
    pages = fill()
    context = browser.new_context(color_scheme=theme, viewport=SCREENS["1440"])
    complaints: list[str] = []
    context.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = context.new_page()
    page.goto(f"{live_server.url}/accounts/login/")
    found = judge(page, "login", theme)
    log_in(page, live_server.url)

    for name, path in pages.items():
        page.goto(f"{live_server.url}{path}")
        found += judge(page, name, theme)

    complaints = [text for text in complaints if "404" not in text]
    assert not found, "\n".join(found)
    assert not complaints


def test_the_document_of_the_api_keeps_to_the_policy(browser: Browser, live_server: Any) -> None:
    fill()
    complaints: list[str] = []
    page = browser.new_page()
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)

    page.goto(f"{live_server.url}/api/v1/docs")
    page.get_by_text("/api/v1/address-pools", exact=True).first.wait_for()
    asked = page.get_by_text("/api/v1/servers", exact=True).first
    for _ in range(SCREENFULS):  # of so many operations only those near the screen are drawn
        if asked.count():
            break
        page.mouse.wheel(0, SCREENS["1024"]["height"])
        page.wait_for_timeout(50)
    asked.wait_for()

    assert not complaints


def judge(page: Page, name: str, theme: str) -> list[str]:
    """What is wrong with the page at any width."""
    wrong = []
    for width, screen in SCREENS.items():
        page.set_viewport_size(screen)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > screen["width"]:
            wrong.append(f"{name} is {wide} px wide at {width}: {page.evaluate(STICKS_OUT)}")
        if cut := page.evaluate(MENUS_CUT):
            wrong.append(f"{name}: menus leave the screen at {width}: {cut}")
        if PICTURES and (theme, width) in PICTURED:
            take_picture(page, f"{name}{PICTURED[theme, width]}")
        if (theme, width) in PICTURED:  # each theme and each width once: what axe finds follows from one or the other
            wrong += [f"{name} {width} {theme}: {text}" for text in serious(page)]
    return wrong


def serious(page: Page) -> list[str]:
    """What axe finds serious, with the first place of each."""
    violations = Axe().run(page).response["violations"]
    return [
        f"{violation['id']} at {violation['nodes'][0]['target']}: {violation['nodes'][0]['failureSummary']}"
        for violation in violations
        if violation["impact"] in SERIOUS
    ]
