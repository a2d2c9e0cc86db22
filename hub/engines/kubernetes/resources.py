"""The kinds of objects that we ask a cluster for, and where its API keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """One kind of object and where the API keeps it."""

    plural: str
    group: str = ""
    version: str = "v1"
    is_namespaced: bool = True

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = ["namespaces", namespace] if namespace and self.is_namespaced else []
        parts = [*scope, self.plural, *filter(None, (name, subresource))]
        return "/".join([root, *(quote(part, safe="") for part in parts)])


NAMESPACES = Resource("namespaces", is_namespaced=False)
NODES = Resource("nodes", is_namespaced=False)
PODS = Resource("pods")
SECRETS = Resource("secrets")
SERVICES = Resource("services")
EVENTS = Resource("events")
CLAIMS = Resource("persistentvolumeclaims")
QUOTAS = Resource("resourcequotas")
LIMIT_RANGES = Resource("limitranges")
DEPLOYMENTS = Resource("deployments", "apps")
DAEMON_SETS = Resource("daemonsets", "apps")
POLICIES = Resource("networkpolicies", "networking.k8s.io")
POOLS = Resource("ipaddresspools", "metallb.io", "v1beta1")
L2_ADVERTISEMENTS = Resource("l2advertisements", "metallb.io", "v1beta1")
BGP_ADVERTISEMENTS = Resource("bgpadvertisements", "metallb.io", "v1beta1")
POD_METRICS = Resource("pods", "metrics.k8s.io", "v1beta1")
ACCESS_REVIEWS = Resource("selfsubjectaccessreviews", "authorization.k8s.io", is_namespaced=False)

BY_KIND = {
    "Namespace": NAMESPACES,
    "Secret": SECRETS,
    "Service": SERVICES,
    "PersistentVolumeClaim": CLAIMS,
    "ResourceQuota": QUOTAS,
    "LimitRange": LIMIT_RANGES,
    "Deployment": DEPLOYMENTS,
    "NetworkPolicy": POLICIES,
    "Pod": PODS,
}
