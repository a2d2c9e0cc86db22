"""`manage.py scheduler`: claims due slots of the periodic table and sends them off; any number may run."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseTrouble
from django.db import close_old_connections, connections

from hub import alive, schedule

logger = logging.getLogger(__name__)

CHILDREN_AT_ONCE = 2  # of the tasks that share their places
TROUBLE_PAUSE_SECONDS = 2.0
STOP_SECONDS = 10


class Scheduler:
    """Ticks, and keeps the few runs that it does itself."""

    def __init__(self, table: tuple[schedule.Periodic, ...]) -> None:
        self.table = table
        self.children: dict[int, tuple[str, subprocess.Popen[bytes]]] = {}  # each with the place that it takes
        self.without_place: list[tuple[int, schedule.Periodic]] = []
        self.in_trouble = False

    def tick(self) -> None:
        """Look once: leave a sign of life, clean up, claim and send; database trouble is logged once and outlived."""
        try:
            close_old_connections()
            now = schedule.beat()
            schedule.give_up(self.table)
            unsent = [run for run in schedule.claim(self.table, now) if not schedule.send(*run)]
            self.run_here([*schedule.unbegun(self.table), *self.without_place, *unsent])
        except DatabaseTrouble as error:
            if not self.in_trouble:
                logger.warning("the database does not answer, trying on: %s", error)
            self.in_trouble = True
            connections.close_all()
        else:
            if self.in_trouble:
                logger.warning("the database answers again")
            self.in_trouble = False

    def run_here(self, runs: list[tuple[int, schedule.Periodic]]) -> None:
        """Run what no worker takes, in children, so that a long run does not hold up the next slot.

        What finds no place has the first that is free at the next looks: tasks that are due again and again would
        else keep it from its turn for as long as they like.
        """
        self.children = {run_id: kept for run_id, kept in self.children.items() if kept[1].poll() is None}
        self.without_place = []
        for run_id, task in dict(runs).items():
            if run_id in self.children:
                continue
            taken = sum(place == task.place for place, _ in self.children.values())
            if taken >= (1 if task.apart else CHILDREN_AT_ONCE):
                self.without_place.append((run_id, task))
            else:
                command = [sys.executable, "manage.py", "run_periodic", "--claimed", str(run_id)]
                self.children[run_id] = task.place, subprocess.Popen(command, cwd=settings.BASE_DIR)

    def stop(self) -> None:
        """End the children; each records that it was stopped."""
        for _, child in self.children.values():
            child.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        for _, child in self.children.values():
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def leave(signum: int, frame: object) -> None:
    """Stop anywhere: a claim is one statement, and a claimed run that was not sent is found again after a minute."""
    raise SystemExit(0)


class Command(BaseCommand):
    """Run the scheduler until a signal ends it."""

    help = "Claims due slots of the periodic table in PostgreSQL and sends them to their queues; any number may run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--every", type=float, default=2.0, help="Seconds between two looks at the table.")

    def handle(self, *args: Any, **options: Any) -> None:
        signal.signal(signal.SIGTERM, leave)
        signal.signal(signal.SIGINT, leave)
        scheduler = Scheduler(schedule.PERIODIC)
        logger.info("scheduler runs with %d tasks", len(scheduler.table))
        try:
            while True:
                scheduler.tick()
                alive.sign(settings.HUB_ALIVE)
                time.sleep(TROUBLE_PAUSE_SECONDS if scheduler.in_trouble else options["every"])
        finally:
            scheduler.stop()
