from __future__ import annotations

import gzip
import json
from datetime import timedelta
from pathlib import Path
from unittest import mock

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from accounts import audit_chain, audit_retention
from accounts.actors import SYSTEM
from accounts.models import AuditEntry, AuditSeal
from hub.exceptions import NotAllowed

from .factories import AuditEntryFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path) -> None:
    settings.HUB_DATA = tmp_path


@pytest.fixture
def trail() -> None:
    """Two sealed entries of long ago, and one of today."""
    AuditEntryFactory.create_batch(2)
    audit_chain.seal()
    AuditSeal.objects.update(created_at=timezone.now() - timedelta(days=100))
    AuditEntryFactory(action="thing.recent")
    audit_chain.seal()


def lines(path: Path) -> list[dict]:
    with gzip.open(path) as file:
        return [json.loads(line) for line in file]


def test_old_entries_are_in_the_file_and_leave_the_database(trail):
    path, count = audit_retention.retain(days=90, actor=SYSTEM)

    head, *entries = lines(path)
    assert (count, head["entries"], len(entries)) == (2, 2, 2)
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(AuditEntry.objects.values_list("action", flat=True)) == {"thing.recent", "audit.retained"}


def test_chain_is_still_proven_and_still_finds_changes(trail):
    audit_retention.retain(days=90, actor=SYSTEM)
    assert audit_chain.verify() == []

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL hub.audit_retention = 'on'")
        cursor.execute("DELETE FROM accounts_auditentry WHERE action = 'thing.recent'")

    assert len(audit_chain.verify()) == 1


def test_export_that_fails_deletes_nothing(trail):
    with (
        mock.patch.object(audit_retention.os, "fsync", side_effect=OSError("disk full")),
        pytest.raises(OSError, match="disk full"),
    ):
        audit_retention.retain(days=90, actor=SYSTEM)

    assert AuditEntry.objects.count() == 3


def test_second_run_finds_nothing(trail, capsys):
    call_command("audit_retain", days=90)
    call_command("audit_retain", days=90)

    assert "Nothing is that old" in capsys.readouterr().out


def test_deleting_is_forbidden_again_afterwards(trail):
    audit_retention.retain(days=90, actor=SYSTEM)

    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEntry.objects.all().delete()


def test_recent_entries_and_strangers_are_refused(owner):
    with pytest.raises(CommandError, match="30 days"):
        call_command("audit_retain", days=7)
    with pytest.raises(NotAllowed):
        audit_retention.retain(days=90, actor=owner)
