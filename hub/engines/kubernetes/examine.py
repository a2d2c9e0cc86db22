"""What a cluster must bring along: its version, our rights, addresses, and network policies that are really kept.

A policy that nobody enforces is accepted all the same, so that is tried: two throw-away namespaces, one program that
listens on a port its policy opens and on one it does not, and one beside the policies that knocks on both.
"""

from __future__ import annotations

import contextlib
import ipaddress
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..base import LABEL_KIND, Check, EngineError, Limits, PortBinding, Verdict, WorkloadSpec
from . import manifests, names
from .errors import Refused, sentence, translate
from .gateway import Gateway
from .observe import container_status, is_ours, moment
from .options import CHECK_HUB, LOAD_BALANCER, Options
from .pools import Announcements, Pools, may_serve, ranges_of
from .resources import ACCESS_REVIEWS, DAEMON_SETS, NAMESPACES, POD_METRICS, PODS, SERVICES
from .surroundings import near, resolver

OLDEST_MINOR = 28
MANIFEST = "deploy/kubernetes/challenge-manager.yaml"
POOL_MANIFEST = "deploy/kubernetes/metallb-pool.yaml"
OPEN_PORT, CLOSED_PORT = 8080, 8081
WAIT_SECONDS = 60.0
POLL_SECONDS = 0.25
FORGOTTEN = timedelta(minutes=10)
LIMITS = Limits(memory_mb=32, cpu_percent=10, disk_mb=1, tmp_mb=8)
NOWHERE = "192.0.2.1"  # never announced: only the policies of these workloads are made, no services
# A right for each call of the engine; the shipped role is the same list.
RIGHTS = {
    ("", "namespaces"): "get list watch create patch delete",
    ("", "resourcequotas"): "create patch",
    ("", "limitranges"): "create patch",
    ("", "secrets"): "get create patch delete",
    ("", "persistentvolumeclaims"): "get create patch",
    ("", "services"): "list watch create patch delete",
    ("", "pods"): "list watch delete",
    ("", "pods/log"): "get",
    ("", "pods/attach"): "get create",
    ("", "events"): "list",
    ("", "nodes"): "list",
    ("apps", "deployments"): "get create patch delete",
    ("apps", "daemonsets"): "list",
    ("networking.k8s.io", "networkpolicies"): "create patch",
    ("metallb.io", "ipaddresspools"): "list",
    ("metallb.io", "l2advertisements"): "list",
    ("metallb.io", "bgpadvertisements"): "list",
    ("metrics.k8s.io", "pods"): "list",
}
KIND = "check"
LISTEN = f"for port in {OPEN_PORT} {CLOSED_PORT}; do nc -ll -p $port -e echo hello & done; echo ready; wait"
KNOCK = (  # two seconds for what a policy drops without a word
    "knock() { timeout 4 nc -w 2 $1 $2 < /dev/null | grep -q hello && echo yes || echo no; }; sleep 4; "
    "echo verdict open=$(knock {ip} {open}) closed=$(knock {ip} {closed}); sleep 300"
)


