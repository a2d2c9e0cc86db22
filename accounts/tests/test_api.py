from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from accounts.models import ApiToken, AuditEntry, User

from .factories import PASSWORD, AuditEntryFactory, QuotaFactory, UserFactory, token_for, token_header

pytestmark = pytest.mark.django_db

COLUMNS = ("Admin", "Operator", "Viewer", "Player", "nobody")

# (method, path, body) and the status for: Admin, Operator, Viewer, Player, nobody. {user} is a stranger, {token} his.
TABLE = [
    ("get", "/api/v1/users", None, (200, 200, 200, 200, 401)),
    ("post", "/api/v1/users", {"username": "ada"}, (201, 403, 403, 403, 401)),
    ("get", "/api/v1/users/{user}", None, (200, 404, 404, 404, 401)),
    ("patch", "/api/v1/users/{user}", {"theme": "dark"}, (200, 404, 404, 404, 401)),
    ("put", "/api/v1/users/{user}", {"theme": "dark"}, (405, 405, 405, 405, 401)),
    ("delete", "/api/v1/users/{user}", None, (405, 405, 405, 405, 401)),
    ("post", "/api/v1/users/{user}/role", {"role": "Viewer"}, (200, 403, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/regions", {"regions": ["us-east-1"]}, (200, 403, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/quota", {"servers": 1}, (200, 403, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/suspend", {"reason": "x"}, (200, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/unsuspend", None, (409, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/deactivate", None, (200, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/activate", None, (409, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/password", {"password": "a new long phrase"}, (204, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/verify", None, (200, 404, 403, 403, 401)),
    ("post", "/api/v1/users/{user}/unlock", None, (204, 404, 403, 403, 401)),
    ("post", "/api/v1/users/purge", {"phrase": "x"}, (400, 403, 403, 403, 401)),
    ("post", "/api/v1/users/invite", {}, (201, 403, 403, 403, 401)),
    ("get", "/api/v1/auth/me", None, (200, 200, 200, 200, 401)),
    ("get", "/api/v1/auth/export", None, (200, 200, 200, 200, 401)),
    ("post", "/api/v1/auth/delete", {"password": PASSWORD}, (409, 204, 204, 204, 401)),
    ("get", "/api/v1/users/me", None, (200, 200, 200, 200, 401)),
    ("patch", "/api/v1/users/me", {"theme": "dark"}, (200, 200, 200, 200, 401)),
    ("get", "/api/v1/tokens", None, (200, 200, 403, 200, 401)),
    ("post", "/api/v1/tokens", {"name": "ci"}, (201, 201, 403, 201, 401)),
    ("get", "/api/v1/tokens/{token}", None, (200, 404, 403, 404, 401)),
    ("patch", "/api/v1/tokens/{token}", {"is_enabled": False}, (200, 404, 403, 404, 401)),
    ("delete", "/api/v1/tokens/{token}", None, (204, 404, 403, 404, 401)),
    ("post", "/api/v1/tokens/{token}/rotate", {}, (201, 404, 403, 404, 401)),
    ("get", "/api/v1/audit", None, (200, 200, 200, 403, 401)),
    ("get", "/api/v1/audit/{entry}", None, (200, 200, 200, 403, 401)),
    ("post", "/api/v1/audit", {}, (405, 405, 405, 405, 401)),
    ("delete", "/api/v1/audit/{entry}", None, (405, 405, 405, 405, 401)),
]
CASES = [
    (method, path, body, role, status)
    for method, path, body, statuses in TABLE
    for role, status in zip(COLUMNS, statuses, strict=True)
]


@pytest.mark.parametrize(("method", "path", "body", "role", "status"), CASES)
def test_each_role_gets_its_answer_on_each_route(api, stranger, method, path, body, role, status):
    token, _ = token_for(stranger)
    ids = {"user": stranger.pk, "token": token.pk, "entry": AuditEntryFactory().pk}
    client = api(None if role == "nobody" else UserFactory(role=role))

    answer = getattr(client, method)(path.format(**ids), body)

    assert answer.status_code == status, answer.content


# --- users --------------------------------------------------------------------------------------------------------
def test_list_of_users_costs_the_same_for_three_as_for_thirty(api, admin, django_assert_max_num_queries):
    QuotaFactory.create_batch(30)
    client = api(admin)
    client.get("/api/v1/users")

    with django_assert_max_num_queries(5):  # session, asker, count, page
        answer = client.get("/api/v1/users")

    assert answer.json()["count"] == 31


def test_player_lists_himself_only(api, owner, stranger):
    results = api(owner).get("/api/v1/users").json()["results"]

    assert [user["username"] for user in results] == ["owner"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=OWN", {"owner"}),
        ("role=Player", {"owner", "stranger"}),
        ("role=Player&q=stran", {"stranger"}),
        ("is_suspended=true", set()),
        ("username=owner", {"owner"}),
        ("ordering=-username&limit=1", {"stranger"}),
    ],
)
def test_users_are_filtered(api, admin, owner, stranger, query, found):
    results = api(admin).get(f"/api/v1/users?{query}").json()["results"]

    assert {user["username"] for user in results} == found


def test_created_user_is_answered_whole_and_without_a_password(api, admin):
    body = {"username": "ada", "password": PASSWORD, "role": "Operator", "email": "ada@example.org", "timezone": "UTC"}

    answer = api(admin).post("/api/v1/users", body)

    assert answer.status_code == 201
    assert "password" not in answer.json()
    assert (answer.json()["role"], answer.json()["regions"], answer.json()["quota"]["servers"]) == (
        "Operator",
        None,
        20,
    )
    assert User.objects.get(username="ada").check_password(PASSWORD)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": "OWNER"}, "username"),
        ({"username": "x", "email": "Owner@Example.org"}, "email"),
        ({"username": "x", "password": "123"}, "password"),
        ({"username": "x", "role": "Emperor"}, "role"),
        ({"username": "x" * 151}, "username"),
        ({"username": "nul\x00"}, "username"),
        ({}, "username"),
    ],
)
def test_bad_user_is_refused_with_the_field(api, admin, owner, body, field):
    answer = api(admin).post("/api/v1/users", body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


@pytest.mark.parametrize(
    "extra", [{"role": "Admin"}, {"is_staff": True}, {"is_superuser": True}, {"is_service": True}, {"token_version": 9}]
)
def test_profile_takes_nothing_but_the_profile(api, owner, extra):
    before = User.objects.filter(pk=owner.pk).values().get()

    answer = api(owner).patch("/api/v1/users/me", extra)

    assert answer.status_code == 200
    assert User.objects.filter(pk=owner.pk).values().get() == {
        **before,
        "last_login": User.objects.get(pk=owner.pk).last_login,
    }
    assert User.objects.get(pk=owner.pk).role == "Player"


def test_me_says_what_i_may(api, owner):
    me = api(owner).get("/api/v1/users/me").json()

    assert "servers.create" in me["verbs"]
    assert "users.create" not in me["verbs"]


def test_me_by_token_says_what_the_token_may(owner):
    _, plain = token_for(owner, scopes=["users.view", "servers.view"])

    me = APIClient().get("/api/v1/users/me", headers=token_header(plain)).json()

    assert me["verbs"] == ["servers.view", "users.view"]


def test_own_address_cannot_be_changed_unconfirmed(api, owner):
    assert api(owner).patch("/api/v1/users/me", {"email": "new@example.org"}).status_code == 403


def test_admin_sets_role_regions_quota_and_sees_them(api, admin, owner):
    client, path = api(admin), f"/api/v1/users/{owner.pk}"

    client.post(f"{path}/role", {"role": "Operator"})
    client.post(f"{path}/regions", {"regions": ["us-east-1"]})
    answer = client.post(f"{path}/quota", {"servers": 2, "disk_mb": None})

    assert answer.json()["role"] == "Operator"
    assert answer.json()["regions"] == ["us-east-1"]
    assert answer.json()["quota"] == {"servers": 2, "memory_mb": 65_536, "cpu_percent": 1_600, "disk_mb": 500_000}


def test_last_admin_is_told_why_he_stays(api, admin):
    answer = api(admin).post(f"/api/v1/users/{admin.pk}/role", {"role": "Player"})

    assert (answer.status_code, answer.json()["code"]) == (409, "last_admin")


# --- tokens -------------------------------------------------------------------------------------------------------
def test_secret_is_in_the_answer_that_made_the_token_and_nowhere_else(api, owner):
    client = api(owner)
    made = client.post("/api/v1/tokens", {"name": "ci", "scopes": ["read"]})
    plain = made.json()["token"]

    assert made["Cache-Control"] == "no-store"
    assert APIClient().get("/api/v1/users/me", headers=token_header(plain)).status_code == 200
    for path in ("/api/v1/tokens", f"/api/v1/tokens/{made.json()['id']}"):
        answer = client.get(path)
        assert plain not in answer.content.decode()
        assert ApiToken.objects.get().digest not in answer.content.decode()


def test_rotation_answers_the_new_secret(api, owner):
    token, old = token_for(owner, name="ci")

    answer = api(owner).post(f"/api/v1/tokens/{token.pk}/rotate", {"overlap_seconds": 60})

    new = answer.json()["token"]
    assert new != old
    assert {APIClient().get("/api/v1/users/me", headers=token_header(plain)).status_code for plain in (old, new)} == {
        200
    }


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": "x", "scopes": ["servers.fly"]}, "scopes.0"),
        ({"name": "x", "scopes": "read"}, "scopes"),
        ({"name": "x", "allowed_networks": ["home"]}, "allowed_networks.0"),
        ({"name": "x", "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "expires_at": "soon"}, "expires_at"),
        ({"name": "x", "user": "nobody-here"}, "user"),
    ],
)
def test_bad_token_is_refused_with_the_field(api, owner, body, field):
    answer = api(owner).post("/api/v1/tokens", body)

    assert answer.status_code == 400
    assert list(answer.json()["fields"]) == [field]


def test_player_learns_no_names_by_making_tokens_for_them(api, owner, stranger):
    answers = [api(owner).post("/api/v1/tokens", {"name": "x", "user": name}) for name in ("stranger", "nobody-here")]

    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].json()["detail"] == answers[1].json()["detail"]


def test_admin_makes_a_token_for_a_service_account(api, admin):
    robot = UserFactory(username="robot", is_service=True)

    answer = api(admin).post("/api/v1/tokens", {"name": "x", "user": "robot"})

    assert answer.status_code == 201
    assert ApiToken.objects.get().user == robot


def test_list_of_tokens_costs_a_constant_number_of_queries(api, owner, django_assert_max_num_queries):
    for number in range(12):
        token_for(owner, name=f"n{number}")
    client = api(owner)

    with django_assert_max_num_queries(4):
        assert client.get("/api/v1/tokens").json()["count"] == 12


# --- audit --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("action=server.started", 1),
        ("action=server.", 2),
        ("actor=ada", 1),
        ("actor_kind=system", 2),
        ("target_kind=gameserver&target_id=7", 1),
        ("target=lob", 1),
        ("action=server.&from=2026-01-02T00:00:00Z", 1),
        ("to=2026-01-02T00:00:00Z", 2),
        ("from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z", 1),
    ],
)
def test_audit_is_filtered(api, query, count):
    AuditEntryFactory(action="server.started", target_kind="gameserver", target_id="7", at="2026-01-01T12:00:00Z")
    AuditEntryFactory(action="server.stopped", target_name="Lobby", at="2026-01-02T12:00:00Z")
    AuditEntryFactory(action="user.waved", actor_kind="user", actor_name="ada", at="2025-12-31T12:00:00Z")

    answer = api(UserFactory(role="Viewer")).get(f"/api/v1/audit?{query}")

    assert answer.json()["count"] == count


