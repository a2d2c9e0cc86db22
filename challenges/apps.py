"""The challenges app."""

from __future__ import annotations

from django.apps import AppConfig


class ChallengesConfig(AppConfig):
    """Challenges, the events and teams that play them, and the score."""

    name = "challenges"
    verbose_name = "Challenges"

    def ready(self) -> None:
        from django.conf import settings

        from accounts import grants, registering
        from accounts.permissions import can
        from hub import hardening
        from monitoring import subjects

        from . import rights, services
        from .instances import figures, measured
        from .models import Event, EventChallenge, Instance, Participation, Team

        grants.register(Event, rights.event_rule)
        grants.register(EventChallenge, rights.entry_rule)
        grants.register(Team, rights.team_rule)
        grants.register(Participation, rights.entry_rule)
        grants.register(Instance, rights.instance_rule)
        registering.WISHES.append(
            registering.Wish("Join or make a team", services.team_fields, services.check_team, services.enter_team)
        )
        subjects.register(Instance.kind, measured.find_instances)
        figures.register()
        hardening.take_large(
            r"(/api/v1)?/challenges/[-\w]+/files",
            lambda: (settings.HUB_CHALLENGE_FILE_MB + 1) * 2**20,  # with what a form has around a file
            lambda user: can(user, "challenges.change"),
        )
