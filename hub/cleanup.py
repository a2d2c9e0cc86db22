"""Throw away what has served its time."""

from __future__ import annotations

from datetime import timedelta

from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db.models.functions import Now

from .models import IdempotentAnswer, PeriodicRun

ANSWERS_KEPT = timedelta(hours=24)
RUNS_KEPT = timedelta(days=14)


def forget_answers() -> int:
    """Delete answers kept for repeated requests after a day."""
    return IdempotentAnswer.objects.filter(created_at__lt=Now() - ANSWERS_KEPT).delete()[0]


def forget_runs() -> int:
    """Delete periodic runs after two weeks, but of each task keep the newest: without one it would count as new."""
    newest = PeriodicRun.objects.order_by("task", "-due_at").distinct("task").values("pk")
    return PeriodicRun.objects.filter(claimed_at__lt=Now() - RUNS_KEPT).exclude(pk__in=newest).delete()[0]


def clear_sessions() -> None:
    """Delete expired sessions, and what allauth remembers about them."""
    call_command("clearsessions")
    living = Session.objects.values("session_key")
    UserSession.objects.exclude(session_key__in=living).delete()
