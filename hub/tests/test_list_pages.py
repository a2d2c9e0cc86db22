"""Every list among the pages: more rows cost no more queries, and each can be searched, ordered and downloaded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache
from django.db import models, transaction
from django.test import Client

from accounts.tests.factories import token_for
from hub.pages.lists import ListPage
from hub.testing import count_queries

from .test_permission_table import Visitor, page_routes, read_table
from .world import make_world

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

LISTS = 30  # at least so many, else they are not found any more
MORE = 3
SAMPLES = "kit"  # whose list has no rows of a table
FORMS = ("/new", "/edit", "/delete", "/remove", "/cancel", "/end", "/roll-back", "/head", "/body", "/charts", "/tasks")
PARENTS = ("channel", "deployment")  # whose page the list is on
PARENT_OF = {"device-deployments": ("device",)}  # where it is another one, by the key of the list
NAMES = ("name", "slug", "username", "email", "identity", "port")


def pages_with_rows(visitor: Visitor, client: Client) -> Iterator[tuple[str, ListPage]]:
    """The address of each page that shows a list to an Admin, and that list."""
    table = read_table()
    for route in page_routes():
        method, path = route.split(" ", 1)
        if method != "GET" or table[route][0] != "200" or path.endswith(FORMS) or path == SAMPLES:
            continue
        url = f"/{visitor._filled(path).lstrip('/')}"
        shown = client.get(url).context
        if shown and isinstance(shown.get("list"), ListPage):
            yield url, shown["list"]


def twin(row: models.Model, number: int, parents: Sequence[str] = PARENTS) -> models.Model:
    """Another row that differs in its key and in what must be unique, stored as it is."""
    kind: Any = type(row)
    copy = kind._base_manager.get(pk=row.pk)
    changed = {kind._meta.pk.name}
    for field in kind._meta.concrete_fields:
        if field.primary_key:
            value = uuid.uuid4() if isinstance(field, models.UUIDField) else None
        elif field.unique or field.name in NAMES:
            value = _another(field, getattr(copy, field.attname), number)
        else:
            continue
        changed.add(field.name)
        setattr(copy, field.attname, value)
    for fields in _unique_together(kind):
        if changed.isdisjoint(fields):  # links alone: link another one
            links = [kind._meta.get_field(name) for name in fields if name not in parents]
            for link in [each for each in links if each.is_relation][:1]:
                setattr(copy, link.name, twin(getattr(copy, link.name), number))
    made = kind._base_manager.bulk_create([copy])[0]
    for several in kind._meta.many_to_many:
        getattr(made, several.name).set(getattr(row, several.name).all())
    for link in kind._meta.related_objects:
        if link.one_to_one:  # what every row has, such as the beat of a device
            for part in link.related_model._base_manager.filter(**{link.field.name: row.pk}):
                if not link.field.primary_key:
                    part.pk = None
                setattr(part, link.field.attname, made.pk)
                link.related_model._base_manager.bulk_create([part])
    return made


def _another(field: models.Field[Any, Any], value: Any, number: int) -> Any:
    if field.is_relation:
        related: Any = field.remote_field.model._base_manager.get(pk=value)
        return twin(related, number).pk
    if isinstance(field, models.UUIDField):
        return uuid.uuid4()
    if isinstance(value, int):
        return value + 1_000 + number
    if isinstance(value, str):
        return f"{number}{value}"[: field.max_length]
    return value


def _unique_together(kind: Any) -> Iterator[Sequence[str]]:
    for constraint in kind._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint) and constraint.fields:
            yield constraint.fields


def test_more_rows_cost_no_more_queries(settings: Any) -> None:
    settings.HUB_API_RATES = dict.fromkeys(settings.HUB_API_RATES, 0)
    world = make_world()
    token_for(world.person("admin"), name="report")
    world.deployment.targets.update(device=world.device, status="succeeded")  # of which a device may have several
    visitor = Visitor(world)
    client = Client()
    client.force_login(world.person("admin"))
    found: int = 0
    wrong = []

    for url, shown in pages_with_rows(visitor, client):
        found += 1
        ask = partial(client.get, url)
        with transaction.atomic():
            before = count_queries(ask)
            for number in range(1, MORE + 1):
                twin(shown.page.object_list[0], number, PARENT_OF.get(shown.spec.key, PARENTS))
            cache.clear()
            rows = ask().context["list"].page.paginator.count
            after = count_queries(ask)
            transaction.set_rollback(True)
        if after != before or rows != shown.page.paginator.count + MORE:
            wrong.append(f"{url}: {before} queries became {after}, {shown.page.paginator.count} rows {rows}")

    assert not wrong, "\n".join(wrong)
    assert found >= LISTS
