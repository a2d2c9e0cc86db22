"""Look whether rules are broken, and move alerts: pending → firing → resolved, each step once.

A condition is asked outside any transaction. What it found is then applied under a lock on the rule's row, so that of
two evaluators one follows the other; that a pair of rule and subject has one open alert is a constraint besides.
Messages are rows made in the transaction of the step they tell of.

What is bad must be so for `hold_seconds` before anybody hears of it, and well for `cooldown_seconds` before it is over:
what comes and goes is one alert that counts its returns.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.db import transaction
from django.utils import timezone

from hub.logs import scrub

from . import conditions, messages
from .choices import ALERT_TRANSITIONS, AlertState, Scope
from .conditions import Hit, Look
from .models import Alert, AlertRule, Mute

logger = logging.getLogger(__name__)

UNSEEN_FOR = timedelta(minutes=10)
"""So long an alert stays as it is while nothing is measured of its subject."""


def evaluate_all(now: datetime | None = None) -> None:
    """Every rule; one whose condition cannot be asked says so and keeps none of the others."""
    now = now or timezone.now()
    for rule in AlertRule.objects.filter(is_enabled=True).order_by("pk"):
        try:
            evaluate(rule, now)
        except Exception as error:
            logger.exception("alert rule %s cannot be evaluated", rule.slug)
            reason = scrub(f"{type(error).__name__}: {error}")[:300]
            AlertRule.objects.filter(pk=rule.pk).update(failed_at=now, error=reason)
        else:
            if rule.error:
                AlertRule.objects.filter(pk=rule.pk).update(failed_at=None, error="")
    close_orphans(now)


def evaluate(rule: AlertRule, now: datetime) -> None:
    """One rule."""
    condition = conditions.find(rule.condition)
    if condition is None:
        raise LookupError(f"no app knows the condition {rule.condition}")
    found = condition.find(rule, now)
    look = found if isinstance(found, Look) else Look(found)
    hits = list(look.hits)
    mutes = list(Mute.objects.at(now))
    owners = _owners(hits) if Scope.OWNER in {rule.scope, *(mute.scope for mute in mutes)} else {}
    bad = {hit.subject.key: hit for hit in hits if rule.covers(hit.subject, owners)}
    muted = {
        key
        for key, hit in bad.items()
        if any(mute.rule_id in (None, rule.pk) and mute.covers(hit.subject, owners) for mute in mutes)
    }
    with transaction.atomic():
        locked = AlertRule.objects.select_for_update(no_key=True).filter(pk=rule.pk, is_enabled=True).first()
        if locked is not None:
            _apply(locked, bad, look.seen, muted, now)


def close_orphans(now: datetime) -> None:
    """End what no rule looks after any more, because it was switched off or deleted."""
    with transaction.atomic():
        rows = Alert.objects.select_for_update(of=("self",)).open().exclude(rule__is_enabled=True)
        for alert in rows.order_by("pk"):
            _end(alert, now)


def _owners(hits: Iterable[Hit]) -> dict[int, str]:
    ids = {hit.subject.owner_id for hit in hits if hit.subject.owner_id is not None}
    return dict(get_user_model().objects.filter(pk__in=ids).values_list("pk", "username"))


def _apply(rule: AlertRule, bad: dict[str, Hit], seen: frozenset[str] | None, muted: set[str], now: datetime) -> None:
    open_alerts = {alert.subject: alert for alert in Alert.objects.filter(rule=rule).open().order_by("pk")}
    for key, hit in bad.items():
        alert = open_alerts.pop(key, None)
        _note(alert or _begin(rule, hit, now), rule, hit, now, is_muted=key in muted)
    for alert in open_alerts.values():
        is_unseen = seen is not None and alert.subject not in seen
        if not (is_unseen and now - alert.seen_at < UNSEEN_FOR):
            _calm(alert, rule, now)


def _begin(rule: AlertRule, hit: Hit, now: datetime) -> Alert:
    subject = hit.subject
    return Alert.objects.create(
        rule=rule,
        rule_name=rule.name,
        severity=rule.severity,
        subject=subject.key,
        subject_name=subject.name[:150],
        subject_url=subject.url,
        region_slug=subject.region,
        value=hit.value,
        worst_value=hit.value,
        text=hit.text[:500],
        began_at=min(hit.since or now, now),
        seen_at=now,
    )


def _note(alert: Alert, rule: AlertRule, hit: Hit, now: datetime, *, is_muted: bool) -> None:
    """It is bad (still, or again): keep what is new, fire when it is so for long enough, tell when nobody is told."""
    values: dict[str, Any] = {
        "value": hit.value,
        "worst_value": _worse(alert, rule, hit.value),
        "text": hit.text[:500],
        "severity": rule.severity,
        "seen_at": now,
        "calm_since": None,
        "flaps": alert.flaps + (alert.calm_since is not None),
    }
    is_due = now - alert.began_at >= timedelta(seconds=rule.hold_seconds)
    state, old = (AlertState.FIRING if is_due else alert.state), alert.state
    if state != old:
        values["fired_at"] = now
    if state == AlertState.FIRING and alert.announced_at is None and not is_muted:
        values["announced_at"] = now
    was_told = alert.announced_at is not None
    if ALERT_TRANSITIONS.apply(alert, state, **values) and alert.announced_at and not was_told:
        messages.announce(alert, rule)


def _worse(alert: Alert, rule: AlertRule, value: float | None) -> float | None:
    """The farthest from the threshold so far, on whichever side of it is bad."""
    known = [each for each in (alert.worst_value, value) if each is not None]
    return max(known, key=lambda each: abs(each - rule.threshold), default=None)


def _calm(alert: Alert, rule: AlertRule, now: datetime) -> None:
    """It is well: forget what has never fired, end what is well for long enough."""
    if alert.state == AlertState.PENDING:
        alert.delete()
        return
    since = alert.calm_since or now
    if now - since >= timedelta(seconds=rule.cooldown_seconds):
        _end(alert, now)
    elif alert.calm_since is None:
        Alert.objects.filter(pk=alert.pk, state=AlertState.FIRING).update(calm_since=now)


def _end(alert: Alert, now: datetime) -> None:
    if alert.state == AlertState.PENDING:
        alert.delete()
    elif ALERT_TRANSITIONS.apply(alert, AlertState.RESOLVED, resolved_at=now, calm_since=alert.calm_since or now):
        messages.tell_end(alert)
