"""Where one is logged in: the list, and ending logins one by one or all."""

from __future__ import annotations

import pytest
from allauth.usersessions.models import UserSession
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from accounts import jwt, sessions
from accounts.models import AuditEntry
from hub.exceptions import NotFound

from .factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
LIST, END = "/profile/sessions", "/profile/sessions/end"


def browser(user, agent: str = FIREFOX, ip: str = "192.0.2.7") -> Client:
    client = Client(headers={"User-Agent": agent}, REMOTE_ADDR=ip)
    client.post("/accounts/login/", {"login": user.username, "password": PASSWORD})
    client.get("/profile")
    return client


def program(user) -> APIClient:
    pair = jwt.log_in(user, user_agent="curl/8.14.1")
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {pair.access}")
    return client


def works(client) -> bool:
    return client.get("/api/v1/users/me").status_code == 200


@pytest.mark.parametrize(
    ("agent", "device"),
    [
        (FIREFOX, "Firefox 128 on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) Chrome/140.0.0.0 Safari/537.36 Edg/140.0",
            "Edge 140 on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 15) Chrome/140.0 Mobile Safari/537.36",
            "Chrome 140 on Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0) AppleWebKit/605.1 Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari 18 on iPhone",
        ),
        ("curl/8.14.1", "curl/8.14.1"),
        ("", "unknown"),
    ],
)
def test_devices_are_named_as_people_call_them(agent, device):
    assert sessions.device_of(agent) == device


def test_list_shows_browsers_and_programs_with_device_and_place(owner):
    mine = browser(owner)
    browser(owner, ip="198.51.100.9")
    program(owner)

    page = mine.get(LIST).content.decode()

    assert page.count("Firefox 128 on Linux</b>") == 2
    assert "curl/8.14.1" in page
    assert "198.51.100.9" in page
    assert page.count("this one") == 1


def test_one_browser_is_ended_and_the_others_stay(owner):
    mine, other, third = browser(owner), browser(owner), browser(owner)
    row = UserSession.objects.get(session_key=other.session.session_key)

    mine.post(END, {"kind": "browser", "key": row.pk})

    assert [works(each) for each in (mine, other, third)] == [True, False, True]
    assert AuditEntry.objects.filter(action="user.session_ended", actor_name="owner").exists()


def test_one_program_is_ended(owner):
    mine, robot = browser(owner), program(owner)
    key = owner.token_families.get().pk

    mine.post(END, {"kind": "program", "key": key})

    assert [works(each) for each in (mine, robot)] == [True, False]


def test_everything_but_this_one_is_ended(owner):
    mine, other, robot = browser(owner), browser(owner), program(owner)

    mine.post(END, {"all": "yes"})

    assert [works(each) for each in (mine, other, robot)] == [True, False, False]


@pytest.mark.parametrize("key", ["", "x", "999999", "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", "-1", "1e3"])
@pytest.mark.parametrize("kind", ["browser", "program", "nonsense"])
def test_a_login_that_is_not_there_is_said_to_have_ended(owner, kind, key):
    with pytest.raises(NotFound):
        sessions.end_login(owner, kind, key, actor=owner)


def test_a_stranger_ends_nobodys_login(owner, stranger):
    theirs = browser(owner)
    row = UserSession.objects.get(user=owner)

    browser(stranger).post(END, {"kind": "browser", "key": row.pk})

    assert works(theirs)


def test_admin_logs_a_person_out_everywhere(owner, admin):
    theirs, robot = browser(owner), program(owner)
    client = Client()
    client.force_login(admin)

    client.post(reverse("accounts:user_act", args=[owner.pk, "log-out"]))

    assert [works(each) for each in (theirs, robot)] == [False, False]
    entry = AuditEntry.objects.get(action="user.logged_out_everywhere")
    assert (entry.actor_name, entry.data) == (admin.username, {"browsers": 1, "programs": 1})


def test_admins_logins_are_nobodys_to_end(admin):
    limited = UserFactory(role="Operator", regions=["us-east-1"])
    client = Client()
    client.force_login(limited)

    assert client.post(reverse("accounts:user_act", args=[admin.pk, "log-out"])).status_code == 404


def test_program_ends_a_browser_by_the_id_that_the_list_tells(owner):
    here, there = program(owner), browser(owner)

    shown = {row["kind"]: row for row in here.get("/api/v1/sessions").json()}
    answer = here.delete(f"/api/v1/sessions/{shown['browser']['id']}")

    assert (shown["browser"]["device"], shown["browser"]["is_current"]) == ("Firefox 128 on Linux", False)
    assert (answer.status_code, works(there), works(here)) == (204, False, True)


def test_api_ends_all_but_the_browser_that_asks(owner):
    here, others = browser(owner), [browser(owner), program(owner)]

    answer = here.post("/api/v1/sessions/end-others")

    assert answer.json() == {"ended": 2}
    assert (works(here), [works(other) for other in others]) == (True, [False, False])


@pytest.mark.parametrize("key", ["987654", "0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"])
def test_login_of_another_is_none_of_ones_own(owner, stranger, key):
    browser(stranger)
    mine = program(owner)
    theirs = UserSession.objects.get(user=stranger).pk

    assert mine.delete(f"/api/v1/sessions/{key}").status_code == 404
    assert mine.delete(f"/api/v1/sessions/{theirs}").status_code == 404


def test_admin_logs_a_person_out_by_the_api(owner, admin):
    client, theirs = APIClient(), program(owner)
    client.force_login(admin)

    assert client.post(f"/api/v1/users/{owner.pk}/log-out").json() == {"ended": 1}
    assert not works(theirs)
