"""Pages of devices in a real browser: sound for axe on a wide screen and a dark phone, and what scripts add.

With HUB_SCREENSHOTS naming a directory, a picture of each page is left there.
"""

from __future__ import annotations

import math
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from playwright.sync_api import Browser, Page

from accounts.actors import SYSTEM
from accounts.tests.factories import PASSWORD, UserFactory
from devices.bundles.choices import UPLOAD_PIECE_BYTES
from devices.choices import DeviceStatus, KeyState
from devices.configuration.services import set_device_config
from devices.models import Bundle, Deployment, Device, DeviceKey, DeviceLog
from devices.services import create_token
from hub.nodes.tests.factories import RegionFactory
from hub.tests.pictures import PHONE, PICTURES, WIDE, take_picture
from monitoring import store as store_samples
from monitoring.measure import Reading

from .bundle_files import bundle, member
from .deployment_helpers import beat, deploy, make_bundle, report, run_through
from .factories import DeviceFactory, DeviceGroupFactory, make_key

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SERIOUS = ("serious", "critical")
STICKS_OUT = """() => [...document.querySelectorAll("main *")]
    .filter(each => each.getBoundingClientRect().right > innerWidth).slice(0, 4)
    .map(each => `${each.tagName}.${each.getAttribute("class")}`).join(", ")"""
LINES = (
    ("ERROR", "camera", "Cannot open /dev/video0: no such device"),
    ("WARNING", "agent", "The disk is 91 % full; bundles that need more than 600 MiB will not fit on it any more"),
    ("INFO", "agent", "Applied configuration 3"),
    ("DEBUG", "net", "wlan0 up"),
)


def fill() -> dict[str, str]:
    """A fleet with something in every state; answers the address of each page by its name."""
    cache.clear()
    UserFactory(username="tendai", role="Admin")
    harare = RegionFactory(slug="harare", name="Harare")
    gateways = DeviceGroupFactory(slug="harare-gateways", name="Harare gateways", description="On roofs in the city.")
    common = {"region": harare, "device_type": "pi5", "beat__health": "healthy", "beat__agent_version": "0.1.0"}
    first = DeviceFactory(name="gw-hre-0017", beat__last_seen=2, tags=["roof", "solar"], **common)
    Device.objects.filter(pk=first.pk).update(hardware={"platform": "Raspberry Pi 5", "memory_mb": 8192})
    first.beat.memory_mb, first.beat.cpu_percent = 1210, 18.4
    first.beat.save()
    make_key(first)
    make_key(first, state=KeyState.PROPOSED)
    others = [
        DeviceFactory(name="gw-hre-0042", beat__last_seen=4, **{**common, "beat__health": "degraded"}),
        DeviceFactory(name="gw-hre-0108", beat__last_seen=150, **common),
        DeviceFactory(name="kiosk-byo-003", beat__last_seen=90_000, **common),
        DeviceFactory(name="meter-mut-221", status=DeviceStatus.SUSPENDED, status_reason="Reported stolen.", **common),
    ]
    for each in (first, *others[:2]):
        each.groups.add(gateways)
    pending = DeviceFactory(name="lab-pi-01", status=DeviceStatus.PENDING, region=None)
    make_key(pending, state=KeyState.PROPOSED)
    for level, source, message in LINES:
        DeviceLog.objects.create(device=first, at=timezone.now(), level=level, source=source, message=message)
    set_device_config(first, {"log_level": "DEBUG", "settings": {"camera.angle": 30}}, actor=SYSTEM, note="Tilted.")
    run_through(make_bundle("1.4.0", device_types=["pi5"]), first, others[0])
    failing = deploy(make_bundle("1.5.0"), first, others[0], others[1])
    beat(first)
    report(first, failing, "failed", error_code="script", error_message="deploy.sh ended with 3.", output="no space")
    beat(others[0])
    report(others[0], failing, "downloading", progress_percent=40)
    if PICTURES:
        measure(f"device:{first.pk}")
    Device.objects.filter(pk=first.pk).update(accepted_at=timezone.now() - timedelta(days=41))
    at = first.get_absolute_url()
    create_token(
        actor=SYSTEM, name="Batch of June", most_uses=50, group=gateways, expires_at=timezone.now() + timedelta(days=7)
    )
    bundle_at = make_bundle("1.6.0", description="Not deployed yet.").get_absolute_url()
    connection.close()
    return {
        "devices-fleet": "/fleet/",
        "enrolment": "/enrolment/",
        "enrolment-new": "/enrolment/new",
        "enrolment-tokens": "/enrolment-tokens/",
        "device-groups": "/device-groups/",
        "device-group": gateways.get_absolute_url(),
        "bundles": "/bundles/",
        "bundle": bundle_at,
        "bundle-new": "/bundles/new",
        "publishers": "/publisher-keys/",
        "deployments": "/deployments/",
        "deployment": failing.get_absolute_url(),
        "deployment-new": "/deployments/new",
        "deployment-roll-back": f"{failing.get_absolute_url()}/roll-back",
        "device-group-edit": f"{gateways.get_absolute_url()}/edit",
        "device-group-config": f"{gateways.get_absolute_url()}/config",
        "devices": "/devices/",
        "device-logs": "/device-logs/",
        "device": at,
        "device-pending": pending.get_absolute_url(),
        "device-log": f"{at}/log",
        "device-config": f"{at}/config",
        "device-deployments": f"{at}/deployments?bundle={failing.bundle_id}",
        "device-activity": f"{at}/activity",
        "device-commands": f"{at}/commands",
        "device-edit": f"{at}/edit",
        "device-decommission": f"{at}/decommission",
    }


