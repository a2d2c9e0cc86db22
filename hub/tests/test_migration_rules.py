"""Migrations that the version before could not live with are refused, each for its reason."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import AddIndexConcurrently
from django.core.management import CommandError, call_command
from django.db import models
from django.db.migrations import Migration
from django.db.migrations import operations as ops
from django.db.migrations.state import ModelState, ProjectState

from hub import migration_rules
from hub.migration_rules import judge, judge_all

INDEX = models.Index(fields=["name"], name="named")
CHECK = models.CheckConstraint(condition=models.Q(name__gt=""), name="has_name")


def faults(*operations: Any) -> list[str]:
    migration = Migration("0002_next", "shop")
    migration.operations = list(operations)
    state = ProjectState()
    fields = [
        ("id", models.BigAutoField(primary_key=True)),
        ("name", models.CharField(max_length=50)),
        ("note", models.TextField(null=True)),
    ]
    state.add_model(ModelState("shop", "Thing", fields))
    return list(judge(migration, state))


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (ops.RemoveField("thing", "note"), "thing.note is used by the version before"),
        (ops.DeleteModel("Thing"), "Thing is used by the version before"),
        (ops.RenameField("thing", "note", "notes"), "knows the old name only"),
        (ops.RenameModel("Thing", "Item"), "knows the old name only"),
        (ops.AlterModelTable("thing", "things"), "knows the old name only"),
        (ops.AddField("thing", "size", models.IntegerField(default=1)), "give it db_default"),
        (ops.AddField("thing", "code", models.CharField(null=True, unique=True)), "index under a lock"),
        (ops.AlterField("thing", "note", models.TextField()), "becomes NOT NULL"),
        (ops.AlterField("thing", "name", models.IntegerField()), "changes its type"),
        (ops.AlterField("thing", "name", models.CharField(max_length=20)), "becomes shorter"),
        (ops.AlterField("thing", "name", models.CharField(max_length=50, db_index=True)), "index under a lock"),
        (ops.AddIndex("thing", INDEX), "AddIndexConcurrently"),
        (ops.AddConstraint("thing", CHECK), "may write what it refuses"),
        (ops.RunSQL("ALTER TABLE shop_thing DROP COLUMN note"), "runs SQL that drops"),
        (ops.RunSQL("ALTER TABLE shop_thing ALTER COLUMN note SET NOT NULL"), "runs SQL that drops"),
        (ops.RunSQL("CREATE INDEX named ON shop_thing (name)"), "without CONCURRENTLY"),
        (ops.SeparateDatabaseAndState([ops.RemoveField("thing", "note")], []), "is used by the version before"),
    ],
)
def test_what_breaks_the_version_before_is_refused(operation: Any, words: str) -> None:
    found = faults(operation)

    assert len(found) == 1
    assert words in found[0]


@pytest.mark.parametrize(
    "operation",
    [
        ops.AddField("thing", "size", models.IntegerField(db_default=1)),
        ops.AddField("thing", "size", models.IntegerField(null=True)),
        ops.AlterField("thing", "name", models.CharField(max_length=80)),
        ops.AlterField("thing", "name", models.CharField(max_length=50, null=True)),
        AddIndexConcurrently("thing", INDEX),
        ops.RunSQL("CREATE INDEX CONCURRENTLY named ON shop_thing (name)"),
        ops.SeparateDatabaseAndState([], [ops.RemoveField("thing", "note")]),
        ops.RunPython(ops.RunPython.noop),
    ],
)
def test_what_both_versions_can_live_with_is_taken(operation: Any) -> None:
    assert faults(operation) == []


def test_table_that_is_new_may_have_anything() -> None:
    create = ops.CreateModel("Part", [("id", models.BigAutoField(primary_key=True)), ("name", models.CharField())])

    assert faults(create, ops.AddIndex("part", INDEX), ops.AddConstraint("part", CHECK)) == []


def test_rows_and_tables_are_not_changed_at_once() -> None:
    create = ops.CreateModel("Part", [("id", models.BigAutoField(primary_key=True))])

    assert "stands alone" in faults(create, ops.RunPython(ops.RunPython.noop))[0]


def test_our_own_migrations_keep_the_rules() -> None:
    call_command("lint_migrations")


def test_what_comes_after_the_last_release_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = migration_rules.RELEASED.read_text(encoding="utf-8")
    older = everything.replace("nodes 0008_cluster_reports", "nodes 0001_initial_nodes")
    found = judge_all(older)
    monkeypatch.setattr("hub.management.commands.lint_migrations.judge_all", lambda: found)

    assert found
    assert all(each.startswith("nodes 000") and "does not exist" not in each for each in found)
    with pytest.raises(CommandError, match="breaks_nothing_because"):
        call_command("lint_migrations")


def test_reason_given_in_a_migration_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = migration_rules.RELEASED.read_text(encoding="utf-8")
    older = everything.replace("nodes 0008_cluster_reports", "nodes 0001_initial_nodes")
    monkeypatch.setattr(Migration, "breaks_nothing_because", "a test", raising=False)

    assert judge_all(older) == []


def test_baseline_that_names_no_migration_is_refused() -> None:
    assert judge_all("hub 0999_nothing") == ["hub 0999_nothing: is named as released and does not exist"]
