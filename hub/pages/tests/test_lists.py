"""Lists read their whole state from the URL, and leave out what they do not know."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.db.models import Q
from django.test import RequestFactory

from hub.nodes.models import Region
from hub.pages.lists import Chip, Column, ListPage, Spec, Tab

pytestmark = pytest.mark.django_db

SPEC = Spec(
    key="regions",
    columns=(
        Column("name", "Name", order="name", value=lambda row: row.name, is_fixed=True),
        Column("slug", "Slug", order="slug", value=lambda row: row.slug),
        Column("position", "Position", value=lambda row: row.position, is_default=False),
    ),
    chips=(Chip("position", "Position", lambda request: [("1", "One"), ("2", "Two")]),),
    tabs=(Tab("on", "On", lambda user: Q(is_enabled=True)),),
    search=lambda rows, text: rows.filter(name__icontains=text),
    order="name",
    page_size=2,
)


class Session(dict):
    """A session that lives as long as the test."""


def page(query: str = "", session: Session | None = None) -> ListPage:
    request = RequestFactory().get(f"/regions/?{query}")
    request.user = AnonymousUser()
    request.session = session if session is not None else Session()
    return ListPage(request, SPEC, Region.objects.all())


@pytest.fixture(autouse=True)
def _regions() -> None:
    Region.objects.all().delete()
    for position, name in enumerate(("Alpha", "Beta", "Gamma"), start=1):
        Region.objects.create(slug=name.lower(), name=name, position=position, is_enabled=position != 3)


def names(found: ListPage) -> list[str]:
    return [row.name for row in found.rows]


def test_search_narrows():
    assert names(page("q=gam")) == ["Gamma"]


def test_chips_narrow_to_any_of_the_chosen():
    assert names(page("position=1&position=2")) == ["Alpha", "Beta"]


def test_unknown_choice_does_not_narrow():
    assert names(page("position=9")) == ["Alpha", "Beta", "Gamma"]


def test_tab_narrows_and_counts_in_one_query(django_assert_num_queries):
    found = page("view=on")

    with django_assert_num_queries(2):
        tabs = found.tabs

    assert [(tab.label, tab.count, tab.is_current) for tab in tabs] == [("All", 3, False), ("On", 2, True)]
    assert names(found) == ["Alpha", "Beta"]


def test_order_can_be_turned():
    assert names(page("ordering=-name")) == ["Gamma", "Beta", "Alpha"]


@pytest.mark.parametrize("asked", ["password", "-position", "name__foo"])
def test_order_by_what_is_no_column_is_left_out(asked):
    assert names(page(f"ordering={asked}")) == ["Alpha", "Beta", "Gamma"]


def test_header_leads_to_the_opposite_order():
    header = page("ordering=name&q=a").headers[0]

    assert header.sorted == "up"
    assert header.sort_url == "/regions/?ordering=-name&q=a"


@pytest.mark.parametrize("number", ["2", "999", "x"])
def test_page_beyond_the_end_is_the_last(number):
    assert page(f"page={number}").page.number == (1 if number == "x" else 2)


def test_change_of_a_filter_returns_to_the_first_page():
    assert "page=" not in page("page=2&q=a").url(ordering="name")


def test_columns_come_from_the_url_and_are_remembered():
    session = Session()

    assert page("columns=position", session).columns
    remembered = page("", session)

    assert [column.key for column in remembered.columns] == ["name", "position"]


def test_all_optional_columns_can_be_hidden():
    session = Session()

    assert [column.key for column in page("columns=", session).columns] == ["name"]
    assert [column.key for column in page("", session).columns] == ["name"]
    assert [column.key for column in page("columns=&columns=slug", session).columns] == ["name", "slug"]


def test_fixed_columns_stay():
    assert [column.key for column in page("columns=nonsense").columns] == ["name"]


def test_csv_has_the_rows_and_columns_asked_for():
    text = page("q=be").as_csv().content.decode()

    assert text.splitlines() == ["Name,Slug", "Beta,beta"]


def test_csv_does_not_run_formulas():
    Region.objects.filter(slug="beta").update(name="=1+1")

    assert "'=1+1" in page("q==1").as_csv().content.decode()


def test_addresses_keep_every_other_parameter_and_escape_it():
    found = page("position=1&position=2&q=a%26b&page=3&csv=1")

    assert found.url(ordering="-name") == "/regions/?position=1&position=2&q=a%26b&ordering=-name"
    assert found.url(position=None) == "/regions/?q=a%26b"
    assert found.url(position=["2", "3"], q=None) == "/regions/?position=2&position=3"
    assert found.url(position=None, q=None) == "/regions/"
