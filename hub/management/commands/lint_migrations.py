"""`manage.py lint_migrations`: may the version before go on running on the tables of this one?"""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hub.migration_rules import REASON, judge_all


class Command(BaseCommand):
    """Refuse migrations that break a version that still runs."""

    help = "Judges the migrations after those in hub/released_migrations.txt by the rules of expand and contract."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        if found := judge_all():
            raise CommandError(
                "\n".join([*found, f"Where no running version minds, say why in the migration's {REASON}."])
            )
