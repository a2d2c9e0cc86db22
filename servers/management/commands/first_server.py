"""Make sure that a fresh hub runs a server, and say where it is."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts.models import User
from accounts.services import ADMIN_USERNAME
from hub.exceptions import HubError
from hub.nodes.choices import DesiredStatus, ObservedStatus
from hub.nodes.models import Node, Region
from servers.models import GameServer, Template
from servers.services import create_server, start_server

NAME = "first-light"
TEMPLATE = "sample"
PAUSE_SECONDS = 0.1


class Command(BaseCommand):
    """Finds or creates the server as any user would, waits until it answers, and prints one line of JSON."""

    help = "Create the sample server as user admin, wait until it runs, print one JSON line."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--timeout", type=float, default=60.0, help="Seconds to wait (60).")
        parser.add_argument("--existing", action="store_true", help="Leave it deleted or stopped if it is.")

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        try:
            server = find() if options["existing"] else find_or_create()
        except HubError as error:
            raise CommandError(error.message) from error
        if server is None or server.desired_status != DesiredStatus.RUNNING:
            return
        self._wait(server, began + options["timeout"])
        address = server.address
        if address is None:
            raise CommandError("The server runs but holds no address.")
        report = {
            "name": server.name,
            "address": str(address),
            "console": f"nc {address.ip} {address.port}",
            "status": server.observed_status,
            "seconds": round(time.monotonic() - began, 2),
        }
        self.stdout.write(json.dumps(report))

    @staticmethod
    def _wait(server: GameServer, deadline: float) -> None:
        while server.observed_status != ObservedStatus.RUNNING:
            if server.observed_status == ObservedStatus.FAILED:
                raise CommandError(f"{server.name} failed: {server.status_reason}")
            if time.monotonic() > deadline:
                raise CommandError(f"{server.name} is {server.observed_status}: {server.status_reason or 'no answer.'}")
            time.sleep(PAUSE_SECONDS)
            server.refresh_from_db()


def find() -> GameServer | None:
    """The admin's first server, if it is still there."""
    return GameServer.objects.alive().filter(owner__username=ADMIN_USERNAME, name__iexact=NAME).first()


def find_or_create() -> GameServer:
    """The admin's first server, asked to run. Raises HubError when it cannot be."""
    admin = User.objects.filter(username=ADMIN_USERNAME).first()
    template = Template.objects.filter(slug=TEMPLATE).first()
    if admin is None or template is None:
        raise CommandError("Run `manage.py bootstrap` first.")
    if (server := find()) is not None:
        start_server(server, actor=admin)
        return server
    return create_server(
        actor=admin,
        name=NAME,
        template=template,
        region=_region(),
        memory_mb=template.default_memory_mb,
        disk_mb=template.default_disk_mb,
        description="Made by `make up`: a server to try the hub with.",
    )


def _region() -> Region:
    """That of the first node which takes servers."""
    node = Node.objects.accepting().select_related("region").order_by("pk").first()
    if node is None:
        raise CommandError("There is no node that takes servers.")
    return node.region
