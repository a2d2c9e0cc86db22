"""What a fresh hub has: the template catalogue, and images for it where node `local` runs containers."""

from __future__ import annotations

import logging

from hub.engines.base import EngineError
from hub.nodes.bootstrap import LOCAL_NODE
from hub.nodes.choices import EngineKind
from hub.nodes.engines import engine_for
from hub.nodes.models import Node

from .catalogue import sync_catalogue
from .images import provide_all

logger = logging.getLogger(__name__)


def run() -> list[str]:
    """Bring catalogue and images up to date; says what was done."""
    return sync_catalogue() + _images()


def _images() -> list[str]:
    """Where Docker does not answer now, templates keep the images they have."""
    local = Node.objects.filter(name=LOCAL_NODE, engine=EngineKind.DOCKER).first()
    if local is None:
        return []
    try:
        return provide_all(engine_for(local))
    except EngineError as error:
        logger.warning("images of the catalogue are not renewed: %s", error)
        return []
