"""The networks of workloads: one bridge without traffic between containers, or a leased subnet of one's own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import docker.errors
from docker.types import IPAMConfig, IPAMPool

from .client import Client
from .errors import refusal, translate, unavailable
from .names import LABEL_NAMESPACE, Names

BRIDGE_FILTER = Path("/proc/sys/net/bridge")
BRIDGE_NAME = "com.docker.network.bridge.name"
RACE_SECONDS = 1.0


class Networks:
    """The networks of one namespace."""

    def __init__(self, client: Client, names: Names) -> None:
        self.client = client
        self.names = names

    def ensure_shared(self, subnets: Sequence[str]) -> None:
        """Make the network that workloads share, unless it is there; without subnets Docker picks one."""
        self._ensure(self.names.network, self.names.bridge, subnets)

    def ensure_for(self, workload: str, subnet: str, *, egress: bool) -> str:
        """Make the network that a workload needs, on its leased subnet if it has one; returns its name."""
        if subnet:
            network, bridge = self.names.own_network(workload, is_closed=not egress)
            self._drop_other(network, bridge, subnet)
        elif egress:
            return self.names.network
        else:
            network, bridge = self.names.closed_network
        self._ensure(network, bridge, [subnet] if subnet else [])
        return network

    def _drop_other(self, network: str, bridge: str, subnet: str) -> None:
        """Remove a network left from a launch on another subnet, or with another switch for the outside."""
        found = self.client.get(f"/networks/{network}")
        if found is None:
            return
        subnets = [config.get("Subnet") for config in found["IPAM"]["Config"] or ()]
        if found["Options"].get(BRIDGE_NAME) != bridge or subnets != [subnet]:
            self._remove(found["Id"])

    def remove_own(self, workload: str) -> None:
        """Remove a workload's own network, if it has one."""
        network, _ = self.names.own_network(workload)
        found = self.client.get(f"/networks/{network}")
        if found and found["Labels"].get(LABEL_NAMESPACE) == self.names.namespace:
            self._remove(found["Id"])

    def remove_all(self) -> None:
        """Remove every network of this namespace. Raises REFUSED while something is attached."""
        for network in self.client.get("/networks", filters=self._filters()):
            self._remove(network["Id"])

    def _remove(self, network_id: str) -> None:
        try:
            self.client.api.remove_network(network_id)
        except docker.errors.APIError as error:
            if error.status_code == 403:
                raise refusal("The network is still in use.") from None
            if error.status_code != 404:
                raise

    def _ensure(self, network: str, bridge: str, subnets: Sequence[str]) -> None:
        if self.client.get(f"/networks/{network}") is None:
            self._create(network, bridge, subnets)
        _filter_bridged_packets(has_ipv6=any(":" in subnet for subnet in subnets))

    def _create(self, network: str, bridge: str, subnets: Sequence[str]) -> None:
        """Whoever loses a race finds the network of the winner: names and bridges are taken once."""
        try:
            self.client.api.create_network(
                network,
                driver="bridge",
                check_duplicate=True,
                options={
                    BRIDGE_NAME: bridge,
                    "com.docker.network.bridge.enable_icc": "false",
                    "com.docker.network.bridge.enable_ip_masquerade": "true",
                },
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=subnet) for subnet in subnets]) if subnets else None,
                enable_ipv6=any(":" in subnet for subnet in subnets),
                labels={LABEL_NAMESPACE: self.names.namespace},
            )
        except docker.errors.APIError as error:
            deadline = time.monotonic() + RACE_SECONDS
            while self.client.get(f"/networks/{network}") is None:
                if time.monotonic() > deadline:
                    raise translate(error) from error
                time.sleep(0.05)

    def _filters(self) -> dict[str, list[str]]:
        return {"label": [f"{LABEL_NAMESPACE}={self.names.namespace}"]}


def _filter_bridged_packets(*, has_ipv6: bool) -> None:
    """Firewall rules see packets between containers of one bridge only where the kernel is told so."""
    for name in ["bridge-nf-call-iptables", *(["bridge-nf-call-ip6tables"] if has_ipv6 else [])]:
        switch = BRIDGE_FILTER / name
        try:
            if switch.read_text(encoding="ascii").strip() != "1":
                switch.write_text("1", encoding="ascii")
        except OSError:
            raise unavailable(
                f"This node does not filter traffic between containers: net.bridge.{name} is off."
            ) from None
