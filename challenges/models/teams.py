"""Teams, who is in them, and the events they take part in."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import MaxValueValidator, MinLengthValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.urls import reverse

from challenges.choices import JOIN_CODE_LENGTH, NAME_LENGTHS, TEAM_SIZE_BOUNDS
from challenges.querysets import ParticipationQuerySet, TeamQuerySet
from hub.nodes.models import Region


class Team(models.Model):
    """Who plays. In an event of single people each has a team of his own (`is_personal`) that nobody joins."""

    name = models.CharField(max_length=NAME_LENGTHS[1], validators=[MinLengthValidator(NAME_LENGTHS[0])])
    description = models.CharField(max_length=500, blank=True)
    region = models.ForeignKey(Region, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    captain = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="captained_teams")
    join_code = models.CharField(max_length=JOIN_CODE_LENGTH, unique=True, null=True, blank=True, editable=False)
    max_members = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(TEAM_SIZE_BOUNDS[0]), MaxValueValidator(TEAM_SIZE_BOUNDS[1])]
    )
    is_personal = models.BooleanField(default=False, editable=False)
    is_locked = models.BooleanField(default=False, help_text="Nobody joins.")
    banned_at = models.DateTimeField(null=True, blank=True, editable=False)
    ban_reason = models.CharField(max_length=300, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(Lower("name"), condition=Q(is_personal=False), name="team_name_once"),
            models.UniqueConstraint(fields=["captain"], condition=Q(is_personal=True), name="one_personal_team"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("challenges:team_detail", args=[self.pk])

    @property
    def region_slug(self) -> str:
        return self.region.slug if self.region else ""

    @property
    def is_banned(self) -> bool:
        return self.banned_at is not None


class Membership(models.Model):
    """That somebody is in a team: in one with others at most."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="team_memberships")
    is_personal = models.BooleanField(default=False, editable=False)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["joined_at", "id"]
        constraints = [models.UniqueConstraint(fields=["user", "is_personal"], name="one_team_per_user")]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"

    @property
    def region_slug(self) -> str:
        return self.team.region_slug


class Participation(models.Model):
    """That a team takes part in an event. Its row is the lock under which the team's answers are counted."""

    event = models.ForeignKey("challenges.Event", on_delete=models.CASCADE, related_name="participations")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="participations")
    registered_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    banned_at = models.DateTimeField(null=True, blank=True)
    ban_reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ParticipationQuerySet.as_manager()

    class Meta:
        ordering = ["event", "created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["event", "team"], name="team_once_per_event")]

    def __str__(self) -> str:
        return f"{self.team} in {self.event}"

    @property
    def region_slug(self) -> str:
        return self.event.region_slug

    @property
    def is_banned(self) -> bool:
        """Whether the team may not play here: banned from this event, or at all."""
        return self.banned_at is not None or self.team.is_banned
