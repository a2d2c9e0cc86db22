"""What a real API server refuses, as measured on 1.33."""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
from kubernetes_validate import utils

DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")
PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")
QUANTITY = re.compile(r"\d+(?:\.\d+)?(?:[numkMGTPE]|[KMGTPE]i)?")
LABEL_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?")
LABEL_KEY = re.compile(r"(?:[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
SECRET_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
PULL_POLICIES = {"Always", "IfNotPresent", "Never"}
SERVICE_TYPES = {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}
VERSION = "1.33"

utils.schema_contents = functools.lru_cache(maxsize=None)(utils.schema_contents)  # it reads megabytes at each call


def schema_fault(manifest: dict[str, Any]) -> str:
    """What strict validation against the published schemas says, or ""."""
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error.message)
    except kubernetes_validate.SchemaNotFoundError as error:
        return str(error.message)
    return ""


def faults_of(manifest: dict[str, Any]) -> list[str]:
    """What schemas let pass and the server does not."""
    return list(_faults(manifest))


def _faults(manifest: dict[str, Any]) -> Iterator[str]:
    kind, metadata = manifest["kind"], manifest["metadata"]
    pattern = DNS_LABEL if kind in ("Namespace", "Service") else DNS_SUBDOMAIN
    if not pattern.fullmatch(metadata.get("name", "")):
        yield f"metadata.name: {metadata.get('name')!r} is no name"
    if kind == "Service" and not re.fullmatch(r"[a-z](?:[-a-z0-9]*[a-z0-9])?", metadata.get("name", "")):
        yield "metadata.name: a service's name begins with a letter"
    yield from _metadata(metadata)
    spec = manifest.get("spec") or {}
    yield from {
        "Deployment": _deployment,
        "Service": _service,
        "NetworkPolicy": _policy,
        "ResourceQuota": _quota,
        "LimitRange": _limit_range,
        "PersistentVolumeClaim": _claim,
    }.get(kind, _nothing)(spec)
    if kind == "Secret":
        yield from (f"data: {key!r} is no key" for key in manifest.get("data") or {} if not SECRET_KEY.fullmatch(key))
        if sum(len(value) for value in (manifest.get("data") or {}).values()) > 1_400_000:
            yield "data: too long"


def _nothing(spec: dict[str, Any]) -> Iterator[str]:
    yield from ()


def _metadata(metadata: dict[str, Any]) -> Iterator[str]:
    for key, value in (metadata.get("labels") or {}).items():
        if not LABEL_KEY.fullmatch(key) or not LABEL_VALUE.fullmatch(value):
            yield f"metadata.labels: {key}={value!r}"
    notes = metadata.get("annotations") or {}
    if any(not LABEL_KEY.fullmatch(key.lower()) or not isinstance(value, str) for key, value in notes.items()):
        yield "metadata.annotations"
    if sum(len(key) + len(str(value).encode()) for key, value in notes.items()) > 256 * 1024:
        yield "metadata.annotations: Too long: must have at most 262144 bytes"


def _quantities(amounts: dict[str, Any], where: str) -> Iterator[str]:
    for name, amount in amounts.items():
        if not isinstance(amount, str) or not QUANTITY.fullmatch(amount):
            yield f"{where}.{name}: {amount!r} is no quantity"


def _port(number: Any, where: str) -> Iterator[str]:
    if not isinstance(number, int) or not 0 < number < 65536:
        yield f"{where}: {number!r} must be between 1 and 65535"


def _deployment(spec: dict[str, Any]) -> Iterator[str]:
    labels = spec["template"]["metadata"].get("labels") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    if not wanted or any(labels.get(key) != value for key, value in wanted.items()):
        yield "spec.template.metadata.labels: `selector` does not match template `labels`"
    yield from _metadata(spec["template"]["metadata"])
    pod = spec["template"]["spec"]
    volumes = {volume["name"] for volume in pod.get("volumes") or ()}
    if pod.get("terminationGracePeriodSeconds", 0) < 0:
        yield "terminationGracePeriodSeconds"
    for container in pod["containers"]:
        yield from _container(container, volumes)


def _container(container: dict[str, Any], volumes: set[str]) -> Iterator[str]:
    if not container.get("image") or container["image"] != container["image"].strip():
        yield "containers.image: Required value"
    if container.get("imagePullPolicy") not in PULL_POLICIES:
        yield f"imagePullPolicy: Unsupported value {container.get('imagePullPolicy')!r}"
    if not DNS_LABEL.fullmatch(container.get("name", "")):
        yield "containers.name: Required value"
    seen = set()
    for port in container.get("ports") or ():
        yield from _port(port["containerPort"], "containerPort")
        if "name" in port and not PORT_NAME.fullmatch(port["name"]):
            yield f"ports.name {port['name']!r}"
        key = (port["containerPort"], port["protocol"])
        if key in seen:
            yield f"ports: Duplicate value {key}"
        seen.add(key)
    for kind in ("limits", "requests"):
        yield from _quantities(container.get("resources", {}).get(kind) or {}, f"resources.{kind}")
    paths = [mount["mountPath"] for mount in container.get("volumeMounts") or ()]
    if len(set(paths)) != len(paths) or any(":" in path or not path for path in paths):
        yield "volumeMounts: must be unique"
    if any(mount["name"] not in volumes for mount in container.get("volumeMounts") or ()):
        yield "volumeMounts.name: Not found"
    yield from _security(container.get("securityContext") or {})
    if probe := container.get("readinessProbe"):
        yield from _probe(probe)
    variables = [entry["name"] for entry in container.get("env") or ()]
    if len(set(variables)) < len(variables):
        yield "env: duplicate entries for a list map key"  # which server-side apply cannot merge
    for entry in container.get("env") or ():
        if ("value" in entry) == ("valueFrom" in entry):
            yield f"env.valueFrom: Invalid value: {entry['name']!r}"
        if not re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", entry["name"]):
            yield f"env.name: {entry['name']!r}"


