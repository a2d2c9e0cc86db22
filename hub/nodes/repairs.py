"""Mend what the drift report shows: asked by people here, done by the node's agent after one more look.

Each finding has its own remedies with the verb they need. The agent looks again before it acts, because a report is
a minute old at worst; what is no longer so is left alone, and the task says that.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction

from accounts import audit
from accounts.actors import SYSTEM
from accounts.permissions import can, require
from hub.engines.base import Engine, EngineError, Reason, State
from hub.exceptions import Conflict, NotFound

from . import drift, leases, operations, sockets, tasks
from .choices import AddressState, DesiredStatus, Finding, TaskVerb
from .models import Address, Node, NodeTask
from .reconcile import reconcile
from .sweep import status_of
from .workloads import Workload, workload_model


@dataclass(frozen=True)
class Remedy:
    """One thing that can be done about a finding: its verb, the words on its button, and who may."""

    verb: TaskVerb
    label: str
    permission: str
    do: Callable[[NodeTask, Engine], str]


def remedies_for(finding: str) -> list[Remedy]:
    """What can be done about a finding."""
    return list(REMEDIES.get(Finding(finding), ()))


def may(actor: Any, node: Node, remedy: Remedy) -> bool:
    """Whether this actor may ask for it."""
    return can(actor, remedy.permission, node)


def ask_look(node: Node, *, actor: Any) -> NodeTask:
    """Have the agent compare again; those who may see the report may ask for a fresh one."""
    require(actor, "nodes.view", node)
    with transaction.atomic():
        return tasks.ask(node, TaskVerb.LOOK, actor=actor)


def ask_remedy(node: Node, *, actor: Any, verb: str, key: str) -> NodeTask:
    """Have the agent do something about one row of the report."""
    row = next((row for row in drift.stored_rows(node)[1] if row.key == key), None)
    if row is None:
        raise NotFound("The report does not show this any more; look again.", field="key")
    remedy = next((one for one in remedies_for(row.finding) if one.verb == verb), None)
    if remedy is None:
        raise Conflict(f"{Finding(row.finding).label}: there is nothing to {verb} here.", code="not_now", field="key")
    require(actor, remedy.permission, node)
    with transaction.atomic():
        task = tasks.ask(
            node,
            remedy.verb,
            actor=actor,
            subject=row.subject,
            finding=row.finding,
            key=row.key,
            workload=list(row.workload or ()),
        )
        audit.record(actor, f"drift.{verb}_asked", node, subject=row.subject, finding=row.finding)
    return task


def apply(task: NodeTask, engine: Engine) -> str:
    """Do what a task asks, write it down and look again; answers what came of it."""
    finding = task.arguments["finding"]
    remedy = next(one for one in remedies_for(finding) if one.verb == task.verb)
    outcome = remedy.do(task, engine)
    audit.record(
        task.actor or SYSTEM,
        f"drift.{DONE[remedy.verb]}",
        task.node,
        subject=task.subject,
        finding=finding,
        outcome=outcome,
    )
    drift.look(task.node, engine)
    return outcome


DONE = {TaskVerb.ADOPT: "adopted", TaskVerb.REPAIR: "repaired", TaskVerb.REMOVE: "removed"}


# --- Remedies of workloads ----------------------------------------------------------------------------------------


def _reconcile(task: NodeTask, engine: Engine) -> str:
    """Close the gap now; a paused one can only be ended and started anew."""
    workload = _workload(task)
    seen = engine.inspect(workload.engine_name)
    if seen is not None and seen.state == State.PAUSED and workload.desired_status == DesiredStatus.RUNNING:
        return _restart(task, engine)
    reconcile(type(workload), workload.pk, engine=engine)
    workload.refresh_from_db()
    return f"It is {workload.get_observed_status_display().lower()} now. {workload.status_reason}".strip()


def _restart(task: NodeTask, engine: Engine) -> str:
    """End what runs and start it anew."""
    workload = _workload(task)
    with transaction.atomic():
        locked = type(workload)._base_manager.select_for_update(no_key=True).get(pk=workload.pk)
        if locked.desired_status != DesiredStatus.RUNNING or locked.admin_state:
            raise Conflict("It shall not run any more.", code="not_now")
        operations.wish(locked, verb="restart", actor=task.actor or SYSTEM, desired=DesiredStatus.RUNNING)
    return "It is being restarted."


def _remove_orphan(task: NodeTask, engine: Engine) -> str:
    """Its data stay, unless its row says deleted: then somebody has asked to lose them."""
    name = task.arguments["key"].removeprefix("workload:")
    seen = engine.inspect(name)
    if seen is None:
        return "It was gone already."
    status = status_of(seen, task.node)
    if status not in drift.NO_LIVE_ROW:
        raise Conflict("A live row stands behind it now.", code="not_now")
    data = "kept" if status is None else "deleted, as was asked"
    try:
        engine.remove(name, keep_data=status is None)
    except EngineError as error:
        if error.reason != Reason.TIMED_OUT or ((seen := engine.inspect(name)) and seen.state != State.EXITED):
            raise
        return f"{name} is being removed, its data are {data}: {error}"
    return f"{name} is removed from the engine; its data are {data}."


def _workload(task: NodeTask) -> Workload:
    kind, pk = task.arguments["workload"]
    found = workload_model(kind)._base_manager.select_related("node__region").filter(pk=uuid.UUID(pk)).first()
    if found is None or found.is_deleted or found.node_id != task.node_id:
        raise Conflict("It is deleted by now.", code="not_now")
    return found


# --- Remedies of addresses ----------------------------------------------------------------------------------------


def _move(task: NodeTask, engine: Engine) -> str:
    """Block a leased port that a stranger has bound, lease another, and start the holder there."""
    address = _address(task)
    holder = drift.holder_of(address)
    seen = engine.inspect(holder.engine_name) if holder else None
    taken = _in_the_way(address)
    if not taken or (seen is not None and seen.is_running):
        return "There is nothing in the way any more."
    with transaction.atomic():
        workload = _lock_holder(address)
        moved = leases.replace_blocked(workload, address, reason=taken)
        if workload.desired_status == DesiredStatus.RUNNING and not workload.admin_state:
            operations.wish(workload, verb="move-port", actor=task.actor or SYSTEM, desired=DesiredStatus.RUNNING)
    return f"{address} is blocked; {workload.name} {'has another address' if moved else 'waits for another address'}."


def _lock_holder(address: Address) -> Workload:
    """The holder of a leased address, both locked in the order of the house: holder first."""
    holder = drift.holder_of(address)
    if holder is not None:
        holder = type(holder)._base_manager.select_for_update(no_key=True, of=("self",)).get(pk=holder.pk)
    locked = Address.objects.select_for_update().get(pk=address.pk)
    if holder is None or locked.holder != holder.pk:
        raise Conflict("Its holder has changed meanwhile.", code="not_now")
    return holder


def _block(task: NodeTask, engine: Engine) -> str:
    address = _address(task)
    taken = _in_the_way(address)
    if not taken:
        return "Nobody uses it any more; it stays in the pool."
    with transaction.atomic():
        locked = Address.objects.select_for_update().get(pk=address.pk)
        if locked.state not in (AddressState.FREE, AddressState.QUARANTINED):
            raise Conflict(f"The address is {locked.get_state_display().lower()} by now.", code="not_now")
        leases.block(locked, reason=taken)
    return f"{address} is blocked."


def _put_back(task: NodeTask, engine: Engine) -> str:
    address = _address(task)
    if taken := _in_the_way(address):
        raise Conflict(taken, code="not_now")
    if not leases.unblock(address):
        raise Conflict("The address is not blocked any more.", code="not_now")
    return f"{address} is in the pool again."


def _release(task: NodeTask, engine: Engine) -> str:
    """Let an address rest whose holder is gone."""
    with transaction.atomic():
        address = Address.objects.select_for_update().get(pk=_address(task).pk)
        if address.holder is None or drift.holder_of(address) is not None:
            return "It is not held by the dead any more."
        leases.release(address.holder, ids=[address.pk])
    return f"{address} is released and rests before its next lease."


def _in_the_way(address: Address) -> str:
    """Who has bound an address, or "". Connections that linger there do not count, as they would in a probe."""
    found = sockets.listeners(lambda port: port == address.port)
    who = sockets.words(sockets.on_address(found, str(address.ip), address.port))
    return f"It is used by {who}." if who else ""


def _address(task: NodeTask) -> Address:
    pk = int(task.arguments["key"].removeprefix("address:"))
    found = Address.objects.select_related("pool").filter(pk=pk, node=task.node_id).first()
    if found is None:
        raise Conflict("Its pool is gone.", code="not_now")
    return found


REMEDIES: dict[Finding, tuple[Remedy, ...]] = {
    Finding.MISSING: (Remedy(TaskVerb.REPAIR, "Launch again", "nodes.change", _reconcile),),
    Finding.DIFFERS: (Remedy(TaskVerb.REPAIR, "Repair", "nodes.change", _reconcile),),
    Finding.UNNOTICED: (Remedy(TaskVerb.ADOPT, "Adopt", "nodes.change", _reconcile),),
    Finding.ORPHAN: (Remedy(TaskVerb.REMOVE, "Remove", "nodes.change", _remove_orphan),),
    Finding.SILENT: (Remedy(TaskVerb.REPAIR, "Restart", "nodes.change", _restart),),
    Finding.TAKEN: (Remedy(TaskVerb.REPAIR, "Move to another port", "addresses.release_any", _move),),
    Finding.STRANGER: (Remedy(TaskVerb.REPAIR, "Block port", "addresses.change", _block),),
    Finding.UNUSED_BLOCK: (Remedy(TaskVerb.REPAIR, "Put back into use", "addresses.change", _put_back),),
    Finding.DEAD_LEASE: (Remedy(TaskVerb.REMOVE, "Release", "addresses.release_any", _release),),
}