def measure(subject: str) -> None:
    """An hour of samples, one for each minute's heartbeat."""
    now, lines = timezone.now(), []
    for minute in range(60):
        wave = math.sin(minute / 7) + 0.3 * math.sin(minute)
        values = {
            "cpu_share": 18 + 9 * wave,
            "memory_bytes": (1210 + 60 * wave) * 2.0**20,
            "disk_share": 61 + minute / 30,
            "load": 0.4 + 0.2 * wave,
        }
        lines.append(Reading(subject, now - timedelta(minutes=60 - minute), values).line())
    store_samples.store(lines)


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/accounts/login/")
    page.get_by_label("User name or e-mail").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{url}/")


def wrong_with(page: Page, name: str, screen: dict[str, int]) -> list[str]:
    """What axe finds serious, and what is wider than the screen."""
    if PICTURES:
        take_picture(page, f"{name}{'-phone' if screen is PHONE else ''}")
    found = [
        f"{name} {screen['width']}: {violation['id']}: {violation['nodes'][0]['html'][:160]}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in SERIOUS
    ]
    wide = page.evaluate("document.documentElement.scrollWidth")
    if wide > screen["width"]:
        found.append(f"{name} is {wide} px wide at {screen['width']}: {page.evaluate(STICKS_OUT)}")
    return found


@pytest.mark.parametrize(("theme", "screen"), [("light", WIDE), ("dark", PHONE)], ids=["wide", "phone"])
def test_every_page_is_sound(browser: Browser, live_server: Any, theme: Any, screen: Any) -> None:
    pages = fill()
    page = browser.new_context(color_scheme=theme, viewport=screen).new_page()
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    log_in(page, live_server.url)
    found: list[str] = []

    for name, path in pages.items():
        page.goto(f"{live_server.url}{path}")
        found += wrong_with(page, name, screen)

    assert not found, "\n".join(found)
    assert not complaints


def test_bundle_goes_up_in_pieces_and_out_to_a_device(
    browser: Browser, live_server: Any, settings: Any, tmp_path: Path
) -> None:
    """Upload with a script, preview, start, watch the board follow."""
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    backend, options = "django.core.files.storage.FileSystemStorage", {"location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}
    UserFactory(username="tendai", role="Admin")
    device = DeviceFactory(name="gate-1")
    make_key(device)
    settings.HUB_BUNDLE_ENCRYPTION = False
    file = tmp_path / "gate-2.0.tar.gz"
    file.write_bytes(bundle("2.0", extra=[member("noise.bin", os.urandom(4_000_000))]))
    page = browser.new_context(viewport=WIDE).new_page()
    log_in(page, live_server.url)

    page.goto(f"{live_server.url}/bundles/new")
    page.locator("input[name=file]").set_input_files(file)
    page.get_by_label("Name").fill("gate")
    page.get_by_label("Version").fill("1.9")
    page.get_by_role("button", name="Upload").click()
    page.get_by_text("The archive's manifest says version 2.0.").wait_for()
    page.get_by_label("Version").fill("2.0")
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name="gate 2.0").wait_for()
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.locator("textarea[name=devices]").fill("gate-1")
    page.get_by_role("button", name="See whom it reaches").click()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("0 of 1 proven").wait_for()
    deployment = Deployment.objects.get()
    Deployment.objects.update(soak_seconds=0)
    beat(device)
    report(device, deployment, "success")
    page.get_by_text("1 of 1 proven").wait_for()

    assert Bundle.objects.get(version="2.0").size_bytes > 2 * UPLOAD_PIECE_BYTES


def test_list_changes_by_itself_and_decides_about_what_is_ticked(browser: Browser, live_server: Any) -> None:
    fill()
    page = browser.new_context(viewport=WIDE).new_page()
    log_in(page, live_server.url)
    page.goto(f"{live_server.url}/devices/")

    Device.objects.filter(name="kiosk-byo-003").update(name="kiosk-renamed")
    page.get_by_role("link", name="kiosk-renamed", exact=True).wait_for()
    page.get_by_label("Select lab-pi-01").check()
    page.locator("[data-bulk]").get_by_role("button", name="Accept").click()
    page.get_by_text(DeviceKey.objects.get(device__name="lab-pi-01").fingerprint).wait_for()
    page.get_by_role("button", name="Accept 1 device").click()
    page.get_by_role("heading", name="Accept: 1 of 1 done").wait_for()

    assert Device.objects.get(name="lab-pi-01").status == DeviceStatus.ACCEPTED
