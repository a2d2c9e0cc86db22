"""Named filters of challenges, events, teams and what organisers tell."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.db import models
from django.db.models import Case, Q, Value, When
from django.db.models.functions import Now

from accounts.permissions import can, region_limit

from .choices import ANNOUNCED, ChallengeState, EventStatus, Visibility
from .event_rules import CLOCKED, WAITING

if TYPE_CHECKING:
    from .models import (  # noqa: F401 - base classes name them as strings
        Announcement,
        Challenge,
        DeployRun,
        Event,
        EventChallenge,
        Participation,
        Submission,
        Team,
    )


class ChallengeQuerySet(models.QuerySet["Challenge"]):
    """Filters of the library of challenges."""

    def visible_to(self, user: Any) -> ChallengeQuerySet:
        """The library is the organisers'; participants see what an event offers."""
        return self if can(user, "challenges.view") else self.none()

    def published(self) -> ChallengeQuerySet:
        return self.filter(state=ChallengeState.PUBLISHED)


class EventQuerySet(models.QuerySet["Event"]):
    """Filters of events."""

    def visible_to(self, user: Any) -> EventQuerySet:
        """What is announced, to those it is open to; the rest to those who may change events, each in his regions."""
        if not can(user, "events.view"):
            return self.none()
        if can(user, "events.view_any"):
            return self._watched(user, Q(status__in=ANNOUNCED) & (Q(is_public=True) | Q(region=None)))
        mine = Q(participations__team__memberships__user=user.pk) | Q(administrator=user.pk)
        home = user.region_preference
        open_to_him = Q(is_public=True) | Q(region=None) | (Q(region__slug=home) if home else Q(pk__in=[]))
        seen = self.filter(Q(status__in=ANNOUNCED) & (open_to_him | mine) | Q(status=EventStatus.CANCELLED) & mine)
        return self.filter(pk__in=seen.order_by().values("pk"))

    def watched_by(self, user: Any) -> EventQuerySet:
        """Those whose course staff may look into: of his regions, or that he runs."""
        return self._watched(user) if can(user, "events.view_any") else self.none()

    def _watched(self, user: Any, besides: Q | None = None) -> EventQuerySet:
        regions = region_limit(user)
        if regions is None:
            return self
        own = Q(region__slug__in=regions) | Q(organisers=user.pk) | Q(created_by=user.pk)
        found = self.filter(own | besides if besides else own)
        return self.filter(pk__in=found.order_by().values("pk"))

    def begun(self) -> EventQuerySet:
        """Those whose challenges are to be seen: running, paused, over."""
        by_clock = Q(status__in=WAITING, starts_at__lte=Now())
        return self.filter(by_clock | Q(status__in=(EventStatus.RUNNING, EventStatus.PAUSED, EventStatus.COMPLETED)))

    def in_state(self, state: str, now: datetime | None = None) -> EventQuerySet:
        """Those that are in a state at a moment, else by the database's clock, as the SQL of lists is kept; see
        `Event.state`.
        """
        moment = now or Now()
        over = Q(status__in=CLOCKED, ends_at__lte=moment)
        if state == EventStatus.COMPLETED:
            return self.filter(over | Q(status=state))
        if state == EventStatus.RUNNING:
            return self.filter(Q(status=state) | Q(status__in=WAITING, starts_at__lte=moment)).exclude(over)
        if state in WAITING:
            return self.filter(status__in=WAITING, starts_at__gt=moment).exclude(over)
        return self.filter(status=state).exclude(over)


