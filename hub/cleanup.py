"""Throw away what has served its time."""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db.models import Count, Min, QuerySet
from django.db.models.functions import Now

from . import retention
from .models import IdempotentAnswer, PeriodicRun

ANSWERS_KEPT = timedelta(hours=24)
RUNS_KEPT = timedelta(days=14)


def old_answers() -> QuerySet[IdempotentAnswer]:
    """Answers kept for repeated requests, after a day."""
    return IdempotentAnswer.objects.filter(created_at__lt=Now() - ANSWERS_KEPT)


def forget_answers() -> int:
    """Delete answers kept for repeated requests after a day."""
    return old_answers().delete()[0]


def old_runs() -> QuerySet[PeriodicRun]:
    """Periodic runs after two weeks, but of each task not the newest: without one it would count as new."""
    newest = PeriodicRun.objects.order_by("task", "-due_at").distinct("task").values("pk")
    return PeriodicRun.objects.filter(claimed_at__lt=Now() - RUNS_KEPT).exclude(pk__in=newest)


def forget_runs() -> int:
    """Delete old periodic runs."""
    return old_runs().delete()[0]


def old_sessions() -> QuerySet[Session]:
    """Sessions that have expired."""
    return Session.objects.filter(expire_date__lt=Now())


def clear_sessions() -> int:
    """Delete expired sessions, and what allauth remembers about them."""
    number = old_sessions().count()
    call_command("clearsessions")
    living = Session.objects.values("session_key")
    UserSession.objects.exclude(session_key__in=living).delete()
    return number


def _sessions() -> retention.Preview:
    found = old_sessions().aggregate(oldest=Min("expire_date"), number=Count("pk"))
    return retention.Preview(found["number"], found["oldest"])


def register() -> None:
    """Tell retention what the plumbing keeps; called once by the app config."""
    retention.register(
        retention.Rule("sessions", "Sessions", lambda: "kept until their expiry", _sessions, clear_sessions)
    )
    retention.register(
        retention.of_rows(
            "answers", "Answers for repeated requests", lambda: "kept for a day", old_answers, time_field="created_at"
        )
    )
    retention.register(
        retention.of_rows(
            "runs", "Periodic runs", lambda: f"kept for {RUNS_KEPT.days} days", old_runs, time_field="claimed_at"
        )
    )
