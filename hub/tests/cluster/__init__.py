"""A small Kubernetes API server of our own, for tests: it keeps objects, runs programs, and can be told to fail.

It answers as a real 1.33 was seen to (`docs/kubernetes.md` says where it stops): names, versions and conflicts,
server-side apply, admission by quota and Pod Security, rights, addresses as MetalLB gives them, namespaces that take
their time. Pods run their arguments as real processes of this machine.
"""

from .faults import Fault
from .server import Cluster

__all__ = ["Cluster", "Fault"]
