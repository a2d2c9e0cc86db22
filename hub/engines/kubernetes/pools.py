"""What the cluster's load balancer can give, and who has it."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..base import EngineError, Reason
from . import names
from .errors import Refused, unavailable
from .gateway import Gateway
from .resources import BGP_ADVERTISEMENTS, L2_ADVERTISEMENTS, POOLS, SERVICES

KNOWN_SECONDS = 60.0
# What is another thing for each of our workloads, so that a selector by it may mean ours.
VARYING = frozenset(
    {
        *names.OUR_LABELS,
        names.LABEL_RUN,
        "kubernetes.io/metadata.name",
        *(f"pod-security.kubernetes.io/{mode}" for mode in ("enforce", "audit", "warn")),
    }
)
SEEN_SECONDS = 1.0  # all ports of a launch are asked for one after the other


class Pools:
    """The address pools of MetalLB, asked for at most once a minute; a cluster may have another load balancer."""

    def __init__(self, gateway: Gateway, name: str = "", *, hub: str) -> None:
        self.gateway = gateway
        self.name = name
        self.hub = hub
        self.leasable: Sequence[str] = ()  # all that the hub could lease here, as far as it was told
        self._ranges: list[tuple[int, int, int]] | None = None
        self._until = 0.0
        self._services: list[dict[str, Any]] = []
        self._seen_until = 0.0
        self._asked: set[tuple[str, int]] = set()

    def ranges(self) -> list[tuple[int, int, int]] | None:
        """Version, first and last of each range; None where there is no MetalLB to ask."""
        if time.monotonic() > self._until:
            try:
                ours = (pool for pool in self.found() if may_serve(pool, self.hub))
                self._ranges = [bounds for pool in ours for bounds in ranges_of(pool)]
            except Refused as error:
                if error.status not in (403, 404):
                    raise
                self._ranges = None
            self._until = time.monotonic() + KNOWN_SECONDS
        return self._ranges

    def found(self) -> list[dict[str, Any]]:
        """The pool the node names, or all there are."""
        return [pool for pool in self.gateway.find(POOLS) if self.name in ("", pool["metadata"]["name"])]

    def have(self, ip: str) -> bool:
        """Whether an address is in a pool that gives to us, as far as anybody can tell."""
        ranges = self.ranges()
        if ranges is None:
            return True
        address = ipaddress.ip_address(ip)
        return any(version == address.version and first <= int(address) <= last for version, first, last in ranges)

    def need(self, ip: str, port: int) -> None:
        """Raise ADDRESS_MISSING for an address that no pool has for us.

        Where none has any that the hub could lease, to go through them one after the other would not help.
        """
        if self.have(ip):
            return
        if ip in self.leasable and not any(self.have(one) for one in self.leasable):
            text = "No pool of the cluster's load balancer has any of this node's addresses: see its examination."
            raise unavailable(text)
        text = f"No pool of the cluster's load balancer has {ip}."
        raise EngineError(text, reason=Reason.ADDRESS_MISSING, ip=ip, port=port)

    def user_of(self, ip: str, port: int, *, hub: str, node_ports: bool) -> str:
        """Which service uses an address, in words, or "". Raises ADDRESS_MISSING for an IP that others have whole."""
        address = ipaddress.ip_address(ip)
        for service in self._services_for(ip, port):
            if labels_of(service).get(names.LABEL_HUB) == hub:
                continue  # leases decide among our own; this may be what a launch that was cut short has made
            spec, metadata = service.get("spec") or {}, service["metadata"]
            numbers = {one.get("nodePort" if node_ports else "port") for one in spec.get("ports") or ()}
            if port in numbers and (node_ports or address in set(_addresses(service))):
                return f"used by the service {metadata['name']} in {metadata['namespace']}"
            if not node_ports and address in set(_addresses(service)):
                text = f"The address belongs to the service {metadata['name']} in {metadata['namespace']}."
                raise EngineError(text, reason=Reason.ADDRESS_MISSING, ip=ip, port=port)
        return ""

    def _services_for(self, ip: str, port: int) -> list[dict[str, Any]]:
        """All services of the cluster, as they were a moment ago at most: what is bound in the end is the proof.

        Who asks for an address again wants news of it.
        """
        if time.monotonic() > self._seen_until or (ip, port) in self._asked:
            self._services = self.gateway.find(SERVICES)
            self._seen_until = time.monotonic() + SEEN_SECONDS
            self._asked.clear()
        self._asked.add((ip, port))
        return self._services


class Announcements:
    """What tells the network where addresses are: without any, packets to them arrive nowhere."""

    def __init__(self, gateway: Gateway) -> None:
        self.found: list[Mapping[str, Any]] = []
        self.unseen: dict[str, int] = {}  # kind of advertisement → why it cannot be seen
        for resource in (L2_ADVERTISEMENTS, BGP_ADVERTISEMENTS):
            try:
                self.found += gateway.find(resource)
            except Refused as error:
                if error.status not in (403, 404):
                    raise
                self.unseen[resource.plural] = error.status

    def have(self, pool: Mapping[str, Any]) -> bool:
        return any(_announces(one, pool) for one in self.found)


def _announces(advertisement: Mapping[str, Any], pool: Mapping[str, Any]) -> bool:
    """One that names no pools and no selectors is for all of its namespace."""
    spec = advertisement.get("spec") or {}
    if advertisement["metadata"].get("namespace") != pool["metadata"].get("namespace"):
        return False
    pools, selectors = spec.get("ipAddressPools") or (), spec.get("ipAddressPoolSelectors") or ()
    if not pools and not selectors:
        return True
    return pool["metadata"]["name"] in pools or any(_selects(one, labels_of(pool)) for one in selectors)


def may_serve(pool: Mapping[str, Any], hub: str) -> bool:
    """Whether a pool may give to this hub: its `serviceAllocation` can keep it for namespaces and services of others.

    A workload's namespace has a name that nobody could list before. (`priority` only says who is asked first for any
    address; ours are asked for by name.)
    """
    allocation = (pool.get("spec") or {}).get("serviceAllocation") or {}
    ours = {**names.MANAGED_BY, names.LABEL_HUB: hub}
    spaces, services = allocation.get("namespaceSelectors") or (), allocation.get("serviceSelectors") or ()
    if (spaces or allocation.get("namespaces")) and not any(_selects(one, ours, VARYING) for one in spaces):
        return False
    return not services or any(_selects(one, ours, VARYING) for one in services)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str], varying: Collection[str] = ()) -> bool:
    """As Kubernetes reads a label selector; what it asks of labels that vary is taken for met."""
    fits = {
        "In": lambda key, values: labels.get(key) in values,
        "NotIn": lambda key, values: labels.get(key) not in values,
        "Exists": lambda key, values: key in labels,
        "DoesNotExist": lambda key, values: key not in labels,
    }
    plain = selector.get("matchLabels") or {}
    asked: list[tuple[Any, Any, Any]] = [(key, "In", [text]) for key, text in plain.items()]
    for one in selector.get("matchExpressions") or ():
        asked.append((one.get("key"), one.get("operator"), one.get("values") or ()))
    return all(key in varying or (how in fits and fits[how](key, values)) for key, how, values in asked)


def labels_of(one: Mapping[str, Any]) -> Mapping[str, str]:
    return one["metadata"].get("labels") or {}


def ranges_of(pool: Mapping[str, Any]) -> Iterator[tuple[int, int, int]]:
    """The ranges of a pool, which may be networks or two ends."""
    for text in (pool.get("spec") or {}).get("addresses") or ():
        first, dash, last = str(text).partition("-")
        try:
            if dash:
                low, high = ipaddress.ip_address(first.strip()), ipaddress.ip_address(last.strip())
                yield low.version, int(low), int(high)
            else:
                network = ipaddress.ip_network(first.strip(), strict=False)
                yield network.version, int(network.network_address), int(network.broadcast_address)
        except ValueError:
            continue


def _addresses(service: Mapping[str, Any]) -> Iterator[Any]:
    for one in ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ():
        if one.get("ip"):
            yield ipaddress.ip_address(one["ip"])
