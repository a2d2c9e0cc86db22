"""The objects of the stand-in: names, versions, conflicts, server-side apply, selectors."""

from __future__ import annotations

import collections
import copy
import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from .validation import faults_of, pod_security_fault, schema_fault

Object = dict[str, Any]
Key = tuple[str, str, str]

KINDS: dict[str, tuple[str, str, bool]] = {
    "namespaces": ("v1", "Namespace", False),
    "nodes": ("v1", "Node", False),
    "pods": ("v1", "Pod", True),
    "secrets": ("v1", "Secret", True),
    "services": ("v1", "Service", True),
    "events": ("v1", "Event", True),
    "persistentvolumeclaims": ("v1", "PersistentVolumeClaim", True),
    "resourcequotas": ("v1", "ResourceQuota", True),
    "limitranges": ("v1", "LimitRange", True),
    "deployments": ("apps/v1", "Deployment", True),
    "daemonsets": ("apps/v1", "DaemonSet", True),
    "networkpolicies": ("networking.k8s.io/v1", "NetworkPolicy", True),
    "ipaddresspools": ("metallb.io/v1beta1", "IPAddressPool", True),
    "l2advertisements": ("metallb.io/v1beta1", "L2Advertisement", True),
    "bgpadvertisements": ("metallb.io/v1beta1", "BGPAdvertisement", True),
    "storageclasses": ("storage.k8s.io/v1", "StorageClass", False),
    "runtimeclasses": ("node.k8s.io/v1", "RuntimeClass", False),
}


