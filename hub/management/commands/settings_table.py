"""`manage.py settings_table`: writes docs/configuration.md from what the settings declare."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub.env import Variable
from hub.settings import env

PLACE = settings.BASE_DIR / "docs" / "configuration.md"
COMPUTED = {  # defaults that depend on who starts the hub, or on another variable
    "HUB_DATA": "`.run`, for root `/var/lib/kutanga-hub`",
    "HUB_URL": "`http://localhost:` and HUB_PORT",
    "HUB_AUDIT_STRICT": "as HUB_DEBUG",
    "HUB_API_DOCS": "`people` when HUB_URL is https, else `open`",
}
HEAD = """# Configuration

Every setting is an environment variable. A bad value stops the start with one sentence that names the variable.

Any of them may come from a file instead, as container secrets do: `HUB_SECRET_KEY_FILE=/run/secrets/hub_secret_key`.
An empty variable counts as not set. Beside a hub that `make up` runs, `manage.py` finds the embedded PostgreSQL and
Valkey and the generated keys by itself.

This table is made by `manage.py settings_table`; a test compares it with the code.

| Variable | Kind | Default | Meaning |
|---|---|---|---|
"""


class Command(BaseCommand):
    """Write the table, or compare it with the code."""

    help = "Writes docs/configuration.md from what the settings declare; with --check compares only."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--check", action="store_true", help="Fail when the file is not up to date.")

    def handle(self, *args: Any, check: bool = False, **options: Any) -> None:
        text = table(list(env.declared.values()))
        if not check:
            PLACE.parent.mkdir(exist_ok=True)
            PLACE.write_text(text, encoding="utf-8")
        elif not PLACE.exists() or PLACE.read_text(encoding="utf-8") != text:
            raise CommandError("docs/configuration.md is out of date: run manage.py settings_table")


def table(variables: list[Variable]) -> str:
    """The page, in the order of the settings."""
    return HEAD + "".join(map(_row, variables))


def _row(variable: Variable) -> str:
    default = COMPUTED.get(variable.name) or (f"`{variable.default}`" if variable.default else "")
    cells = (f"`{variable.name}`", variable.kind, default, variable.help)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"
