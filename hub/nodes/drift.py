"""Database, engine and listening sockets of a node side by side: what each says, and where they disagree.

The agent compares, because only it can see all three; pages and the API show what it last found. The database is read
after the engine and whatever looks wrong is looked at once more, so that a step taken meanwhile is no drift. What is
under way (a wish that is being fulfilled) is none either.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from hub.engines.base import Engine, EngineError, Observation, State, workload_name

from . import sockets
from .choices import (
    LIVE,
    PROBLEMS,
    AddressState,
    DesiredStatus,
    EngineKind,
    Finding,
    ObservedStatus,
    PoolKind,
    ReportKind,
)
from .models import Address, Node, NodeReport
from .sweep import status_of
from .workloads import Workload, workload_models

MAX_HARMLESS_ROWS = 300
NOTHING = "–"
Heard = sockets.Listeners | None
ORDER = {kind: place for place, kind in enumerate(Finding)}
NO_LIVE_ROW = (None, ObservedStatus.DELETED)
UNDER_WAY = frozenset(
    {
        ObservedStatus.QUEUED,
        ObservedStatus.PULLING,
        ObservedStatus.INSTALLING,
        ObservedStatus.STOPPING,
        ObservedStatus.DELETING,
    }
)


@dataclass(frozen=True)
class Row:
    """One line of the report: a workload or an address, what the three say of it, and what to make of that.

    `key` names it for whoever wants something done about it; `workload` is kind and id.
    """

    key: str
    finding: str
    subject: str
    database: str = NOTHING
    engine: str = NOTHING
    sockets: str = NOTHING
    why: str = ""
    workload: tuple[str, str] | None = None

    @classmethod
    def stored(cls, row: dict[str, Any]) -> Row:
        """A row as it comes out of the database."""
        workload = row.get("workload")
        return cls(**{**row, "workload": tuple(workload) if workload else None})

    @property
    def is_problem(self) -> bool:
        return self.finding in PROBLEMS


def look(node: Node, engine: Engine) -> list[Row]:
    """Compare now and store what was found; when the engine does not answer, that is what is stored."""
    try:
        rows = compare(node, engine)
    except EngineError as error:
        NodeReport.objects.update_or_create(node=node, kind=ReportKind.DRIFT, defaults={"error": str(error)})
        raise
    NodeReport.objects.update_or_create(
        node=node,
        kind=ReportKind.DRIFT,
        defaults={"rows": [asdict(row) for row in rows], "error": "", "taken_at": timezone.now()},
    )
    return rows


def compare(node: Node, engine: Engine) -> list[Row]:
    """Every workload and every noteworthy address of the node, problems first."""
    held = {seen.name: seen for seen in engine.list_owned()}
    # A cluster binds its addresses itself, not the machine that its agent runs on.
    heard = None if node.engine == EngineKind.KUBERNETES else sockets.listeners(lambda port: port >= 1024)
    rows = [*_workloads(node, engine, dict(held), heard), *_addresses(node, engine, held, heard)]
    rows.sort(key=lambda row: (ORDER[Finding(row.finding)], row.subject))
    problems = [row for row in rows if row.is_problem]
    return problems + [row for row in rows if not row.is_problem][:MAX_HARMLESS_ROWS]


def stored_rows(node: Node) -> tuple[NodeReport | None, list[Row]]:
    """What the agent last found."""
    report = NodeReport.objects.filter(node=node, kind=ReportKind.DRIFT).first()
    return report, [Row.stored(row) for row in report.rows] if report else []


# --- Workloads ----------------------------------------------------------------------------------------------------


def _workloads(node: Node, engine: Engine, held: dict[str, Observation], heard: Heard) -> Iterator[Row]:
    """Rows of the database with what the engine holds of each, then what only the engine holds. Empties `held`."""
    for model in workload_models():
        rows = list(model._base_manager.filter(node=node).exclude(observed_status=ObservedStatus.DELETED))
        addresses = _leased_by([row.pk for row in rows])
        for workload in rows:
            seen = held.pop(workload.engine_name, None)
            finding, why = judge(workload, seen)
            if finding in PROBLEMS:
                fresh = model._base_manager.filter(pk=workload.pk).first()
                if fresh is None or fresh.is_deleted:
                    continue
                workload, seen = fresh, engine.inspect(fresh.engine_name)
                finding, why = judge(workload, seen)
            yield Row(
                key=f"workload:{workload.engine_name}",
                finding=finding,
                subject=workload.name,
                database=_status_words(workload),
                engine=_engine_words(seen),
                sockets=_socket_words(addresses.get(workload.pk, ()), heard),
                why=why,
                workload=(workload.kind, str(workload.pk)),
            )
    for seen in held.values():
        if status_of(seen, node) in NO_LIVE_ROW and engine.inspect(seen.name) is not None:
            why = "It carries this hub's labels, and no live row stands behind it. The next sweep removes it, too."
            yield Row(
                f"workload:{seen.name}", Finding.ORPHAN, seen.name, engine=_engine_words(seen), why=why,
                workload=(seen.kind, str(seen.id)),
            )  # fmt: skip


def judge(workload: Workload, seen: Observation | None) -> tuple[Finding, str]:
    """Whether row and engine agree about a workload, and if not, why."""
    runs = seen is not None and seen.is_running
    status = ObservedStatus(workload.observed_status)
    if workload.desired_status == DesiredStatus.DELETED or status in UNDER_WAY:
        return Finding.BUSY, "What was asked is being done."
    if seen is not None and seen.is_ending and status not in LIVE:
        return Finding.BUSY, "It was asked to end and has its time for that."
    if workload.desired_status == DesiredStatus.STOPPED:
        if runs:
            return Finding.DIFFERS, "It shall be stopped and runs."
        if status == ObservedStatus.STOPPED:
            return Finding.IN_STEP, ""
        return Finding.BUSY, "It is about to be noted as stopped."
    if status in LIVE:
        return _judge_live(workload, seen)
    if runs:
        return Finding.UNNOTICED, f"It is noted as {status.label.lower()}, and yet it runs."
    return Finding.IN_STEP, workload.status_reason


def _judge_live(workload: Workload, seen: Observation | None) -> tuple[Finding, str]:
    if seen is None:
        return Finding.MISSING, "It is noted as running; the engine knows nothing of it."
    if not seen.is_running:
        return Finding.DIFFERS, "It is noted as running and has ended."
    if seen.generation != workload.generation:
        return Finding.DIFFERS, f"Generation {workload.generation} is wanted and {seen.generation} runs."
    if seen.state == State.PAUSED:
        return Finding.DIFFERS, "Somebody has paused it; resume it or restart it."
    return Finding.IN_STEP, workload.status_reason


def _status_words(workload: Workload) -> str:
    wanted = workload.get_desired_status_display().lower()
    return f"{workload.get_observed_status_display()}, wanted {wanted}, generation {workload.generation}"


def _engine_words(seen: Observation | None) -> str:
    return f"{seen.state.value.capitalize()}, generation {seen.generation}" if seen else NOTHING


def _leased_by(holders: list[Any]) -> dict[Any, list[Address]]:
    found: dict[Any, list[Address]] = {}
    for address in Address.objects.filter(state=AddressState.LEASED, holder__in=holders, port__isnull=False):
        found.setdefault(address.holder, []).append(address)
    return found


def _socket_words(addresses: Any, heard: Heard) -> str:
    parts = []
    if heard is None:
        return NOTHING
    for address in addresses:
        who = sockets.on_address(heard, str(address.ip), address.port)
        parts.append(f"{address}: {sockets.words(who) or 'nobody'}")
    return "; ".join(parts) or NOTHING


# --- Addresses ----------------------------------------------------------------------------------------------------


def _addresses(node: Node, engine: Engine, held: dict[str, Observation], heard: Heard) -> Iterator[Row]:
    """Ports of the node's pools that are not as they should be."""
    bound = {(port.ip, port.port) for seen in held.values() if seen.is_running for port in seen.ports}
    running = {seen.id for seen in held.values() if seen.is_running}
    ready = _ready(node)
    for address in _noteworthy(node, heard or {}):
        who = sockets.on_address(heard or {}, str(address.ip), address.port)
        is_ours = (str(address.ip), address.port) in bound
        should_listen = is_ours and address.holder in ready
        found = _judge_address(address, who, is_ours or address.holder in running, should_listen)
        if found is None:
            continue
        finding, why = found
        if heard is None and finding != Finding.DEAD_LEASE:
            continue
        if finding == Finding.TAKEN and _runs(engine, holder_kind(address), address.holder):
            continue
        yield Row(
            key=f"address:{address.pk}",
            finding=finding,
            subject=str(address),
            database=f"{address.get_state_display()}{f', {address.port_name}' if address.port_name else ''}",
            sockets=sockets.words(who) or "nobody",
            why=why,
            workload=(kind, str(address.holder)) if (kind := holder_kind(address)) else None,
        )


