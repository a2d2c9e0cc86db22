"""Kept INSERTs store what `Model.save` stores."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import AuditEntry, User
from accounts.tests.factories import UserFactory
from hub.models import IdempotentAnswer
from hub.nodes.models import Operation
from hub.postgres.inserts import insert, together
from servers.models import GameServer
from servers.tests.factories import TemplateFactory, make_server

pytestmark = pytest.mark.django_db


def copy_of(row: models.Model) -> Any:
    """The row once more, to be stored anew: its unique parts are changed."""
    kind = type(row)
    names = [field.attname for field in kind._meta.concrete_fields]
    copy = kind(**{name: getattr(row, name) for name in names})
    copy.pk = kind._meta.pk.get_default()
    copy._state.adding = True
    return copy


def columns(row: models.Model) -> dict[str, Any]:
    """What the database holds, without the key and what the moment decides."""
    stored = type(row).objects.filter(pk=row.pk).values().get()  # type: ignore[attr-defined]  # every model has it
    moment = {"id", "name", "created_at", "xid", "key"}
    return {name: str(value) for name, value in stored.items() if name not in moment}


def test_row_is_stored_as_save_stores_it() -> None:
    server = make_server(description="It's “ours” %s")
    server.values, server.published_ports, server.facts = {"MOTD": "Hi", "SIZE": 3}, ["rcon"], {"players": [None]}
    server.save()
    copy = copy_of(GameServer.objects.get(pk=server.pk))
    copy.name = "another"

    with CaptureQueriesContext(
        connection,
    ) as queries:
        insert(copy)

    assert len(queries) == 1
    assert columns(copy) == columns(server)
    assert copy.created_at >= server.created_at
    assert GameServer.objects.get(pk=copy.pk).rcon_password.reveal() == server.rcon_password.reveal()


def test_columns_of_the_database_are_read_back() -> None:
    entry = AuditEntry(action="server.created", data={"before": {"a": [1, None]}}, ip="::1")
    answer = IdempotentAnswer(actor="user:1", route="POST /", key="k", digest="d", status=201, body="{}")

    insert(entry)
    insert(answer)

    assert entry.pk == AuditEntry.objects.latest("id").pk
    assert (entry.xid, entry.ip) == (AuditEntry.objects.get(pk=entry.pk).xid, "::1")
    assert AuditEntry.objects.get(pk=entry.pk).data == {"before": {"a": [1, None]}}
    assert abs((answer.created_at - timezone.now()).total_seconds()) < 60
    assert not entry._state.adding


def test_changed_row_is_saved_afterwards() -> None:
    entry = IdempotentAnswer(actor="user:1", route="POST /", key="k", digest="d", status=201, body="{}")
    insert(entry)

    entry.status = 200
    entry.save()

    assert IdempotentAnswer.objects.get().status == 200


def test_constraint_is_kept() -> None:
    server = make_server()

    with pytest.raises(IntegrityError):
        insert(copy_of(server))


def test_foreign_keys_are_stored() -> None:
    owner: User = UserFactory()
    server = make_server(owner=owner, template=TemplateFactory())
    operation = Operation(
        workload_kind="server", workload_id=server.pk, workload_name="x", node=server.node, verb="start", generation=1
    )
    operation.actor = owner

    insert(operation)

    stored = Operation.objects.get(pk=operation.pk)
    assert (stored.actor, stored.node, stored.finished_at) == (owner, server.node, None)


def answer_to(key: str) -> IdempotentAnswer:
    return IdempotentAnswer(actor="user:1", route="POST /", key=key, digest="d", status=201, body="{}")


def test_rows_sent_together_are_one_statement_and_each_learns_its_own_columns() -> None:
    entries = [AuditEntry(action=f"step.{number}") for number in range(3)]

    with CaptureQueriesContext(connection) as queries, together():
        insert(entries[0])
        insert(answer_to("a"))
        insert(entries[1])
        insert(entries[2])

    assert len(queries) == 1
    assert dict(AuditEntry.objects.values_list("id", "action")) == {entry.pk: entry.action for entry in entries}
    assert IdempotentAnswer.objects.count() == 1


def test_after_an_error_nothing_is_sent() -> None:
    def fail() -> None:
        with together():
            insert(answer_to("a"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()

    assert not IdempotentAnswer.objects.exists()
    insert(answer_to("b"))
    assert IdempotentAnswer.objects.get().key == "b"


def test_error_of_the_database_is_told() -> None:
    @transaction.atomic
    def insert_twice() -> None:
        with together():
            insert(answer_to("a"))
            insert(answer_to("a"))

    with pytest.raises(IntegrityError):
        insert_twice()

    assert not IdempotentAnswer.objects.exists()


def test_nothing_to_send_costs_nothing() -> None:
    with CaptureQueriesContext(connection) as queries, together():
        pass

    assert len(queries) == 0
