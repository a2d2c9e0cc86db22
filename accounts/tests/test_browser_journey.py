"""The way of a person through his account in a real browser: register, verify, secure it, look after it, leave."""

from __future__ import annotations

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal import auth as totp
from axe_playwright_python.sync_playwright import Axe
from django.core.cache import cache
from django.db import connection
from playwright.sync_api import BrowserContext, Page, expect

from accounts.models import AuditEntry, User

from .factories import PASSWORD

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PHONE = {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")


def code_now(secret: str) -> str:
    """What an authenticator app would show."""
    return totp.format_hotp_value(totp.hotp_value(secret, next(iter(totp.yield_hotp_counters_from_time()))))


def add_authenticator(context: BrowserContext, page: Page) -> None:
    """Plug in a key that says yes to everything, as a fingerprint reader does for its owner."""
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def looks_well(page: Page) -> None:
    """Nothing serious for axe, and nothing wider than the screen."""
    found = Axe().run(page).response["violations"]
    assert [(each["id"], page.url) for each in found if each["impact"] in SERIOUS] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def confirm_password(page: Page) -> None:
    """Prove oneself once more, where the page asks for it."""
    if "/reauthenticate" in page.url:
        looks_well(page)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Continue").click()


@pytest.fixture(autouse=True)
def _open_hub(settings: Any) -> None:
    cache.clear()
    settings.HUB_REGISTRATION = "open"
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"


def test_from_registration_to_the_end_of_the_account(
    page: Page, context: BrowserContext, live_server: Any, mailoutbox: list[Any]
) -> None:
    said: list[str] = []
    context.on("weberror", lambda error: said.append(str(error.error)))
    context.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
    page.set_viewport_size(PHONE)
    add_authenticator(context, page)
    home = live_server.url.replace("127.0.0.1", "localhost")

    # Register: the account does not open before the address is confirmed.
    page.goto(f"{home}/accounts/login/")
    page.get_by_role("link", name="Register").click()
    looks_well(page)
    page.get_by_label("Username").fill("tendai")
    page.get_by_label("Email").fill("tendai@example.org")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_label("Password (again)").fill(PASSWORD)
    page.get_by_role("button", name="Register").click()
    expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()

    # Verify, by the link in the mail.
    link = re.findall(r"/accounts/confirm-email/[^/\s]+/", mailoutbox[-1].body)[0]
    page.goto(f"{home}{link}")
    looks_well(page)
    page.get_by_role("button", name="Yes, confirm it").click()
    page.goto(f"{home}/accounts/login/")
    page.get_by_label("User name or e-mail").fill("tendai@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    # An authenticator app, and the recovery codes that come with it.
    page.goto(f"{home}/accounts/2fa/")
    looks_well(page)
    page.get_by_role("link", name="Set up").click()
    confirm_password(page)
    looks_well(page)
    secret = page.locator(".k-copybox code").inner_text()
    page.get_by_label("Code").fill(code_now(secret))
    page.get_by_role("button", name="Switch on").click()
    expect(page.locator(".k-codes li")).to_have_count(10)
    looks_well(page)
    recovery_code, another_code = page.locator(".k-codes code").all_inner_texts()[:2]

    # A passkey that logs in alone.
    page.goto(f"{home}/accounts/2fa/webauthn/add/")
    confirm_password(page)
    looks_well(page)
    page.get_by_role("textbox", name="Name").fill("phone")
    page.get_by_text("Log in with it alone").click()
    page.get_by_role("button", name="Add passkey").click()
    page.get_by_role("link", name="Manage").click()
    expect(page.get_by_text("Logs in alone")).to_be_visible()
    looks_well(page)

    # Out, and in again by the passkey alone.
    log_out(page, home)
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    # Out, and in by password and recovery code; the same code does not work twice.
    for works in (True, False):
        log_out(page, home)
        page.get_by_label("User name or e-mail").fill("tendai")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        looks_well(page)
        page.get_by_label("Code").fill(recovery_code)
        page.get_by_role("button", name="Continue").click()
        if works:
            expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_text("Incorrect code")).to_be_visible()
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()

    # Another browser is seen and ended.
    other = context.browser.new_context() if context.browser else context
    other_page = other.new_page()
    log_in_elsewhere(other_page, home, another_code)
    page.goto(f"{home}/profile/sessions")
    looks_well(page)
    expect(page.locator(".k-list > li")).to_have_count(2)
    page.get_by_role("button", name=re.compile("^End the login")).click()
    expect(page.locator(".k-list > li")).to_have_count(1)
    other_page.goto(f"{home}/profile")
    expect(other_page.get_by_role("heading", name="Log in")).to_be_visible()
    other.close()

    # The end: name and password, and nothing is left.
    page.goto(f"{home}/profile/delete")
    looks_well(page)
    page.get_by_label("Type tendai to go on").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Delete account").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()

    connection.close()
    assert not User.objects.filter(username="tendai").exists()
    assert not Authenticator.objects.exists()
    assert set(AuditEntry.objects.values_list("action", flat=True)) >= {
        "user.registered",
        "user.address_confirmed",
        "user.factor_added",
        "user.session_ended",
        "user.deleted",
    }
    assert [text for text in said if "Failed to load resource" not in text] == []


def log_out(page: Page, home: str) -> None:
    page.goto(f"{home}/accounts/logout/")
    page.get_by_role("button", name="Log out").last.click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def log_in_elsewhere(page: Page, home: str, code: str) -> None:
    page.goto(f"{home}/accounts/login/")
    page.get_by_label("User name or e-mail").fill("tendai")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_label("Code").fill(code)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
