"""The whole way in a browser with the agent as a program: enrol, accept, upload, deploy, watch, roll back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.db.models.functions import Now
from playwright.sync_api import Browser, Page, expect

from accounts.tests.factories import UserFactory
from devices.deployments.models import DeploymentTarget
from devices.models import Device, DeviceBeat
from hub.testing import wait_until

from .agent_program import PATIENCE, program
from .bundle_files import bundle
from .test_browser import PHONE, WIDE, log_in, wrong_with

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    backend, options = "django.core.files.storage.FileSystemStorage", {"location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}


def test_from_enrolment_to_rollback(browser: Browser, live_server: Any, tmp_path: Path) -> None:
    UserFactory(username="tendai", role="Admin")
    page = browser.new_context(viewport=WIDE).new_page()
    page.set_default_timeout(20_000)
    log_in(page, live_server.url)

    with program(tmp_path / "device", live_server.url) as device:
        page.goto(f"{live_server.url}/enrolment/")
        page.get_by_text("Nobody waits").wait_for()
        told = device.enrol("--identity", "serial=GW-0042", "--type", "gateway")
        name = Device.objects.get().name
        page.get_by_text(f"{told['fingerprint'][:16]}…").wait_for()
        page.get_by_role("button", name=f"Accept {name}").click()
        page.get_by_text("Nobody waits").wait_for()
        DeviceBeat.objects.update(interval_seconds=1)  # so that it does not call once a minute only
        device.start()
        wait_until(lambda: Device.objects.filter(sealing_key__isnull=False).exists(), PATIENCE)

        for version in ("1.0", "2.0"):
            upload(page, live_server.url, tmp_path / f"gate-{version}.tar.gz", version)
            deploy(page, name)
            assert device.read("installed") == version

        page.get_by_role("link", name="Roll back…").click()
        page.get_by_text(f"1 device to gate 1.0: {name}").wait_for()
        page.get_by_role("button", name="Roll back 1 device").click()
        page.get_by_role("heading", name="Rollback").first.wait_for()
        soaking = DeploymentTarget.objects.filter(deployment__kind="rollback", status="soaking")
        wait_until(lambda: soaking.update(soak_until=Now()), PATIENCE)  # a minute that nobody wants to wait
        page.get_by_text("1 of 1 proven").wait_for()

        assert device.read("installed") == "1.0"
        assert device.status()["bundle_version"] == "1.0"
        at = f"{live_server.url}{Device.objects.get().get_absolute_url()}"
        page.goto(at)
        expect(page.locator("main")).to_contain_text("1.0")
        sound_in_the_dark(page, at)


def upload(page: Page, url: str, file: Path, version: str) -> None:
    """From the list of bundles to the page of a new one."""
    file.write_bytes(bundle(version))
    page.goto(f"{url}/bundles/")
    page.get_by_role("link", name="Upload").first.click()
    page.locator("input[name=file]").set_input_files(file)
    page.get_by_label("Name").fill("gate")
    page.get_by_label("Version").fill(version)
    page.get_by_role("button", name="Upload").click()
    page.get_by_role("heading", name=f"gate {version}").wait_for()


def deploy(page: Page, name: str) -> None:
    """Through the wizard; then watch the board until the device has proven itself."""
    page.get_by_role("link", name="Deploy", exact=True).click()
    page.locator("textarea[name=devices]").fill(name)
    page.get_by_label("Must be well for").fill("1")
    page.get_by_role("button", name="See whom it reaches").click()
    page.get_by_text(name).first.wait_for()
    page.get_by_role("button", name="Start").click()
    page.get_by_text("0 of 1 proven").wait_for()
    page.get_by_text("1 of 1 proven").wait_for()
    expect(page.get_by_role("link", name="Call off…")).to_have_count(0)


def sound_in_the_dark(page: Page, device: str) -> None:
    """The pages of a device that has really done something, on a phone."""
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.emulate_media(color_scheme="dark")
    found: list[str] = []
    for rest in ("", "/deployments", "/log"):
        page.goto(f"{device}{rest}")
        found += wrong_with(page, f"real-device{rest.replace('/', '-')}", PHONE)
    assert not found, "\n".join(found)
