"""Serializers that are kept say what fresh ones say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from rest_framework import serializers

from hub.api.shapes import parse, represent, show


class Inner(serializers.Serializer[Any]):
    asker = serializers.SerializerMethodField()

    def get_asker(self, row: Any) -> str:
        return str(self.context["request"].user)


class Outer(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=5)
    tags = serializers.ListField(child=serializers.CharField(), required=False)
    inner = Inner(source="*", read_only=True)


def asks(user: str, **data: Any) -> Any:
    return SimpleNamespace(user=user, data=data)


def test_shows_what_a_fresh_serializer_shows() -> None:
    row = {"name": "Ada", "tags": ["a"]}

    shown = show(Outer, row, asks("ada"))

    assert shown == Outer(row, context={"request": asks("ada")}).data == {**row, "inner": {"asker": "ada"}}


def test_each_request_is_its_own_context() -> None:
    with ThreadPoolExecutor(4) as threads:
        shown = list(threads.map(lambda n: show(Outer, {"name": f"{n}"}, asks(f"user {n}")), range(40)))

    assert [row["inner"]["asker"] for row in shown] == [f"user {n}" for n in range(40)]


def test_parses_input() -> None:
    assert parse(Outer, asks("ada", name="Ada", tags=["a", "b"])) == {"name": "Ada", "tags": ["a", "b"]}


def test_refusal_is_that_of_a_fresh_serializer() -> None:
    fresh = Outer(data={"name": "too long", "tags": "none"})
    fresh.is_valid()

    with pytest.raises(serializers.ValidationError) as kept:
        parse(Outer, asks("ada", name="too long", tags="none"))

    assert kept.value.detail == fresh.errors


def test_refusal_leaves_nothing_for_the_next_request() -> None:
    with pytest.raises(serializers.ValidationError):
        parse(Outer, asks("ada", name="too long"))

    assert parse(Outer, asks("ada", name="Ada")) == {"name": "Ada"}


class Row(serializers.Serializer[Any]):
    name = serializers.CharField()
    owner = serializers.CharField(source="owner.username")
    count = serializers.IntegerField(allow_null=True)
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField(choices=["a"])
    rows = Inner(source="*")
    asker = serializers.SerializerMethodField()
    nothing = serializers.CharField(allow_null=True)
    secret = serializers.CharField(write_only=True)

    def get_asker(self, row: Any) -> str:
        return f"{row.name} for {self.context['request'].user}"


def test_represents_as_drf_does() -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    owner = SimpleNamespace(username="ada")
    row = SimpleNamespace(name=12, owner=owner, count=None, at=at, kind="a", nothing=None, secret="x")
    serializer = Row(context={"request": asks("bob")})

    found = represent(serializer, row)

    assert found == dict(serializer.to_representation(row))
    assert list(found) == list(serializer.to_representation(row))
    assert found["asker"] == "12 for bob"


def test_fields_that_were_taken_away_are_not_represented() -> None:
    serializer = Row(context={"request": asks("bob")})
    for name in set(serializer.fields) - {"name"}:
        serializer.fields.pop(name)

    assert represent(serializer, SimpleNamespace(name="x")) == {"name": "x"}
