"""What lies around workloads that may reach the Internet: who resolves names for them, and what they must not reach."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..base import Check, Verdict
from .gateway import Gateway
from .options import Options
from .pools import labels_of
from .resources import DAEMON_SETS, NODES, PODS, SERVICES

CACHE = "node-local-dns"
USUAL_CACHE = "169.254.20.10"
MOST_SHOWN = 5


def resolver(gateway: Gateway, options: Options) -> Check:
    """Whether the one that policies let workloads ask is there, and no cache stands before it."""
    name = "Names"
    selector = ",".join(f"{key}={text}" for key, text in options.dns_labels)
    if not gateway.find(PODS, options.dns_namespace, selector=selector):
        text = f"No resolver ({selector}) is found in {options.dns_namespace}: workloads resolve no names."
        return Check(name, Verdict.BAD, text, "Name its namespace in the option `dns_namespace`.")
    missing = [ip for ip in _caches(gateway, options) if f"{ip}/{_bits(ip)}" not in options.dns_addresses]
    if missing:
        text = f"A cache on each machine resolves names at {', '.join(missing)}, which workloads do not reach."
        return Check(name, Verdict.BAD, text, "Put these addresses into the option `dns_addresses`.")
    return Check(name, Verdict.GOOD, "The cluster's resolver can be asked, and nobody else.")


def _caches(gateway: Gateway, options: Options) -> list[str]:
    """Where NodeLocal DNSCache listens: on each machine itself, also on the resolver's own address."""
    for one in gateway.find(DAEMON_SETS, options.dns_namespace):
        if CACHE not in (one["metadata"]["name"], labels_of(one).get("k8s-app")):
            continue
        pod = ((one.get("spec") or {}).get("template") or {}).get("spec") or {}
        words = " ".join(word for container in pod.get("containers") or () for word in container.get("args") or ())
        told = re.search(r"-localip[= ](\S+)", words)
        found = [ip for ip in (told[1].split(",") if told else ()) if _is_address(ip)]
        return found or [USUAL_CACHE]
    return []


def near(gateway: Gateway, options: Options, ips: Sequence[str]) -> Check:
    """Whether nodes, pods, services and our own addresses lie in what workloads are kept away from."""
    name = "Near networks"
    nodes = gateway.find(NODES)
    services = gateway.find(SERVICES, "default", fields="metadata.name=kubernetes")
    around = [*_of_nodes(nodes), *_of_services(services), *ips]
    closed = {version: [ipaddress.ip_network(text) for text in options.closed(version)] for version in (4, 6)}
    open_ones = [text for text in dict.fromkeys(around) if not _is_closed(text, closed)]
    if open_ones:
        more = len(open_ones) - MOST_SHOWN
        shown = ", ".join(open_ones[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        text = f"Workloads that may reach the Internet reach {shown}, too."
        return Check(name, Verdict.BAD, text, "Put their networks into the option `closed_networks`.")
    return Check(name, Verdict.GOOD, "Machines, pods, services and players' addresses are out of workloads' reach.")


def _of_nodes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for node in nodes:
        told = (node.get("status") or {}).get("addresses") or ()
        yield from (one["address"] for one in told if one.get("type") in ("InternalIP", "ExternalIP"))
        spec = node.get("spec") or {}
        yield from spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])


def _of_services(services: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for service in services:
        yield from (service.get("spec") or {}).get("clusterIPs") or ()


def _is_closed(text: str, closed: Mapping[int, Sequence[Any]]) -> bool:
    """Whether an address or a network lies in one of these; what is neither is nobody's to reach."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return True
    return any(network.subnet_of(one) for one in closed[network.version])


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _bits(ip: str) -> int:
    return ipaddress.ip_address(ip).max_prefixlen
