from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, connection, transaction

from accounts import audit
from accounts.actors import SCHEDULER, SYSTEM
from accounts.audit import SecretInAuditError
from accounts.models import AuditEntry
from hub import context
from hub.secrets import Sealed

from .factories import AuditEntryFactory, UserFactory, token_for

pytestmark = pytest.mark.django_db


def test_entry_keeps_names_as_text_and_outlives_actor_and_target(owner, stranger):
    entry = audit.record(owner, "user.waved", stranger, before={"hand": "down"}, after={"hand": "up"})
    stranger_id = str(stranger.pk)
    owner.delete()
    stranger.delete()

    entry.refresh_from_db()

    assert (entry.actor_kind, entry.actor_name) == ("user", "owner")
    assert (entry.target_kind, entry.target_id, entry.target_name) == ("user", stranger_id, "stranger")
    assert entry.data == {"before": {"hand": "down"}, "after": {"hand": "up"}}


def test_entry_says_from_where(owner):
    with context.use(context.Context(request_id="r-12345678", ip="192.0.2.1", via="web")):
        entry = audit.record(owner, "user.waved")

    assert (entry.request_id, entry.ip, entry.via) == ("r-12345678", "192.0.2.1", "web")


@pytest.mark.parametrize(
    ("actor", "kind", "name"),
    [
        (SYSTEM, "system", "system"),
        (SCHEDULER, "system", "scheduler"),
        (None, "anonymous", ""),
        (AnonymousUser(), "anonymous", ""),
    ],
)
def test_entry_of_those_who_are_no_users(actor, kind, name):
    entry = audit.record(actor, "thing.happened")

    assert (entry.actor_kind, entry.actor_name, entry.actor_id) == (kind, name, "")


def test_entry_costs_one_insert(owner, django_assert_num_queries):
    with django_assert_num_queries(1) as queries:
        entry = audit.record(owner, "user.waved", owner, note="x")

    assert queries.captured_queries[0]["sql"].startswith("INSERT")
    assert entry.pk


@pytest.mark.django_db(transaction=True)
def test_entry_knows_its_transaction():
    with transaction.atomic():
        first, second = audit.record(SYSTEM, "a.b"), audit.record(SYSTEM, "a.c")
    third = audit.record(SYSTEM, "a.d")

    xids = [AuditEntry.objects.get(pk=entry.pk).xid for entry in (first, second, third)]
    assert xids[0] == xids[1] < xids[2]


def test_entry_is_undone_with_its_transaction(owner):
    with transaction.atomic():
        audit.record(owner, "user.waved")
        transaction.set_rollback(True)

    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    "data",
    [
        {"password": "x"},
        {"rcon_password": "x"},
        {"after": {"api_key": "x"}},
        {"items": [{"client_secret": "x"}]},
        {"access_token": "x"},
        {"flag": "x"},
        {"note": "hub_" + "0" * 64},
        {"note": "-----BEGIN RSA PRIVATE KEY-----"},
        {"note": Sealed("k1.abc", "test")},
    ],
)
def test_secret_is_refused_while_testing_and_dropped_in_production(data, settings):
    with pytest.raises(SecretInAuditError):
        audit.record(SYSTEM, "thing.happened", **data)

    settings.HUB_AUDIT_STRICT = False
    entry = audit.record(SYSTEM, "thing.happened", kept=1, **data)

    assert entry.data["kept"] == 1
    assert not any(secret in str(entry.data) for secret in ("'x'", "hub_0", "BEGIN", "k1.abc", "•"))


def test_what_only_speaks_about_a_secret_is_kept():
    facts = {"token_id": 5, "token_name": "ci", "password_changed": True, "secret_count": 2}

    assert audit.record(SYSTEM, "thing.happened", **facts).data == facts


def test_values_become_plain_json(owner):
    entry = audit.record(SYSTEM, "thing.happened", who=owner, several={"b", "a"}, none=None, pair=(1, 2.5))
    entry.refresh_from_db()

    assert entry.data == {"who": "owner", "several": ["a", "b"], "none": None, "pair": [1, 2.5]}


def test_changes_name_only_what_differs():
    assert audit.changes({"a": 1, "b": 2}, {"a": 1, "b": 3}) == {"before": {"b": 2}, "after": {"b": 3}}


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE accounts_auditentry SET action = 'x'",
        "UPDATE accounts_auditentry SET seal_id = 1, action = 'x'",
        "DELETE FROM accounts_auditentry",
    ],
)
def test_database_refuses_to_change_or_delete_an_entry(sql):
    AuditEntryFactory()

    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)

    assert AuditEntry.objects.count() == 1


def test_orm_cannot_change_or_delete_an_entry_either():
    entry = AuditEntryFactory()
    entry.action = "x.y"

    with pytest.raises(IntegrityError), transaction.atomic():
        entry.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        entry.delete()


def test_retention_may_delete_and_still_not_edit():
    AuditEntryFactory()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL hub.audit_retention = 'on'")
        with pytest.raises(IntegrityError), transaction.atomic():
            cursor.execute("UPDATE accounts_auditentry SET action = 'x'")
        cursor.execute("DELETE FROM accounts_auditentry")

    assert not AuditEntry.objects.exists()


def test_trail_is_read_by_those_who_may(owner):
    AuditEntryFactory()

    assert AuditEntry.objects.visible_to(UserFactory(role="Viewer")).exists()
    assert not AuditEntry.objects.visible_to(owner).exists()


def test_operator_limited_to_regions_reads_those_and_his_own(owner):
    operator = UserFactory(role="Operator", regions=["us-east-1"])
    there = AuditEntryFactory(region_slug="us-east-1")
    AuditEntryFactory(region_slug="us-west-1")
    AuditEntryFactory()
    own = audit.record(operator, "user.waved")

    assert set(AuditEntry.objects.visible_to(operator)) == {there, own}


def test_canary_password_and_token_appear_nowhere_in_the_trail(client, admin, caplog):
    canary = "canary-Pa55word-9f2"
    client.force_login(admin)
    client.post("/api/v1/users", {"username": "bird", "password": canary}, content_type="application/json")
    client.post("/accounts/login/", {"login": canary, "password": canary})
    _, plain = token_for(admin)
    client.get("/api/v1/users/me", headers={"Authorization": f"Token {plain}"})

    trail = str(list(AuditEntry.objects.values()))
    assert canary not in trail + caplog.text
    assert plain not in trail + caplog.text
