"""What a fresh hub has: the four regions, node `local` on this machine, and its pools. Existing rows are left alone.

A hub that runs in a cluster has the node `cluster` instead; which addresses are its own, only the admin knows.
"""

from __future__ import annotations

import json
from typing import Any

import psutil
from django.conf import settings

from accounts.actors import SYSTEM

from .choices import EngineKind
from .local_engine import LocalEngine, choose
from .models import AddressPool, Node, Region
from .services import DEFAULT_PORTS, PRIVATE_PORTS, RCON_PORT, create_node, create_pool, create_region

REGIONS = (
    ("us-east-1", "US East"),
    ("us-west-1", "US West"),
    ("eu-central-1", "EU Central"),
    ("ap-southeast-1", "Asia Pacific"),
)
LOCAL_NODE, CLUSTER_NODE = "local", "cluster"
SHARE_OF_MACHINE = 0.8
CPU_OVERCOMMIT = 4
LOOPBACK = "127.0.0.1"
CHOICE_FILE = "engine.json"  # in HUB_DATA: for the launcher, which tells it at each start and clears up at a reset


def run() -> list[Any]:
    """Create what is missing; says what was made."""
    made: list[Any] = []
    for position, (slug, name) in enumerate(REGIONS):
        if not Region.objects.filter(slug=slug).exists():
            create_region(actor=SYSTEM, slug=slug, name=name, position=position)
            made.append(f"region {slug}")
    if not Node.objects.exists() and settings.HUB_LOCAL_ENGINE == EngineKind.KUBERNETES:
        region = Region.objects.get(slug=REGIONS[0][0])
        node = create_node(actor=SYSTEM, name=CLUSTER_NODE, region=region, engine=EngineKind.KUBERNETES)
        made.append(f"node {node.name}")
    elif not Node.objects.exists():
        chosen = choose(LOCAL_NODE)
        node = _local_node(chosen)
        made.append(f"node {node.name}")
        made.append(_note(chosen))
        made += [f"pool {pool}" for pool in _pools(node)]
    return made


def _local_node(chosen: LocalEngine) -> Node:
    return create_node(
        actor=SYSTEM,
        name=LOCAL_NODE,
        region=Region.objects.get(slug=REGIONS[0][0]),
        engine=chosen.kind,
        options=chosen.options,
        memory_mb=int(psutil.virtual_memory().total / 2**20 * SHARE_OF_MACHINE),
        cpu_percent=100 * (psutil.cpu_count() or 1),
        disk_mb=0,
        overcommit={"cpu": CPU_OVERCOMMIT},
    )


def _note(chosen: LocalEngine) -> dict[str, str]:
    """Write the choice down beside the data, and say it."""
    settings.HUB_DATA.mkdir(parents=True, exist_ok=True)
    known = {"engine": chosen.kind, "why": chosen.why, "options": chosen.options}
    (settings.HUB_DATA / CHOICE_FILE).write_text(json.dumps(known, indent=1), encoding="utf-8")
    return {"local_engine": chosen.kind, "local_engine_why": chosen.why}


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
    if node.engine == EngineKind.PROCESS:
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
