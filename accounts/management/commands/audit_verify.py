"""`manage.py audit_verify`: prove that no sealed audit entry was edited, removed or slipped in."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from accounts import audit_chain
from accounts.models import AuditEntry, AuditSeal


class Command(BaseCommand):
    help = "Recompute the audit trail's hash chain. Exit code 1 and one line for each break."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--anchor", default="", help="a digest kept outside that must be in the chain")

    def handle(self, *args: Any, **options: Any) -> None:
        problems = audit_chain.verify(options["anchor"])
        for problem in problems:
            self.stderr.write(self.style.ERROR(problem))
        if problems:
            raise CommandError(f"The audit trail is broken in {len(problems)} places.")
        unsealed = AuditEntry.objects.unsealed().count()
        self.stdout.write(f"{AuditSeal.objects.count()} seals are whole, {unsealed} entries wait for the next.")
        self.stdout.write(f"Newest digest: {audit_chain.head()}")
