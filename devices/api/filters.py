"""Filters of the lists, the same as on the pages."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from hub.api.filters import AnyOf, SearchFilterSet

from .. import lists
from ..choices import DeviceStatus, Liveness, LogLevel
from ..drift import Drift, drifting
from ..manual.choices import CommandStatus
from ..manual.lists import find_command
from ..models import Device, DeviceGroup, DeviceLog, EnrolmentToken, ManualCommand


class DeviceFilter(SearchFilterSet):
    """By name, number, tag, serial, id or key; by status, how it calls, health, group, type, region, version, drift."""

    find = staticmethod(lists.find)
    status = django_filters.MultipleChoiceFilter(choices=DeviceStatus.choices, distinct=False)
    liveness = django_filters.MultipleChoiceFilter(choices=Liveness.choices, distinct=False)
    health = AnyOf(field_name="beat__health")
    group = AnyOf(field_name="groups__slug")
    type = AnyOf(field_name="device_type")
    region = AnyOf(field_name="region__slug")
    version = AnyOf(field_name="beat__bundle_version")
    drift = django_filters.MultipleChoiceFilter(
        choices=Drift.choices, method="not_as_wanted", help_text="What is not as it is wanted: any of these."
    )
    tag = django_filters.CharFilter(field_name="tags", method="with_tag", max_length=40)

    class Meta:
        model = Device
        fields: tuple[str, ...] = ()

    def not_as_wanted(self, rows: QuerySet[Any], name: str, values: list[str]) -> QuerySet[Any]:
        return drifting(rows, values) if values else rows

    def with_tag(self, rows: object, name: str, value: str) -> object:
        return rows.filter(tags__contains=[value])  # type: ignore[attr-defined]


class GroupFilter(SearchFilterSet):
    """By name."""

    find = staticmethod(lists.find_group)

    class Meta:
        model = DeviceGroup
        fields: tuple[str, ...] = ()


class TokenFilter(SearchFilterSet):
    """By name, group and region."""

    find = staticmethod(lists.find_token)
    group = AnyOf(field_name="group__slug")
    region = AnyOf(field_name="region__slug")

    class Meta:
        model = EnrolmentToken
        fields: tuple[str, ...] = ()


class CommandFilter(SearchFilterSet):
    """By name, device and status; the name by `q`."""

    find = staticmethod(find_command)
    status = django_filters.MultipleChoiceFilter(choices=CommandStatus.choices)
    device = django_filters.UUIDFilter(field_name="device")

    class Meta:
        model = ManualCommand
        fields: tuple[str, ...] = ()


class LogFilter(SearchFilterSet):
    """By text, level, device, source and time."""

    find = staticmethod(lists.find_line)
    level = django_filters.MultipleChoiceFilter(choices=LogLevel.choices)
    device = django_filters.UUIDFilter(field_name="device")
    source = AnyOf()
    since = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = django_filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = DeviceLog
        fields: tuple[str, ...] = ()
