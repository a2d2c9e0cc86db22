"""Workloads as containers of the node's own Docker Engine."""

from .engine import DockerEngine
from .references import pin

__all__ = ["DockerEngine", "pin"]
