"""How a workload ends in a cluster: noted first, so that what is seen afterwards was meant; and what stays of it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hub.failpoints import declare, failpoint

from ..base import EngineError, Reason
from . import names
from .gateway import PAUSE_SECONDS, Gateway
from .observe import View, container_status, digest_of, end_of
from .resources import DEPLOYMENTS, NAMESPACES, PODS, SECRETS, SERVICES

declare("kubernetes.remove.after_mark", "kubernetes.remove.after_contents")

GONE_SECONDS = 3.0
KILL_GRACE_SECONDS = 1  # with 0 the API forgets the pod before its processes are gone


class Ends:
    """Ends workloads, and empties what held them."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def end(self, view: View, noted: dict[str, Any]) -> None:
        """Note the end first: what is seen afterwards was meant. Whoever died between the two left a pod that stays."""
        name = view.namespace["metadata"]["name"]
        if view.ended is None:
            told = end_of(container_status(view.pod)) or self._observed_start(view)
            self.note(view, {**told, **noted})
        elif noted and "code" not in view.ended:
            self.note(view, {**view.ended, **noted})
        if view.ended is None or any("deletionTimestamp" not in pod["metadata"] for pod in view.pods):
            self.gateway.patch(DEPLOYMENTS, names.DEPLOYMENT, name, {"spec": {"replicas": 0}})

    def _observed_start(self, view: View) -> dict[str, Any]:
        status = container_status(view.pod)
        if status is None or not (running := status["state"].get("running")):
            return {}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return {"started": running["startedAt"], "finished": now, "digest": digest_of(status)}

    def note(self, view: View, noted: Mapping[str, Any]) -> None:
        change = {"metadata": {"annotations": {names.NOTE_ENDED: json.dumps(noted)}}}
        self.gateway.patch(NAMESPACES, view.namespace["metadata"]["name"], "", change)

    def note_seen(self, view: View, noted: Mapping[str, Any]) -> None:
        """Note how it ended, by somebody who only looked. Raises Raced when it runs again, or may."""
        self.gateway.change_seen(NAMESPACES, view.namespace, {"annotations": {names.NOTE_ENDED: json.dumps(noted)}})

    def keep(self, view: View) -> None:
        """Remove all but the volume. Raises Raced when somebody else changes it."""
        marked = view.namespace if view.is_removing else self._mark(view.namespace, "removing")
        failpoint("kubernetes.remove.after_mark")
        self.empty(replace(view, namespace=marked))

    def empty(self, view: View) -> None:
        """Leave nothing in a namespace but the volume. Its pods go before what would replace them."""
        name = view.namespace["metadata"]["name"]
        self.gateway.patch(DEPLOYMENTS, names.DEPLOYMENT, name, {"spec": {"replicas": 0}})
        for service in self.gateway.find(SERVICES, name):
            self.gateway.delete(SERVICES, service["metadata"]["name"], name)
        for secret in (names.SECRET, names.REGISTRIES):
            self.gateway.delete(SECRETS, secret, name)
        deadline = time.monotonic() + GONE_SECONDS
        while self.end_pods(name):
            if time.monotonic() > deadline:
                raise EngineError(f"The cluster has not ended {name} yet.", reason=Reason.TIMED_OUT)
            time.sleep(PAUSE_SECONDS)
        self.gateway.delete(DEPLOYMENTS, names.DEPLOYMENT, name)
        if self.end_pods(name):
            raise EngineError(f"The cluster has started {name} once more.", reason=Reason.TIMED_OUT)
        failpoint("kubernetes.remove.after_contents")
        self._mark(view.namespace, "yes")

    def end_pods(self, name: str) -> int:
        """End what still runs without its grace; says how many pods are left."""
        pods = self.gateway.find(PODS, name)
        for pod in pods:
            self.gateway.delete(PODS, pod["metadata"]["name"], name, grace_seconds=KILL_GRACE_SECONDS)
        return len(pods)

    def _mark(self, namespace: Mapping[str, Any], kept: str) -> Mapping[str, Any]:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        change = {"labels": {names.LABEL_KEPT: kept}, "annotations": {names.NOTE_KEPT_AT: now}}
        return self.gateway.change_seen(NAMESPACES, namespace, change)
