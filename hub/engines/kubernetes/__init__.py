"""Workloads on a Kubernetes cluster: each in a namespace of its own."""

from .engine import KubernetesEngine

__all__ = ["KubernetesEngine"]
