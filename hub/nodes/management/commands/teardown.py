"""`manage.py teardown --node NAME`: takes away what the hub has laid on a machine, before the hub itself goes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.engines.base import EngineError
from hub.nodes.engines import engine_for
from hub.nodes.models import Node


class Command(BaseCommand):
    """Ask the node's engine to take its networks and firewall rules away; what still has workloads refuses."""

    help = "Take away the networks and firewall rules of a node that has no workloads any more."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", required=True, help="The node's name.")

    def handle(self, *args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["node"]).first()
        if node is None:
            raise CommandError(f"There is no node {options['node']!r}.")
        try:
            engine_for(node).teardown()
        except EngineError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Nothing of the hub is left on {node.name}.")
