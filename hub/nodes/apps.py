"""The nodes app."""

from django.apps import AppConfig


class NodesConfig(AppConfig):
    """Machines, addresses, operations and the mechanism that drives workloads."""

    name = "hub.nodes"
    label = "nodes"
    verbose_name = "Nodes and addresses"