class Refusal(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status, self.reason, self.message = status, reason, message


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Store:
    """All objects, by plural, namespace and name. Every method wants the lock to be held by its caller."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    objects: dict[Key, Object] = field(default_factory=dict)
    applied: dict[tuple[Key, str], Object] = field(default_factory=dict)
    dirty: set[str] = field(default_factory=set)
    terminating_since: dict[str, float] = field(default_factory=dict)
    made_at: dict[Key, float] = field(default_factory=dict)
    version: int = 1000
    quota_seconds: float = 0.0  # how long a new quota is not counted yet
    history: collections.deque[tuple[int, str, Key, Object]] = field(
        default_factory=lambda: collections.deque(maxlen=2000)
    )
    reads_schemas: bool = True  # which takes longer than all the rest

    def get(self, plural: str, namespace: str, name: str) -> Object:
        found = self.objects.get((plural, namespace, name))
        if found is None:
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        return found

    def find(self, plural: str, namespace: str, *, labels: str = "", fields: str = "") -> list[Object]:
        matches = _matcher(plural, namespace, labels, fields)
        return [one for key, one in list(self.objects.items()) if matches(key, one)]

    def events_since(
        self, version: int, plural: str, namespace: str, *, labels: str = "", fields: str = ""
    ) -> tuple[int, list[Object]] | None:
        """What a watch tells of what has happened since a version, and up to which; None when that is forgotten."""
        if self.history and len(self.history) == self.history.maxlen and self.history[0][0] > version + 1:
            return None
        matches = _matcher(plural, namespace, labels, fields)
        news = [(kind, one) for at, kind, key, one in self.history if at > version and matches(key, one)]
        return self.version, [{"type": kind, "object": json.loads(json.dumps(one))} for kind, one in news]

    def create(self, plural: str, namespace: str, manifest: Object, *, checked: bool = True) -> Object:
        name = manifest["metadata"].get("name", "")
        if checked:
            self._admit(plural, namespace, manifest)
        if (plural, namespace, name) in self.objects:
            raise Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists')
        made = copy.deepcopy(manifest)
        self.made_at[plural, namespace, name] = time.monotonic()
        made["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": now()}
        if plural == "namespaces":
            made.setdefault("spec", {})["finalizers"] = ["kubernetes"]
            made["status"] = {"phase": "Active"}
        self.objects[plural, namespace, name] = made
        return self.touch(plural, namespace, name, kind="ADDED")

    def touch(self, plural: str, namespace: str, name: str, *, kind: str = "MODIFIED") -> Object:
        """Give an object its next version."""
        self.version += 1
        found = self.objects[plural, namespace, name]
        found["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, kind, (plural, namespace, name), found))
        self.dirty.add(namespace or name)
        return found

    def apply(self, plural: str, namespace: str, manifest: Object, manager: str) -> Object:
        """Server-side apply: what this manager has set before and names no more is taken away."""
        name = manifest["metadata"]["name"]
        key = (plural, namespace, name)
        before = self.applied.get((key, manager), {})
        if key not in self.objects:
            made = self.create(plural, namespace, manifest)
        else:
            self._match_version(plural, namespace, manifest)
            changed = _merged(_pruned(copy.deepcopy(self.objects[key]), before, manifest), manifest)
            self._admit(plural, namespace, _bare(changed))
            self._hold_immutable(plural, self.objects[key], changed)
            self.objects[key] = changed
            made = self.touch(plural, namespace, name)
        self.applied[key, manager] = copy.deepcopy(manifest)
        return made

    def patch(self, plural: str, namespace: str, name: str, change: Object) -> Object:
        """A merge patch."""
        found = self.get(plural, namespace, name)
        self._match_version(plural, namespace, {"metadata": {"name": name, **change.get("metadata", {})}})
        changed = _merged(copy.deepcopy(found), change)
        self._admit(plural, namespace, _bare(changed), is_new=False)
        self.objects[plural, namespace, name] = changed
        return self.touch(plural, namespace, name)

    def remove(self, plural: str, namespace: str, name: str) -> None:
        gone = self.objects.pop((plural, namespace, name), None)
        for key in [key for key in self.applied if key[0] == (plural, namespace, name)]:
            del self.applied[key]
        self.version += 1
        if gone is not None:
            self.history.append((self.version, "DELETED", (plural, namespace, name), gone))
        self.dirty.add(namespace or name)

    def _match_version(self, plural: str, namespace: str, manifest: Object) -> None:
        found = self.get(plural, namespace, manifest["metadata"]["name"])
        wanted = manifest["metadata"].get("resourceVersion")
        if wanted and wanted != found["metadata"]["resourceVersion"]:
            raise Refusal(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {plural} "{manifest["metadata"]["name"]}": the object has been '
                "modified; please apply your changes to the latest version and try again",
            )

    def _hold_immutable(self, plural: str, before: Object, after: Object) -> None:
        if plural == "deployments" and before["spec"]["selector"] != after["spec"]["selector"]:
            raise Refusal(422, "Invalid", "spec.selector: field is immutable")
        if plural == "persistentvolumeclaims" and before["spec"] != after["spec"]:
            raise Refusal(422, "Invalid", "spec: Forbidden: spec is immutable after creation except resources.requests")

    def _admit(self, plural: str, namespace: str, manifest: Object, *, is_new: bool = True) -> None:
        name = manifest["metadata"].get("name", "")
        if namespace:
            home = self.objects.get(("namespaces", "", namespace))
            if home is None:
                raise Refusal(404, "NotFound", f'namespaces "{namespace}" not found')
            is_made = is_new and (plural, namespace, name) not in self.objects
            if is_made and home["metadata"].get("deletionTimestamp"):
                text = f"unable to create new content in namespace {namespace} because it is being terminated"
                raise Refusal(403, "Forbidden", f'{plural} "{name}" is forbidden: {text}')
        if self.reads_schemas and (fault := schema_fault(manifest)):
            raise Refusal(400, "BadRequest", f"strict decoding error: {fault}")
        if faults := faults_of(manifest):
            raise Refusal(422, "Invalid", f'{manifest["kind"]} "{name}" is invalid: {"; ".join(faults)}')
        is_new_claim = plural == "persistentvolumeclaims" and (plural, namespace, name) not in self.objects
        if is_new_claim and (fault := self._claim_fault(namespace, manifest)):
            raise Refusal(403, "Forbidden", f'persistentvolumeclaims "{name}" is forbidden: {fault}')
        if plural == "services":
            self._hold_node_ports(namespace, manifest)

    def _hold_node_ports(self, namespace: str, manifest: Object) -> None:
        wanted = {(one.get("nodePort"), one["protocol"]) for one in manifest["spec"].get("ports") or ()}
        for other in self.find("services", ""):
            if (other["metadata"]["namespace"], other["metadata"]["name"]) == (namespace, manifest["metadata"]["name"]):
                continue
            for port in other["spec"].get("ports") or ():
                if port.get("nodePort") and (port["nodePort"], port.get("protocol", "TCP")) in wanted:
                    text = (
                        f"spec.ports[0].nodePort: Invalid value: {port['nodePort']}: provided port is already allocated"
                    )
                    raise Refusal(422, "Invalid", text)

    def uncounted(self, namespace: str) -> str:
        """A quota refuses all that it bounds until it was counted."""
        for quota in self.find("resourcequotas", namespace):
            name = quota["metadata"]["name"]
            if seconds_since(self.made_at["resourcequotas", namespace, name]) < self.quota_seconds:
                return f"status unknown for quota: {name}, resources: limits.cpu"
        return ""

    def _claim_fault(self, namespace: str, claim: Object) -> str:
        if fault := self.uncounted(namespace):
            return fault
        for quota in self.find("resourcequotas", namespace):
            hard = quota["spec"]["hard"]
            asked = claim["spec"]["resources"]["requests"]["storage"]
            if int(hard["persistentvolumeclaims"]) < 1 or _amount(asked) > _amount(hard["requests.storage"]):
                return f"exceeded quota: {quota['metadata']['name']}, requested: requests.storage={asked}"
        return ""

    def pod_fault(self, namespace: str, pod: Object) -> str:
        """Why admission refuses a pod: the namespace's level of Pod Security, or its quota."""
        home = self.get("namespaces", "", namespace)
        level = (home["metadata"].get("labels") or {}).get("pod-security.kubernetes.io/enforce")
        if level == "restricted" and (fault := pod_security_fault(pod)):
            return f'pods "workload" is forbidden: violates PodSecurity "restricted:latest": {fault}'
        if fault := self.uncounted(namespace):
            return f'pods "workload" is forbidden: {fault}'
        for quota in self.find("resourcequotas", namespace):
            hard = quota["spec"]["hard"]
            for name in ("cpu", "memory", "ephemeral-storage"):
                limits = [container.get("resources", {}).get("limits") or {} for container in pod["containers"]]
                if any(name not in one for one in limits):
                    return f'pods "workload" is forbidden: failed quota: bounds: must specify limits.{name}'
                asked, used = sum(_amount(one[name]) for one in limits), self._used(namespace, name)
                if asked + used > _amount(hard[f"limits.{name}"]):
                    text = f"limits.{name}={asked:g}, used: limits.{name}={used:g}, "
                    text += f"limited: limits.{name}={hard[f'limits.{name}']}"
                    return f'pods "workload" is forbidden: exceeded quota: bounds, requested: {text}'
            if (there := len(self.find("pods", namespace))) >= int(hard["pods"]):
                text = f"requested: pods=1, used: pods={there}, limited: pods={hard['pods']}"
                return f'pods "workload" is forbidden: exceeded quota: bounds, {text}'
        return ""

    def _used(self, namespace: str, name: str) -> float:
        """What pods that are still there take of a quota, those that are on their way out too."""
        pods = [
            one for one in self.find("pods", namespace) if one["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        return sum(_amount(one["resources"]["limits"][name]) for pod in pods for one in pod["spec"]["containers"])

    def event(self, namespace: str, about: Object, reason: str, message: str) -> None:
        kind, name, uid = about["kind"], about["metadata"]["name"], about["metadata"]["uid"]
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{uuid.uuid4().hex[:12]}", "namespace": namespace},
            "involvedObject": {"kind": kind, "name": name, "namespace": namespace, "uid": uid},
            "reason": reason,
            "message": message,
            "type": "Warning",
            "lastTimestamp": now(),
        }
        self.create("events", namespace, event, checked=False)


def _matcher(plural: str, namespace: str, labels: str, fields: str) -> Callable[[Key, Object], bool]:
    wanted = [pair.partition("=")[::2] for pair in labels.split(",") if pair]
    chosen = [pair.partition("=")[::2] for pair in fields.split(",") if pair]

    def matches(key: Key, one: Object) -> bool:
        return (
            key[0] == plural
            and namespace in ("", key[1])
            and all((one["metadata"].get("labels") or {}).get(label) == value for label, value in wanted)
            and all(_field(one, path) == value for path, value in chosen)
        )

    return matches


def seconds_since(moment: float) -> float:
    return time.monotonic() - moment


def _bare(one: Object) -> Object:
    """What a client could have sent."""
    bare = {key: value for key, value in one.items() if key != "status"}
    hidden = ("uid", "creationTimestamp", "resourceVersion", "deletionTimestamp")
    bare["metadata"] = {key: value for key, value in one["metadata"].items() if key not in hidden}
    return bare


def _field(one: Object, path: str) -> str:
    found: Any = one
    for part in path.split("."):
        found = (found or {}).get(part)
    return str(found or "")


def _amount(text: str) -> float:
    number = text.rstrip("numkMGTPEi")
    factor = {"m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "": 1.0}[text[len(number) :]]
    return float(number) * factor


def _merged(base: Object, change: Object) -> Object:
    """RFC 7386: null takes away, objects are merged, the rest is replaced."""
    for key, value in change.items():
        if value is None:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            _merged(base[key], value)
        else:
            base[key] = copy.deepcopy(value)
    return base


def _pruned(base: Object, before: Object, after: Object) -> Object:
    for key, value in before.items():
        if key not in after:
            base.pop(key, None)
        elif isinstance(value, dict) and isinstance(base.get(key), dict) and isinstance(after[key], dict):
            _pruned(base[key], value, after[key])
    return base
