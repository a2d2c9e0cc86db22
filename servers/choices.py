"""Kinds of variables, stop policies and readiness checks, and the bounds that hold for every server."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.nodes.choices import EngineKind

NAME_LENGTHS: Final = (3, 32)
MEMORY_MB_BOUNDS: Final = (1024, 16_384)
DISK_MB_BOUNDS: Final = (5_000, 500_000)
CPU_PERCENT_BOUNDS: Final = (10, 1_600)

IMAGE_ENGINES: Final = frozenset({EngineKind.DOCKER, EngineKind.KUBERNETES, EngineKind.FAKE})
"""Engines that run images; the process engine runs programs of its node."""

LOCAL_REGISTRY: Final = "localhost/"
"""How images begin that were made on a node: no registry can be asked for them, and none can slip in another."""

STOP_SIGNALS: Final = ("SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2")


class VariableKind(models.TextChoices):
    """What a template variable holds."""

    TEXT = "text", "Text"
    INTEGER = "integer", "Whole number"
    BOOLEAN = "boolean", "Yes or no"
    CHOICE = "choice", "One of several"
    SECRET = "secret", "Secret"


class StopKind(models.TextChoices):
    """How a server is asked to end."""

    SIGNAL = "signal", "Signal"
    CONSOLE = "console", "Line on its console"
    RCON = "rcon", "RCON command"
    ECON = "econ", "econ command"


class ReadinessKind(models.TextChoices):
    """How the hub learns that a server is ready and still well; all but the log are the server's own protocol."""

    LOG = "log", "Line in its log"
    TCP = "tcp", "TCP connection"
    MINECRAFT = "minecraft", "Minecraft list ping"
    A2S = "a2s", "Steam query (A2S)"
    RCON = "rcon", "RCON log-in"
    TEEWORLDS = "teeworlds", "Teeworlds info"
    MINETEST = "minetest", "Minetest ping"


class PortProtocol(models.TextChoices):
    """What is spoken on a named port."""

    GAME = "game", "The game"
    QUERY = "query", "Status query"
    RCON = "rcon", "RCON"
    ECON = "econ", "econ"


class ConsoleKind(models.TextChoices):
    """The channel through which a server takes commands."""

    RCON = "rcon", "RCON"
    ECON = "econ", "econ"
    STDIN = "stdin", "Standard input"


class TrialStatus(models.TextChoices):
    """What came of a template's trial start."""

    RUNNING = "running", "Under way"
    READY = "ready", "Became ready"
    FAILED = "failed", "Failed"
