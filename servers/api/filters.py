"""Filters of servers and templates."""

from __future__ import annotations

import django_filters
from django.db.models import QuerySet

from hub.api.filters import AnyOf, SearchFilterSet
from hub.nodes.choices import AdminState, DesiredStatus, ObservedStatus
from servers.lists import find, find_template, of_games
from servers.models import GameServer, Template


class ServerFilter(SearchFilterSet):
    """Servers by name, address or id, and by what they are, where, whose and how."""

    find = staticmethod(find)
    status = django_filters.MultipleChoiceFilter(field_name="observed_status", choices=ObservedStatus.choices)
    desired = django_filters.ChoiceFilter(field_name="desired_status", choices=DesiredStatus.choices)
    admin_state = django_filters.ChoiceFilter(choices=AdminState.choices)
    template = AnyOf(field_name="template__slug")
    region = AnyOf(field_name="node__region__slug")
    node = AnyOf(field_name="node__name")
    owner = django_filters.CharFilter(field_name="owner__username", lookup_expr="iexact")

    class Meta:
        model = GameServer
        fields: tuple[str, ...] = ()


class TemplateFilter(SearchFilterSet):
    """Templates by name and game."""

    find = staticmethod(find_template)
    game = AnyOf(method="of_games")

    class Meta:
        model = Template
        fields = ("is_published",)

    def of_games(self, templates: QuerySet[Template], name: str, games: list[str]) -> QuerySet[Template]:
        return of_games(templates, games) if games else templates