def _security(rights: dict[str, Any]) -> Iterator[str]:
    if rights.get("allowPrivilegeEscalation") is False:
        if rights.get("privileged"):
            yield "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
        if "CAP_SYS_ADMIN" in (rights.get("capabilities") or {}).get("add", ()):
            yield "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
    if rights.get("runAsNonRoot") and rights.get("runAsUser") == 0:
        yield "container's runAsUser breaks non-root policy"  # the kubelet says so


def _probe(probe: dict[str, Any]) -> Iterator[str]:
    handlers = [key for key in ("exec", "httpGet", "tcpSocket", "grpc") if key in probe]
    if len(handlers) != 1:
        yield "readinessProbe: must specify exactly one handler type"
    for handler in handlers:
        yield from _port(probe[handler].get("port"), f"readinessProbe.{handler}.port")
    if "httpGet" in probe and not probe["httpGet"].get("path"):
        yield "readinessProbe.httpGet.path: Required value"


def _service(spec: dict[str, Any]) -> Iterator[str]:
    if spec.get("type", "ClusterIP") not in SERVICE_TYPES:
        yield f"spec.type: Unsupported value {spec['type']!r}"
    if not spec.get("ports"):
        yield "spec.ports: Required value"
    seen: set[Any] = set()
    for port in spec.get("ports") or ():
        yield from _port(port["port"], "port")
        yield from _port(port["targetPort"], "targetPort")
        if "nodePort" in port and not 30000 <= port["nodePort"] <= 32767:
            yield f"nodePort: {port['nodePort']} is not in the valid range. The range of valid ports is 30000-32767"
        if not DNS_LABEL.fullmatch(port.get("name", "")):
            yield f"ports.name: {port.get('name')!r}"
        for key in (port["name"], (port["port"], port["protocol"]), ("node", port.get("nodePort"), port["protocol"])):
            if key in seen and not (key[0] == "node" and key[1] is None):
                yield f"ports: Duplicate value {key}"
            seen.add(key)
    families = spec.get("ipFamilies") or []
    if not set(families) <= {"IPv4", "IPv6"} or (spec.get("ipFamilyPolicy") == "SingleStack" and len(families) > 1):
        yield f"spec.ipFamilies: Invalid value {families}"
    if spec.get("externalTrafficPolicy") and spec.get("type") not in ("LoadBalancer", "NodePort"):
        yield "spec.externalTrafficPolicy: may only be set for externally-accessible services"
    for cidr in spec.get("loadBalancerSourceRanges") or ():
        yield from _cidr(cidr)
    if spec.get("allocateLoadBalancerNodePorts") is not None and spec.get("type") != "LoadBalancer":
        yield "allocateLoadBalancerNodePorts: may only be used when `type` is 'LoadBalancer'"


def _policy(spec: dict[str, Any]) -> Iterator[str]:
    for side, key in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(side) or ():
            for port in rule.get("ports") or ():
                yield from _port(port["port"], "port")
            for peer in rule.get(key) or ():
                if block := peer.get("ipBlock"):
                    yield from _block(block)


def _block(block: dict[str, Any]) -> Iterator[str]:
    yield from _cidr(block["cidr"])
    for text in block.get("except") or ():
        yield from _cidr(text)
        inner, outer = ipaddress.ip_network(text, strict=False), ipaddress.ip_network(block["cidr"], strict=False)
        if inner.version != outer.version or inner == outer or not inner.subnet_of(outer):  # type: ignore[arg-type]
            yield f"except: {text} must be a strict subset of {block['cidr']}"


def _cidr(text: str) -> Iterator[str]:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        yield f"{text!r} must be a valid CIDR value"


def _quota(spec: dict[str, Any]) -> Iterator[str]:
    yield from _quantities(spec["hard"], "hard")


def _limit_range(spec: dict[str, Any]) -> Iterator[str]:
    for limit in spec["limits"]:
        for key in ("default", "defaultRequest", "max"):
            yield from _quantities(limit.get(key) or {}, key)


def _claim(spec: dict[str, Any]) -> Iterator[str]:
    yield from _quantities(spec["resources"]["requests"], "requests")
    if not spec.get("accessModes"):
        yield "accessModes: Required value"


def pod_security_fault(pod: dict[str, Any]) -> str:
    """What the level `restricted` refuses."""
    whole = pod.get("securityContext") or {}
    for container in pod["containers"]:
        own = container.get("securityContext") or {}
        if own.get("privileged") or own.get("allowPrivilegeEscalation") is not False:
            return "allowPrivilegeEscalation != false or privileged"
        if (own.get("capabilities") or {}).get("drop") != ["ALL"]:
            return "unrestricted capabilities"
        if not (own.get("runAsNonRoot") or whole.get("runAsNonRoot")):
            return "runAsNonRoot != true"
        profile = own.get("seccompProfile") or whole.get("seccompProfile") or {}
        if profile.get("type") not in ("RuntimeDefault", "Localhost"):
            return "seccompProfile"
    for volume in pod.get("volumes") or ():
        if not set(volume) - {"name"} <= {"emptyDir", "persistentVolumeClaim", "secret", "configMap", "projected"}:
            return "restricted volume types"
    return "" if not pod.get("hostNetwork") and not pod.get("hostPID") else "host namespaces"
