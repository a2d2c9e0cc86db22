"""`manage.py retention [--dry-run]`: removes what has served its time, or says what would go."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from hub import retention


class Command(BaseCommand):
    """Apply the rules of retention now."""

    help = "Removes what is older than it is kept, and records what went; --dry-run shows what would go."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="Show what would go, and leave it.")

    def handle(self, *args: Any, dry_run: bool = False, **options: Any) -> None:
        if dry_run:
            for rule in retention.rules():
                found = rule.preview()
                oldest = f", oldest of {found.oldest:%Y-%m-%d %H:%M}" if found.oldest else ""
                self.stdout.write(f"{rule.name:<12} {found.count:>9} would go{oldest}; {rule.keeps()}")
            return
        done = retention.run_all()
        for made in done:
            self.stdout.write(
                f"{made.rule:<12} {made.count:>9} removed{f', failed: {made.error}' if made.error else ''}"
            )
        if not done:
            self.stdout.write("Nothing is that old.")
        if any(made.error for made in done):
            raise CommandError("Not everything could be removed.")
