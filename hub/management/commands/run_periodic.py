"""`manage.py run_periodic NAME`: runs a task of the periodic table at once; without a name it lists them."""

from __future__ import annotations

import signal
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub import schedule
from hub.exceptions import Conflict
from hub.models import PeriodicRun

from .scheduler import leave


class Command(BaseCommand):
    """Run a periodic task in this process."""

    help = "Runs a task of the periodic table at once and records the run; without a name it lists them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", help="Name of the task.")
        parser.add_argument("--claimed", type=int, metavar="ID", help="Run this claimed slot instead.")

    def handle(self, *args: Any, name: str | None = None, claimed: int | None = None, **options: Any) -> None:
        signal.signal(signal.SIGTERM, leave)
        if claimed is not None:
            schedule.run(claimed)
        elif name is None:
            self.list()
        elif name not in {task.name for task in schedule.PERIODIC}:
            raise CommandError(f"There is no periodic task {name}.")
        else:
            self.run_now(name)

    def run_now(self, name: str) -> None:
        try:
            is_done = schedule.run_now(name)
        except Conflict as error:
            raise CommandError(error.message) from None
        if not is_done:
            raise CommandError(PeriodicRun.objects.filter(task=name).latest("claimed_at").error)

    def list(self) -> None:
        for task in schedule.PERIODIC:
            last = PeriodicRun.objects.filter(task=task.name).first()
            state = f"{last.outcome}, due {last.due_at:%Y-%m-%d %H:%M}" if last else "never run"
            self.stdout.write(f"{task.name:<24} {state}")
