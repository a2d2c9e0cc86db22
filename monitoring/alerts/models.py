"""Rules, alerts with their history, mutes, channels and what was sent through them."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.urls import reverse

from hub.secrets import EncryptedTextField
from monitoring.metrics import METRICS
from monitoring.subjects import Subject

from . import conditions
from .choices import RANK, AlertState, ChannelKind, DeliveryEvent, DeliveryState, Scope, Severity
from .querysets import AlertQuerySet, ChannelQuerySet, DeliveryQuerySet, MuteQuerySet, RuleQuerySet

LONGEST_SECONDS = 7 * 86_400
SECONDS = [MaxValueValidator(LONGEST_SECONDS)]


class Scoped(models.Model):
    """Something that is about all subjects, those of a region or an owner, or one of them."""

    scope = models.CharField(max_length=8, choices=Scope.choices, default=Scope.ALL)
    scope_value = models.CharField(
        max_length=150, blank=True, help_text="Slug of the region, user name of the owner, or key such as node:local."
    )

    class Meta:
        abstract = True

    @property
    def region_slug(self) -> str:
        """What is not of one region is of none, so that an Operator of regions may not change it."""
        return self.scope_value if self.scope == Scope.REGION else ""

    def clean(self) -> None:
        if self.scope == Scope.ALL:
            self.scope_value = ""
        elif not self.scope_value:
            raise ValidationError({"scope_value": "Say which."})

    def covers(self, subject: Subject, owners: dict[int, str]) -> bool:
        """Whether the subject is meant; `owners` are user names by id."""
        if self.scope == Scope.ALL:
            return True
        if self.scope == Scope.REGION:
            return subject.region == self.scope_value
        if self.scope == Scope.OWNER:
            return subject.owner_id is not None and owners.get(subject.owner_id) == self.scope_value
        return subject.key == self.scope_value


class AlertRule(Scoped):
    """When there is an alert: a condition, how far is too far, and for how long."""

    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=80, unique=True)
    condition = models.CharField(max_length=40)
    metric = models.CharField(max_length=20, blank=True, choices=[(each.name, each.label) for each in METRICS])
    threshold = models.FloatField(default=0)
    window_seconds = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(10), *SECONDS], help_text="What it looks back over."
    )
    hold_seconds = models.PositiveIntegerField(default=0, validators=SECONDS, help_text="Bad for so long first.")
    cooldown_seconds = models.PositiveIntegerField(
        default=60, validators=SECONDS, help_text="Well for so long, then it is over; what returns before is the same."
    )
    severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    is_enabled = models.BooleanField(default=True)
    version = models.PositiveIntegerField(default=0, editable=False, help_text="That of the shipped rule; 0: own.")
    is_customized = models.BooleanField(default=False, editable=False, help_text="Edited here: updates leave it alone.")
    failed_at = models.DateTimeField(null=True, blank=True, editable=False)
    error = models.CharField(max_length=300, blank=True, editable=False, help_text="Why it could not be evaluated.")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RuleQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("monitoring:rule_update", args=[self.pk])

    @property
    def condition_label(self) -> str:
        known = conditions.find(self.condition)
        return known.label if known else self.condition

    @property
    def unit(self) -> str:
        known = conditions.find(self.condition)
        return known.unit_of(self) if known else ""

    def clean(self) -> None:
        super().clean()
        known = conditions.find(self.condition)
        if known is None:
            raise ValidationError({"condition": "There is no such condition."})
        if known.needs_metric and not self.metric:
            raise ValidationError({"metric": "Say which metric."})
        if not known.needs_metric:
            self.metric = ""


class Alert(models.Model):
    """One time that a rule found a subject wanting, from the first look to its end; of a pair one is open at most."""

    rule = models.ForeignKey(AlertRule, null=True, on_delete=models.SET_NULL, related_name="alerts")
    rule_name = models.CharField(max_length=80)
    severity = models.CharField(max_length=8, choices=Severity.choices)
    subject = models.CharField(max_length=120)
    subject_name = models.CharField(max_length=150)
    subject_url = models.CharField(max_length=300, blank=True)
    region_slug = models.CharField(max_length=40, blank=True)
    state = models.CharField(max_length=8, choices=AlertState.choices, default=AlertState.PENDING)
    text = models.CharField(max_length=500, blank=True)
    value = models.FloatField(null=True, blank=True)
    worst_value = models.FloatField(null=True, blank=True)
    began_at = models.DateTimeField()
    seen_at = models.DateTimeField(help_text="When it was last bad.")
    calm_since = models.DateTimeField(null=True, blank=True)
    fired_at = models.DateTimeField(null=True, blank=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    announced_at = models.DateTimeField(null=True, blank=True, help_text="When channels were told; empty while muted.")
    flaps = models.PositiveIntegerField(default=0, help_text="How often it returned before it was over.")
    acknowledged_at = models.DateTimeField(null=True, blank=True)
    acknowledged_by = models.CharField(max_length=150, blank=True)
    assignee = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+")

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-began_at", "-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject"], condition=~Q(state=AlertState.RESOLVED), name="one_open_alert"
            )
        ]
        indexes = [
            models.Index(fields=["state"], condition=~Q(state=AlertState.RESOLVED), name="alert_open"),
            models.Index(fields=["subject", "-began_at"], name="alert_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.rule_name}: {self.subject_name}"

    def get_absolute_url(self) -> str:
        return reverse("monitoring:alert_detail", args=[self.pk])

    @property
    def shown_state(self) -> str:
        """The state as badges show it."""
        return "seen" if self.state == AlertState.FIRING and self.acknowledged_at else self.state


class Mute(Scoped):
    """A time in which nobody is told: planned maintenance, or one alert that is known. Alerts are kept all the same.

    What still fires when it is over is told then.
    """

    rule = models.ForeignKey(AlertRule, null=True, blank=True, on_delete=models.CASCADE, related_name="mutes")
    reason = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    created_by = models.CharField(max_length=150, blank=True, editable=False)

    objects = MuteQuerySet.as_manager()

    class Meta:
        ordering = ["-ends_at"]
        indexes = [models.Index(fields=["ends_at"], name="mute_end")]

    def __str__(self) -> str:
        return self.reason

    def clean(self) -> None:
        super().clean()
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValidationError({"ends_at": "It ends before it begins."})


class Channel(models.Model):
    """A way to tell people. `failures` and `retry_at` are its circuit breaker: before that time nothing is sent."""

    name = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=10, choices=ChannelKind.choices)
    target = models.CharField(
        max_length=500,
        blank=True,
        help_text="E-mail: addresses by comma. Webhook: its URL. PagerDuty: another endpoint.",
    )
    secret = EncryptedTextField(purpose="channel.secret", blank=True, default="")
    least_severity = models.CharField(max_length=8, choices=Severity.choices, default=Severity.WARNING)
    rules = models.ManyToManyField(AlertRule, blank=True, related_name="channels", help_text="None chosen: all rules.")
    is_enabled = models.BooleanField(default=True)
    failures = models.PositiveIntegerField(default=0, editable=False)
    retry_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_error = models.CharField(max_length=300, blank=True, editable=False)
    last_sent_at = models.DateTimeField(null=True, blank=True, editable=False)
    lease_token = models.UUIDField(null=True, blank=True, editable=False)
    lease_until = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ChannelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("monitoring:channel_detail", args=[self.pk])

    @property
    def health(self) -> str:
        """Whether it works, as badges show it."""
        if not self.is_enabled:
            return "off"
        if self.failures:
            return "rests"
        return "works" if self.last_sent_at else "new"

    @property
    def hidden_parts(self) -> tuple[list[int], str]:
        """What people change besides what its columns show: its rules, and its secret as it is sealed."""
        return sorted(rule.pk for rule in self.rules.all()), self.secret.sealed

    def wants(self, severity: str, rule_id: int | None, chosen: set[int]) -> bool:
        """Whether it tells of alerts of this rule; `chosen` are the ids of its rules."""
        is_grave = RANK[Severity(severity)] >= RANK[Severity(self.least_severity)]
        return self.is_enabled and is_grave and (not chosen or rule_id in chosen)


class Delivery(models.Model):
    """One message through one channel, from the event to its fate. What it says is fixed when it is made."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    channel = models.ForeignKey(Channel, on_delete=models.CASCADE, related_name="deliveries")
    alert = models.ForeignKey(Alert, null=True, on_delete=models.CASCADE, related_name="deliveries")
    event = models.CharField(max_length=8, choices=DeliveryEvent.choices)
    message: Any = models.JSONField(default=dict)
    state = models.CharField(max_length=8, choices=DeliveryState.choices, default=DeliveryState.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    waiting_since = models.DateTimeField(auto_now_add=True, help_text="Given up a day after this.")
    sent_at = models.DateTimeField(null=True, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "deliveries"
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["alert", "channel", "event"], condition=Q(alert__isnull=False), name="one_message_of_an_event"
            )
        ]
        indexes = [
            models.Index(
                fields=["channel", "created_at"], condition=Q(state=DeliveryState.WAITING), name="delivery_waiting"
            ),
            models.Index(fields=["-created_at"], name="delivery_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.message.get('title', self.event)} → {self.channel.name}"
