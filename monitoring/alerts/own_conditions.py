"""Conditions over what monitoring and the apps below it know: samples, workloads, nodes, pools, operations, the hub."""

from __future__ import annotations

import math
import shutil
import ssl
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, Max, Min, Q, QuerySet
from django.db.models.functions import Coalesce
from django.urls import reverse

from accounts.models import AuditEntry
from hub.backups import reports
from hub.models import BackupReport, PeriodicRun
from hub.nodes.choices import AddressState, DesiredStatus, ObservedStatus, OperationStatus
from hub.nodes.models import AddressPool, Node, NodeTask, Operation
from hub.nodes.workloads import workload_models
from hub.pages.templatetags.ui import span
from monitoring import query, subjects
from monitoring.metrics import COUNT, PERCENT
from monitoring.subjects import Subject

from .conditions import Condition, Hit, Look, register
from .models import AlertRule

SECONDS, DAYS = "seconds", "days"
PROVISIONING = ("create", "start")
BACKUP_TASK = "backup-database"
CERTIFICATE_KEPT_SECONDS = 3600
MOST_OPERATIONS = 10_000
BROKEN = (ObservedStatus.CRASHED, ObservedStatus.FAILED, ObservedStatus.LOST)


def measured(rule: AlertRule, now: datetime) -> Look:
    """Subjects whose mean of the window is above the threshold."""
    values = query.newest((rule.metric,), seconds=rule.window_seconds, now=now)
    bad = {key: found[rule.metric] for key, found in values.items() if found.get(rule.metric, 0) > rule.threshold}
    known = subjects.known(bad)
    return Look([Hit(known[key], bad[key]) for key in bad if key in known], frozenset(values))


