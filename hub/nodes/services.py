"""What people do with regions, nodes, pools and addresses."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError

from accounts import audit
from accounts.permissions import require
from hub import bulk
from hub.exceptions import Conflict, Invalid

from . import clusters, leases
from .choices import AddressState, EngineKind, PoolKind
from .models import Address, AddressPool, Node, Region
from .workloads import workload_models

DEFAULT_PORTS = (25565, 26000)
RCON_PORT = 25575  # the well-known RCON port lies inside the game range and is never handed out
PRIVATE_PORTS = (26001, 27000)
NODE_PORTS = range(30000, 32768)
WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognised here in order to be refused


def create_region(*, actor: Any, slug: str, name: str, position: int = 0) -> Region:
    """Add a region."""
    require(actor, "regions.change")
    region = Region(slug=slug, name=name, position=position)
    with transaction.atomic():
        _clean_and_save(region)
        audit.record(actor, "region.created", region, slug=slug)
    return region


def update_region(region: Region, *, actor: Any, **changes: Any) -> Region:
    """Change a region's name, position, or whether it takes new servers."""
    require(actor, "regions.change", region)
    with transaction.atomic():
        locked = Region.objects.select_for_update(no_key=True).get(pk=region.pk)
        before = {name: getattr(locked, name) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        _clean_and_save(locked)
        audit.record(actor, "region.updated", locked, **audit.changes(before, changes))
    return locked


def delete_region(region: Region, *, actor: Any) -> None:
    """Remove a region in which no node stands."""
    require(actor, "regions.change", region)
    with transaction.atomic():
        locked = Region.objects.select_for_update().get(pk=region.pk)
        if locked.nodes.exists():
            raise Conflict("Nodes stand in this region.", code="region_in_use")
        audit.record(actor, "region.deleted", locked)
        try:
            locked.delete()
        except ProtectedError:
            raise Conflict("Something else still belongs to this region.", code="region_in_use") from None


def create_node(*, actor: Any, name: str, region: Region, engine: str, **values: Any) -> Node:
    """Add a node; it takes workloads once it has a pool and its agent runs."""
    require(actor, "nodes.change")
    if engine not in EngineKind.values:
        raise Invalid(f"There is no engine {engine}.", field="engine")
    values["options"] = clusters.own_options(engine, name, values.get("options") or {})
    clusters.check_options(engine, name, values["options"])
    credentials = values.pop("credentials", None)
    if kubeconfig := values.pop("kubeconfig", ""):
        clusters.check_kubeconfig(engine, kubeconfig)
        credentials = {**(credentials or {}), "kubeconfig": kubeconfig}
    node = Node(name=name, region=region, engine=engine, **values)
    if credentials:
        node.credentials = json.dumps(credentials)
    with transaction.atomic():
        _clean_and_save(node)
        audit.record(actor, "node.created", node, engine=engine, region=region.slug)
    return node


def update_node(node: Node, *, actor: Any, **changes: Any) -> Node:
    """Change a node's settings: region, capacity, overcommit, engine options, enabled, draining."""
    require(actor, "nodes.change", node)
    if "options" in changes:
        changes["options"] = clusters.with_same_hub(node, changes["options"])
        clusters.check_options(node.engine, node.name, changes["options"])
    with transaction.atomic():
        locked = Node.objects.select_for_update(no_key=True).get(pk=node.pk)
        before = {name: _plain(getattr(locked, name)) for name in changes}
        for name, value in changes.items():
            setattr(locked, name, value)
        if "options" in changes and changes["options"] != before["options"]:
            _refuse_options_against_pools(locked, before["options"])
        _clean_and_save(locked)
        after = {name: _plain(value) for name, value in changes.items()}
        if before.get("options") != after.get("options"):
            clusters.examine_anew(locked)
        audit.record(actor, "node.updated", locked, before=before, after=after)
    return locked


def delete_node(node: Node, *, actor: Any) -> None:
    """Remove a node that has no live workloads, with its pools."""
    require(actor, "nodes.change", node)
    with transaction.atomic():
        locked = Node.objects.select_for_update().get(pk=node.pk)
        for model in workload_models():
            if model.objects.filter(node=locked).exists():
                raise Conflict("The node still has workloads, or a record of them.", code="node_in_use")
        audit.record(actor, "node.deleted", locked)
        locked.delete()


def create_pool(*, actor: Any, node: Node, name: str, first_ip: str, **values: Any) -> AddressPool:
    """Add a pool and make its addresses, in one transaction.

    Refused with the reason: an address the node does not have, ports inside the machine's ephemeral range, an overlap
    with another pool.
    """
    require(actor, "pools.change")
    pool = AddressPool(node=node, name=name, first_ip=first_ip, **values)
    _refuse_unusable(pool)
    with transaction.atomic():
        try:
            with transaction.atomic():
                pool.full_clean(exclude=["node"])
                pool.save()
        except ValidationError as error:
            raise _invalid(error) from None
        count = leases.fill_pool(pool)
        clusters.examine_anew(node)
        audit.record(actor, "pool.created", pool, addresses=count)
    return pool


def delete_pool(pool: AddressPool, *, actor: Any) -> None:
    """Remove a pool none of whose addresses is leased."""
    require(actor, "pools.change", pool)
    with transaction.atomic():
        locked = AddressPool.objects.select_for_update().get(pk=pool.pk)
        held = list(Address.objects.select_for_update().filter(pool=locked, state=AddressState.LEASED)[:1])
        if held:
            raise Conflict("Some of its addresses are leased.", code="pool_in_use")
        audit.record(actor, "pool.deleted", locked)
        locked.delete()
        clusters.examine_anew(locked.node)


def set_pool_enabled(pool: AddressPool, *, actor: Any, is_enabled: bool) -> None:
    """Let a pool give addresses, or stop it; those it has given stay leased."""
    require(actor, "pools.change", pool)
    if is_enabled and pool.node.engine == EngineKind.KUBERNETES:
        _refuse_unusable_in_cluster(pool)  # the node's options may have changed since it was made
    with transaction.atomic():
        AddressPool.objects.filter(pk=pool.pk).update(is_enabled=is_enabled)
        clusters.examine_anew(pool.node)
        audit.record(actor, "pool.enabled" if is_enabled else "pool.disabled", pool)


def block_address(address: Address, *, actor: Any, reason: str) -> None:
    """Take a free or resting address out of use."""
    require(actor, "addresses.change", address)
    with transaction.atomic():
        locked = Address.objects.select_for_update().get(pk=address.pk)
        if locked.state == AddressState.LEASED:
            raise Conflict("The address is leased; move its holder to another one first.", code="address_leased")
        leases.block(locked, reason=reason)
        audit.record(actor, "address.blocked", locked, reason=reason)


def unblock_address(address: Address, *, actor: Any) -> None:
    """Put a blocked address back into use."""
    require(actor, "addresses.change", address)
    with transaction.atomic():
        if not leases.unblock(address):
            raise Conflict("The address is not blocked.", code="address_not_blocked")
        audit.record(actor, "address.unblocked", address)


def block_addresses(ids: Iterable[int], *, actor: Any, reason: str) -> list[bulk.Result[Address]]:
    """Take many out of use, with a result for each."""
    require(actor, "addresses.change")
    rows = Address.objects.visible_to(actor)
    return bulk.for_keys(ids, rows, lambda address: block_address(address, actor=actor, reason=reason))


def unblock_addresses(ids: Iterable[int], *, actor: Any) -> list[bulk.Result[Address]]:
    """Put many back into use, with a result for each."""
    require(actor, "addresses.change")
    rows = Address.objects.visible_to(actor)
    return bulk.for_keys(ids, rows, lambda address: unblock_address(address, actor=actor))


def _refuse_unusable(pool: AddressPool) -> None:
    """Hold the pool against what the node's agent last told of its machine."""
    facts = pool.node.agent_facts
    try:
        ipaddress.ip_address(pool.first_ip)
    except ValueError:
        raise Invalid("This is not an IP address.", field="first_ip") from None
    if pool.node.engine == EngineKind.KUBERNETES:
        _refuse_unusable_in_cluster(pool)
        return
    if pool.kind != PoolKind.HOST_PORTS:
        return
    if pool.first_ip in WILDCARDS:
        raise Invalid("Name one address of the node, not all of them.", field="first_ip")
    had = {ipaddress.ip_address(ip) for ip in facts.get("ips") or ()}
    for ip in leases.ips_of(pool) if had else ():
        if ipaddress.ip_address(ip) not in had:
            field = "first_ip" if ip == pool.first_ip else "last_ip"
            raise Invalid(f"{pool.node.name} does not have the address {ip}.", field=field)
    low, high = facts.get("ephemeral_ports") or (32768, 60999)
    if pool.first_port and pool.last_port and pool.first_port <= high and pool.last_port >= low:
        raise Invalid(
            f"The ports {low}–{high} are used by the node's own outgoing connections; a pool must lie outside.",
            field="first_port",
        )


def _refuse_unusable_in_cluster(pool: AddressPool) -> None:
    """Addresses of a cluster are not those of the machine its agent runs on."""
    if why := _unusable_in_cluster(pool, pool.node.options):
        raise Invalid(why[1], field=why[0])


def _refuse_options_against_pools(node: Node, before: dict[str, Any]) -> None:
    """Options that change must leave pools of use that were, as a new pool must be of use under them."""
    if node.engine != EngineKind.KUBERNETES:
        return
    for pool in node.pools.filter(is_enabled=True):
        why = _unusable_in_cluster(pool, node.options)
        if why and not _unusable_in_cluster(pool, before):
            text = f"The pool {pool.name} would be of no use: {why[1]} Delete it or switch it off first."
            raise Conflict(text, code="pool_unusable", field="options")


def _unusable_in_cluster(pool: AddressPool, options: dict[str, Any]) -> tuple[str, str] | None:
    """Which field keeps the ports of a pool from use under these options, and why."""
    node = pool.node.name
    if pool.kind != PoolKind.HOST_PORTS:
        return None
    if options.get("exposure") == "node_ports":
        if not all(port and port in NODE_PORTS for port in (pool.first_port, pool.last_port)):
            return "first_port", f"{node} exposes node ports: its pools lie within {NODE_PORTS[0]}–{NODE_PORTS[-1]}."
    elif not options.get("share_addresses", True) and pool.first_port != pool.last_port:
        text = f"Nobody shares an IP on {node} (`share_addresses`), so that only one port of each can be used."
        return "last_port", text
    return None


def _clean_and_save(row: Any) -> None:
    try:
        row.full_clean()
        with transaction.atomic():
            row.save()
    except ValidationError as error:
        raise _invalid(error) from None
    except IntegrityError:
        raise Conflict(f"There is such a {row._meta.verbose_name} already.", code="exists") from None


def _invalid(error: ValidationError) -> Invalid:
    if hasattr(error, "error_dict"):
        name, messages = next(iter(error.message_dict.items()))
        return Invalid(messages[0], field="" if name == "__all__" else name)
    return Invalid(error.messages[0])


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | dict | list | None) else str(value)
