"""`manage.py rotate_secrets`: seal all secrets under the newest key of `HUB_SECRET_KEYS`."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.actors import SYSTEM
from accounts.secret_rotation import rotate_all


class Command(BaseCommand):
    """Rotate secrets at rest; may be stopped and run again."""

    help = "Seal every secret in the database under the newest key. May be stopped and run again."

    def handle(self, *args: Any, **options: Any) -> None:
        unreadable = []
        for rotated in rotate_all(actor=SYSTEM):
            self.stdout.write(f"{rotated.place}: {rotated.count} sealed anew")
            unreadable += [f"{rotated.place} of row {pk}" for pk in rotated.unreadable]
        if unreadable:
            raise CommandError(f"No key opens {', '.join(unreadable)}. Keep the old keys and look into it.")
