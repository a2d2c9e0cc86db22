"""Addresses of a workload that is being driven: lease what is missing, and move on from one that cannot be bound."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from django.db import transaction

from accounts import audit
from accounts.actors import SYSTEM
from hub.engines.base import Engine, EngineError, Obstacle, Reason

from . import leases, steps
from .choices import ObservedStatus, OperationStatus, PoolKind
from .models import Address
from .steps import OVERTAKEN, Step, lock_held
from .workloads import PortRequest, Workload

logger = logging.getLogger(__name__)
S = ObservedStatus
TOO_FEW = "Its node has fewer addresses in all than it needs."


def give_back_unwanted(workload: Workload, wanted: Sequence[PortRequest], held: list[Address]) -> list[Address]:
    """Release the ports that it does not want any more, such as those its template has lost; says what it keeps."""
    names = {(port.name, port.is_public) for port in wanted}
    unwanted = [
        address
        for address in held
        if address.pool.kind == PoolKind.HOST_PORTS and (address.port_name, address.pool.is_public) not in names
    ]
    if not unwanted:
        return held
    with transaction.atomic():
        if lock_held(workload):
            leases.release(workload.pk, ids=[address.pk for address in unwanted])
    return [address for address in held if address not in unwanted]


def lease_missing(workload: Workload, missing: Sequence[PortRequest]) -> Step:
    """Lease the ports it lacks, or take a place in the queue for them."""
    with transaction.atomic():
        if not lock_held(workload):
            return OVERTAKEN
        leases.leave_queue(workload.pk, but_for=[port.name for port in missing])
        if leases.place_in_queue(workload.pk) is None:
            if leases.lease_ports(node=workload.node, holder=workload.pk, wanted=missing) is not None:
                return Step(S.QUEUED, "", again=True)
            if not leases.can_ever_serve(workload.node, workload.ports_wanted()):
                return Step(S.FAILED, TOO_FEW, operation=OperationStatus.FAILED)
            leases.queue_for_ports(workload, missing)
    return _wait(workload)


def probe(engine: Engine, addresses: Iterable[Address]) -> Obstacle | None:
    """What stands in the way of binding one of these addresses for the first time.

    What a workload has run on before is left to the engine's own bind: connections of its last run linger there a
    while, and a probe takes them for a stranger.
    """
    for address in addresses:
        if address.port is None or address.proven_at is not None:
            continue
        ip = str(address.ip)
        try:
            taken = engine.probe_address(ip, address.port)
        except EngineError as error:
            if error.reason == Reason.ADDRESS_MISSING:
                return Obstacle(error.reason, str(error), ip=ip, port=address.port)
            raise
        if taken:
            return Obstacle(Reason.ADDRESS_TAKEN, taken, ip=ip, port=address.port)
    return None


def move_away(workload: Workload, addresses: Iterable[Address], problem: Obstacle | EngineError) -> Step | None:
    """When the problem is one of the leased addresses: block that with the reason, take the next, and say so.

    None when it is not, or when the IP cannot be had and there is no port on another one: a pool whose IP was mistyped,
    or has not come up yet, would otherwise be blocked as a whole.
    """
    if problem.reason not in (Reason.ADDRESS_TAKEN, Reason.ADDRESS_MISSING):
        return None
    for address in addresses:
        if address.port == problem.port and str(address.ip) == problem.ip:
            break
    else:
        return None
    is_whole = problem.reason == Reason.ADDRESS_MISSING
    if is_whole and address.pool.kind == PoolKind.HOST_PORTS and not leases.has_other_ip(address):
        return None
    why = str(problem)
    logger.warning("address %s of %s cannot be used: %s", address, workload.engine_name, why)
    with transaction.atomic():
        if not lock_held(workload):
            return OVERTAKEN
        is_moved = leases.replace_blocked(workload, address, reason=why, is_whole=is_whole)
        _tell_of_move(workload, address, why)
    if is_moved:
        return Step(S.QUEUED, f"{address} is in use by something else ({why}); moved to another address.", again=True)
    return _wait(workload)


def _tell_of_move(workload: Workload, address: Address, why: str) -> None:
    """Write down where it went and why: its status says so only until it runs, and players knew the old port."""
    now = workload.addresses().filter(port_name=address.port_name).first()
    audit.record(
        SYSTEM,
        f"{workload.kind}.port_moved",
        workload,
        port=address.port_name,
        old=str(address),
        new=str(now or "none free yet"),
        reason=why,
    )


def _wait(workload: Workload) -> Step:
    return Step(S.QUEUED, leases.waiting_reason(workload.pk), check_in=steps.RETRY_SECONDS)
