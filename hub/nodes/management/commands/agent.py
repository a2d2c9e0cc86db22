"""Run the agent of a node."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from hub.nodes.agent import Agent


class Command(BaseCommand):
    """`manage.py agent --node NAME`: run on the node (in a container with the host's network and pid namespaces)."""

    help = "Run a node's agent: job workers, the sweep loop and the sampler."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--node", required=True, help="The node's name.")
        parser.add_argument("--workers", type=int, default=settings.HUB_WORKERS, help="Job processes.")

    def handle(self, *args: Any, **options: Any) -> None:
        Agent(options["node"], workers=options["workers"]).run()
