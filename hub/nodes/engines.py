"""The engine of a node, as its agent holds it. Only agents call this: the web process never does."""

from __future__ import annotations

import json
from typing import Any

from hub.engines import load_engine
from hub.engines.base import Engine, EngineError, Reason
from hub.exceptions import SecretError

from .models import Node

_engines: dict[tuple[int, str], Engine] = {}


def engine_for(node: Node) -> Engine:
    """One engine per node and configuration, kept for the life of the process.

    Raises EngineError for options that the engine does not take, and while the node's credentials cannot be opened.
    """
    options = {**node.options, "credentials": _credentials(node)}
    key = (node.pk, node.engine + json.dumps(options, sort_keys=True))
    if key not in _engines:
        _engines[key] = load_engine(node.engine, node=node.name, options=options)
    return _engines[key]


def _credentials(node: Node) -> dict[str, Any]:
    try:
        text = node.credentials.reveal() if node.credentials else ""
    except SecretError as error:
        sentence = str(error).removesuffix(" Try again.")
        raise EngineError(
            f"The credentials of the node {node.name} cannot be opened: {sentence}", reason=Reason.UNAVAILABLE
        ) from None
    found: dict[str, Any] = json.loads(text or "{}")
    return found
