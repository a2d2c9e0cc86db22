"""One line for a workload's console, over the API's attach."""

from __future__ import annotations

from ..base import EngineError, Reason
from ..docker.console import encode_line
from .gateway import Gateway
from .names import CONTAINER

__all__ = ["encode_line", "write_line"]


def write_line(gateway: Gateway, namespace: str, pod: str, data: bytes) -> None:
    """Attach, write, and go: the container keeps its input open."""
    try:
        gateway.attach(namespace, pod, CONTAINER, data)
    except OSError as error:
        raise EngineError("The cluster does not take input for it.", reason=Reason.UNAVAILABLE) from error
