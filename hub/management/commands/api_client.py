"""`manage.py api_client`: writes clients/python/kutanga_hub.py from the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.api.client.generator import generate
from hub.api.schema import rendered_document

PLACE = settings.BASE_DIR / "clients" / "python" / "kutanga_hub.py"


class Command(BaseCommand):
    """Write the client, or compare it with the document."""

    help = "Writes the Python client from the OpenAPI document; with --check compares only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Fail when the file is not up to date.")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        text = generate(json.loads(rendered_document("json")))
        if not check:
            PLACE.parent.mkdir(parents=True, exist_ok=True)
            PLACE.write_text(text, encoding="utf-8")
        elif not PLACE.exists() or PLACE.read_text(encoding="utf-8") != text:
            raise CommandError("clients/python/kutanga_hub.py is out of date: run make client")
