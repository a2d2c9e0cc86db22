"""The rules that come with the hub, brought into the database by `sync_rules` when it starts.

A shipped rule is made, or brought up to date when its version here is newer, and left alone once somebody has edited
it. A shipped rule is switched off rather than deleted: deleted, it would come again.
"""

from __future__ import annotations

from typing import Any, Final

from .choices import Severity
from .models import AlertRule

VERSION: Final = 1
MINUTES: Final = 60
WARNING, CRITICAL = Severity.WARNING, Severity.CRITICAL
BEATS_SECONDS = 20  # two beats of an agent


def _metric(name: str, metric: str, percent: float) -> dict[str, Any]:
    return {
        "name": name,
        "condition": "metric",
        "metric": metric,
        "threshold": percent,
        "hold_seconds": 5 * MINUTES,
        "cooldown_seconds": 2 * MINUTES,
    }


RULES: Final[dict[str, dict[str, Any]]] = {
    "cpu-high": _metric("Processor above 80 %", "cpu_share", 80),
    "memory-high": _metric("Memory above 85 %", "memory_share", 85),
    "disk-high": _metric("Disk above 85 %", "disk_share", 85),
    "workload-broken": {"name": "Crashed or failed", "condition": "workload-broken", "severity": CRITICAL},
    "workload-unhealthy": {"name": "Does not answer", "condition": "workload-unhealthy", "hold_seconds": MINUTES},
    "crash-loop": {"name": "Crash loop", "condition": "crash-loop", "threshold": 4, "severity": CRITICAL},
    "agent-silent": {
        "name": "Agent silent",
        "condition": "agent-silent",
        "threshold": BEATS_SECONDS,
        "severity": CRITICAL,
        "cooldown_seconds": 0,
    },
    "pool-full": {"name": "Address pool nearly full", "condition": "pool-used", "threshold": 98},
    "provisioning-errors": {
        "name": "Launches fail",
        "condition": "provisioning-errors",
        "threshold": 10,
        "window_seconds": 10 * MINUTES,
        "severity": CRITICAL,
    },
    "provisioning-slow": {
        "name": "Launches are slow",
        "condition": "provisioning-slow",
        "threshold": 5,
        "window_seconds": 10 * MINUTES,
    },
    "queue-waiting": {"name": "Work waits", "condition": "queue-waiting", "threshold": 60},
    "backup-missing": {
        "name": "No backup",
        "condition": "backup-missing",
        "threshold": 26,
        "severity": CRITICAL,
        "cooldown_seconds": 0,
    },
    "backup-failed": {
        "name": "Backup or trial restore failed",
        "condition": "backup-failed",
        "threshold": 26,
        "severity": CRITICAL,
        "cooldown_seconds": 0,
    },
    "wal-behind": {
        "name": "WAL is not received",
        "condition": "wal-behind",
        "threshold": 64,
        "hold_seconds": MINUTES,
        "severity": CRITICAL,
    },
    "certificate-ending": {"name": "Certificate ends soon", "condition": "certificate-ending", "threshold": 30},
    "login-failures": {
        "name": "Many failed logins",
        "condition": "login-failures",
        "threshold": 20,
        "window_seconds": 10 * MINUTES,
        "cooldown_seconds": 10 * MINUTES,
    },
    "hub-disk": {
        "name": "Disk of the hub above 85 %",
        "condition": "hub-disk",
        "threshold": 85,
        "severity": CRITICAL,
        "cooldown_seconds": 5 * MINUTES,
    },
}


def ship(slug: str, **values: Any) -> None:
    """Add a rule over what another app knows; called in its `AppConfig.ready`."""
    RULES[slug] = values


def sync_rules() -> list[str]:
    """Bring the shipped rules into the database; says what was made or renewed."""
    known = AlertRule.objects.in_bulk(list(RULES), field_name="slug")
    done = []
    for slug, values in RULES.items():
        rule = known.get(slug)
        if rule is not None and (rule.is_customized or rule.version >= VERSION):
            continue
        if rule is None and AlertRule.objects.filter(name=values["name"]).exists():
            continue  # somebody's own rule has the name
        rule = rule or AlertRule(slug=slug)
        for name, value in values.items():
            setattr(rule, name, value)
        rule.version = VERSION
        rule.full_clean()
        rule.save()
        done.append(f"alert rule {slug} {'renewed' if slug in known else 'made'}")
    return done
