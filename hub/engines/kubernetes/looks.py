"""Look at what a cluster holds of a workload, with as few requests as tell it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from ..base import LABEL_ID, Observation, Reason, State
from . import names
from .errors import refusal
from .gateway import Gateway
from .mirror import Listing, Mirror
from .observe import PREPARING, View, is_ours, observe
from .options import Options
from .resources import DEPLOYMENTS, EVENTS, NAMESPACES, PODS, SERVICES

YOUNG = timedelta(minutes=10)
FIRST_QUESTION_SECONDS = 2.0


@dataclass
class _Question:
    """What else was asked about a workload that does not come up, and when it is asked again."""

    due: float = field(default_factory=lambda: time.monotonic() + FIRST_QUESTION_SECONDS)
    pause: float = FIRST_QUESTION_SECONDS
    deployment: Any = None
    events: Sequence[Any] = ()


class Looks:
    """The eyes of the engine. A workload on its way up is seen in the mirror where there is one."""

    def __init__(self, gateway: Gateway, policy: Options) -> None:
        self.gateway = gateway
        self.policy = policy
        self.selector = f"{names.LABEL_HUB}={policy.hub}"
        self.mirror = Mirror(gateway, self.selector)
        self._listed: tuple[Listing, Listing, Listing] | None = None
        self._questions: dict[str, _Question] = {}
        self._absent = ""

    def all(self) -> list[View]:
        """Everything that is ours, by three lists."""
        namespaces = self.gateway.listed(NAMESPACES, selector=self.selector)
        pods = self.gateway.listed(PODS, selector=self.selector)
        services = self.gateway.listed(SERVICES, selector=self.selector)
        self._listed = namespaces, pods, services
        pods_in, services_in = _by_namespace(pods[0]), _by_namespace(services[0])
        views = []
        for namespace in filter(is_ours, namespaces[0]):
            name = namespace["metadata"]["name"]
            views.append(View(namespace, pods_in.get(name, ()), services_in.get(name, ())))
        return views

    def keep_up(self) -> None:
        """Have what was listed last kept up by watches."""
        listed, self._listed = self._listed, None
        if listed is not None:
            self.mirror.fill(*listed)

    def starting(self, name: str) -> Observation | None:
        """A workload on its way up, by the mirror; None when it is none or nothing certain is known of it.

        Why it does not come up is asked for after two seconds, four more, eight more: mostly it does meanwhile.
        """
        view = self.mirror.view(name)
        if view is None or not self._is_ours(view) or view.is_leaving or view.ended is not None:
            self._questions.pop(name, None)
            return None
        seen = self.seen(view)
        if seen.state is State.CREATED:
            question = self._questions.setdefault(name, _Question())
            if time.monotonic() >= question.due:
                asked = replace(view)
                self._explained(asked, seen)
                question.deployment, question.events = asked.deployment, asked.events
                question.pause *= 2
                question.due = time.monotonic() + question.pause
            return self.seen(replace(view, deployment=question.deployment, events=question.events))
        self._questions.pop(name, None)
        is_young = seen.started_at is not None and datetime.now(UTC) - seen.started_at < YOUNG
        return seen if seen.state is State.RUNNING and is_young else None

    def look(self, name: str, *, with_services: bool = True) -> View | None:
        """A workload's namespace and what is in it, if it is ours."""
        if not names.is_workload(name):
            return None
        namespace = self.gateway.get(NAMESPACES, name)
        self._absent = "" if namespace else name
        if namespace is None:
            return None
        view = View(namespace)
        if not self._is_ours(view):
            raise refusal(f"Somebody else has a namespace named {name}.")
        if view.is_terminating or view.is_kept:
            return view
        view.pods = self.gateway.find(PODS, name, selector=f"{LABEL_ID}={view.labels[LABEL_ID]}")
        has_public = any(port.public for port in names.load_ports(view.notes))
        if with_services and has_public and view.ended is None:
            view.services = self.gateway.find(SERVICES, name)
        return view

    def was_absent(self, name: str) -> bool:
        """Whether the last look has found no namespace of this name; told once, so that whoever was wrong looks."""
        absent, self._absent = self._absent, ""
        return absent == name

    def observe(self, view: View) -> Observation:
        """Tell of a workload; what else explains why it does not run is looked up when it does not."""
        seen = self.seen(view)
        return self._explained(view, seen) if seen.state is State.CREATED else seen

    def _explained(self, view: View, seen: Observation) -> Observation:
        name = view.namespace["metadata"]["name"]
        if view.pod is None and view.deployment is None:
            view.deployment = self.gateway.get(DEPLOYMENTS, names.DEPLOYMENT, name)
            return self.seen(view)
        if seen.obstacle is not None and seen.obstacle.reason is Reason.UNAVAILABLE and not view.events:
            view.events = self.gateway.find(EVENTS, name, fields="involvedObject.kind=Service")
            return self.seen(view)
        if seen.detail == PREPARING and view.is_late and not view.events:  # a volume, a secret or a network that lacks
            view.events = self.gateway.find(EVENTS, name, fields="involvedObject.kind=Pod")
            return self.seen(view)
        return seen

    def seen(self, view: View) -> Observation:
        """From where pods' addresses are not reached, the leased ones are all there is to ask at."""
        seen = observe(view, exposure=self.policy.exposure)
        return seen if self.policy.reach_pods else replace(seen, host="")

    def namespaces(self, more: str) -> list[dict[str, Any]]:
        found = self.gateway.find(NAMESPACES, selector=f"{self.selector}{more}")
        return [namespace for namespace in found if is_ours(namespace)]

    def _is_ours(self, view: View) -> bool:
        return is_ours(view.namespace) and view.labels.get(names.LABEL_HUB) == self.policy.hub


def _by_namespace(objects: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for one in objects:
        found.setdefault(one["metadata"]["namespace"], []).append(one)
    return found
