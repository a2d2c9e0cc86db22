"""What can reach a workload, and what it can reach: services and network policies."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

from ..base import LABEL_ID, PortBinding, WorkloadSpec
from .errors import refusal
from .names import plain
from .options import LOAD_BALANCER, NODE_PORT_RANGE, Options

PROTOCOLS = ("TCP", "UDP")
WANTED_IPS = "metallb.io/loadBalancerIPs"
WANTED_POOL = "metallb.io/address-pool"
SHARING_KEY = "metallb.io/allow-shared-ip"
DNS_PORT = 53

Object = dict[str, Any]


def by_ip(spec: WorkloadSpec) -> dict[str, list[PortBinding]]:
    """The leased addresses that players use."""
    found: dict[str, list[PortBinding]] = {}
    for binding in spec.ports:
        if binding.public:
            found.setdefault(str(ipaddress.ip_address(binding.ip)), []).append(binding)
    return found


def service_name(ip: str) -> str:
    """One service for each address, named so that a move leaves the old one recognisable."""
    return f"ip-{ip.replace(':', '-').replace('.', '-')}".strip("-")


def is_shared(spec: WorkloadSpec, options: Options) -> bool:
    """Whether others may have its address on other ports: as the workload says, else as the node does."""
    return options.share_addresses if spec.shares_address is None else spec.shares_address


def services(spec: WorkloadSpec, options: Options) -> Iterator[tuple[str, Object, Object]]:
    """Name, annotations and content of each service. Ports are leased for TCP and UDP alike."""
    for ip, bindings in by_ip(spec).items():
        notes: Object = {}
        content: Object = {"type": "NodePort"}
        if options.exposure == LOAD_BALANCER:
            notes, content = _load_balancer(ip, spec, options)
        # Readiness is for the hub to see. Without this a challenge that answers 404 would be cut off from its team.
        content |= {"selector": {LABEL_ID: str(spec.id)}, "publishNotReadyAddresses": True, "ports": []}
        for number, binding in enumerate(bindings):
            if options.exposure != LOAD_BALANCER and binding.port not in NODE_PORT_RANGE:
                raise refusal(f"Port {binding.port} is no node port: this node's pools must lie within 30000–32767.")
            for protocol in PROTOCOLS:
                port: Object = {"name": f"p{number}-{protocol.lower()}", "protocol": protocol}
                port |= {"port": binding.port, "targetPort": binding.target_port}
                if options.exposure != LOAD_BALANCER:
                    port |= {"port": binding.target_port, "nodePort": binding.port}
                content["ports"].append(port)
        yield service_name(ip), notes, content


def _load_balancer(ip: str, spec: WorkloadSpec, options: Options) -> tuple[Object, Object]:
    notes = {WANTED_IPS: ip}
    if options.address_pool:
        notes[WANTED_POOL] = options.address_pool
    # The family is the address's: a cluster's own first one may be the other, and then nothing is given.
    family = f"IPv{ipaddress.ip_address(ip).version}"
    content: Object = {"type": "LoadBalancer", "allocateLoadBalancerNodePorts": False}
    content |= {"ipFamilyPolicy": "SingleStack", "ipFamilies": [family]}
    if is_shared(spec, options):
        # MetalLB shares an IP between services of one key whose policy is Cluster. Only leases decide who gets there;
        # the key names the team, too, so that one team's address is never shared with another's leftovers.
        notes[SHARING_KEY] = "-".join(filter(None, (options.hub, plain(spec.team), ip.replace(":", "-"))))
        content |= {"externalTrafficPolicy": "Cluster", "loadBalancerSourceRanges": players(options, ip)}
    else:
        content |= {"externalTrafficPolicy": "Local"}
    return notes, content


def players(options: Options, ip: str) -> list[str]:
    """The networks that may reach an address; an empty list would be everybody to Kubernetes."""
    version = ipaddress.ip_address(ip).version
    return [text for text in options.player_networks if ipaddress.ip_network(text).version == version]


def policy(spec: WorkloadSpec, options: Options) -> Object:
    """The walls of a namespace: all its pods are closed both ways, but for what stands here.

    One object for all of it: it changes at once, and nothing that was open in an earlier generation stays so.
    """
    own: Object = {"podSelector": {}}
    way_out = list(_ways_out(options)) if options.egress and spec.egress else []
    return {
        "podSelector": {},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [own]}, *_ways_in(spec, options)],
        "egress": [{"to": [own]}, *way_out],
    }


def _ways_in(spec: WorkloadSpec, options: Options) -> Iterator[Object]:
    """Players to what is exposed; the agent to all ports of the workload.

    On a shared address players come with a node's address, so that the policy must let anybody in, and the service's
    own source ranges choose. Other workloads are kept out by what they may reach.
    """
    public = _ports({binding.target_port for binding in spec.ports if binding.public})
    if public:
        is_own = options.exposure == LOAD_BALANCER and not is_shared(spec, options)
        networks = options.player_networks if is_own else ("0.0.0.0/0", "::/0")
        yield {"from": [{"ipBlock": {"cidr": cidr}} for cidr in networks], "ports": public}
    if options.agent_networks:
        yield {"from": [{"ipBlock": {"cidr": cidr}} for cidr in options.agent_networks]}


def _ways_out(options: Options) -> Iterator[Object]:
    """The Internet without anything that is near, and names from the cluster's own resolver alone."""
    yield {
        "to": [
            {"ipBlock": {"cidr": "0.0.0.0/0", "except": options.closed(4)}},
            {"ipBlock": {"cidr": "::/0", "except": options.closed(6)}},
        ]
    }
    resolver: Object = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": options.dns_namespace}},
        "podSelector": {"matchLabels": dict(options.dns_labels)},
    }
    caches = [{"ipBlock": {"cidr": cidr}} for cidr in options.dns_addresses]
    yield {"to": [resolver, *caches], "ports": _ports({DNS_PORT})}


def _ports(numbers: set[int]) -> list[Object]:
    return [{"protocol": protocol, "port": port} for port in sorted(numbers) for protocol in PROTOCOLS]
