"""How a team reaches its instance: lines to copy, one for each public port that has its address."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Func, QuerySet, TextField
from django.db.models.functions import JSONObject

from challenges.choices import PortProtocol
from hub.nodes.choices import AddressState, PoolKind
from hub.nodes.models import Address

if TYPE_CHECKING:
    from challenges.models import ChallengePort, Instance

PORT_NAME_LENGTH = 40
DEFAULT_PORTS = {PortProtocol.HTTP: 80, PortProtocol.HTTPS: 443}


@dataclass(frozen=True)
class Connection:
    """One port of an instance, as its team uses it."""

    name: str
    protocol: str
    ip: str
    port: int

    @property
    def host(self) -> str:
        return f"[{self.ip}]" if ":" in self.ip else self.ip

    @property
    def url(self) -> str:
        """Where a browser goes; "" for what no browser speaks."""
        if self.protocol not in DEFAULT_PORTS:
            return ""
        port = "" if DEFAULT_PORTS[PortProtocol(self.protocol)] == self.port else f":{self.port}"
        return f"{self.protocol}://{self.host}{port}/"

    @property
    def line(self) -> str:
        """To be copied into a browser or a terminal."""
        if self.url:
            return self.url
        return f"nc {'-u ' if self.protocol == PortProtocol.UDP else ''}{self.ip} {self.port}"


def public_ports(instance: Instance) -> Iterator[tuple[str, ChallengePort]]:
    """Every port that its team reaches, under the name of its lease: all containers share one network."""
    for container in instance.challenge.containers.all():
        for port in container.ports.all():
            if port.is_public:
                name = port.name if container.is_main else f"{container.name}-{port.name}"
                yield name[:PORT_NAME_LENGTH], port


def connections_of(instance: Instance) -> list[Connection]:
    """Its lines, in the order of the challenge."""
    rows = instance.__dict__.get("address_rows")  # fetched along by `with_details`
    if rows is None:
        rows = list(address_rows(instance.pk))
    leased = {row["name"]: row for row in rows}
    return [
        Connection(port.name, port.protocol, leased[name]["ip"], leased[name]["port"])
        for name, port in public_ports(instance)
        if name in leased
    ]


def address_rows(holder: Any) -> QuerySet[Any, Any]:
    """The ports that a holder, or the outer row of a query, has on load-balancer addresses."""
    held = Address.objects.filter(
        holder=holder, state=AddressState.LEASED, port__isnull=False, pool__kind=PoolKind.LOAD_BALANCER
    )
    shown = JSONObject(name="port_name", ip=Func("ip", function="host", output_field=TextField()), port="port")
    return held.order_by("id").values_list(shown, flat=True)