class EventChallengeQuerySet(models.QuerySet["EventChallenge"]):
    """Filters of what events offer."""

    def visible_to(self, user: Any) -> EventChallengeQuerySet:
        """All of the events that staff sees; else what one's team has open in events that have begun.

        By the database's clock, so that its SQL can be kept.
        """
        if not can(user, "events.view"):
            return self.none()
        events = apps.get_model("challenges", "Event").objects
        if can(user, "events.view_any"):
            return self.filter(event__in=events.visible_to(user).order_by().values("pk"))
        entered = events.filter(participations__team__memberships__user=user.pk).begun()
        scores = apps.get_model("challenges", "ScoreEvent").objects
        solved = scores.filter(completes=True, team__memberships__user=user.pk)
        links = self.model.requires.through._default_manager
        locked = links.exclude(to_eventchallenge__in=solved.values("entry")).values("from_eventchallenge")
        allowed = Q(allowed_teams=None) | Q(allowed_teams__memberships__user=user.pk)
        open_ones = self.model._default_manager.filter(allowed).order_by().values("pk")
        return self.shown().filter(event__in=entered.order_by().values("pk"), pk__in=open_ones).exclude(pk__in=locked)

    def open_to(self, team: Any) -> EventChallengeQuerySet:
        """Those that a team may play now: of events that have begun, shown, allowed, what they build on solved."""
        begun = apps.get_model("challenges", "Event").objects.begun().order_by().values("pk")
        solved = apps.get_model("challenges", "ScoreEvent").objects.filter(completes=True, team=team)
        links = self.model.requires.through._default_manager
        locked = links.exclude(to_eventchallenge__in=solved.values("entry")).values("from_eventchallenge")
        return self.shown().for_team(team).filter(event__in=begun).exclude(pk__in=locked)

    def shown(self, now: datetime | None = None) -> EventChallengeQuerySet:
        """Visible, published and released."""
        released = Q(release_at=None) | Q(release_at__lte=now or Now())
        return self.filter(released, visibility=Visibility.VISIBLE, challenge__state=ChallengeState.PUBLISHED)

    def for_team(self, team: Any) -> EventChallengeQuerySet:
        """Those that the team is allowed."""
        allowed = self.model._default_manager.filter(Q(allowed_teams=None) | Q(allowed_teams=team.pk if team else None))
        return self.filter(pk__in=allowed.order_by().values("pk"))


class DeployRunQuerySet(models.QuerySet["DeployRun"]):
    """Filters of deploys for all teams."""

    def visible_to(self, user: Any) -> DeployRunQuerySet:
        """Those of the events that staff sees."""
        if not can(user, "events.view_any"):
            return self.none()
        events = apps.get_model("challenges", "Event").objects.visible_to(user)
        return self.filter(event__in=events.order_by().values("pk"))

    def open(self) -> DeployRunQuerySet:
        """Those that are not done."""
        return self.filter(finished_at=None)

    def free(self) -> DeployRunQuerySet:
        """Those that no worker is at."""
        return self.open().filter(Q(lease_until=None) | Q(lease_until__lt=Now()))


class SubmissionQuerySet(models.QuerySet["Submission"]):
    """Filters of answers."""

    def visible_to(self, user: Any) -> SubmissionQuerySet:
        """Those of the events that one looks after: what a team has tried is no business of others."""
        if not can(user, "events.view_any"):
            return self.none()
        events = apps.get_model("challenges", "Event").objects.watched_by(user)
        return self.filter(participation__event__in=events.order_by().values("pk"))


class TeamQuerySet(models.QuerySet["Team"]):
    """Filters of teams."""

    def visible_to(self, user: Any) -> TeamQuerySet:
        """One's own, and those of others where the role and its regions reach."""
        if not can(user, "teams.view"):
            return self.none()
        own = Q(pk__in=self.model._default_manager.filter(memberships__user=user.pk).order_by().values("pk"))
        if not can(user, "teams.view_any"):
            return self.filter(own)
        regions = region_limit(user)
        return self if regions is None else self.filter(own | Q(region__slug__in=regions))

    def joined(self) -> TeamQuerySet:
        """Those that people made, not the personal ones."""
        return self.filter(is_personal=False)

    def of(self, user: Any) -> TeamQuerySet:
        return self.filter(memberships__user=user.pk)


class ParticipationQuerySet(models.QuerySet["Participation"]):
    """Filters of who takes part where."""

    def of(self, user: Any) -> ParticipationQuerySet:
        return self.filter(team__memberships__user=user.pk)

    def playing(self) -> ParticipationQuerySet:
        """Those that nobody has banned."""
        return self.filter(banned_at=None, team__banned_at=None)


class AnnouncementQuerySet(models.QuerySet["Announcement"]):
    """Filters of announcements."""

    def with_read(self, seen: Any) -> AnnouncementQuerySet:
        """Say of each whether it is among those."""
        return self.annotate(is_read=Case(When(pk__in=seen, then=Value(True)), default=Value(False)))

    def visible_to(self, user: Any) -> AnnouncementQuerySet:
        """Those of one's events, those for everybody or one's region, and those to all whom an event is open to."""
        if not can(user, "events.view"):
            return self.none()
        regions = region_limit(user) if can(user, "events.view_any") else [user.region_preference or ""]
        if regions is None:
            return self
        general = Q(event=None) & (Q(region=None) | Q(region__slug__in=regions))
        events = apps.get_model("challenges", "Event").objects.visible_to(user).order_by().values("pk")
        general |= Q(event__in=events) if can(user, "events.view_any") else Q(event__in=events, is_wide=True)
        mine = self.filter(event__participations__team__memberships__user=user.pk).order_by().values("pk")
        return self.filter(general | Q(pk__in=mine))
