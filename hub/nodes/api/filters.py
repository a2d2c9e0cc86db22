"""Filters of the lists, the same as on the pages."""

from __future__ import annotations

import django_filters

from hub.api.filters import AnyOf, IpFilter, SearchFilterSet
from hub.nodes import lists
from hub.nodes.choices import AddressState, EngineKind, OperationStatus, PoolKind, TaskVerb
from hub.nodes.models import Address, AddressPool, Node, NodeTask, Operation, Region


class RegionFilter(SearchFilterSet):
    """By name and state."""

    find = staticmethod(lists.find_region)

    class Meta:
        model = Region
        fields = ["is_enabled"]


class NodeFilter(SearchFilterSet):
    """By name, place, engine and state."""

    find = staticmethod(lists.find_node)
    region = AnyOf(field_name="region__slug")
    engine = django_filters.MultipleChoiceFilter(choices=EngineKind.choices)

    class Meta:
        model = Node
        fields = ["is_enabled", "is_draining"]


class PoolFilter(SearchFilterSet):
    """By name or IP, node, kind and state."""

    find = staticmethod(lists.find_pool)
    node = AnyOf(field_name="node__name")
    kind = django_filters.MultipleChoiceFilter(choices=PoolKind.choices)

    class Meta:
        model = AddressPool
        fields = ["is_public", "is_enabled"]


class AddressFilter(SearchFilterSet):
    """By IP, port, reason, holder, place and state."""

    find = staticmethod(lists.find_address)
    node = AnyOf(field_name="node__name")
    state = django_filters.MultipleChoiceFilter(choices=AddressState.choices)
    ip = IpFilter()

    class Meta:
        model = Address
        fields = ["pool", "port", "holder"]


class OperationFilter(SearchFilterSet):
    """By workload, person, request id, verb, status, node and time."""

    find = staticmethod(lists.find_operation)
    node = AnyOf(field_name="node__name")
    status = django_filters.MultipleChoiceFilter(choices=OperationStatus.choices)
    verb = AnyOf()
    since = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="created_at", lookup_expr="lt")

    class Meta:
        model = Operation
        fields = ["workload_kind", "workload_id"]


class TaskFilter(SearchFilterSet):
    """By subject, node, verb and fate."""

    find = staticmethod(lists.find_task)
    node = AnyOf(field_name="node__name")
    verb = django_filters.MultipleChoiceFilter(choices=TaskVerb.choices)
    status = django_filters.MultipleChoiceFilter(choices=OperationStatus.choices)

    class Meta:
        model = NodeTask
        fields: tuple[str, ...] = ()
