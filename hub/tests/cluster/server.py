"""The stand-in's HTTP side, and the cluster as a test holds it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import ipaddress
import itertools
import json
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

from .controllers import settle
from .faults import Fault, Faults
from .kubelet import Pod
from .store import KINDS, Object, Refusal, Store, now

ACCOUNT = "system:serviceaccount:kutanga-hub:challenge-manager"
TOKEN = "stand-in-token"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ASKS_FOR_CREATE_TOO = 35  # the first 1.x that does so of whoever opens a console over a websocket
Rule = tuple[str, str, str]  # verb, group, resource


class Cluster:
    """One cluster. `rules` are the rights of the account, None for all; `called` is what it has used of them."""

    def __init__(self, rules: set[Rule] | None = None) -> None:
        self.store = Store()
        self.faults = Faults()
        self.rules = rules
        self.token = TOKEN
        self.called: set[Rule] = set()
        self.requests: list[tuple[str, str]] = []
        self.pods: dict[tuple[str, str], Pod] = {}
        self.volumes: dict[tuple[str, str], str] = {}
        self.asked_since: dict[tuple[str, str], float] = {}
        self.failed: set[tuple[str, str]] = set()
        self.stuck: set[str] = set()
        self.out_of_memory: set[str] = set()
        self.missing_images: set[str] = set()
        self.broken_sidecars: set[str] = set()
        self.unready: set[str] = set()
        self.ready_seconds = self.address_seconds = self.delete_seconds = 0.0
        self.backoff_seconds = 60.0
        self.linger_seconds = 0.6  # a pod that has ended and was seen with its exit code goes after so long
        self.may_run = threading.Event()  # a test that clears it holds up what starts
        self.may_run.set()
        self.pods_read: dict[str, int] = {}  # the version at which they were listed last, by namespace
        self.unschedulable = self.other_address = ""
        self.has_metrics = True
        self.watch_seconds: float | None = None  # how long a watch lasts at most; the real one ends them now and then
        self.is_silent = False  # whether watches say nothing, as a connection does that has died unnoticed
        self.forgets = False  # whether a watch finds its place gone
        self.network_verdict = "open=yes closed=no"
        self.version = "v1.33.5+k3s1"
        self._ips = itertools.count(9)
        self.closing = False
        self._awake = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Handler,), {"cluster": self}))
        self._server.daemon_threads = True
        for target in (lambda: self._server.serve_forever(poll_interval=0.05), self._control):
            threading.Thread(target=target, daemon=True).start()
        self.put("ipaddresspools", "metallb-system", "players", addresses=["192.168.250.100-192.168.250.130"])
        self.put("ipaddresspools", "metallb-system", "loopback", addresses=["127.0.0.1/32"])
        self.put("l2advertisements", "metallb-system", "all")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def kubeconfig(self) -> str:
        return kubeconfig(self.url)

    @property
    def minor(self) -> int:
        return int(self.version.split(".")[1])

    def speak_tls(self, certificate: Path, key: Path) -> int:
        """From now on, with this certificate; says at which port."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        return int(self._server.server_address[1])

    def close(self) -> None:
        self.closing = True
        for pod in list(self.pods.values()):
            pod.end(0)
        for pod in list(self.pods.values()):
            pod.thread.join(2)
        self._server.shutdown()
        self._server.server_close()
        for path in self.volumes.values():
            shutil.rmtree(path, ignore_errors=True)

    # What tests arrange.

    def put(self, plural: str, namespace: str, name: str, **spec: Any) -> Object:
        """An object that others have made."""
        version, kind, _ = KINDS[plural]
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        with self.store.lock:
            if namespace and ("namespaces", "", namespace) not in self.store.objects:
                self.put("namespaces", "", namespace)
            made = {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
            return self.store.create(plural, namespace, made, checked=False)

    def take_away(self, plural: str, namespace: str, name: str) -> None:
        with self.store.lock:
            self.store.remove(plural, namespace, name)

    def fail(self, verb: str = "", resource: str = "", **how: Any) -> Fault:
        return self.faults.add(Fault(verb=verb, resource=resource, **how))

    def objects(self, plural: str, namespace: str = "") -> list[Object]:
        with self.store.lock:
            return self.store.find(plural, namespace)

    def has_address(self, ip: str, pool: str = "") -> bool:
        from hub.engines.kubernetes.pools import ranges_of

        address = ipaddress.ip_address(ip)
        pools = [one for one in self.store.find("ipaddresspools", "") if pool in ("", one["metadata"]["name"])]
        ranges = [bounds for one in pools for bounds in ranges_of(one)]
        return any(version == address.version and low <= int(address) <= high for version, low, high in ranges)

    def foreign_pool(self, ip: str, service: Object) -> str:
        """The pool that has an address and keeps it for namespaces of others, as far as tests keep any so."""
        from hub.engines.kubernetes.pools import ranges_of

        address = int(ipaddress.ip_address(ip))
        for pool in self.store.find("ipaddresspools", ""):
            kept_for = (pool["spec"].get("serviceAllocation") or {}).get("namespaces")
            is_its = any(low <= address <= high for _, low, high in ranges_of(pool))
            if is_its and kept_for and service["metadata"]["namespace"] not in kept_for:
                return str(pool["metadata"]["name"])
        return ""

    def next_ip(self) -> str:
        """An address of a pod."""
        return str(ipaddress.ip_address("10.42.0.0") + next(self._ips))

    def first_address(self) -> str:
        return "192.168.250.100"

    def volume(self, namespace: str, claim: str) -> str:
        key = (namespace, claim)
        if key not in self.volumes:
            self.volumes[key] = tempfile.mkdtemp(prefix="kutanga-claim-")
        return self.volumes[key]

    def forget_volumes(self, namespace: str) -> None:
        for key in [key for key in self.volumes if key[0] == namespace]:
            shutil.rmtree(self.volumes.pop(key), ignore_errors=True)

    def image_fault(self, image: str) -> str:
        return f'failed to pull image "{image}": not found' if image in self.missing_images else ""

    def image_id(self, image: str) -> str:
        if "@" in image:
            return image
        return f"{image.partition(':')[0]}@sha256:{hashlib.sha256(image.encode()).hexdigest()}"

    def plays(self, args: list[str]) -> list[str]:
        """What a program is played by; a trial of the network says what the test wants instead."""
        if "knock()" in args[-1] or "nc -ll" in args[-1]:
            return ["sh", "-c", f"echo verdict {self.network_verdict}; sleep 300"]
        return args

    def end_pod(self, pod: Object, grace_seconds: float | None = None) -> None:
        """Mark a pod for deletion, and tell its kubelet; without one it goes at once."""
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        if "deletionTimestamp" not in pod["metadata"]:
            pod["metadata"]["deletionTimestamp"] = now()
            self.store.touch("pods", namespace, name)
        elif grace_seconds is None:
            return
        if (namespace, name) in self.pods:
            self.pods[namespace, name].end(grace_seconds)
        else:
            self.store.remove("pods", namespace, name)

    # What it does by itself.

    def wake(self) -> None:
        self._awake.set()

    def _control(self) -> None:
        pending: set[str] = set()
        while not self.closing:
            self._awake.wait(0.02 if pending else 0.2)
            self._awake.clear()
            with self.store.lock:
                looked_at = pending | self.store.dirty
                self.store.dirty = set()
                pending = {namespace for namespace in looked_at if settle(self, namespace)}

    # What it answers.

    def allow(self, verb: str, group: str, resource: str) -> None:
        self.called.add((verb, group, resource))
        if self.rules is not None and (verb, group, resource) not in self.rules:
            text = f'User "{ACCOUNT}" cannot {verb} resource "{resource}" in API group "{group}"'
            raise Refusal(403, "Forbidden", f"{resource} is forbidden: {text} at the cluster scope")


def kubeconfig(url: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": url}}],
            "users": [{"name": "c", "user": {"token": TOKEN}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
        }
    )


class Handler(BaseHTTPRequestHandler):
    cluster: ClassVar[Cluster]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PATCH(self) -> None:
        self._serve("PATCH")

    def do_DELETE(self) -> None:
        self._serve("DELETE")

    def _serve(self, method: str) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        parts = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        try:
            answer = self._routed(method, [unquote(part) for part in parts.path.split("/") if part], query, body)
        except Refusal as refusal:
            self._refuse(refusal)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        else:
            if answer is not None:
                self._send(200, answer)

    def _routed(self, method: str, path: list[str], query: dict[str, str], body: Any) -> Any:
        if self.headers.get("Authorization", "").lower() != f"bearer {self.cluster.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if path == ["version"]:
            return {"gitVersion": self.cluster.version}
        group, rest = ("", path[2:]) if path[0] == "api" else (path[1], path[3:])
        namespace = name = sub = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural = rest[0]
        name, sub = (rest[1] if len(rest) > 1 else ""), (rest[2] if len(rest) > 2 else "")
        verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(method) or ("get" if name else "list")
        if verb == "list" and query.get("watch") == "true":
            verb = "watch"
        if sub == "attach":
            verb = "get"  # a websocket is opened with GET, and that is the verb the server asks for
        resource = f"{plural}/{sub}" if sub else plural
        self.cluster.requests.append((verb, resource))
        fault = self.cluster.faults.take(verb, resource)
        if fault is not None and self._struck(fault):
            return None
        if resource != "selfsubjectaccessreviews":  # anybody may ask about himself
            self.cluster.allow(verb, group, resource)
        if sub == "attach" and self.cluster.minor >= ASKS_FOR_CREATE_TOO:
            self.cluster.allow("create", group, resource)
        answer = self._answer(verb, group, plural, namespace, name, sub, query, body)
        if fault is not None and fault.after:
            return self._reset()
        return answer

    def _struck(self, fault: Fault) -> bool:
        """Whether there is nothing more to answer."""
        if fault.hang_seconds:
            self._hang(fault.hang_seconds)
        if fault.status:
            self._refuse(Refusal(fault.status, fault.reason, fault.message), fault.retry_after)
        elif fault.text:
            self._send(200, fault.text.encode(), kind="text/html")
        elif fault.reset and not fault.after:
            self._reset()
        else:
            return False
        return True

    def _hang(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.cluster.closing:
            time.sleep(0.02)

    def _answer(
        self, verb: str, group: str, plural: str, namespace: str, name: str, sub: str, query: dict[str, str], body: Any
    ) -> Any:
        cluster, store = self.cluster, self.cluster.store
        if plural == "selfsubjectaccessreviews":
            asked = body["spec"]["resourceAttributes"]
            resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
            rule = (asked["verb"], asked.get("group", ""), resource)
            return {**body, "status": {"allowed": cluster.rules is None or rule in cluster.rules}}
        if group == "metrics.k8s.io":
            return self._metrics(query)
        if sub == "log":
            return self._log(namespace, name, query)
        if sub == "attach":
            return self._attach(namespace, name, query.get("container", ""))
        if verb == "watch":
            return self._watch(plural, namespace, query)
        with store.lock:
            if verb == "list":
                if plural == "pods":
                    cluster.pods_read[namespace] = store.version
                return self._page(
                    store.find(
                        plural, namespace, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
                    ),
                    query,
                )
            if verb == "get":
                return dict(store.get(plural, namespace, name))
            if verb == "create":
                answer = store.create(plural, namespace, body)
            elif verb == "patch" and "apply-patch" in self.headers["Content-Type"]:
                if (plural, namespace, name) not in store.objects:
                    cluster.allow("create", group, plural)
                answer = store.apply(plural, namespace, body, query["fieldManager"])
            elif verb == "patch":
                answer = store.patch(plural, namespace, name, body)
            else:
                answer = self._delete(plural, namespace, name, query)
            answer = json.loads(json.dumps(answer))
        cluster.wake()
        return answer

    def _delete(self, plural: str, namespace: str, name: str, query: dict[str, str]) -> Object:
        store = self.cluster.store
        found = store.get(plural, namespace, name)
        if plural == "namespaces":
            if "deletionTimestamp" not in found["metadata"]:
                found["metadata"]["deletionTimestamp"] = now()
                found["status"] = {"phase": "Terminating"}
                store.terminating_since[name] = time.monotonic()
                store.touch(plural, "", name)
        elif plural == "pods":
            grace = query.get("gracePeriodSeconds")
            self.cluster.end_pod(found, float(grace) if grace else None)
        else:
            store.remove(plural, namespace, name)
        return {"kind": "Status", "status": "Success"}

    def _page(self, found: list[Object], query: dict[str, str]) -> Object:
        limit, start = int(query.get("limit") or 0), int(query.get("continue") or 0)
        page = found[start : start + limit] if limit else found
        following = str(start + limit) if limit and start + limit < len(found) else ""
        metadata = {"resourceVersion": str(self.cluster.store.version), "continue": following}
        return json.loads(json.dumps({"kind": "List", "metadata": metadata, "items": page}))

    def _watch(self, plural: str, namespace: str, query: dict[str, str]) -> None:
        """Tell of what happens, an event a line, until its time is over."""
        cluster, since = self.cluster, int(query.get("resourceVersion") or 0)
        seconds = float(query.get("timeoutSeconds") or 1800)
        deadline = time.monotonic() + (
            seconds if cluster.watch_seconds is None else min(seconds, cluster.watch_seconds)
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.flush()
        while time.monotonic() < deadline and not cluster.closing:
            if cluster.store.version == since and not cluster.forgets:
                time.sleep(0.01)
                continue
            with cluster.store.lock:
                told = cluster.store.events_since(
                    since,
                    plural,
                    namespace,
                    labels=query.get("labelSelector", ""),
                    fields=query.get("fieldSelector", ""),
                )
            if told is None or cluster.forgets:
                status = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
                self._chunk({"type": "ERROR", "object": {**status, "message": "too old resource version"}})
                break
            since, events = told
            for event in events if not cluster.is_silent else ():
                self._chunk(event)
            time.sleep(0.01)
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()

    def _chunk(self, event: Object) -> None:
        line = json.dumps(event).encode() + b"\n"
        self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
        self.wfile.flush()

    def _metrics(self, query: dict[str, str]) -> Object:
        if not self.cluster.has_metrics:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        items = []
        with self.cluster.store.lock:
            running = [
                (pod, self.cluster.pods.get((pod["metadata"]["namespace"], pod["metadata"]["name"])))
                for pod in self.cluster.store.find("pods", "", labels=query.get("labelSelector", ""))
            ]
        for pod, kubelet in running:
            if kubelet is None or kubelet.process is None or kubelet.process.poll() is not None:
                continue
            cores, window, memory = kubelet.usage()
            usage = {"cpu": f"{int(cores * 1e9)}n", "memory": f"{memory // 1024}Ki"}
            stamp = datetime.now().astimezone().isoformat()
            metadata = {"name": pod["metadata"]["name"], "namespace": pod["metadata"]["namespace"]}
            item = {"metadata": metadata, "timestamp": stamp, "window": f"{window:.6f}s"}
            items.append({**item, "containers": [{"name": "main", "usage": usage}]})
        return {"items": items, "metadata": {}}

    def _kubelet(self, namespace: str, name: str) -> Pod:
        with self.cluster.store.lock:
            self.cluster.store.get("pods", namespace, name)
            kubelet = self.cluster.pods.get((namespace, name))
        if kubelet is None or kubelet.process is None:
            raise Refusal(400, "BadRequest", 'container "main" in pod is waiting to start: ContainerCreating')
        return kubelet

    def _log(self, namespace: str, name: str, query: dict[str, str]) -> bytes:
        kubelet = self._kubelet(namespace, name)
        lines = kubelet.previous if query.get("previous") else kubelet.lines
        if lines is None:
            raise Refusal(400, "BadRequest", "previous terminated container not found")
        lines = list(lines)
        if since := query.get("sinceTime"):
            least = datetime.fromisoformat(since)
            lines = [line for line in lines if datetime.fromisoformat(line[0]) >= least]
        if tail := query.get("tailLines"):
            lines = lines[-int(tail) :] if int(tail) else []
        stamped = "timestamps" in query
        text = "".join(f"{at} {line}\n" if stamped else f"{line}\n" for at, line in lines).encode()
        return text[: int(query["limitBytes"])] if "limitBytes" in query else text

    def _attach(self, namespace: str, name: str, container: str) -> None:
        kubelet = self._kubelet(namespace, name)
        known = [one["name"] for one in kubelet.spec["containers"]]
        if container not in known and (container or len(known) > 1):
            text = f"a container name must be specified for pod {name}, choose one of: {known}"
            raise Refusal(400, "BadRequest", text)
        accept = base64.b64encode(hashlib.sha1((self.headers["Sec-WebSocket-Key"] + MAGIC).encode()).digest())  # noqa: S324
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept.decode())
        self.send_header("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
        self.end_headers()
        self.wfile.flush()
        while (frame := self._frame()) is not None:
            opcode, payload = frame
            if opcode == 8:
                self.wfile.write(b"\x88\x00")
                break
            if payload[:1] == b"\x00":
                kubelet.write(payload[1:])
        self.close_connection = True

    def _frame(self) -> tuple[int, bytes] | None:
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 127
        if length == 126:
            length = struct.unpack(">H", self.rfile.read(2))[0]
        elif length == 127:
            length = struct.unpack(">Q", self.rfile.read(8))[0]
        mask = self.rfile.read(4)
        data = self.rfile.read(length)
        return head[0] & 15, bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))

    def _reset(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, refusal: Refusal, retry_after: str = "") -> None:
        status = {"kind": "Status", "status": "Failure", "reason": refusal.reason, "message": refusal.message}
        self._send(refusal.status, {**status, "code": refusal.status}, retry_after=retry_after)

    def _send(self, status: int, answer: Any, *, kind: str = "application/json", retry_after: str = "") -> None:
        data = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()