def _runs(engine: Engine, kind: str, pk: Any) -> bool:
    seen = engine.inspect(workload_name(kind, pk))
    return seen is not None and seen.is_running


def _ready(node: Node) -> set[Any]:
    """The workloads that have answered on their ports."""
    ready: set[Any] = set()
    for model in workload_models():
        rows = model._base_manager.filter(node=node, observed_status=ObservedStatus.RUNNING)
        ready.update(rows.values_list("pk", flat=True))
    return ready


def _noteworthy(node: Node, heard: sockets.Listeners) -> list[Any]:
    """Ports that are leased or blocked, or that somebody listens on."""
    ports = Address.objects.filter(node=node, pool__kind=PoolKind.HOST_PORTS, port__isnull=False)
    wanted = Q(state__in=(AddressState.LEASED, AddressState.BLOCKED)) | Q(port__in=list(heard))
    return list(ports.filter(wanted).annotate(**live_holders()).order_by("port"))


def live_holders() -> dict[str, Exists]:
    """For each kind of workload, whether the address's holder is a live one of it; `is_held` reads it."""
    return {
        f"held_by_{model.kind}": Exists(
            model._base_manager.filter(pk=OuterRef("holder")).exclude(observed_status=ObservedStatus.DELETED)
        )
        for model in workload_models()
    }


