"""The nodes app."""

from django.apps import AppConfig

from hub import health


class NodesConfig(AppConfig):
    """Machines, addresses, operations and the mechanism that drives workloads."""

    name = "hub.nodes"
    label = "nodes"
    verbose_name = "Nodes and addresses"

    def ready(self) -> None:
        from accounts import grants

        from . import figures, keeping
        from .checks import check_agents
        from .models import Operation
        from .workloads import may_see_operation

        health.register("agents", check_agents)
        figures.register()
        keeping.register()
        grants.register(Operation, may_see_operation)
