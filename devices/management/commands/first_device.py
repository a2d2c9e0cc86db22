"""Let the machine that the hub runs on be a device, and say its name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.actors import SYSTEM
from devices.choices import DeviceStatus, KeyState
from devices.models import Device
from devices.services import accept_device, accept_key, create_token
from hub.nodes.models import Node

IDENTITY: Final = "hub=first-device"
TIMEOUT_SECONDS: Final = 60


class Command(BaseCommand):
    """Enrols the agent in the state directory, the first time with a token that nobody sees; again nothing changes."""

    help = "Enrol this machine as a device, print one JSON line; one that was decommissioned stays so."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--state", type=Path, required=True, help="The agent's state directory.")
        parser.add_argument("--hub", required=True, help="The hub's address, as seen from this machine.")

    def handle(self, *args: Any, **options: Any) -> None:
        known = known_device(options["state"])
        if known is not None and known.status in (DeviceStatus.DECOMMISSIONED, DeviceStatus.REJECTED):
            return
        answer = enrol(options["state"], options["hub"], token="" if known else new_token())
        device = Device.objects.get(pk=answer["device_id"])
        take_key(device, answer["fingerprint"])
        self.stdout.write(json.dumps({"device": f"{device.name}, {settings.HUB_URL}{device.get_absolute_url()}"}))


def known_device(state: Path) -> Device | None:
    """The device that this state directory is, if the hub knows it."""
    try:
        memory = json.loads((state / "agent.json").read_text(encoding="utf-8"))
        return Device.objects.filter(pk=UUID(memory["device_id"])).first()
    except (OSError, ValueError, KeyError):
        return None


def take_key(device: Device, fingerprint: str) -> None:
    """Accept the key that our own agent has just proven, when the hub waits for somebody to decide about it.

    So it is after a recovery to a time before the agent made this key: identity and state directory are those of this
    machine, and whoever may read the directory and run this command could accept it by hand.
    """
    proposed = device.keys.filter(state=KeyState.PROPOSED, fingerprint=fingerprint).exists()
    if proposed and device.keys.count() > 1:
        accept_key(device, actor=SYSTEM)
    if device.status == DeviceStatus.PENDING:
        accept_device(device, actor=SYSTEM)


def new_token() -> str:
    """The secret of a token for one device within minutes, into the region of the first node."""
    node = Node.objects.select_related("region").order_by("pk").first()
    _, secret = create_token(
        actor=SYSTEM,
        name="First device of this machine",
        most_uses=1,
        expires_at=timezone.now() + timedelta(minutes=10),
        region=node.region if node else None,
    )
    return secret


def enrol(state: Path, hub: str, *, token: str) -> dict[str, Any]:
    """Have the agent prove its key; it runs as the user of workloads and sees none of our environment."""
    user = ["--user", settings.HUB_WORKLOAD_USER] if os.geteuid() == 0 and settings.HUB_WORKLOAD_USER else []
    command = [sys.executable, "-m", "kutanga_agent", "--state", str(state), *user, "enrol", "--hub", hub]
    command += ["--identity", IDENTITY, "--type", "host", *(["--token", "-"] if token else [])]
    try:
        done = subprocess.run(
            command,
            env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(settings.BASE_DIR / "agent")},
            input=token,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandError("The hub did not answer the agent in time.") from None
    if done.returncode:
        raise CommandError(f"The agent could not enrol: {done.stderr.strip() or done.returncode}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
