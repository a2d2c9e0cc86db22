"""`manage.py restore_volumes --node NAME`: bring the data of workloads back that lie with the node's engine."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.engines.base import EngineError
from hub.exceptions import HubError
from hub.nodes import volumes
from hub.nodes.engines import engine_for
from hub.nodes.models import Node


class Command(BaseCommand):
    """Restore after asking."""

    help = (
        "Bring the data of a node's workloads back from the copies in its data directory (`restore files` brings those "
        "first). Runs on the node's machine; what is running is left alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", help="Names such as hub-server-…; all without them.")
        parser.add_argument("--node", required=True, help="The node's name.")
        parser.add_argument("--yes", action="store_true", help="Do not ask.")

    def handle(self, *args: Any, **options: Any) -> None:
        node = Node.objects.filter(name=options["node"]).first()
        if node is None:
            raise CommandError(f"There is no node {options['node']!r}.")
        if not options["yes"]:
            self.stdout.write(
                f"This replaces data on {node.name} by their copies. What is there now is kept in a file."
            )
            if input("Type yes to go on: ").strip().lower() != "yes":
                raise CommandError("Nothing was restored.")
        try:
            count = volumes.restore(
                node, engine_for(node), options["names"], lambda text: self.stdout.write(f"- {text}")
            )
        except (EngineError, HubError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"Data of {count} workload{'' if count == 1 else 's'} restored.")
