"""`manage.py sample`: measure this machine and its workloads now."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.nodes.models import Node
from monitoring.sampler import sample_now


class Command(BaseCommand):
    """Measure once, store, and show."""

    help = "Measures the machine and every workload of a node now, stores and shows it. Run it on the node."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", default="local", help="The node's name.")

    def handle(self, *args: Any, node: str, **options: Any) -> None:
        if not Node.objects.filter(name=node).exists():
            raise CommandError(f"There is no node {node}.")
        for reading in sample_now(node):
            told = "  ".join(f"{name} {value:,.1f}" for name, value in sorted(reading.values.items()))
            self.stdout.write(f"{reading.subject}  {told}")
