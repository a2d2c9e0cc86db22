"""The engine of a node, as its agent holds it. Only agents call this: the web process never does."""

from __future__ import annotations

import json

from hub.engines import load_engine
from hub.engines.base import Engine

from .models import Node

_engines: dict[tuple[int, str], Engine] = {}


def engine_for(node: Node) -> Engine:
    """One engine per node and configuration, kept for the life of the process."""
    options = {**node.options, "credentials": json.loads(node.credentials.reveal() or "{}") if node.credentials else {}}
    key = (node.pk, node.engine + json.dumps(options, sort_keys=True))
    if key not in _engines:
        _engines[key] = load_engine(node.engine, node=node.name, options=options)
    return _engines[key]
