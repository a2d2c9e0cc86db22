"""Filters of challenges, events and teams."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from challenges.choices import ChallengeKind, ChallengeState, EventStatus, Outcome
from challenges.lists import (
    find_announcement,
    find_challenge,
    find_entry,
    find_event,
    find_submission,
    find_team,
)
from challenges.models import Announcement, Challenge, Event, EventChallenge, Submission, Team
from hub.api.filters import AnyOf, SearchFilterSet


class ChallengeFilter(SearchFilterSet):
    """Challenges by words, and by what they are."""

    find = staticmethod(find_challenge)
    state = django_filters.MultipleChoiceFilter(choices=ChallengeState.choices)
    kind = django_filters.ChoiceFilter(choices=ChallengeKind.choices)
    category = AnyOf(field_name="category")

    class Meta:
        model = Challenge
        fields: tuple[str, ...] = ()


class EventFilter(SearchFilterSet):
    """Events by name, and by the state that the clock has made."""

    find = staticmethod(find_event)
    state = django_filters.MultipleChoiceFilter(choices=EventStatus.choices, method="by_state")
    region = AnyOf(field_name="region__slug")

    class Meta:
        model = Event
        fields: tuple[str, ...] = ()

    def by_state(self, rows: QuerySet[Any], name: str, values: list[str]) -> QuerySet[Any]:
        wanted = Q(pk__in=[])
        for value in values:
            wanted |= Q(pk__in=Event.objects.in_state(value).order_by().values("pk"))
        return rows.filter(wanted) if values else rows


class TeamFilter(SearchFilterSet):
    """Teams by name and captain."""

    find = staticmethod(find_team)
    region = AnyOf(field_name="region__slug")

    class Meta:
        model = Team
        fields: tuple[str, ...] = ()


class EntryFilter(SearchFilterSet):
    """Challenges of one event."""

    find = staticmethod(find_entry)
    event = django_filters.CharFilter(field_name="event__slug")

    class Meta:
        model = EventChallenge
        fields: tuple[str, ...] = ()


class SubmissionFilter(SearchFilterSet):
    """Answers by team, challenge or person, and by what came of them."""

    find = staticmethod(find_submission)
    event = django_filters.CharFilter(field_name="participation__event__slug")
    challenge = AnyOf(field_name="entry__challenge__slug")
    team = django_filters.NumberFilter(field_name="participation__team", min_value=1, max_value=2**31 - 1)
    outcome = django_filters.MultipleChoiceFilter(choices=Outcome.choices)

    class Meta:
        model = Submission
        fields: tuple[str, ...] = ()


class AnnouncementFilter(SearchFilterSet):
    """Announcements by their words."""

    find = staticmethod(find_announcement)

    class Meta:
        model = Announcement
        fields: tuple[str, ...] = ()
