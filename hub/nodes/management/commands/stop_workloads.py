"""`manage.py stop_workloads --node NAME`: the launcher's last act before the databases stop."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from hub.nodes.models import Node
from hub.nodes.shutdown import stop_workloads


class Command(BaseCommand):
    """Stop what runs on a node without changing what was asked; the agent must be stopped before."""

    help = "Stop a node's workloads together with the hub; its next agent starts them again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", required=True, help="The node's name.")
        parser.add_argument("--seconds", type=float, default=60.0, help="Patience before what still runs is killed.")

    def handle(self, *args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["node"]).first()
        if node is not None:
            stop_workloads(node, seconds=options["seconds"], say=self.stdout.write)