class Examination:
    """One look at a cluster."""

    def __init__(self, gateway: Gateway, options: Options, ips: Sequence[str]) -> None:
        self.gateway = gateway
        self.options = options
        self.ips = ips

    def all(self) -> list[Check]:
        """Everything, one after the other; where the cluster does not answer at all there is nothing to tell."""
        try:
            with self.gateway.bounded():
                looks = {"Version": self.version, "Rights": self.rights}
                if self.options.exposure == LOAD_BALANCER:
                    looks |= {"Addresses": self.pools, "Announcements": self.announcements}
                    looks["Load balancers"] = self.service_lb
                looks["Usage"] = self.metrics
                if self.options.egress:
                    looks["Names"] = lambda: resolver(self.gateway, self.options)
                    looks["Near networks"] = lambda: near(self.gateway, self.options, self.ips)
                checks = [self._seen(name, look) for name, look in looks.items()]
        except Refused as error:
            raise translate(error) from error
        return [*checks, self.policies()]

    def _seen(self, name: str, look: Callable[[], Check]) -> Check:
        """A right that is missing makes one thing unknown, and is named among the rights."""
        try:
            return look()
        except Refused as error:
            if error.status != 403:
                raise
            text = f"The account may not look: {sentence(error.message)}"
            return Check(name, Verdict.UNKNOWN, text, f"Apply {MANIFEST}.")

    def version(self) -> Check:
        found = self.gateway.version()
        text = str(found.get("gitVersion") or "unknown")
        minor = text.removeprefix("v1.").partition(".")[0]
        if minor.isdigit() and int(minor) < OLDEST_MINOR:
            return Check("Version", Verdict.BAD, text, f"Use Kubernetes 1.{OLDEST_MINOR} or newer.")
        return Check("Version", Verdict.GOOD, text)

    def rights(self) -> Check:
        missing = [
            f"{verb} {resource}"
            for (group, resource), verbs in RIGHTS.items()
            for verb in verbs.split()
            if not self._may(verb, group, resource)
        ]
        if missing:
            return Check("Rights", Verdict.BAD, f"Missing: {', '.join(missing)}.", f"Apply {MANIFEST}.")
        return Check("Rights", Verdict.GOOD, "The account may do all that is needed.")

    def _may(self, verb: str, group: str, resource: str) -> bool:
        plural, _, subresource = resource.partition("/")
        asked = {"verb": verb, "group": group, "resource": plural, "subresource": subresource}
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = self.gateway.ask(ACCESS_REVIEWS, {**kind, "spec": {"resourceAttributes": asked}})
        return bool((answer.get("status") or {}).get("allowed"))

    def pools(self) -> Check:
        """Whether the load balancer can give what we lease."""
        name = "Addresses"
        try:
            pools = self._pools()
        except Refused as error:
            if error.status == 404:
                return Check(name, Verdict.BAD, "The cluster has no MetalLB.", "Install it, or use node ports.")
            raise
        if not pools and self.options.address_pool:
            text = f"MetalLB has no pool named {self.options.address_pool}."
            return Check(name, Verdict.BAD, text, "Name one that is there in the option `address_pool`.")
        if foreign := [pool["metadata"]["name"] for pool in self._ours(pools) if not may_serve(pool, self.options.hub)]:
            text = f"{', '.join(foreign)} has addresses of the hub's pools and does not give them to its services."
            label = f"{names.LABEL_HUB}: {self.options.hub}"
            return Check(name, Verdict.BAD, text, f"Let its `serviceAllocation` select namespaces labelled `{label}`.")
        ranges = [bounds for pool in pools for bounds in ranges_of(pool)]
        missing = [ip for ip in self.ips if not any(_within(ip, bounds) for bounds in ranges)]
        if missing:
            shown = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
            return Check(name, Verdict.BAD, f"No pool of MetalLB has {shown}.", "Make both name the same range.")
        greedy = [pool["metadata"]["name"] for pool in pools if (pool.get("spec") or {}).get("autoAssign", True)]
        if greedy:
            text = f"Other services can take addresses of {', '.join(greedy)}."
            return Check(name, Verdict.BAD, text, "Set `autoAssign: false` on the pool.")
        return Check(name, Verdict.GOOD, f"MetalLB has all {len(self.ips)} addresses of the hub's pools.")

    def _pools(self) -> list[dict[str, Any]]:
        return Pools(self.gateway, self.options.address_pool, hub=self.options.hub).found()

    def _ours(self, pools: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The pools that have addresses of the hub's."""
        return [one for one in pools if any(_within(ip, bounds) for ip in self.ips for bounds in ranges_of(one))]

    def announcements(self) -> Check:
        """Whether the network is told where the addresses are; MetalLB gives them out all the same when it is not."""
        name = "Announcements"
        try:
            pools = self._pools()
        except Refused as error:
            if error.status in (403, 404):
                return Check(name, Verdict.UNKNOWN, "There are no pools to be seen, so nor is who announces them.")
            raise
        told = Announcements(self.gateway)
        silent = [pool["metadata"]["name"] for pool in self._ours(pools) or pools if not told.have(pool)]
        if not silent:
            return Check(name, Verdict.GOOD, "MetalLB tells the network where the addresses are.")
        if told.unseen:
            text = f"No advertisement for {', '.join(silent)} is seen, but not all are: {', '.join(told.unseen)}."
            why = "Install MetalLB's CRDs." if 404 in told.unseen.values() else f"Apply {MANIFEST}."
            return Check(name, Verdict.UNKNOWN, text, why)
        text = f"Nothing announces {', '.join(silent)}: players' packets to its addresses arrive nowhere."
        return Check(name, Verdict.BAD, text, f"Make an L2Advertisement or BGPAdvertisement of it: {POOL_MANIFEST}.")

    def service_lb(self) -> Check:
        """k3s brings a load balancer of its own, which fights with MetalLB over every service.

        It is seen by the pods it makes for each, and so not before there is a service.
        """
        found = [one for one in self.gateway.find(DAEMON_SETS) if one["metadata"]["name"].startswith("svclb-")]
        if found:
            text = "The load balancer of k3s answers, too."
            return Check("Load balancers", Verdict.BAD, text, "Start k3s with `--disable=servicelb`.")
        specs = [service.get("spec") or {} for service in self.gateway.find(SERVICES)]
        if not any(spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") for spec in specs):
            text = "No service asks for an address yet, so whether the load balancer of k3s answers, too, is not seen."
            return Check("Load balancers", Verdict.UNKNOWN, text, "Examine the cluster again once a workload runs.")
        return Check("Load balancers", Verdict.GOOD, "Only one answers.")

    def metrics(self) -> Check:
        try:
            self.gateway.find(POD_METRICS, selector=f"{names.LABEL_HUB}={self.options.hub}")
        except Refused as error:
            if error.status in (403, 404, 503):
                text = "There is no metrics-server, so what workloads use is not shown."
                return Check("Usage", Verdict.UNKNOWN, text, "Install metrics-server to see it.")
            raise
        return Check("Usage", Verdict.GOOD, "metrics-server answers.")

    def policies(self) -> Check:
        """Try whether network policies are enforced."""
        name = "Network policies"
        try:
            self._tidy()
            told = self._knock()
        except (Refused, EngineError) as error:
            why = sentence(error.message if isinstance(error, Refused) else str(error))
            return Check(name, Verdict.UNKNOWN, f"It could not be tried: {why}", "Try again once that is mended.")
        if "open=yes closed=no" in told:
            return Check(name, Verdict.GOOD, "Enforced: what a policy closes cannot be reached.")
        if "closed=yes" in told:
            text = "Not enforced: a closed port was reached."
            return Check(name, Verdict.BAD, text, "Run a policy engine before strangers' workloads come here.")
        text = "The trial gave no answer: " + ("the open port was not reached." if told else "it did not end in time.")
        return Check(name, Verdict.UNKNOWN, text, f"See whether the cluster can run {self.options.check_image}.")

    def _tidy(self) -> None:
        """Take away what a trial has left whose agent died; one that is under way elsewhere is let be."""
        with self.gateway.bounded():
            selector = f"{names.LABEL_HUB}={self._hub},{LABEL_KIND}={KIND}"
            for namespace in filter(is_ours, self.gateway.find(NAMESPACES, selector=selector)):
                made_at = moment(namespace["metadata"].get("creationTimestamp"))
                if made_at is not None and datetime.now(UTC) - made_at > FORGOTTEN:
                    self.gateway.delete(NAMESPACES, namespace["metadata"]["name"])

    @property
    def _hub(self) -> str:
        """Of another hub's name, so that the sweep does not take them for orphans."""
        return f"{self.options.hub[:30]}{CHECK_HUB}"

    def _knock(self) -> str:
        listener = self._spec(LISTEN, ports=(PortBinding("open", NOWHERE, OPEN_PORT, OPEN_PORT),))
        with self._made(listener, with_policies=True):
            ip = self._until(lambda: self._ip_of(listener))
            if not ip:
                return ""
            ipaddress.ip_address(ip)
            script = KNOCK.replace("{ip}", ip).replace("{open}", str(OPEN_PORT)).replace("{closed}", str(CLOSED_PORT))
            knocker = self._spec(script)
            with self._made(knocker, with_policies=False):
                return self._until(lambda: self._said_by(knocker))

    def _spec(self, script: str, **more: Any) -> WorkloadSpec:
        return WorkloadSpec(
            kind=KIND,
            id=uuid.uuid4(),
            generation=1,
            owner="",
            image=self.options.check_image,
            command=("sh", "-c", script),
            limits=LIMITS,
            stop_grace_seconds=1,
            shares_address=True,  # so that its policy lets anybody in, and not players' networks alone
            **more,
        )

    @contextlib.contextmanager
    def _made(self, spec: WorkloadSpec, *, with_policies: bool) -> Iterator[None]:
        options = replace(self.options, hub=self._hub)
        left_out = {"Service"} if with_policies else {"Service", "NetworkPolicy"}
        with self.gateway.bounded():
            self.gateway.create(manifests.namespace(spec, options, run="check", config=""))
        try:
            with self.gateway.bounded():
                for manifest in manifests.contents(spec, options, run="check"):
                    if manifest["kind"] not in left_out:
                        self.gateway.apply(manifest)
            yield
        finally:
            with self.gateway.bounded():
                self.gateway.delete(NAMESPACES, spec.name)

    def _until(self, look: Any) -> str:
        """What a look finds in the end, or ""."""
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            with self.gateway.bounded():
                if found := look():
                    return str(found)
            time.sleep(POLL_SECONDS)
        return ""

    def _ip_of(self, spec: WorkloadSpec) -> str:
        for pod in self.gateway.find(PODS, spec.name):
            status = container_status(pod)
            if status is not None and status["state"].get("running"):
                return str((pod.get("status") or {}).get("podIP") or "")
        return ""

    def _said_by(self, spec: WorkloadSpec) -> str:
        for pod in self.gateway.find(PODS, spec.name):
            text = self.gateway.text(PODS, pod["metadata"]["name"], spec.name, "log", container=names.CONTAINER) or ""
            for line in text.splitlines():
                if line.startswith("verdict "):
                    return line
        return ""


def _within(ip: str, bounds: tuple[int, int, int]) -> bool:
    address = ipaddress.ip_address(ip)
    version, first, last = bounds
    return version == address.version and first <= int(address) <= last
