"""Addresses of one server, as lists and answers show them."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from hub.nodes.leases import Leased
from hub.postgres.prepared import prepared_cursor

_HELD = """
    SELECT a.port_name, host(a.ip), a.port, p.is_public
    FROM nodes_address a JOIN nodes_addresspool p ON p.id = a.pool_id
    WHERE a.holder = %s AND a.state = 'leased' ORDER BY NOT p.is_public, a.id
"""


@dataclass(frozen=True)
class ServerAddress:
    """A leased address."""

    name: str
    ip: str
    port: int
    is_public: bool

    def __str__(self) -> str:
        return f"[{self.ip}]:{self.port}" if ":" in self.ip else f"{self.ip}:{self.port}"


def row_of(leased: Leased) -> dict[str, Any]:
    """The same for an address that has just been leased."""
    return {"name": leased.name, "ip": leased.ip, "port": leased.port, "is_public": leased.is_public}


def rows_held_by(holder: uuid.UUID) -> list[dict[str, Any]]:
    """What `GameServerQuerySet.with_details` fetches along, for one server: public addresses first."""
    with prepared_cursor() as cursor:
        cursor.execute(_HELD, [holder])
        return [dict(zip(("name", "ip", "port", "is_public"), row, strict=True)) for row in cursor.fetchall()]
