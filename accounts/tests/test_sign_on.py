"""Single sign-on against allauth's own provider, which runs in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client

from accounts import services
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, User
from hub import oidc
from hub.env import Env, EnvError

from .factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

PROVIDER_PASSWORD = "provider password"
LOGIN = "/accounts/oidc/hub/login/"
CALLBACK = "http://testserver/accounts/oidc/hub/login/callback/"


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a provider."""
    folder = tmp_path_factory.mktemp("provider")
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    process = subprocess.Popen(
        [sys.executable, "-m", "accounts.tests.oidc_provider", str(folder), CALLBACK],
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / "address").exists():
            assert process.poll() is None, "the provider did not start"
            assert time.monotonic() < deadline, "the provider does not answer"
            time.sleep(0.1)
        yield (folder / "address").read_text()
    finally:
        process.kill()
        process.wait()


def configure(settings: Any, url: str, **more: str) -> None:
    given = {
        "HUB_OIDC_URL": url,
        "HUB_OIDC_CLIENT_ID": "hub",
        "HUB_OIDC_CLIENT_SECRET": "hub-secret",
        "HUB_OIDC_NAME": "the house",
        "HUB_OIDC_ROLES": "hub-admins=Admin,crew=Operator",
        **more,
    }
    settings.HUB_OIDC = oidc.read(Env(given))
    settings.SOCIALACCOUNT_PROVIDERS = oidc.providers(settings.HUB_OIDC)
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True


@pytest.fixture
def house(provider: str, settings: Any) -> str:
    configure(settings, provider)
    return provider


def sign_on(client: Client, house: str, name: str) -> Any:
    """What a browser does: to the provider, log in there, back to the hub; answers the hub's last answer."""
    away = client.get(LOGIN)
    assert away.status_code == 302, away.content
    browser = requests.Session()
    page = browser.get(away["Location"])
    if page.url.startswith(f"{house}/accounts/login/"):
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)[0]
        body = {"login": name, "password": PROVIDER_PASSWORD, "csrfmiddlewaretoken": token}
        page = browser.post(page.url, data=body, headers={"Referer": page.url}, allow_redirects=False)
        while page.is_redirect and not page.headers["Location"].startswith("http://testserver/"):
            page = browser.get(requests.compat.urljoin(house, page.headers["Location"]), allow_redirects=False)
    return client.get(page.headers["Location"])


def is_logged_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_login_page_offers_it_when_it_is_configured(client, settings, house):
    page = client.get("/accounts/login/").content.decode()
    settings.HUB_OIDC = {}

    assert LOGIN in page
    assert "Log in by the house" in page
    assert LOGIN not in client.get("/accounts/login/").content.decode()


@pytest.mark.parametrize(("name", "role"), [("ada", "Admin"), ("bob", "Operator"), ("eve", "Player")])
def test_first_login_makes_an_account_with_the_role_of_the_groups(client, house, name, role):
    answer = sign_on(client, house, name)

    user = User.objects.get(username=name)
    assert (answer.status_code, is_logged_in(client)) == (302, True)
    assert (user.role, user.email, user.has_usable_password()) == (role, f"{name}@example.org", False)
    assert AuditEntry.objects.filter(action="user.registered", data__role=role).exists()
    assert client.get("/").status_code == 200


def test_registration_for_strangers_stays_closed(client, house):
    sign_on(client, house, "bob")

    assert "Registration is closed" in Client().get("/accounts/signup/").content.decode()


def test_role_follows_the_groups_at_every_login(client, house):
    sign_on(client, house, "bob")
    bob = User.objects.get(username="bob")
    services.set_role(bob, "Player", actor=SYSTEM)

    sign_on(Client(), house, "bob")

    assert User.objects.get(pk=bob.pk).role == "Operator"
    assert AuditEntry.objects.filter(action="user.role_changed", actor_name="sign-on").exists()


def test_last_admin_stays_admin_whatever_his_groups_say(client, house):
    bob = UserFactory(username="bob", role="Admin")
    EmailAddress.objects.create(user=bob, email=bob.email, verified=True, primary=True)

    sign_on(client, house, "bob")

    assert is_logged_in(client)
    assert User.objects.get(pk=bob.pk).role == "Admin"


def test_who_is_in_no_group_is_turned_away_where_that_is_wanted(client, provider, settings):
    configure(settings, provider, HUB_OIDC_ROLE="none")

    answer = sign_on(client, provider, "eve")

    assert answer.status_code == 403
    assert "You have no role here" in answer.content.decode()
    assert not is_logged_in(client)
    assert not User.objects.exists()


def test_without_a_table_of_groups_an_admin_decides(client, provider, settings):
    configure(settings, provider, HUB_OIDC_ROLES="", HUB_OIDC_ROLE="Viewer")
    sign_on(client, provider, "ada")
    ada = User.objects.get(username="ada")
    first = ada.role
    services.set_role(ada, "Operator", actor=SYSTEM)

    sign_on(Client(), provider, "ada")

    assert (first, User.objects.get(pk=ada.pk).role) == ("Viewer", "Operator")


def test_account_with_the_same_confirmed_address_is_taken(client, house):
    mine = UserFactory(username="somebody", email="bob@example.org")
    EmailAddress.objects.create(user=mine, email=mine.email, verified=True, primary=True)

    sign_on(client, house, "bob")

    assert is_logged_in(client)
    assert SocialAccount.objects.get().user == mine


def test_account_whose_address_nobody_confirmed_is_not_taken(client, house):
    UserFactory(username="squatter", email="bob@example.org")

    sign_on(client, house, "bob")

    assert not is_logged_in(client)
    assert not SocialAccount.objects.exists()


def test_suspended_person_sees_why_and_nothing_else(client, house):
    sign_on(client, house, "bob")
    services.suspend_user(User.objects.get(username="bob"), reason="Spam", actor=SYSTEM)

    sign_on(fresh := Client(), house, "bob")

    assert fresh.get("/").status_code == 403
    assert "Spam" in fresh.get("/").content.decode()


def test_callback_with_another_browsers_state_is_refused(client, house):
    away = client.get(LOGIN)
    state = re.findall(r"state=([^&]+)", away["Location"])[0]

    answer = Client().get(CALLBACK, {"code": "x", "state": state})

    assert "Login failed" in answer.content.decode()
    assert not User.objects.exists()


def test_provider_that_is_away_is_a_page_that_says_so(client, settings):
    configure(settings, "http://127.0.0.1:9")

    answer = client.get(LOGIN)

    assert answer.status_code == 503
    assert "The house does not answer" in answer.content.decode()


@pytest.mark.parametrize(
    "given",
    [
        {"HUB_OIDC_URL": "https://id.example.org"},
        {"HUB_OIDC_URL": "ldap://x", "HUB_OIDC_CLIENT_ID": "a", "HUB_OIDC_CLIENT_SECRET": "b"},
        {"HUB_OIDC_ROLES": "crew"},
        {"HUB_OIDC_ROLES": "crew=King"},
        {"HUB_OIDC_ROLE": "King"},
    ],
)
def test_half_a_configuration_stops_the_start(given):
    with pytest.raises(EnvError):
        oidc.read(Env(given))


def test_without_a_configuration_it_is_off():
    assert oidc.read(Env({})) == {}
    assert oidc.providers({}) == {}
