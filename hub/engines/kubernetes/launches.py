"""How a workload comes about in a cluster: its namespace first, which is the lock, and all that it holds after it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from hub.failpoints import declare, failpoint

from ..base import EngineError, Observation, Reason, State, WorkloadSpec
from . import manifests, names
from .errors import Raced, Refused, is_of_own_quota, refusal, translate, unavailable
from .gateway import PAUSE_SECONDS, Gateway
from .looks import Looks
from .observe import View
from .options import LOAD_BALANCER
from .pools import Pools
from .resources import CLAIMS, DEPLOYMENTS, NAMESPACES, SERVICES

declare(
    "kubernetes.ensure.after_namespace",
    "kubernetes.ensure.before_deployment",
    "kubernetes.ensure.after_deployment",
)

QUOTA_SECONDS = 5.0


class Launches:
    """Makes workloads and changes them, each step by one request that may be repeated."""

    def __init__(self, gateway: Gateway, looks: Looks, pools: Pools, registries: Sequence[Mapping[str, str]]) -> None:
        self.gateway = gateway
        self.looks = looks
        self.pools = pools
        self.policy = looks.policy
        self.registries = registries

    def ensure(self, spec: WorkloadSpec) -> Observation:
        """Bring a workload nearer to what is wanted. Raises Raced when somebody else was faster."""
        config = manifests.fingerprint(spec, self.policy, self.registries)
        view = None if self.looks.was_absent(spec.name) else self.looks.look(spec.name)
        if view is None:
            self._need_addresses(spec)
            run = uuid.uuid4().hex[:12]
            found = self._make_namespace(manifests.namespace(spec, self.policy, run=run, config=config))
            view = View(found)
        else:
            seen = self._fence(view, spec)
            if seen is not None:
                return seen
            same = view.ended is None and names.LABEL_KEPT not in view.labels
            same = same and view.notes.get(names.NOTE_CONFIG) == config
            is_new_run = (
                not same or view.generation != spec.generation or self.looks.observe(view).state is State.EXITED
            )
            if not is_new_run and self._is_complete(view):
                return self.looks.observe(view)
            run = uuid.uuid4().hex[:12] if is_new_run else view.run
            if is_new_run:
                self._need_addresses(spec)
                change = manifests.namespace(spec, self.policy, run=run, config=config)["metadata"]
                found = self._change_namespace(view, change)
                view = replace(view, namespace=found, services=self.gateway.find(SERVICES, spec.name))
        self.looks.mirror.note(view.namespace)
        failpoint("kubernetes.ensure.after_namespace")
        deployment = self._fill(spec, view, run)
        failpoint("kubernetes.ensure.after_deployment")
        return self.looks.observe(replace(view, pods=(), services=(), deployment=deployment))

    def _need_addresses(self, spec: WorkloadSpec) -> None:
        """Refuse addresses that no pool gives to us, before anything is made."""
        if self.policy.exposure == LOAD_BALANCER:
            for binding in spec.ports:
                if binding.public:
                    self.pools.need(binding.ip, binding.port)

    def _is_complete(self, view: View) -> bool:
        """Whether the last thing that a launch makes is there, and is that of this run."""
        found = self.gateway.get(DEPLOYMENTS, names.DEPLOYMENT, view.namespace["metadata"]["name"])
        made = ((found or {}).get("spec") or {}).get("template") or {}
        run = (made.get("metadata") or {}).get("labels", {}).get(names.LABEL_RUN)
        return found is not None and run == view.run and found["spec"].get("replicas") == 1

    def _fence(self, view: View, spec: WorkloadSpec) -> Observation | None:
        """What runs already at this generation; refuse what must not be touched."""
        if view.is_terminating:
            raise unavailable("Its namespace is still being deleted.")
        if view.is_kept:
            return None
        if view.generation > spec.generation:
            raise EngineError(f"{spec.name} has a newer generation.", reason=Reason.STALE, permanent=True)
        seen = self.looks.observe(view)
        if not seen.is_running:
            return None
        if seen.generation < spec.generation:
            raise refusal(f"{spec.name} still runs an older generation; it must be stopped first.")
        return None if view.ended is not None else seen

    def _make_namespace(self, manifest: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.gateway.create(manifest)
        except Refused as error:
            if error.status == 409:
                raise Raced from None
            raise

    def _change_namespace(self, view: View, change: Mapping[str, Any]) -> dict[str, Any]:
        """Begin another run, unless somebody has changed the namespace since it was looked at."""
        labels = {**change["labels"], names.LABEL_KEPT: None}
        notes = {**change["annotations"], names.NOTE_ENDED: None, names.NOTE_KEPT_AT: None}
        return self.gateway.change_seen(NAMESPACES, view.namespace, {"labels": labels, "annotations": notes})

    def _fill(self, spec: WorkloadSpec, view: View, run: str) -> dict[str, Any]:
        """Bring about all that a namespace holds; answers with the last of it, the deployment."""
        applied: dict[str, Any] = {}
        made = manifests.contents(spec, self.policy, run=run, registries=self.registries)
        wanted = {one["metadata"]["name"] for one in made if one["kind"] == "Service"}
        for service in view.services:
            if service["metadata"]["name"] not in wanted:
                self.gateway.delete(SERVICES, service["metadata"]["name"], spec.name)
        for manifest in made:
            if manifest["kind"] == "Deployment":
                failpoint("kubernetes.ensure.before_deployment")
            try:
                applied = self._apply(manifest)
            except Refused as error:
                if error.status == 404:  # the namespace is gone again
                    raise unavailable("Its namespace was deleted meanwhile.") from None
                if manifest["kind"] == "PersistentVolumeClaim" and self._has_claim(spec.name, error):
                    continue
                if manifest["kind"] == "Service" and _is_node_port_taken(error):
                    raise _node_port_taken(spec, error) from error
                raise
        return applied

    def _apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """A quota refuses what it bounds until the cluster has counted what is there, and bounds as before its change
        until the cluster has seen that, which takes a moment each.
        """
        deadline = time.monotonic() + QUOTA_SECONDS
        while True:
            try:
                return self.gateway.apply(manifest)
            except Refused as error:
                is_early = error.is_unsettled_quota or is_of_own_quota(error.message)
                if not is_early or time.monotonic() > deadline:
                    raise
            time.sleep(PAUSE_SECONDS)

    def _has_claim(self, name: str, error: Refused) -> bool:
        """Most storage cannot change the size of a volume: then what is there stays."""
        return error.status in (403, 422) and self.gateway.get(CLAIMS, names.CLAIM, name) is not None


def _is_node_port_taken(error: Refused) -> bool:
    return error.status == 422 and "port is already allocated" in error.message


def _node_port_taken(spec: WorkloadSpec, error: Refused) -> EngineError:
    """The server names the port that another service has."""
    for binding in spec.ports:
        if binding.public and str(binding.port) in error.message:
            return EngineError(
                f"Port {binding.port} is in use by another service of the cluster.",
                reason=Reason.ADDRESS_TAKEN,
                ip=binding.ip,
                port=binding.port,
            )
    return translate(error)