def test_audit_is_newest_first_and_costs_a_constant_number_of_queries(api, django_assert_max_num_queries):
    AuditEntryFactory.create_batch(20)
    client = api(UserFactory(role="Viewer"))
    newest = AuditEntry.objects.latest("id").pk

    with django_assert_max_num_queries(4):
        results = client.get("/api/v1/audit").json()["results"]

    assert results[0]["id"] == newest


def test_audit_is_exported_as_csv(api):
    AuditEntryFactory(action="server.started", target_name="=HYPERLINK(1)")

    answer = api(UserFactory(role="Viewer")).get("/api/v1/audit?format=csv&action=server.started")

    assert answer["Content-Type"].startswith("text/csv")
    assert "'=HYPERLINK(1)" in answer.content.decode()


@pytest.mark.parametrize("path", ["users", "tokens", "audit"])
def test_routes_have_no_slash_at_the_end(api, admin, path):
    assert api(admin).get(f"/api/v1/{path}").status_code == 200
    assert api(admin).get(f"/api/v1/{path}/").status_code == 404


def test_openapi_document_names_all_ways_to_log_in(api, admin):
    document = api(admin).get("/api/v1/schema", headers={"Accept": "application/vnd.oai.openapi+json"}).json()

    schemes = document["components"]["securitySchemes"]
    assert set(schemes) == {"apiToken", "deviceSignature", "deviceToken", "jwt", "session"}
    assert "/api/v1/tokens/{id}/rotate" in document["paths"]
