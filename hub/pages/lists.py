"""Lists: search, filters as chips, tabs, saved views, columns, order, pages and CSV, all in the URL.

A `Spec` says what a list can do; `ListPage` reads a request against it and holds all that `components/list.html` draws.
Parameter names are those of the API. What a request asks that the spec does not know is left out, never an error.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.core.paginator import Page, Paginator
from django.db.models import Count, Expression, Q, QuerySet, Window
from django.http import HttpRequest, HttpResponse, QueryDict

from hub.api.csv import safe_cell
from hub.statements import Statement, statement, totals

from .models import SavedView

SAMPLE_USER, SAMPLE_LIST = -7_002, "the key of a list"
PAGE_SIZES = (25, 50, 100)
CSV_ROWS = 10_000
NO_COLUMN = "-"
Rows = QuerySet[Any]


@dataclass(frozen=True)
class Column:
    """A column: `order` makes it sortable, `value` puts it into the CSV, a fixed one cannot be hidden."""

    key: str
    label: str
    order: str = ""
    value: Callable[[Any], object] | None = None
    css: str = ""
    is_default: bool = True
    is_fixed: bool = False


@dataclass(frozen=True)
class Chip:
    """A filter with choices; several chosen ones mean any of them.

    What no `lookup` of a column says is said by `by`, which leaves the rows of the chosen values.
    """

    name: str
    label: str
    choices: Callable[[HttpRequest], Sequence[tuple[str, str]]]
    lookup: str = ""
    by: Callable[[Rows, list[str]], Rows] | None = None

    def narrow(self, rows: Rows, values: list[str]) -> Rows:
        if self.by is not None:
            return self.by(rows, values)
        return rows.filter(**{f"{self.lookup or self.name}__in": values})


YES_NO = (("True", "Yes"), ("False", "No"))
"""The choices of a chip over a column that is true or false, as the API's filter takes them too."""


@dataclass(frozen=True)
class Tab:
    """A ready-made view; its condition may depend on the person."""

    key: str
    label: str
    condition: Callable[[Any], Q]


@dataclass(frozen=True)
class Spec:
    """What one list can do."""

    key: str
    columns: Sequence[Column]
    chips: Sequence[Chip] = ()
    tabs: Sequence[Tab] = ()
    search: Callable[[Rows, str], Rows] | None = None
    search_hint: str = "Search"
    order: str = ""
    page_size: int = 50
    counts: Callable[[Any], Mapping[str, int]] | None = None
    """For lists of very many rows: how many there are in all ("") and under each tab, from whoever knows it sooner. Of
    such a list the page's keys are found first, so that no further row is joined with what the page shows."""


@dataclass(frozen=True)
class ChipState:
    """A filter as one request has it."""

    name: str
    label: str
    options: list[tuple[str, str, bool]]
    remove_url: str
    keep: list[tuple[str, str]]

    @property
    def chosen(self) -> str:
        return ", ".join(label for _, label, is_on in self.options if is_on)


@dataclass(frozen=True)
class TabState:
    """A tab with its count and address."""

    label: str
    url: str
    is_current: bool
    count: int | None = None
    saved_id: int | None = None


@dataclass(frozen=True)
class Header:
    """A column's head: where its sorting leads and how it is sorted now ("", "up", "down")."""

    column: Column
    sort_url: str
    sorted: str
    is_shown: bool = field(default=True)


