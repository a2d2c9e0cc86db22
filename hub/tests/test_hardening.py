"""Headers, the admin site's networks, the documentation's readers, and limits of bodies."""

from __future__ import annotations

import json
from ipaddress import ip_network

import pytest
from csp.decorators import csp_update
from csp.utils import build_policy
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts.tests.factories import UserFactory
from hub.api import parsers
from hub.hardening import PolicyMiddleware

pytestmark = pytest.mark.django_db

LOGIN = "/api/v1/auth/login"


@pytest.fixture(autouse=True)
def _no_counters() -> None:
    cache.clear()


@pytest.mark.parametrize("path", ["/accounts/login/", "/api/v1/templates", "/health/live", "/nothing-here"])
def test_every_answer_has_the_headers_that_browsers_obey(client, path):
    answer = client.get(path)

    policy = answer["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


@pytest.mark.parametrize("status", [200, 404, 500])
def test_policy_is_what_django_csp_would_say(rf, status):
    request, sent = rf.get("/"), HttpResponse(status=status)

    ours = PolicyMiddleware(lambda request: sent)(request)["Content-Security-Policy"]

    assert set(ours.split("; ")) == set(build_policy().split("; "))


def test_view_may_change_the_policy(rf):
    view = csp_update({"img-src": ["https://example.org"]})(lambda request: HttpResponse())

    changed = PolicyMiddleware(view)(rf.get("/"))["Content-Security-Policy"]

    assert "img-src 'self' data: https://example.org" in changed


def test_https_is_remembered_where_the_hub_has_it(client, settings):
    settings.SECURE_HSTS_SECONDS = 31_536_000

    assert client.get("/accounts/login/", secure=True)["Strict-Transport-Security"].startswith("max-age=31536000")


@pytest.mark.parametrize(("ip", "status"), [("10.1.2.3", 200), ("192.0.2.4", 404)])
def test_admin_site_is_there_for_its_networks_alone(client, settings, ip, status):
    settings.HUB_ADMIN_NETWORKS = [ip_network("10.0.0.0/8")]
    client.force_login(UserFactory(role="Admin"))

    assert client.get("/admin/", REMOTE_ADDR=ip).status_code == status


def test_address_that_a_stranger_claims_opens_no_admin_site(client, settings):
    settings.HUB_ADMIN_NETWORKS = [ip_network("10.0.0.0/8")]
    client.force_login(UserFactory(role="Admin"))

    answer = client.get("/admin/", REMOTE_ADDR="192.0.2.4", headers={"X-Forwarded-For": "10.1.2.3"})

    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/api/v1/docs", "/api/v1/schema"])
def test_documentation_is_for_people_where_that_is_wanted(client, settings, path):
    settings.HUB_API_DOCS = "people"
    stranger = client.get(path)
    client.force_login(UserFactory())

    assert (stranger.status_code, client.get(path).status_code) == (302, 200)


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 5_000 + b"1" + b"}" * 5_000, b'[{"a":[' * 40])
def test_deep_json_is_a_bad_request(client, body):
    answer = client.post(LOGIN, body, content_type="application/json")

    assert answer.status_code == 400
    assert "nested" in answer.json()["detail"]


class Unread:
    """A body that nobody may touch."""

    def read(self, *size: int) -> bytes:
        raise AssertionError("the body was read")

    readline = read


FORMS = ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/csv"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [LOGIN, "/api/v1/servers", "/api/v1/nothing"])
def test_body_that_is_too_long_is_a_problem_of_the_api_and_stays_unread(client, settings, path, form):
    long = str(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)

    answer = client.post(path, b"x", content_type=form, CONTENT_LENGTH=long, **{"wsgi.input": Unread()})

    assert (answer.status_code, answer["Content-Type"]) == (413, "application/problem+json")
    assert (answer.json()["code"], answer.json()["status"]) == ("too_large", 413)
    assert answer.json()["request_id"] == answer["X-Request-ID"]


@pytest.mark.parametrize("path", ["/accounts/login/", "/admin/login/", "/servers", "/nothing-here"])
@pytest.mark.parametrize("role", ["Admin", None])
def test_body_that_is_too_long_is_a_page_elsewhere_and_stays_unread(client, settings, path, role):
    long = str(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    if role:
        client.force_login(UserFactory(role=role))

    answer = client.post(path, b"x", content_type=FORMS[2], CONTENT_LENGTH=long, **{"wsgi.input": Unread()})

    assert answer.status_code == 413
    assert 'data-code="too_large"' in answer.content.decode()
    assert "Permissions-Policy" in answer


def test_form_that_is_too_long_is_told_so_before_its_token_is_looked_for():
    client = Client(enforce_csrf_checks=True)

    answer = client.post("/accounts/login/", {"login": "x" * 3_000_000}, headers={"HX-Request": "true"})

    assert answer.status_code == 413
    assert answer.content.decode().startswith('<div class="k-empty-s"')


def test_body_may_be_as_long_as_the_limit(client, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1_000
    body = json.dumps({"username": "nobody", "password": "wrong"}).encode()

    fits = client.post(LOGIN, body.ljust(1_000), content_type="application/json")
    longer = client.post(LOGIN, body.ljust(1_001), content_type="application/json")

    assert (fits.status_code, longer.status_code) == (401, 413)


@pytest.mark.parametrize("length", ["", "many", "\u00b2"])
def test_length_that_is_no_number_is_none(client, length):
    assert client.post(LOGIN, b"", content_type="application/json", CONTENT_LENGTH=length).status_code == 400


@pytest.mark.parametrize("body", [b"\xff\xfe", b"{", b"NaN", b"", b'{"a": 1} trailing'])
def test_what_is_not_json_is_a_bad_request(client, body):
    assert client.post(LOGIN, body, content_type="application/json").status_code == 400


def test_brackets_in_text_count_for_nothing():
    assert parsers._depth(json.dumps({"a": "[{" * 200 + '\\"[['}).encode()) == 1


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
@hypothesis_settings(max_examples=60, deadline=None)
def test_depth_is_that_of_the_value(value):
    def depth(inner: object) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    assert min(parsers._depth(json.dumps(value).encode()), 33) == min(depth(value), 33)