def holder_kind(address: Any) -> str:
    """The kind of the live workload behind a lease, as the statement that has read the address saw it; "" for none."""
    return next((model.kind for model in workload_models() if getattr(address, f"held_by_{model.kind}")), "")


def holder_of(address: Address) -> Workload | None:
    """The live workload that holds an address, or None."""
    if address.holder is None:
        return None
    for model in workload_models():
        found = model._base_manager.select_related("node__region").filter(pk=address.holder).first()
        if found is not None and not found.is_deleted:
            return found
    return None


def _judge_address(
    address: Any, who: list[sockets.Listener], is_ours: bool, should_listen: bool
) -> tuple[Finding, str] | None:
    """What is wrong with one port, or None. `is_ours`: a running workload has bound it, or its holder runs."""
    if address.state == AddressState.LEASED:
        if not holder_kind(address):
            return Finding.DEAD_LEASE, "Whoever leased it is gone."
        if who and not is_ours:
            return Finding.TAKEN, "Its holder does not run, and something else has bound it."
        if should_listen and not who:
            return Finding.SILENT, "Its holder runs, and nothing is bound to it."
        return None
    if address.state == AddressState.BLOCKED:
        return None if who else (Finding.UNUSED_BLOCK, address.reason)
    if who and not is_ours:
        return Finding.STRANGER, "Nobody leases it, and something has bound it. The hub would pass by it at a launch."
    return None
