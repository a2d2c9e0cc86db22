"""`manage.py token USER --name N`: make an API token and print it, alone, on standard output."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import User
from accounts.tokens import create_token
from hub.exceptions import HubError


class Command(BaseCommand):
    help = "Make an API token for a user and print it. It is shown this once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", help="username or e-mail address")
        parser.add_argument("--name", required=True, help="name of the token, unique for its owner")
        parser.add_argument("--scope", action="append", default=[], help="limit it to this verb; may be repeated")
        parser.add_argument("--network", action="append", default=[], help="limit it to this network; may be repeated")
        parser.add_argument("--days", type=int, help="let it expire after so many days")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.named(options["user"])
        if user is None:
            raise CommandError(f"There is no user {options['user']}.")
        days = options["days"]
        try:
            _, plain = create_token(
                user,
                name=options["name"],
                actor=SYSTEM,
                scopes=options["scope"],
                allowed_networks=options["network"],
                expires_at=timezone.now() + timedelta(days=days) if days else None,
            )
        except HubError as error:
            raise CommandError(error.message) from None
        self.stdout.write(plain)
