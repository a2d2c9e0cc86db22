"""What the stand-in does by itself: deployments get their pods, services their addresses, namespaces end."""

from __future__ import annotations

import contextlib
import ipaddress
import time
import uuid
from typing import TYPE_CHECKING

from .kubelet import Pod
from .store import Object, Refusal, seconds_since

if TYPE_CHECKING:
    from .server import Cluster

WANTED = "metallb.io/loadBalancerIPs"
SHARING = "metallb.io/allow-shared-ip"
POOL = "metallb.io/address-pool"


def settle(cluster: Cluster, namespace: str) -> bool:
    """Take the steps that can be taken in a namespace; True when it must be looked at again."""
    store = cluster.store
    home = store.objects.get(("namespaces", "", namespace))
    if home is None:
        return False
    if home["metadata"].get("deletionTimestamp"):
        return _end_namespace(cluster, namespace, home)
    again = False
    deployments = store.find("deployments", namespace)
    for deployment in deployments:
        again |= _deploy(cluster, namespace, deployment)
    if not deployments:
        for pod in store.find("pods", namespace, labels="app.kubernetes.io/managed-by=kutanga-hub"):
            cluster.end_pod(pod)
    for service in store.find("services", namespace):
        again |= _give_address(cluster, service)
    return again


def _end_namespace(cluster: Cluster, namespace: str, home: Object) -> bool:
    store = cluster.store
    for plural, where, name in [key for key in store.objects if key[1] == namespace]:
        if plural == "pods":
            cluster.end_pod(store.objects[plural, where, name])
        else:
            store.remove(plural, where, name)
    if store.find("pods", namespace) or namespace in cluster.stuck:
        return True
    if seconds_since(store.terminating_since[namespace]) < cluster.delete_seconds:
        return True
    store.remove("namespaces", "", namespace)
    cluster.forget_volumes(namespace)
    return False


def _deploy(cluster: Cluster, namespace: str, deployment: Object) -> bool:
    store, spec = cluster.store, deployment["spec"]
    pods = store.find("pods", namespace)
    run = spec["template"]
    if spec.get("replicas", 1) == 0:
        for pod in pods:
            cluster.end_pod(pod)
        return False
    old = [pod for pod in pods if pod["template"] != run]
    for pod in old:
        cluster.end_pod(pod)
    if pods:
        return False
    if fault := store.pod_fault(namespace, run["spec"]):
        condition = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": fault}
        deployment["status"] = {"conditions": [condition]}
        return "status unknown" in fault
    deployment["status"] = {"conditions": []}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **run["metadata"],
            "name": f"{deployment['metadata']['name']}-{uuid.uuid4().hex[:8]}",
            "namespace": namespace,
        },
        "spec": run["spec"],
        "template": run,
        "status": {"phase": "Pending"},
    }
    made = store.create("pods", namespace, pod, checked=False)
    if fault := cluster.unschedulable:
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": fault}
        made["status"]["conditions"] = [condition]
        return False
    cluster.pods[namespace, made["metadata"]["name"]] = Pod(cluster, made)
    return False


def _give_address(cluster: Cluster, service: Object) -> bool:
    """As MetalLB does: the wanted address if it is in a pool and nobody has it, or shares it by one key."""
    metadata, spec = service["metadata"], service["spec"]
    if spec.get("type") != "LoadBalancer" or (service.get("status") or {}).get("loadBalancer"):
        return False
    key = (metadata["namespace"], metadata["name"])
    since = cluster.asked_since.setdefault(key, time.monotonic())
    if seconds_since(since) < cluster.address_seconds:
        return True
    wanted = str(ipaddress.ip_address((metadata.get("annotations") or {}).get(WANTED) or cluster.first_address()))
    if fault := _address_fault(cluster, service, wanted):
        if key not in cluster.failed:
            cluster.failed.add(key)
            with contextlib.suppress(Refusal):
                cluster.store.event(key[0], service, "AllocationFailed", fault)
        return True
    given = cluster.other_address or wanted
    service["status"] = {"loadBalancer": {"ingress": [{"ip": given}]}}
    cluster.store.touch("services", *key)
    return False


def _address_fault(cluster: Cluster, service: Object, wanted: str) -> str:
    name = f"{service['metadata']['namespace']}/{service['metadata']['name']}"
    if not cluster.has_address(wanted):
        return f'Failed to allocate IP for "{name}": ["{wanted}"] is not allowed in config'
    sharing = (service["metadata"].get("annotations") or {}).get(SHARING)
    ports = {(port["port"], port.get("protocol", "TCP")) for port in service["spec"]["ports"]}
    families = service["spec"].get("ipFamilies") or ["IPv4"]
    if f"IPv{ipaddress.ip_address(wanted).version}" not in families:
        return (
            f'Failed to allocate IP for "{name}": requested loadBalancer IP(s) does not match ipFamily of the service'
        )
    pool = (service["metadata"].get("annotations") or {}).get(POOL, "")
    if pool and not cluster.has_address(wanted, pool):
        return f'Failed to allocate IP for "{name}": ["{wanted}"] is not compatible with requested address pool {pool}'
    if foreign := cluster.foreign_pool(wanted, service):
        return f'Failed to allocate IP for "{name}": pool {foreign} not compatible for ip assignment'
    for other in cluster.store.find("services", ""):
        if other is service:
            continue
        given = ((other.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        if wanted not in {one["ip"] for one in given}:
            continue
        owner = f"{other['metadata']['namespace']}/{other['metadata']['name']}"
        theirs = {(port["port"], port.get("protocol", "TCP")) for port in other["spec"]["ports"]}
        if not sharing or (other["metadata"].get("annotations") or {}).get(SHARING) != sharing:
            return f'Failed to allocate IP for "{name}": can\'t change sharing key, address also in use by {owner}'
        if ports & theirs:
            return f'Failed to allocate IP for "{name}": port is already in use by {owner}'
        traffic = {one["spec"].get("externalTrafficPolicy", "Cluster") for one in (service, other)}
        if traffic != {"Cluster"}:
            return f'Failed to allocate IP for "{name}": can\'t change sharing key, address also in use by {owner}'
    return ""
