"""The challenges app."""

from __future__ import annotations

from django.apps import AppConfig


class ChallengesConfig(AppConfig):
    """Challenges, the events and teams that play them, and the score."""

    name = "challenges"
    verbose_name = "Challenges"

    def ready(self) -> None:
        from accounts import grants

        from . import rights
        from .models import Event, Participation, Team

        grants.register(Event, rights.event_rule)
        grants.register(Team, rights.team_rule)
        grants.register(Participation, rights.participation_rule)
