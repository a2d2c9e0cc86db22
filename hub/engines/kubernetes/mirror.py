"""What the cluster holds of ours, kept up by watches between two sweeps: so that looking at a launch costs no request.

A sweep lists everything anyway; from there on three watches, one each for namespaces, pods and services, tell what
changes. A watch that has ended, was refused or has lost its place leaves the mirror blind until the next sweep, and who
looks asks the cluster itself meanwhile. Every sweep's lists also mend what a silent connection has kept from us.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from .gateway import Gateway
from .observe import View
from .resources import NAMESPACES, PODS, SERVICES, Resource

WATCH_SECONDS = 300.0

Object = dict[str, Any]
Listing = tuple[Sequence[Object], str]


class Mirror:
    """Fed by `fill` and its own threads. They belong to one process: in a forked child it is blind."""

    def __init__(self, gateway: Gateway, selector: str) -> None:
        self._namespaces = _Reflection(gateway, NAMESPACES, selector)
        self._pods = _Reflection(gateway, PODS, selector)
        self._services = _Reflection(gateway, SERVICES, selector)

    @property
    def is_live(self) -> bool:
        """Whether it knows what the cluster knows, but for what is on its way."""
        return all(one.is_live for one in (self._namespaces, self._pods, self._services))

    def fill(self, namespaces: Listing, pods: Listing, services: Listing) -> None:
        """Take what was just listed, and have the watches that do not run go on from there."""
        self._namespaces.fill(*namespaces)
        self._pods.fill(*pods)
        self._services.fill(*services)

    def note(self, namespace: Mapping[str, Any]) -> None:
        """Take what was just written: who looks at once must not be quicker than the watch."""
        self._namespaces.take({"type": "MODIFIED", "object": dict(namespace)})

    def view(self, name: str) -> View | None:
        """A workload as it is now; None when it is not known or the mirror is blind."""
        if not self.is_live:
            return None
        found = self._namespaces.all_in("").get(name)
        if found is None:
            return None
        pods, services = self._pods.all_in(name), self._services.all_in(name)
        return View(found, list(pods.values()), list(services.values()))


class _Reflection:
    """One kind of objects, by namespace and name. The newer of two versions wins, wherever it comes from."""

    def __init__(self, gateway: Gateway, resource: Resource, selector: str) -> None:
        self.gateway = gateway
        self.resource = resource
        self.selector = selector
        self.is_open = False
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, Object]] = {}
        self._gone: dict[tuple[str, str], int] = {}
        self._watch: threading.Thread | None = None
        self._pid = 0

    @property
    def is_live(self) -> bool:
        return self.is_open and self._pid == os.getpid()

    def all_in(self, namespace: str) -> Mapping[str, Object]:
        with self._lock:
            return dict(self._held.get(namespace, {}))

    def fill(self, listed: Sequence[Object], version: str) -> None:
        if not version.isdigit() or not all(_version(one) for one in listed):
            return  # a server whose versions cannot be compared
        with self._lock:
            held, self._held = self._held, {}
            gone, self._gone = self._gone, {}
            for one in listed:
                if gone.get(_key(one), 0) < _version(one):
                    self._put(one)
            for one in (one for names in held.values() for one in names.values()):
                if _version(one) > int(version):
                    self._put(one)
        if self._watch is None or self._pid != os.getpid() or not self._watch.is_alive():
            self._pid, self.is_open = os.getpid(), False
            self._watch = threading.Thread(target=self._follow, args=(version,), daemon=True)
            self._watch.start()

    def _follow(self, version: str) -> None:
        try:
            events = self.gateway.watch(
                self.resource, version=version, selector=self.selector, seconds=WATCH_SECONDS, on_open=self._opened
            )
            for event in events:
                self.take(event)
        finally:
            self.is_open = False

    def _opened(self) -> None:
        self.is_open = True

    def take(self, event: Object) -> None:
        """What a watch tells."""
        one = event["object"]
        with self._lock:
            if event["type"] in ("ADDED", "MODIFIED"):
                self._put(one)
            elif event["type"] == "DELETED":
                namespace, name = _key(one)
                self._gone[namespace, name] = _version(one)
                self._held.get(namespace, {}).pop(name, None)

    def _put(self, one: Object) -> None:
        namespace, name = _key(one)
        names = self._held.setdefault(namespace, {})
        if name not in names or _version(names[name]) <= _version(one):
            names[name] = one


def _key(one: Object) -> tuple[str, str]:
    return one["metadata"].get("namespace", ""), one["metadata"]["name"]


def _version(one: Object) -> int:
    text = str(one["metadata"].get("resourceVersion") or "")
    return int(text) if text.isdigit() else 0
