from __future__ import annotations

import logging

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from accounts import audit_chain
from accounts.jobs import seal_audit
from accounts.models import AuditEntry, AuditSeal

from .factories import AuditEntryFactory

pytestmark = pytest.mark.django_db


def tamper(sql: str) -> None:
    """Act as the table's owner, whom no trigger stops."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE accounts_auditentry DISABLE TRIGGER USER")
        cursor.execute(sql)
        cursor.execute("ALTER TABLE accounts_auditentry ENABLE TRIGGER USER")


@pytest.fixture
def sealed() -> list[AuditEntry]:
    """Nine entries below three seals."""
    entries = []
    for _ in range(3):
        entries += AuditEntryFactory.create_batch(3, data={"n": 1, "text": "zażółć", "deep": {"b": [1.5, None]}})
        audit_chain.seal()
    return entries


def test_seal_covers_each_entry_once_and_verifies(sealed):
    assert seal_audit() == 0
    assert AuditSeal.objects.count() == 3
    assert not AuditEntry.objects.unsealed().exists()
    assert audit_chain.verify() == []


def test_large_backlog_is_sealed_in_batches(monkeypatch):
    monkeypatch.setattr(audit_chain, "BATCH", 2)
    AuditEntryFactory.create_batch(5)

    assert audit_chain.seal() == 5
    assert list(AuditSeal.objects.values_list("entry_count", flat=True)) == [2, 2, 1]
    assert audit_chain.verify() == []


@pytest.mark.parametrize(
    "column", ["action", "actor_name", "target_id", "data", "at", "ip", "region_slug", "token_name", "xid"]
)
def test_edited_entry_is_found(sealed, column):
    number = sealed_id(sealed[4])
    value = {"data": "'{}'", "at": "now()", "ip": "'192.0.2.1'", "xid": "1"}.get(column, "'forged'")
    tamper(f"UPDATE accounts_auditentry SET {column} = {value} WHERE id = {sealed[4].pk}")  # noqa: S608 - our own words

    assert audit_chain.verify() == [f"Seal {number}: an entry or the seal before it was changed."]


def test_deleted_entry_is_found(sealed):
    number = sealed_id(sealed[4])
    tamper(f"DELETE FROM accounts_auditentry WHERE id = {sealed[4].pk}")  # noqa: S608 - our own words

    assert audit_chain.verify() == [f"Seal {number} covers 3 entries, 2 are there."]


def test_inserted_entry_is_found(sealed):
    number = sealed_id(sealed[4])
    AuditEntryFactory(seal_id=number)

    assert audit_chain.verify() == [f"Seal {number} covers 3 entries, 4 are there."]


def test_entry_exchanged_for_another_is_found(sealed):
    number = sealed_id(sealed[4])
    tamper(f"DELETE FROM accounts_auditentry WHERE id = {sealed[4].pk}")  # noqa: S608 - our own words
    AuditEntryFactory(seal_id=number)

    assert len(audit_chain.verify()) == 1


def test_seal_removed_from_the_middle_with_its_entries_is_found(sealed):
    number, later = sealed_id(sealed[4]), sealed_id(sealed[8])
    tamper(f"DELETE FROM accounts_auditentry WHERE seal_id = {number}")  # noqa: S608 - our own words
    tamper(f"DELETE FROM accounts_auditseal WHERE id = {number}")  # noqa: S608 - our own words

    assert audit_chain.verify() == [f"Seal {later}: an entry or the seal before it was changed."]


def test_all_of_a_seals_entries_removed_is_found(sealed):
    for entry in (sealed[0], sealed[8]):
        tamper(f"DELETE FROM accounts_auditentry WHERE seal_id = {sealed_id(entry)}")  # noqa: S608 - our own words

    assert len(audit_chain.verify()) == 2


def test_chain_made_anew_is_found_by_an_anchor_kept_outside(sealed, caplog):
    anchor = audit_chain.head()
    tamper("UPDATE accounts_auditentry SET seal_id = NULL, action = 'forged'")
    tamper("DELETE FROM accounts_auditseal")
    audit_chain.seal()

    assert audit_chain.verify() == []
    assert audit_chain.verify(anchor) == ["The given digest is not in the chain: seals were removed or made anew."]


def test_anchor_that_was_passed_long_ago_is_still_in_the_chain(sealed):
    anchor = AuditSeal.objects.earliest("pk").digest

    assert audit_chain.verify(anchor) == []


def test_each_digest_is_logged_to_be_kept_outside(caplog):
    AuditEntryFactory()

    with caplog.at_level(logging.INFO, logger="accounts.audit_chain"):
        audit_chain.seal()

    assert audit_chain.head() in caplog.text


def test_command_tells_what_is_whole_and_fails_on_a_break(sealed, capsys):
    call_command("audit_verify")
    assert "3 seals are whole, 0 entries wait" in capsys.readouterr().out

    tamper("UPDATE accounts_auditentry SET action = 'forged'")
    with pytest.raises(CommandError, match="3 places"):
        call_command("audit_verify")


def sealed_id(entry: AuditEntry) -> int:
    entry.refresh_from_db()
    assert entry.seal_id is not None
    return entry.seal_id