def broken_workloads(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Workloads that have crashed, failed or are lost, and should not be gone."""
    return _workloads(Q(observed_status__in=BROKEN))


def unhealthy_workloads(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Workloads that run and do not answer."""
    return _workloads(Q(observed_status=ObservedStatus.UNHEALTHY))


def crash_loops(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Workloads that crash again and again within an hour."""
    since, least = now - timedelta(hours=1), max(1, math.ceil(rule.threshold))
    # the version before notes no times, but when the first one was that it counts
    enough = Q(**{f"crash_times__{least - 1}__gte": since}) | Q(restart_window_at__gte=since)
    return _workloads(Q(restart_count__gte=least) & enough, value="restart_count")


def _workloads(condition: Q, value: str = "") -> Iterable[Hit]:
    found: dict[str, dict[str, Any]] = {}
    for model in workload_models():
        rows = model.objects.alive().exclude(desired_status=DesiredStatus.DELETED).filter(condition)
        fields = ("pk", "observed_status", "status_reason", "restart_count")
        found |= {f"{model.kind}:{row['pk']}": row for row in rows.values(*fields)}
    known = subjects.known(found)
    for key, row in found.items():
        if key in known:
            status = ObservedStatus(row["observed_status"]).label
            text = f"{status}. {row['status_reason']}".strip()
            yield Hit(known[key], row[value] if value else None, text)


def silent_agents(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Nodes in use whose agent was not heard of for longer than the threshold."""
    nodes = Node.objects.filter(is_enabled=True, agent_seen_at__lt=now - timedelta(seconds=rule.threshold))
    seen: Any = nodes.values_list("name", "region__slug", "agent_seen_at")
    for name, region, seen_at in seen:
        subject = Subject(f"node:{name}", name, reverse("nodes:node_detail", args=[name]), region)
        silent = (now - seen_at).total_seconds()
        yield Hit(subject, silent, f"Its agent was last heard of {span(now - seen_at)} ago.", since=seen_at)


def full_pools(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Pools of which at least so many per cent cannot be leased."""
    free = Count("addresses", filter=Q(addresses__state=AddressState.FREE))
    pools = AddressPool.objects.filter(is_enabled=True).annotate(size=Count("addresses"), free=free)
    for pk, name, node, region, size, left in pools.filter(size__gt=0).values_list(
        "pk", "name", "node__name", "node__region__slug", "size", "free"
    ):
        used = 100 * (size - left) / size
        if used >= rule.threshold:
            subject = Subject(f"pool:{pk}", f"{node}/{name}", reverse("nodes:pool_detail", args=[pk]), region)
            yield Hit(subject, used, f"{size - left} of {size} addresses are in use.")


def provisioning_errors(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """More launches of the window than the threshold have failed."""
    rows = _finished(rule, now).filter(status=OperationStatus.FAILED)
    count = rows.count()
    if count > rule.threshold:
        newest = rows.order_by("-finished_at").values_list("error", flat=True).first() or ""
        text = f"{count} launches failed. The last: {newest}"
        yield Hit(_hub("provisioning", "Launches", "nodes:operation_list"), count, text)


def slow_provisioning(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Of the launches of the window, more than one in twenty took longer than the threshold.

    Counted from when a worker began: that work waits is a rule of its own, and what a registry takes for an image that
    is not there yet says nothing of the node.
    """
    done = _finished(rule, now).filter(status=OperationStatus.DONE)
    rows: Any = done.values_list(Coalesce("started_at", "created_at"), "finished_at", "pull_seconds")
    took = sorted((finished - began).total_seconds() - pulls for began, finished, pulls in rows[:MOST_OPERATIONS])
    if took and (slow := took[math.ceil(0.95 * len(took)) - 1]) > rule.threshold:
        text = f"95 of 100 launches took up to {slow:.1f} s, without waiting in the queue and pulling images."
        yield Hit(_hub("launch-time", "Launch time", "nodes:operation_list"), slow, text)


def _finished(rule: AlertRule, now: datetime) -> QuerySet[Operation]:
    since = now - timedelta(seconds=rule.window_seconds)
    return Operation.objects.filter(verb__in=PROVISIONING, finished_at__gte=since, finished_at__lte=now)


def waiting_queues(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Queues in which something has waited for longer than the threshold; the rows are asked, not Redis."""
    oldest: dict[str, datetime] = {}
    queued = Q(status=OperationStatus.QUEUED)
    for model in (Operation, NodeTask):
        rows = model.objects.filter(queued, node__isnull=False)
        for name, at in rows.values_list("node__name").annotate(at=Min("created_at")).order_by():
            oldest[name] = min(at, oldest.get(name, at))
    hub = PeriodicRun.objects.filter(outcome=PeriodicRun.Outcome.WAITING).aggregate(at=Min("claimed_at"))["at"]
    places = {f"queue:node.{name}": (f"Queue of {name}", at) for name, at in oldest.items()}
    if hub:
        places["queue:default"] = ("Queue of the hub", hub)
    for key, (name, at) in places.items():
        waited = (now - at).total_seconds()
        if waited > rule.threshold:
            text = f"The oldest waits for {waited:.0f} s."
            yield Hit(Subject(key, name, reverse("nodes:operation_list") + "?view=open"), waited, text, since=at)


def missing_backup(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """The last dump has failed, or is older than so many hours."""
    runs = PeriodicRun.objects.filter(task=BACKUP_TASK)
    outcome = PeriodicRun.Outcome
    done = runs.filter(outcome=outcome.DONE).aggregate(at=Max("finished_at"))["at"]
    last = runs.filter(outcome__in=[outcome.DONE, outcome.FAILED, outcome.LOST]).order_by("-due_at").first()
    since = done or runs.aggregate(at=Min("claimed_at"))["at"]
    if since is None:  # no scheduler has ever run, which health says
        return
    hours = (now - since).total_seconds() / 3600
    if last and last.outcome != outcome.DONE:
        yield Hit(_hub("backup", "Backup"), hours, f"The last dump did not succeed. {last.error}".strip())
    elif hours > rule.threshold:
        yield Hit(_hub("backup", "Backup"), hours, f"There was no dump for {hours:.0f} hours.")


def failed_backup_work(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """The latest of one kind of backup work has failed, or is older than so many hours."""
    for name, last in reports.newest().items():  # a kind is missing when it is not configured or was not due yet
        kind = BackupReport.Kind(name)
        if kind == BackupReport.Kind.DUMP:  # its own condition looks after it
            continue
        hours = (now - last.at).total_seconds() / 3600
        subject = _hub(f"backup-{kind}", str(kind.label))
        if not last.is_good:
            yield Hit(subject, hours, f"The last one failed. {last.detail}".strip())
        elif hours > rule.threshold:
            yield Hit(subject, hours, f"There was none for {hours:.0f} hours.")


def absent_receiver(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Nobody receives the WAL, or the receiver is more than so many MiB behind."""
    found = reports.receiver()
    if found is None:  # there never was one
        return
    behind = found[1] / 2**20
    if not found[0]:
        yield Hit(_hub("wal", "Receiver of WAL"), behind, f"None is connected; {behind:.0f} MiB are not backed up.")
    elif behind > rule.threshold:
        yield Hit(_hub("wal", "Receiver of WAL"), behind, f"It is {behind:.0f} MiB behind.")


def ending_certificate(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """The certificate at the hub's own address ends within so many days."""
    place = urlsplit(settings.HUB_URL)
    if place.scheme != "https" or not place.hostname:
        return
    end: Any = cache.get_or_set(
        f"certificate:{place.netloc}",
        lambda: certificate_end(place.hostname or "", place.port or 443),
        CERTIFICATE_KEPT_SECONDS,
    )
    days = (end - now).total_seconds() / 86_400
    if days < rule.threshold:
        text = f"It ends on {end:%Y-%m-%d}." if days > 0 else f"It ended on {end:%Y-%m-%d}."
        yield Hit(_hub("certificate", f"Certificate of {place.hostname}"), days, text)


def certificate_end(host: str, port: int) -> datetime:
    """When the certificate that is served there ends; whether it is trusted is not the question."""
    pem = ssl.get_server_certificate((host, port), timeout=5)
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc


def login_failures(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """More logins of the window than the threshold have failed."""
    since = now - timedelta(seconds=rule.window_seconds)
    rows = AuditEntry.objects.filter(action="user.login_failed", at__gte=since)
    facts = rows.aggregate(count=Count("pk"), addresses=Count("ip", distinct=True))
    if facts["count"] > rule.threshold:
        text = f"{facts['count']} logins failed, from {facts['addresses']} addresses."
        yield Hit(_hub("logins", "Logins", "accounts:audit_list"), facts["count"], text)


def hub_disk(rule: AlertRule, now: datetime) -> Iterable[Hit]:
    """Where the hub keeps its data, more than so many per cent are used."""
    place = next(path for path in (settings.HUB_DATA, *settings.HUB_DATA.parents) if path.exists())
    usage = shutil.disk_usage(place)
    used = 100 * (usage.total - usage.free) / usage.total
    if used > rule.threshold:
        yield Hit(_hub("disk", "Disk of the hub"), used, f"{usage.free / 1024**3:.1f} GiB are free.")


def _hub(what: str, name: str, page: str = "monitoring:fleet") -> Subject:
    return Subject(f"hub:{what}", name, reverse(page))


def register_own() -> None:
    """What monitoring itself can look at."""
    register(
        Condition("metric", "A measurement is above", measured, needs_metric=True),
        Condition("workload-broken", "A workload has crashed or failed", broken_workloads),
        Condition("workload-unhealthy", "A workload does not answer", unhealthy_workloads),
        Condition("crash-loop", "A workload crashed within an hour at least", crash_loops, COUNT),
        Condition("agent-silent", "An agent is silent for", silent_agents, SECONDS),
        Condition("pool-used", "A pool is used up to", full_pools, PERCENT),
        Condition("provisioning-errors", "Failed launches are more than", provisioning_errors, COUNT),
        Condition("provisioning-slow", "Launches take longer than", slow_provisioning, SECONDS),
        Condition("queue-waiting", "Something waits in a queue for", waiting_queues, SECONDS),
        Condition("backup-missing", "The last dump failed or is older than", missing_backup, "hours"),
        Condition("backup-failed", "A backup or trial restore failed or is older than", failed_backup_work, "hours"),
        Condition("wal-behind", "WAL is not received, or later by more than", absent_receiver, "MiB"),
        Condition("certificate-ending", "The certificate ends within", ending_certificate, DAYS),
        Condition("login-failures", "Failed logins are more than", login_failures, COUNT),
        Condition("hub-disk", "The hub's own disk is used above", hub_disk, PERCENT),
    )
