"""What happened in an event: answers given, what changed a score, files fetched. Rows are only ever added."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from challenges.choices import Outcome, ScoreKind
from challenges.querysets import SubmissionQuerySet
from hub.secrets import EncryptedTextField

from .content import ChallengeFile, Flag, Hint
from .events import Event, EventChallenge
from .teams import Participation, Team


class Submission(models.Model):
    """One answer of a team, sealed, and what came of it."""

    participation = models.ForeignKey(Participation, on_delete=models.CASCADE, related_name="submissions")
    entry = models.ForeignKey(EventChallenge, on_delete=models.CASCADE, related_name="submissions")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    user_name = models.CharField(max_length=150)
    outcome = models.CharField(max_length=24, choices=Outcome.choices)
    answer = EncryptedTextField(purpose="submission.answer")
    attempt = models.PositiveIntegerField(default=0, help_text="Which wrong answer of the team this was; 0: not wrong.")
    ip = models.GenericIPAddressField(null=True, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = SubmissionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["participation", "-created_at"], name="submission_team_newest"),
            models.Index(fields=["entry", "participation"], name="submission_entry_team"),
        ]

    def __str__(self) -> str:
        return f"{self.get_outcome_display()} by {self.user_name}"

    @property
    def region_slug(self) -> str:
        return self.participation.region_slug


class ScoreEvent(models.Model):
    """One thing that counts. What a solve is worth is computed from the solves before a moment, so that a frozen
    board stands still and a rule that changes changes every score alike; costs, bonuses and awards are in `points`.

    `parts` is the number of flags that share the value, and `completes` says that with this one it was solved.
    """

    event = models.ForeignKey(Event, on_delete=models.CASCADE, related_name="score_events")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="score_events")
    kind = models.CharField(max_length=12, choices=ScoreKind.choices)
    entry = models.ForeignKey(
        EventChallenge, null=True, blank=True, on_delete=models.CASCADE, related_name="score_events"
    )
    flag = models.ForeignKey(Flag, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    hint = models.ForeignKey(Hint, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    user_name = models.CharField(max_length=150)
    points = models.IntegerField(default=0)
    parts = models.PositiveSmallIntegerField(default=1)
    completes = models.BooleanField(default=False)
    reason = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(editable=False)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["entry", "team", "flag"], condition=Q(kind=ScoreKind.SOLVE), name="one_solve_per_flag"
            ),
            models.UniqueConstraint(fields=["entry", "team"], condition=Q(completes=True), name="one_solve_per_team"),
            models.UniqueConstraint(fields=["entry"], condition=Q(kind=ScoreKind.FIRST_BLOOD), name="one_first_blood"),
            models.UniqueConstraint(
                fields=["entry", "team", "hint"], condition=Q(kind=ScoreKind.HINT), name="one_unlock_per_hint"
            ),
        ]
        indexes = [models.Index(fields=["event", "team", "id"], name="score_event_team")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} of {self.team_id}"

    @property
    def region_slug(self) -> str:
        return self.event.region_slug


class FileDownload(models.Model):
    """That somebody fetched a file."""

    file = models.ForeignKey(ChallengeFile, on_delete=models.CASCADE, related_name="downloads")
    entry = models.ForeignKey(EventChallenge, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    team = models.ForeignKey(Team, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")
    user_name = models.CharField(max_length=150)
    ip = models.GenericIPAddressField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.file} by {self.user_name}"
