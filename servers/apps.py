"""The servers app."""

from __future__ import annotations

from django.apps import AppConfig


class ServersConfig(AppConfig):
    """Game servers and the templates they are made from."""

    name = "servers"
    verbose_name = "Game servers"

    def ready(self) -> None:
        from accounts import grants
        from monitoring import subjects

        from . import figures, measured, rights
        from .models import GameServer

        grants.register(GameServer, rights.owner_may)
        figures.register()
        subjects.register("server", measured.find_servers)
