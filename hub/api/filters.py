"""Search, filters and order of lists: the parameters of the API are those of the pages, and do the same.

What a page leaves out because it does not know it (an address may be old), the API refuses: a misspelt order that is
ignored would be a wrong answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import django_filters
from django import forms
from django.db.models import QuerySet
from django_filters.rest_framework import DjangoFilterBackend
from drf_spectacular.utils import extend_schema_field
from rest_framework.filters import OrderingFilter
from rest_framework.request import Request
from rest_framework.views import APIView

from hub.exceptions import Invalid

if TYPE_CHECKING:
    from hub.pages.lists import Spec

MOST_WORDS = 100


class SearchFilterSet(django_filters.FilterSet):
    """Filters with `?q=`; set `find` to the search of the page."""

    q = django_filters.CharFilter(method="search", max_length=200)

    @staticmethod
    def find(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
        raise NotImplementedError

    def search(self, rows: QuerySet[Any], name: str, text: str) -> QuerySet[Any]:
        return self.find(rows, text)


class _Words(forms.Field):
    """Every value of a repeated parameter."""

    widget = forms.MultipleHiddenInput

    def clean(self, value: Any) -> list[str]:
        words = [forms.CharField(max_length=200).clean(word) for word in value or () if word]
        if len(words) > MOST_WORDS:
            raise forms.ValidationError(f"At most {MOST_WORDS} values.")
        return words


@extend_schema_field({"type": "string", "description": "May be repeated: any of them."})
class AnyOf(django_filters.MultipleChoiceFilter):
    """`?node=a&node=b`: any of these names. One that does not exist finds nothing, and is no error."""

    field_class = _Words

    def filter(self, rows: QuerySet[Any], values: list[str]) -> QuerySet[Any]:
        return rows.filter(**{f"{self.field_name}__in": values}) if values else rows


class QuickFilters(DjangoFilterBackend):
    """Makes the form that checks filters only when some are asked for: most lists are asked for without."""

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        kind = self.get_filterset_class(view, queryset)
        if kind is None or request.query_params.keys().isdisjoint(kind.base_filters):
            return queryset
        return super().filter_queryset(request, queryset, view)


class IpFilter(django_filters.CharFilter):
    """One address; what is none names its field."""

    field_class = forms.GenericIPAddressField


class HubOrdering(OrderingFilter):
    """`?ordering=name,-created_at`; ties are broken by the key, so that no row is on two pages or on none."""

    ordering_description = "Fields by comma, `-` in front for the reverse: "

    def remove_invalid_fields(self, queryset: QuerySet[Any], fields: Any, view: APIView, request: Request) -> list[str]:
        known = _names(view)
        for name in fields:
            if name.removeprefix("-") not in known:
                only = ", ".join(known)
                raise Invalid(f"It cannot be ordered by {name or 'nothing'}, only by {only}.", field="ordering")
        return list(fields)

    def filter_queryset(self, request: Request, queryset: QuerySet[Any], view: APIView) -> QuerySet[Any]:
        asked = self.get_ordering(request, queryset, view)
        order = list(asked or queryset.query.order_by or queryset.model._meta.ordering)
        key = queryset.model._meta.pk.name
        is_total = {"pk", key} & {str(name).removeprefix("-") for name in order}
        return queryset.order_by(*order, *([] if is_total else ["pk"]))

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters = super().get_schema_operation_parameters(view)
        parameters[0]["description"] += ", ".join(f"`{name}`" for name in _names(view))
        return parameters


def _names(view: APIView) -> tuple[str, ...]:
    return tuple(getattr(view, "ordering_fields", ()))


def orders_of(spec: Spec, *more: str) -> tuple[str, ...]:
    """What the page can be ordered by."""
    names = [column.order for column in spec.columns if column.order]
    return tuple(dict.fromkeys([*names, spec.order.removeprefix("-"), *more]))
