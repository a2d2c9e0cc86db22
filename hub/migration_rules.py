"""What a migration may not do while the version before still runs on the same tables (expand and contract).

A release first adds what is new, so that both versions can live with it; what only the old version needed goes in the
release after that one. Judged are migrations that come after those in `hub/released_migrations.txt`. One that has to
break a rule says in its attribute `breaks_nothing_because` why no running version minds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db.migrations import operations as ops
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.migration import Migration
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import ModelOperation
from django.db.migrations.state import ProjectState
from django.db.models import Field, ManyToManyField
from django.db.models.fields import NOT_PROVIDED

RELEASED = Path(__file__).with_name("released_migrations.txt")
REASON = "breaks_nothing_because"
HARSH_SQL = re.compile(
    r"\bDROP\s+(TABLE|COLUMN)|\bRENAME\s+|\bSET\s+NOT\s+NULL|\bALTER\s+COLUMN\s+\S+\s+(SET\s+DATA\s+)?TYPE|\bTRUNCATE\b",
    re.I,
)
PLAIN_INDEX = re.compile(r"\bCREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY)", re.I)
DROPPED = "is used by the version before: take it out of the code now, and out of the tables in the next release"


def judge_all(released: str | None = None) -> list[str]:
    """Return a sentence for each fault in the migrations of our apps that were not released yet."""
    loader = MigrationLoader(None)
    text = RELEASED.read_text(encoding="utf-8") if released is None else released
    leaves = [tuple(line.split()) for line in text.splitlines() if line.strip() and not line.startswith("#")]
    unknown = [
        f"{app} {name}: is named as released and does not exist"
        for app, name in leaves
        if (app, name) not in loader.graph.nodes
    ]
    if unknown:
        return unknown
    done = {key for leaf in leaves for key in loader.graph.forwards_plan(leaf) if key[0] == leaf[0]}
    ours = {app for app, _ in leaves}
    found = []
    for key, migration in sorted(loader.disk_migrations.items()):
        if key not in done and key[0] in ours and not getattr(migration, REASON, ""):
            state = loader.project_state(key, at_end=False)
            found += [f"{key[0]} {key[1]}: {fault}" for fault in judge(migration, state)]
    return found


def judge(migration: Migration, state: ProjectState) -> Iterator[str]:
    """Yield what is wrong with one migration, which runs on that state."""
    flat = list(_flat(migration.operations))
    if any(isinstance(each, ops.RunPython) for each in flat) and any(isinstance(each, ModelOperation) for each in flat):
        yield "changes rows and tables at once: a migration of rows stands alone"
    made: set[str] = set()
    for operation in flat:
        if isinstance(operation, ops.CreateModel):
            made.add(operation.name_lower)
        elif getattr(operation, "model_name", "").lower() not in made:
            yield from _faults(operation, migration.app_label, state)
        operation.state_forwards(migration.app_label, state)


def _faults(operation: Operation, app: str, state: ProjectState) -> Iterator[str]:
    """Yield what is wrong with one operation on a table that the version before knows."""
    match operation:
        case ops.RemoveField():
            yield f"{operation.model_name}.{operation.name} {DROPPED}"
        case ops.DeleteModel():
            yield f"{operation.name} {DROPPED}"
        case ops.RenameField() | ops.RenameModel() | ops.AlterModelTable():
            yield f"{operation.describe()}: the version before knows the old name only; add the new one beside it"
        case ops.AddField():
            yield from _added(operation)
        case ops.AlterField():
            old = state.models[app, operation.model_name_lower].fields[operation.name]
            yield from _altered(f"{operation.model_name}.{operation.name}", old, operation.field)
        case AddIndexConcurrently():
            pass
        case ops.AddIndex():
            yield f"{operation.describe()}: nobody can write meanwhile; use AddIndexConcurrently, atomic = False"
        case ops.AddConstraint() | ops.AlterUniqueTogether():
            yield f"{operation.describe()}: the version before may write what it refuses; hold the rule in code first"
        case ops.RunSQL():
            yield from _sql(str(operation.sql))


def _is_indexed(field: Field) -> bool:
    return field.unique or bool(getattr(field, "db_index", False))


def _added(operation: ops.AddField) -> Iterator[str]:
    field, name = operation.field, f"{operation.model_name}.{operation.name}"
    if not field.null and not isinstance(field, ManyToManyField) and field.db_default is NOT_PROVIDED:
        yield f"{name} must not be empty, and the version before writes nothing there: give it db_default or null=True"
    if _is_indexed(field):
        yield from _indexed(name, field)


def _altered(name: str, old: Field, new: Field) -> Iterator[str]:
    if old.null and not new.null:
        yield f"{name} becomes NOT NULL, and the version before may still write NULL: do it in the next release"
    if old.get_internal_type() != new.get_internal_type():
        yield f"{name} changes its type, which writes the whole table anew under a lock: add a column beside it"
    elif old.max_length and new.max_length and new.max_length < old.max_length:
        yield f"{name} becomes shorter than what the version before writes"
    if _is_indexed(new) and not _is_indexed(old):
        yield from _indexed(name, new)


def _indexed(name: str, field: Field) -> Iterator[str]:
    if field.remote_field is None or field.unique:
        yield f"{name} gets an index under a lock: use AddIndexConcurrently, in a migration of its own"


def _sql(text: str) -> Iterator[str]:
    if HARSH_SQL.search(text):
        yield "runs SQL that drops, renames, rewrites or empties what the version before uses"
    if PLAIN_INDEX.search(text):
        yield "makes an index by SQL without CONCURRENTLY, under a lock"


def _flat(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Yield what is done to the database; state alone is nobody's business."""
    for operation in operations:
        if isinstance(operation, ops.SeparateDatabaseAndState):
            yield from _flat(operation.database_operations)
        else:
            yield operation
