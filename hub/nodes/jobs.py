"""What the workers of a node run."""

from __future__ import annotations

import uuid

from . import chores, clusters
from .models import Node
from .reconcile import kill_now, reconcile
from .workloads import workload_model


def reconcile_workload(kind: str, pk: str) -> None:
    """Close the gap of one workload."""
    reconcile(workload_model(kind), uuid.UUID(pk))


def kill_workload(kind: str, pk: str) -> None:
    """End one workload now, then store what is left."""
    model = workload_model(kind)
    workload = model._base_manager.select_related("node").filter(pk=pk, is_kill_wanted=True).first()
    if workload is not None:
        kill_now(workload)
    reconcile(model, uuid.UUID(pk))


def do_task(pk: str) -> None:
    """Do what a node's agent was asked."""
    chores.do_task(uuid.UUID(pk))


def examine_cluster(node_pk: int) -> None:
    """Examine a node that is a cluster."""
    node = Node.objects.filter(pk=node_pk).first()
    if node is not None:
        clusters.examine(node)
