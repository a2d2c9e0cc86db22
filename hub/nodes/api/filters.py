"""Filters of the lists, the same as on the pages."""

from __future__ import annotations

import django_filters
from django.db.models import Q, QuerySet

from hub.nodes.choices import AddressState, OperationStatus, PoolKind
from hub.nodes.models import Address, AddressPool, Node, Operation


class NodeFilter(django_filters.FilterSet):
    """`?q=` looks in the name."""

    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains")
    region = django_filters.CharFilter(field_name="region__slug")

    class Meta:
        model = Node
        fields = ["engine", "is_enabled", "is_draining"]


class PoolFilter(django_filters.FilterSet):
    """By node and kind."""

    node = django_filters.CharFilter(field_name="node__name")
    kind = django_filters.ChoiceFilter(choices=PoolKind.choices)

    class Meta:
        model = AddressPool
        fields = ["is_public", "is_enabled"]


class AddressFilter(django_filters.FilterSet):
    """`?q=` looks in the IP, port and holder."""

    q = django_filters.CharFilter(method="search")
    node = django_filters.CharFilter(field_name="node__name")
    state = django_filters.ChoiceFilter(choices=AddressState.choices)

    class Meta:
        model = Address
        fields = ["pool", "ip", "port", "holder"]

    def search(self, queryset: QuerySet[Address], name: str, value: str) -> QuerySet[Address]:
        if value.isdigit():
            return queryset.filter(port=int(value)) if int(value) <= 65535 else queryset.none()
        return queryset.filter(Q(ip__startswith=value) | Q(port_name__icontains=value))


class OperationFilter(django_filters.FilterSet):
    """By workload, verb, status and time."""

    q = django_filters.CharFilter(field_name="workload_name", lookup_expr="icontains")
    node = django_filters.CharFilter(field_name="node__name")
    status = django_filters.ChoiceFilter(choices=OperationStatus.choices)
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Operation
        fields = ["workload_kind", "workload_id", "verb"]
