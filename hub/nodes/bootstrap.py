"""What a fresh hub has: the four regions, node `local` on this machine, and its pools. Existing rows are left alone."""

from __future__ import annotations

import psutil
from django.conf import settings

from accounts.actors import SYSTEM

from .models import AddressPool, Node, Region
from .services import DEFAULT_PORTS, PRIVATE_PORTS, RCON_PORT, create_node, create_pool, create_region

REGIONS = (
    ("us-east-1", "US East"),
    ("us-west-1", "US West"),
    ("eu-central-1", "EU Central"),
    ("ap-southeast-1", "Asia Pacific"),
)
LOCAL_NODE = "local"
SHARE_OF_MACHINE = 0.8
CPU_OVERCOMMIT = 4
LOOPBACK = "127.0.0.1"


def run() -> list[str]:
    """Create what is missing; says what was made."""
    made = []
    for position, (slug, name) in enumerate(REGIONS):
        if not Region.objects.filter(slug=slug).exists():
            create_region(actor=SYSTEM, slug=slug, name=name, position=position)
            made.append(f"region {slug}")
    if not Node.objects.exists():
        node = _local_node()
        made.append(f"node {node.name}")
        made += [f"pool {pool}" for pool in _pools(node)]
    return made


def _local_node() -> Node:
    return create_node(
        actor=SYSTEM,
        name=LOCAL_NODE,
        region=Region.objects.get(slug=REGIONS[0][0]),
        engine=settings.HUB_LOCAL_ENGINE,
        options=local_options(settings.HUB_LOCAL_ENGINE),
        memory_mb=int(psutil.virtual_memory().total / 2**20 * SHARE_OF_MACHINE),
        cpu_percent=100 * (psutil.cpu_count() or 1),
        disk_mb=0,
        overcommit={"cpu": CPU_OVERCOMMIT},
    )


def local_options(engine: str) -> dict[str, object]:
    """Settings of the engine on this machine."""
    if engine == "process":
        return {"root": str(settings.HUB_DATA / "workloads"), "user": settings.HUB_WORKLOAD_USER}
    return {}


def _pools(node: Node) -> list[AddressPool]:
    first, last = DEFAULT_PORTS
    pools = [
        create_pool(
            actor=SYSTEM,
            node=node,
            name="games",
            first_ip=settings.HUB_GAME_IP,
            first_port=first,
            last_port=last,
            excluded_ports=[RCON_PORT],
        )
    ]
    if node.engine == "process":
        first, last = PRIVATE_PORTS
        pools.append(
            create_pool(
                actor=SYSTEM,
                node=node,
                name="private",
                is_public=False,
                first_ip=LOOPBACK,
                first_port=first,
                last_port=last,
            )
        )
    return pools
