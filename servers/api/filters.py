"""Filters of servers and templates."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from hub.nodes.choices import AdminState, DesiredStatus, ObservedStatus
from servers.lists import find
from servers.models import GameServer, Template


class ServerFilter(django_filters.FilterSet):
    """Servers by name, address or id, and by what they are, where, whose and how."""

    q = django_filters.CharFilter(method="search", label="Part of the name, an address, the owner or an id.")
    status = django_filters.MultipleChoiceFilter(field_name="observed_status", choices=ObservedStatus.choices)
    desired = django_filters.ChoiceFilter(field_name="desired_status", choices=DesiredStatus.choices)
    admin_state = django_filters.ChoiceFilter(choices=AdminState.choices)
    template = django_filters.CharFilter(field_name="template__slug")
    region = django_filters.CharFilter(field_name="node__region__slug")
    node = django_filters.CharFilter(field_name="node__name")
    owner = django_filters.CharFilter(field_name="owner__username", lookup_expr="iexact")

    class Meta:
        model = GameServer
        fields: tuple[str, ...] = ()

    def search(self, servers: QuerySet[GameServer], name: str, text: str) -> QuerySet[GameServer]:
        return find(servers, text)


class TemplateFilter(django_filters.FilterSet):
    """Templates by name and game."""

    q = django_filters.CharFilter(field_name="name", lookup_expr="icontains")
    game = django_filters.CharFilter(field_name="game", lookup_expr="iexact")

    class Meta:
        model = Template
        fields: tuple[str, ...] = ()
