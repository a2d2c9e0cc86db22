"""What network policies and source ranges let through, worked out from the objects as a policy engine does."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .store import Object

if TYPE_CHECKING:
    from .server import Cluster


@dataclass(frozen=True)
class Peer:
    """One end of a connection: a pod, or with an address alone anybody else."""

    ip: str
    namespace: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


def peer_of(pod: Object) -> Peer:
    return Peer(pod["status"]["podIP"], pod["metadata"]["namespace"], pod["metadata"].get("labels") or {})


def lets_through(cluster: Cluster, source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether both ends' policies allow it; where none is about an end, it is open."""
    return _side(cluster, "Egress", "egress", "to", source, target, port, protocol) and _side(
        cluster, "Ingress", "ingress", "from", target, source, port, protocol
    )


def answers(cluster: Cluster, ip: str, port: int, source: str, protocol: str = "TCP") -> list[tuple[str, int]]:
    """Whom a player finds at an address that the load balancer has given: namespaces, and ports of their pods."""
    found = []
    for service in cluster.objects("services"):
        given = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        ranges = service["spec"].get("loadBalancerSourceRanges")
        if ip not in {one["ip"] for one in given} or (ranges and not any(_within(source, cidr) for cidr in ranges)):
            continue
        for one in service["spec"]["ports"]:
            if (one["port"], one["protocol"]) != (port, protocol):
                continue
            for pod in cluster.objects("pods", service["metadata"]["namespace"]):
                is_behind = service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
                seen = Peer(source)
                if is_behind and lets_through(cluster, seen, peer_of(pod), one["targetPort"], protocol):
                    found.append((pod["metadata"]["namespace"], one["targetPort"]))
    return found


def _side(cluster: Cluster, kind: str, rules: str, ends: str, own: Peer, other: Peer, port: int, protocol: str) -> bool:
    if not own.namespace:
        return True
    about = [
        policy["spec"]
        for policy in cluster.objects("networkpolicies", own.namespace)
        if kind in policy["spec"]["policyTypes"] and _selects(policy["spec"]["podSelector"], own.labels)
    ]
    return not about or any(
        _rule(cluster, rule, ends, own.namespace, other, port, protocol)
        for spec in about
        for rule in spec.get(rules) or ()
    )


def _rule(cluster: Cluster, rule: Object, ends: str, home: str, other: Peer, port: int, protocol: str) -> bool:
    ports = rule.get("ports")
    if ports and not any((one["port"], one["protocol"]) == (port, protocol) for one in ports):
        return False
    peers = rule.get(ends)
    return not peers or any(_is_meant(cluster, one, home, other) for one in peers)


def _is_meant(cluster: Cluster, peer: Object, home: str, other: Peer) -> bool:
    if block := peer.get("ipBlock"):
        return _within(other.ip, block["cidr"]) and not any(_within(other.ip, one) for one in block.get("except") or ())
    if not other.namespace:
        return False
    if "namespaceSelector" in peer:
        namespace = next(one for one in cluster.objects("namespaces") if one["metadata"]["name"] == other.namespace)
        labels = {**(namespace["metadata"].get("labels") or {}), "kubernetes.io/metadata.name": other.namespace}
        if not _selects(peer["namespaceSelector"], labels):
            return False
    elif other.namespace != home:
        return False
    return _selects(peer.get("podSelector") or {}, other.labels)


def _selects(selector: Object, labels: Mapping[str, str]) -> bool:
    return (selector.get("matchLabels") or {}).items() <= labels.items()


def _within(ip: str, cidr: str) -> bool:
    address, network = ipaddress.ip_address(ip), ipaddress.ip_network(cidr)
    return address.version == network.version and address in network