class ListPage:
    """One list as one request asks for it.

    `rows` must follow from the address, the person and nothing else, for the SQL is kept under these two. It may be
    what makes them, for lists that are asked for so often that composing a query counts.
    """

    def __init__(self, request: HttpRequest, spec: Spec, rows: Rows | Callable[[], Rows]) -> None:
        self.request, self.spec, self._rows = request, spec, rows
        self.query = request.GET
        self.q = self.query.get("q", "").strip()[:100]
        self._fetched_choices: dict[str, Sequence[tuple[str, str]]] = {}
        self._count: int | None = None

    @cached_property
    def all_rows(self) -> Rows:
        """What there is before anything narrows it."""
        return self._rows() if callable(self._rows) else self._rows

    @cached_property
    def columns(self) -> list[Column]:
        """Those shown: asked for in the URL, else remembered, else the usual ones."""
        remembered = self.request.session.get("columns", {}).get(self.spec.key, [])
        asked = remembered
        if "columns" in self.query:  # with nothing in it: only those that cannot be hidden
            asked = [key for text in self.query.getlist("columns") for key in text.split(",") if key] or [NO_COLUMN]
        if asked != remembered:
            self.request.session["columns"] = {**self.request.session.get("columns", {}), self.spec.key: asked}
        return [
            column
            for column in self.spec.columns
            if column.is_fixed or (column.key in asked if asked else column.is_default)
        ]

    @cached_property
    def shown(self) -> set[str]:
        return {column.key for column in self.columns}

    @cached_property
    def tab(self) -> str:
        asked = self.query.get("view", "")
        return asked if asked in {tab.key for tab in self.spec.tabs} else ""

    @cached_property
    def chosen(self) -> dict[str, list[str]]:
        """The values chosen for each filter; what is not among its choices does not count."""
        found = {}
        for chip in self.spec.chips:
            if asked := self.query.getlist(chip.name):
                known = {value for value, _ in self._choices(chip)}
                if values := [value for value in asked if value in known]:
                    found[chip.name] = values
        return found

    def _choices(self, chip: Chip) -> Sequence[tuple[str, str]]:
        """The choices of a filter; fetched when the menu is drawn or something of it is chosen, and once."""
        if chip.name not in self._fetched_choices:
            self._fetched_choices[chip.name] = chip.choices(self.request)
        return self._fetched_choices[chip.name]

    @cached_property
    def order(self) -> str:
        asked = self.query.get("ordering", "")
        orders = {column.order for column in self.spec.columns if column.order}
        return asked if asked.lstrip("-") in orders else self.spec.order

    @cached_property
    def rows(self) -> Rows:
        """All rows that the request asks for, in order."""
        rows = self.all_rows
        for tab in self.spec.tabs:
            if tab.key == self.tab:
                rows = rows.filter(tab.condition(self.request.user))
        for chip in self.spec.chips:
            if chip.name in self.chosen:
                rows = chip.narrow(rows, self.chosen[chip.name])
        if self.q and self.spec.search:
            rows = self.spec.search(rows, self.q)
        return rows.order_by(*filter(None, (self.order, "pk")))

    @cached_property
    def page_size(self) -> int:
        asked = self.query.get("page_size", "")
        return int(asked) if asked in map(str, PAGE_SIZES) else self.spec.page_size

    @cached_property
    def page(self) -> Page[Any]:
        paginator = Paginator(self.rows, self.page_size)
        if self.spec.counts and not self.chosen and not self.q:
            paginator.count = self._totals[self.tab]
        elif self._count is not None:
            paginator.count = self._count
        page = paginator.get_page(self.query.get("page"))
        if self.spec.counts:
            found: Any = page.object_list
            keys = list(found.values_list("pk", flat=True))
            page.object_list = self.all_rows.filter(pk__in=keys).order_by(*self.rows.query.order_by)
        return page

    def fingerprint(self, *columns: str | Expression) -> str:
        """A digest of these columns of the page's rows and of the number of all rows; no row is fetched. An expression
        among them must be a module's own, for the SQL is kept under it.
        """
        asked = self.query.get("page", "")
        start = (int(asked) - 1) * self.page_size if asked.isdigit() and 0 < int(asked) < 100_000 else 0
        stop = start + self.page_size

        if self.spec.counts:
            digest = self._statement(lambda: self._narrow_to(start, stop, columns), "digest", columns, start, stop)
            return f"{digest.digest()} {self._number_of_all}"

        def rows() -> Rows:
            return self.rows.annotate(number_of_all=Window(Count("*"))).values_list(*columns, "number_of_all")

        return self._statement(lambda: rows()[start:stop], "fingerprint", columns, start, stop).digest()

    def _narrow_to(self, start: int, stop: int, columns: tuple[Any, ...]) -> Rows:
        keys = self.rows.values("pk")[start:stop]
        return self.all_rows.filter(pk__in=keys).order_by(*self.rows.query.order_by).values_list(*columns)

    @property
    def _number_of_all(self) -> int:
        if not self.chosen and not self.q:
            return self._totals[self.tab]
        counted = self._statement(lambda: totals(self.rows, number=Count("pk")), "number").rows()
        return counted[0][0] if counted else 0

    @cached_property
    def _totals(self) -> Mapping[str, int]:
        """How many rows there are in all and under each tab."""
        if self.spec.counts:
            return self.spec.counts(self.request.user)
        counted = statement(("tabs", *self._whose), self._tab_counts).rows()
        keys = ("", *(tab.key for tab in self.spec.tabs))
        return dict(zip(keys, counted[0] if counted else [0] * len(keys), strict=True))

    def fetch(self, narrow: Callable[[Any], Rows]) -> list[tuple[Any, ...]]:
        """The rows of the page as `narrow` makes columns of them, which must be a function of a module."""
        start = (self.page.number - 1) * self.page_size
        stop = start + self.page_size
        return self._statement(lambda: narrow(self.rows)[start:stop], "page", narrow, start, stop).rows()

    @property
    def _whose(self) -> tuple[Hashable, ...]:
        return self.request.path, getattr(self.request.user, "reach", None)

    def _statement(self, build: Callable[[], Rows], *kind: Hashable) -> Statement:
        """A statement about these rows, under all that decides its SQL."""
        chosen = tuple((name, tuple(values)) for name, values in self.chosen.items())
        asked = (self.tab, chosen, self.q, self.order)
        return statement(("list", *self._whose, asked, kind), build)

    @property
    def is_narrowed(self) -> bool:
        return bool(self.chosen or self.q or self.tab)

    def url(self, **changes: str | list[str] | None) -> str:
        """This list with some parameters changed (None removes one); any change leads back to the first page."""
        query = {name: values for name, values in self._kept.items() if changes.get(name, values) is not None}
        for name, value in changes.items():
            if value is not None:
                query[name] = [value] if isinstance(value, str) else value
        return f"{self.request.path}?{urlencode(query, doseq=True)}" if query else self.request.path

    @cached_property
    def _kept(self) -> dict[str, list[str]]:
        """The parameters that stay when one changes."""
        return {name: values for name, values in self.query.lists() if name not in ("page", "csv")}

    @cached_property
    def chips(self) -> list[ChipState]:
        return [
            ChipState(
                chip.name,
                chip.label,
                [(value, label, value in self.chosen.get(chip.name, ())) for value, label in self._choices(chip)],
                self.url(**{chip.name: None}),
                self._others(chip.name),
            )
            for chip in self.spec.chips
        ]

    @property
    def has_search(self) -> bool:
        return self.spec.search is not None

    @property
    def search_keep(self) -> list[tuple[str, str]]:
        return self._others("q")

    @property
    def columns_keep(self) -> list[tuple[str, str]]:
        return self._others("columns")

    def _others(self, *names: str) -> list[tuple[str, str]]:
        """Every other parameter, for the hidden inputs of a small form."""
        left_out = {*names, "page", "csv"}
        return [(name, value) for name, values in self.query.lists() if name not in left_out for value in values]

    @cached_property
    def tabs(self) -> list[TabState]:
        """ "All", the ready-made ones with their counts (one query), then those the person saved (one query)."""
        if not self.spec.tabs:
            return []
        user: Any = self.request.user
        counts = self._totals
        if not self.chosen and not self.q:
            self._count = counts[self.tab]  # saves the pager its own count, when the tabs are drawn first
        now = self._bare(self.query)
        saved = statement("saved views", _saved_views, SAMPLE_USER, SAMPLE_LIST).rows(user.pk, self.spec.key)
        states = [
            TabState(name, f"{self.request.path}?{query}", now == self._bare(QueryDict(query)), None, pk)
            for pk, name, query in saved
        ]
        taken = any(state.is_current for state in states)
        built_in = [TabState("All", self.request.path, not self.tab and not taken, counts[""])]
        for tab in self.spec.tabs:
            is_current = self.tab == tab.key and not taken
            built_in.append(TabState(tab.label, f"{self.request.path}?view={tab.key}", is_current, counts[tab.key]))
        return built_in + states

    def _tab_counts(self) -> Rows:
        counts = {tab.key: Count("pk", filter=tab.condition(self.request.user)) for tab in self.spec.tabs}
        return totals(self.all_rows, number_of_all=Count("pk"), **counts)

    @staticmethod
    def _bare(query: QueryDict) -> list[tuple[str, list[str]]]:
        return sorted((name, sorted(values)) for name, values in query.lists() if name not in ("page", "csv"))

    @cached_property
    def headers(self) -> list[Header]:
        return [self._header(column) for column in self.columns]

    def _header(self, column: Column) -> Header:
        if not column.order:
            return Header(column, "", "")
        now = {column.order: "up", f"-{column.order}": "down"}.get(self.order, "")
        following = f"-{column.order}" if now == "up" else column.order
        return Header(column, self.url(ordering=following), now)

    @property
    def optional_columns(self) -> list[tuple[Column, bool]]:
        return [(column, column.key in self.shown) for column in self.spec.columns if not column.is_fixed]

    @property
    def csv_url(self) -> str:
        return self.url(csv="1")

    @property
    def bare_url(self) -> str:
        return self.request.path

    @property
    def current_query(self) -> str:
        """What a saved view keeps."""
        query = self.query.copy()
        for name in ("page", "csv"):
            query.pop(name, None)
        return query.urlencode()

    @property
    def page_links(self) -> list[tuple[str, str, bool]]:
        """Label, address ("" for a gap) and whether it is the current page."""
        links = []
        for number in self.page.paginator.get_elided_page_range(self.page.number, on_each_side=1, on_ends=1):
            is_number = isinstance(number, int)
            links.append((str(number), self._page_url(number) if is_number else "", number == self.page.number))
        return links

    @property
    def previous_url(self) -> str:
        return self._page_url(self.page.number - 1) if self.page.has_previous() else ""

    @property
    def next_url(self) -> str:
        return self._page_url(self.page.number + 1) if self.page.has_next() else ""

    def _page_url(self, number: int | str) -> str:
        url = self.url()
        return f"{url}{'&' if '?' in url else '?'}page={number}"

    def as_csv(self) -> HttpResponse:
        """The rows asked for, in the columns that have a value, as a download."""
        columns = [column for column in self.columns if column.value]
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow([column.label for column in columns])
        for row in self.rows[:CSV_ROWS]:
            writer.writerow([safe_cell(column.value(row)) for column in columns if column.value])
        response = HttpResponse(text.getvalue(), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{self.spec.key}.csv"'
        return response


def _saved_views(user_id: int, key: str) -> Rows:
    return SavedView.objects.filter(user=user_id, page=key).values_list("pk", "name", "query")
