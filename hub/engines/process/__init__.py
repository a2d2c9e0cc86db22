"""Workloads as plain processes of this machine, each with a small process that looks after it."""

from .engine import ProcessEngine

__all__ = ["ProcessEngine"]
