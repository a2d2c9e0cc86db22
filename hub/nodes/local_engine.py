"""Choose what runs the workloads of node `local`: Docker where it works and has an image to run, else processes."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

from hub.engines import load_engine
from hub.engines.base import Engine, EngineError

from .choices import EngineKind

AUTOMATIC = "auto"


@dataclass(frozen=True)
class LocalEngine:
    """The choice, the engine's settings, and the reason in a sentence for people."""

    kind: str
    why: str
    options: dict[str, Any] = field(default_factory=dict)


def choose(node: str) -> LocalEngine:
    """What HUB_LOCAL_ENGINE says; left to itself, Docker if it answers, its firewall can be laid, and an image is
    there.
    """
    if settings.HUB_LOCAL_ENGINE != AUTOMATIC:
        kind = settings.HUB_LOCAL_ENGINE
        return LocalEngine(kind, "HUB_LOCAL_ENGINE says so.", options_for(kind))
    options = options_for(EngineKind.DOCKER)
    if obstacle := _obstacle(node, options):
        return LocalEngine(EngineKind.PROCESS, obstacle, options_for(EngineKind.PROCESS))
    return LocalEngine(EngineKind.DOCKER, "Docker answers here.", options)


def options_for(kind: str) -> dict[str, Any]:
    """Settings of the engine on this machine. The namespace keeps several hubs on one Docker host apart for good."""
    if kind == EngineKind.PROCESS:
        return {"root": str(settings.HUB_DATA / "workloads"), "user": settings.HUB_WORKLOAD_USER}
    return {"namespace": f"local-{secrets.token_hex(4)}"}


def _obstacle(node: str, options: dict[str, Any]) -> str:
    """Why Docker cannot serve, or ""; what was laid for the trial is taken away again then."""
    try:
        engine = load_engine(EngineKind.DOCKER, node=node, options=options)
        engine.list_owned()
    except EngineError as error:
        return str(error)
    try:
        engine.prepare()
        obstacle = str(import_string(settings.HUB_LOCAL_IMAGE)(engine))
    except EngineError as error:
        obstacle = str(error)
    if obstacle:
        _undo(engine)
    return obstacle


def _undo(engine: Engine) -> None:
    with contextlib.suppress(EngineError):
        engine.teardown()
