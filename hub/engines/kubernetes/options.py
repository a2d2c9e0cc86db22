"""What a node's options say about its cluster, checked once."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..base import GRANT_OPTION
from .errors import refusal
from .names import HUB

USER = re.compile(r"([1-9]\d{0,8})(?::([1-9]\d{0,8}))?")
DNS_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?")
# Never reached from inside a workload: private, carrier, link-local (metadata of clouds) and loopback ranges.
CLOSED_V4 = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8")
CLOSED_V6 = ("fc00::/7", "fe80::/10", "::1/128")
ANYWHERE = ("0.0.0.0/0", "::/0")
CHECK_HUB = "-check"
LOAD_BALANCER, NODE_PORTS = "load_balancer", "node_ports"
NODE_PORT_RANGE = range(30000, 32768)
KNOWN = frozenset(
    {
        "address_pool",
        "agent_networks",
        "check_image",
        "closed_networks",
        "dns_addresses",
        "dns_namespace",
        "egress",
        "exposure",
        "hub",
        "player_networks",
        "reach_pods",
        "runtime_class",
        "share_addresses",
        "storage_class",
        "user",
        "volume_quota",
        GRANT_OPTION,
    }
)


@dataclass(frozen=True)
class Options:
    """How workloads are made on this cluster.

    `share_addresses`: several workloads share an IP on disjoint ports, and see the cluster's address as the player's;
    without it each IP is one workload's own and it sees who plays. `closed_networks` are public ranges that must stay
    out of reach besides the private ones: nodes, pods, services and pools where they are not private. `dns_addresses`
    are those of a cache of names on each machine, which is no pod that a policy could name.
    """

    hub: str
    exposure: str = LOAD_BALANCER
    share_addresses: bool = True
    user: int | None = 1000
    group: int | None = 1000
    storage_class: str = ""
    volume_quota: bool = False
    runtime_class: str = ""
    egress: bool = True
    player_networks: Sequence[str] = ANYWHERE
    closed_networks: Sequence[str] = ()
    dns_namespace: str = "kube-system"
    dns_labels: tuple[tuple[str, str], ...] = (("k8s-app", "kube-dns"),)
    dns_addresses: Sequence[str] = ()
    agent_networks: Sequence[str] = ()
    allow_grants: bool = False
    check_image: str = "busybox:1.37"
    address_pool: str = ""
    reach_pods: bool = True

    @classmethod
    def parse(cls, node: str, options: Mapping[str, Any]) -> Options:
        """Raises REFUSED (permanent) that names the option."""
        hub = str(options.get("hub") or node)
        if not HUB.fullmatch(hub):
            raise refusal(f"{hub!r} cannot name this hub's part of a cluster: small letters, digits and dashes.")
        if hub.endswith(CHECK_HUB):
            raise refusal(f"The option `hub` must not end in {CHECK_HUB}: so the examination names what it tries.")
        exposure = str(options.get("exposure") or LOAD_BALANCER)
        if exposure not in (LOAD_BALANCER, NODE_PORTS):
            raise refusal(f"The option `exposure` is {LOAD_BALANCER} or {NODE_PORTS}.")
        user, group = _user(options.get("user", "1000:1000"))
        players = _networks(options, "player_networks") or ANYWHERE
        if exposure == NODE_PORTS and set(players) != set(ANYWHERE):
            raise refusal("The option `player_networks` cannot be kept on node ports: a node hides who asks.")
        return cls(
            hub=hub,
            exposure=exposure,
            share_addresses=_flag(options, "share_addresses", default=True),
            user=user,
            group=group,
            storage_class=_name(options, "storage_class"),
            volume_quota=_flag(options, "volume_quota", default=False),
            runtime_class=_name(options, "runtime_class"),
            egress=_flag(options, "egress", default=True),
            player_networks=players,
            closed_networks=_closed_networks(options),
            dns_namespace=_name(options, "dns_namespace") or "kube-system",
            dns_addresses=_addresses(options, "dns_addresses"),
            agent_networks=_networks(options, "agent_networks"),
            check_image=str(options.get("check_image") or "busybox:1.37"),
            allow_grants=_flag(options, GRANT_OPTION, default=False),
            address_pool=_name(options, "address_pool"),
            reach_pods=_flag(options, "reach_pods", default=True),
        )

    def closed(self, version: int) -> list[str]:
        """All that a workload with a way out must not reach, of one IP version."""
        known = CLOSED_V4 if version == 4 else CLOSED_V6
        more = [text for text in self.closed_networks if ipaddress.ip_network(text).version == version]
        return sorted({*known, *more})


def _user(value: object) -> tuple[int | None, int | None]:
    """Who a workload runs as; an empty text leaves it to the image, which then must name a user by number."""
    text = str(value or "")
    if not text:
        return None, None
    match = USER.fullmatch(text)
    if match is None:
        raise refusal("This node's option `user` must be numbers, such as 1000:1000, and not root.")
    return int(match[1]), int(match[2] or match[1])


def _flag(options: Mapping[str, Any], key: str, *, default: bool) -> bool:
    value = options.get(key, default)
    if not isinstance(value, bool):
        raise refusal(f"The option `{key}` is true or false.")
    return value


def _name(options: Mapping[str, Any], key: str) -> str:
    value = str(options.get(key) or "")
    if value and not DNS_NAME.fullmatch(value):
        raise refusal(f"The option `{key}` is the name of an object in the cluster.")
    return value


def _closed_networks(options: Mapping[str, Any]) -> tuple[str, ...]:
    """An exception must be smaller than what it is taken from."""
    found = _networks(options, "closed_networks")
    if set(found) & set(ANYWHERE):
        raise refusal("The option `closed_networks` cannot close everything: switch `egress` off for that.")
    return found


def _addresses(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Single addresses, as networks of one."""
    found = _networks(options, key)
    if any(ipaddress.ip_network(text).num_addresses > 1 for text in found):
        raise refusal(f"The option `{key}` is a list of single addresses, such as 169.254.20.10.")
    return found


def _networks(options: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = options.get(key) or ()
    try:
        if isinstance(values, str):
            raise ValueError(values)
        return tuple(str(ipaddress.ip_network(value)) for value in values)
    except (ValueError, TypeError):
        raise refusal(f"The option `{key}` is a list of networks, such as 10.1.0.0/16.") from None
