"""Statements that are planned once in a connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.utils import DataError, NotSupportedError
from django.test.utils import CaptureQueriesContext

from hub.postgres.prepared import prepared_cursor

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "SELECT name FROM notes WHERE id = %(id)s AND name <> %(other)s"
BEFORE_IT_IS_PREPARED = 6


@pytest.fixture
def notes() -> Iterator[None]:
    """A table of our own."""
    execute(
        "CREATE TABLE notes (id int PRIMARY KEY, name varchar(10)); INSERT INTO notes VALUES (1, 'one'), (2, 'two')"
    )
    yield
    execute("DROP TABLE notes")


def execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def ask(pk: int, other: str = "") -> Any:
    with prepared_cursor() as cursor:
        cursor.execute(ASK, {"id": pk, "other": other})
        return cursor.fetchone()


def ask_until_prepared() -> None:
    for _ in range(BEFORE_IT_IS_PREPARED):
        assert ask(1) == ("one",)


def prepared() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%FROM notes%'")
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.usefixtures("notes")
def test_statement_that_is_asked_again_is_prepared_with_its_parameters_apart() -> None:
    ask(1)
    assert prepared() == []

    ask_until_prepared()

    assert prepared() == ["SELECT name FROM notes WHERE id = $1 AND name <> $2"]
    assert (ask(2), ask(2, "two"), ask(3, "'; DROP TABLE notes; --")) == (("two",), None, None)
    assert len(prepared()) == 1


@pytest.mark.usefixtures("notes")
def test_plain_cursors_prepare_nothing() -> None:
    for _ in range(2 * BEFORE_IT_IS_PREPARED):
        execute("SELECT count(*) FROM notes")

    assert prepared() == []


@pytest.mark.usefixtures("notes")
def test_migration_of_a_column_s_type_disturbs_nobody() -> None:
    ask_until_prepared()
    execute("ALTER TABLE notes ALTER name TYPE varchar(20)")
    ask_until_prepared()
    connection.connection._prepared.clear = lambda: False  # what another process alters is not noticed here
    execute("ALTER TABLE notes ALTER name TYPE text")
    del connection.connection._prepared.clear

    assert ask(1) == ("one",)
    ask_until_prepared()
    assert len(prepared()) == 1


@pytest.mark.usefixtures("notes")
def test_within_a_transaction_it_ends_that_and_nothing_else() -> None:
    ask_until_prepared()
    connection.connection._prepared.clear = lambda: False
    execute("ALTER TABLE notes ALTER name TYPE text")
    del connection.connection._prepared.clear

    with pytest.raises(NotSupportedError, match="cached plan"), transaction.atomic():
        ask(1)

    with transaction.atomic():
        assert ask(1) == ("one",)


@pytest.mark.usefixtures("notes")
def test_statements_are_counted_and_their_errors_are_django_s() -> None:
    ask_until_prepared()

    with CaptureQueriesContext(connection) as queries:
        ask(1, "'")

    assert [query["sql"] for query in queries] == ["SELECT name FROM notes WHERE id = 1 AND name <> ''''"]
    with pytest.raises(DataError):
        ask("\x00")  # type: ignore[arg-type]  # no number
