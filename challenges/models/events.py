"""Events, the challenges they offer, and what their organisers tell people."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.core.validators import MaxLengthValidator, MaxValueValidator, MinLengthValidator, MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower
from django.urls import reverse
from django.utils import timezone

from challenges import event_rules
from challenges.choices import (
    EVENT_DESCRIPTION_LENGTHS,
    EVENT_NAME_LENGTHS,
    OPEN_FOR_REGISTRATION,
    AddressPolicy,
    EventKind,
    EventStatus,
    HintKind,
    ParticipationKind,
    Visibility,
)
from challenges.querysets import AnnouncementQuerySet, EventChallengeQuerySet, EventQuerySet
from hub.nodes.models import Node, Region

from .content import POINTS, Challenge
from .teams import Team

MINUTES = [MinValueValidator(1), MaxValueValidator(30 * 1440)]


class Event(models.Model):
    """A time in which teams play challenges for points.

    `status` is what people have decided; `state` adds what time alone changes, and is right with the scheduler stopped.
    """

    name = models.CharField(max_length=EVENT_NAME_LENGTHS[1], validators=[MinLengthValidator(EVENT_NAME_LENGTHS[0])])
    slug = models.SlugField(max_length=110, unique=True)
    description = models.TextField(
        validators=[
            MinLengthValidator(EVENT_DESCRIPTION_LENGTHS[0]),
            MaxLengthValidator(EVENT_DESCRIPTION_LENGTHS[1]),
        ],
        help_text="Markdown.",
    )
    kind = models.CharField(max_length=20, choices=EventKind.choices, default=EventKind.CTF)
    participation = models.CharField(
        max_length=20, choices=ParticipationKind.choices, default=ParticipationKind.TEAMS, help_text="Who takes part."
    )
    region = models.ForeignKey(Region, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    is_public = models.BooleanField(default=False, help_text="Open to teams of every region.")
    status = models.CharField(max_length=20, choices=EventStatus.choices, default=EventStatus.DRAFT)
    status_reason = models.CharField(max_length=300, blank=True, help_text="Why it was rejected or cancelled.")
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    freeze_at = models.DateTimeField(null=True, blank=True, help_text="From then on the scoreboard stands still.")
    ended_at = models.DateTimeField(null=True, blank=True, editable=False, help_text="When its end was carried out.")
    max_participants = models.PositiveIntegerField(null=True, blank=True, help_text="Teams, or people; empty: any.")
    max_team_size = models.PositiveSmallIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    submissions_per_minute = models.PositiveSmallIntegerField(
        default=20, validators=[MinValueValidator(1), MaxValueValidator(1000)], help_text="Answers of one team."
    )
    organisers = models.ManyToManyField(
        settings.AUTH_USER_MODEL, blank=True, related_name="organised_events", help_text="Operators who run it."
    )
    administrator = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="administered_events",
        help_text="A participant who may look after the teams.",
    )

    node = models.ForeignKey(
        Node, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="Empty: any of the region."
    )
    address_policy = models.CharField(max_length=10, choices=AddressPolicy.choices, default=AddressPolicy.TEAM)
    max_instances_per_team = models.PositiveSmallIntegerField(default=3, validators=[MinValueValidator(1)])
    max_instances = models.PositiveIntegerField(null=True, blank=True, help_text="At once, of all teams; empty: any.")
    instance_minutes = models.PositiveIntegerField(default=60, validators=MINUTES, help_text="How long one lives.")
    extend_minutes = models.PositiveIntegerField(default=30, validators=MINUTES)
    extend_window_minutes = models.PositiveIntegerField(
        default=15, validators=MINUTES, help_text="Extended only with less than this left."
    )
    max_extensions = models.PositiveSmallIntegerField(null=True, blank=True, help_text="Empty: any number.")
    warn_minutes = models.PositiveIntegerField(default=5, validators=MINUTES, help_text="Told before one expires.")
    stops_on_solve = models.BooleanField(default=False, help_text="A solved challenge's instance stops.")

    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, editable=False, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at", "name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), name="event_name_once"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="event_ends_after_start"),
        ]
        indexes = [models.Index(fields=["status", "starts_at"], name="event_status_start")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("challenges:event_detail", args=[self.slug])

    def clean(self) -> None:
        event_rules.clean_event(self)

    @property
    def region_slug(self) -> str:
        """An event of no region is of none, so that an Operator of regions may not change it."""
        return self.region.slug if self.region else ""

    def state_at(self, now: datetime) -> str:
        """The status, moved on by the clock."""
        return event_rules.effective_status(self.status, self.starts_at, self.ends_at, now)

    @property
    def state(self) -> str:
        return self.state_at(timezone.now())

    @property
    def state_label(self) -> str:
        return str(EventStatus(self.state).label)

    @property
    def is_running(self) -> bool:
        return self.state == EventStatus.RUNNING

    @property
    def is_open_for_registration(self) -> bool:
        return self.state in OPEN_FOR_REGISTRATION

    @property
    def is_frozen(self) -> bool:
        """Whether the scoreboard stands still for participants; it moves on once the event is over."""
        now = timezone.now()
        return self.freeze_at is not None and now >= self.freeze_at and self.state_at(now) != EventStatus.COMPLETED


class EventChallenge(models.Model):
    """A challenge as one event offers it."""

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="entries")
    challenge = models.ForeignKey(Challenge, on_delete=models.PROTECT, related_name="entries")
    visibility = models.CharField(max_length=8, choices=Visibility.choices, default=Visibility.VISIBLE)
    position = models.PositiveSmallIntegerField(default=0)
    points_override = models.PositiveIntegerField(null=True, blank=True, validators=POINTS)
    max_attempts = models.PositiveIntegerField(null=True, blank=True, help_text="Empty: as the challenge says.")
    release_at = models.DateTimeField(null=True, blank=True, help_text="Not shown before.")
    requires = models.ManyToManyField(
        "self", blank=True, symmetrical=False, related_name="unlocks", help_text="To be solved before."
    )
    allowed_teams = models.ManyToManyField(Team, blank=True, related_name="+", help_text="Empty: all teams.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = EventChallengeQuerySet.as_manager()

    class Meta:
        verbose_name = "challenge of an event"
        verbose_name_plural = "challenges of events"
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["event", "challenge"], name="challenge_once_per_event")]

    def __str__(self) -> str:
        return f"{self.challenge} in {self.event}"

    @property
    def region_slug(self) -> str:
        return self.event.region_slug

    @property
    def base_points(self) -> int:
        """Its value before the first solve."""
        return self.points_override or self.challenge.points

    @property
    def attempts_allowed(self) -> int:
        """Wrong answers of one team; 0 for no limit."""
        return self.challenge.max_attempts if self.max_attempts is None else self.max_attempts


class Announcement(models.Model):
    """What organisers tell the participants of an event, or everybody."""

    event = models.ForeignKey(Event, null=True, blank=True, on_delete=models.CASCADE, related_name="announcements")
    region = models.ForeignKey(Region, null=True, blank=True, on_delete=models.CASCADE, related_name="+")
    is_wide = models.BooleanField(
        default=False,
        db_default=False,
        editable=False,
        help_text="To all whom the event is open to, not its teams only.",
    )
    title = models.CharField(max_length=120)
    message = models.TextField(validators=[MaxLengthValidator(2000)])
    ui_type = models.CharField(max_length=10, choices=HintKind.choices, default=HintKind.TOAST)
    has_sound = models.BooleanField(default=False)
    author_name = models.CharField(max_length=150, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = AnnouncementQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["event", "-created_at"], name="announcement_newest")]

    def __str__(self) -> str:
        return self.title

    @property
    def region_slug(self) -> str:
        return self.event.region_slug if self.event else (self.region.slug if self.region else "")


class AnnouncementRead(models.Model):
    """That somebody has read an announcement."""

    announcement = models.ForeignKey(Announcement, on_delete=models.CASCADE, related_name="reads")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["announcement", "user"], name="announcement_read_once")]

    def __str__(self) -> str:
        return f"{self.user} read {self.announcement}"
