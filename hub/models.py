"""Rows of the shared plumbing: periodic runs, signs of life, and answers kept for repeated requests."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class PeriodicRun(models.Model):
    """One due time of one periodic task. The insert is the claim: of any number of schedulers one succeeds."""

    class Outcome(models.TextChoices):
        WAITING = "waiting", "Waiting"
        RUNNING = "running", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        LOST = "lost", "Lost"
        SKIPPED = "skipped", "Skipped"

    task = models.CharField(max_length=80)
    due_at = models.DateTimeField()
    claimed_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices, default=Outcome.WAITING)
    error = models.TextField(blank=True)

    class Meta:
        ordering = ["-due_at", "task"]
        constraints = [models.UniqueConstraint(fields=["task", "due_at"], name="hub_periodicrun_once")]
        indexes = [
            models.Index(
                fields=["task"], condition=models.Q(outcome__in=["waiting", "running"]), name="hub_periodicrun_open"
            )
        ]

    def __str__(self) -> str:
        return f"{self.task} of {self.due_at:%Y-%m-%d %H:%M:%S}"


class Beat(models.Model):
    """The last sign of life of a process that health asks about."""

    name = models.CharField(max_length=80, primary_key=True)
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} at {self.at:%Y-%m-%d %H:%M:%S}"


class IdempotentAnswer(models.Model):
    """The answer to a request that carried an Idempotency-Key, kept for a day so that a repetition gets it again."""

    actor = models.CharField(max_length=64)
    route = models.CharField(max_length=250)
    key = models.CharField(max_length=200)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    location = models.TextField(blank=True)
    body = models.TextField()
    created_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["actor", "route", "key"], name="hub_idempotentanswer_once")]

    def __str__(self) -> str:
        return f"{self.route} {self.key}"


class TallyMark(models.Model):
    """Up to when the rows of a source have been added to its tallies; see `hub.tallies`."""

    source = models.CharField(max_length=40, primary_key=True)
    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.source} until {self.until:%Y-%m-%d %H:%M:%S}"


class Tally(models.Model):
    """One counter of what has happened, for rows that may be forgotten by now."""

    source = models.CharField(max_length=40)
    name = models.CharField(max_length=80)
    labels = models.JSONField(default=dict)
    value = models.FloatField(default=0)

    class Meta:
        verbose_name_plural = "tallies"
        constraints = [models.UniqueConstraint(fields=["source", "name", "labels"], name="hub_tally_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.labels}"


class BackupReport(models.Model):
    """How a backup or a trial restore ended; see `hub.backups.reports`."""

    class Kind(models.TextChoices):
        DUMP = "dump", "Dump"
        BASE = "base", "Base backup"
        TRIAL = "trial", "Trial restore"
        FILES = "files", "Snapshot of files"
        STORE = "store", "Copies in the store"
        STORE_WAL = "store-wal", "WAL in the store"
        VOLUMES = "volumes", "Data on nodes"

    kind = models.CharField(max_length=10, choices=Kind.choices)
    at = models.DateTimeField(db_default=Now())
    is_good = models.BooleanField(default=False)
    name = models.CharField(max_length=100, blank=True)
    seconds = models.FloatField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    detail = models.TextField(blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["kind", "-at"], name="hub_backupreport_newest")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.name or 'that failed'}"


class RetentionRun(models.Model):
    """What a rule of retention has removed; see `hub.retention`."""

    rule = models.CharField(max_length=40)
    at = models.DateTimeField(db_default=Now())
    count = models.PositiveBigIntegerField(default=0)
    bytes = models.PositiveBigIntegerField(default=0)
    oldest = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at", "rule"]
        indexes = [models.Index(fields=["rule", "-at"], name="hub_retention_newest")]

    def __str__(self) -> str:
        return f"{self.count} of {self.rule}"
