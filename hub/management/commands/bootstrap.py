"""`manage.py bootstrap`: creates what a fresh hub needs; running it again changes nothing."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import transaction
from django.utils.module_loading import import_string


class Command(BaseCommand):
    """Ask each app in `HUB_BOOTSTRAP` to create what is missing, and print one JSON line for each thing made."""

    help = "Create roles, the admin, regions, node `local`, its pools and the template catalogue where missing."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic():
            for path in settings.HUB_BOOTSTRAP:
                for made in import_string(path)():
                    self.stdout.write(json.dumps(made if isinstance(made, dict) else {"made": made}))
