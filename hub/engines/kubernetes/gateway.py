"""The one module that knows the official client: how to reach a cluster, and its verbs with plain dictionaries.

The client brings credentials, TLS and connections; its models stay unused, because they drop what they do not know and
cost several times the CPU of the JSON itself. Every request is bounded in time, and so are all of one verb together.
"""

from __future__ import annotations

import json
import math
import os
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3.exceptions
import yaml

from .errors import Raced, Refused, refusal, timed_out, unavailable
from .resources import BY_KIND, PODS, Resource

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

FIELD_MANAGER = "kutanga-hub"
CONNECT_SECONDS = 5.0
READ_SECONDS = 15.0
LONGEST_WAIT_SECONDS = 5.0
PAUSE_SECONDS = 0.1
INPUT_SECONDS = 0.25
ATTEMPTS = 4
PAGE = 500
CHUNK_BYTES = 64 * 1024
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
# What a kubeconfig may not have here: programs to run, and files of the agent's machine to read.
FOREIGN_KEYS = ("exec", "auth-provider", "tokenFile", "client-certificate", "client-key", "certificate-authority")

Object = dict[str, Any]


class Gateway:
    """One cluster's API. Connections are not shared with forked children: each process opens its own."""

    def __init__(self, kubeconfig: str, *, timeout_seconds: float = 30.0) -> None:
        self.kubeconfig = kubeconfig
        self.timeout_seconds = timeout_seconds
        self.calls = 0
        self._pid = 0
        self._api: ApiClient
        self._deadline = 0.0

    @contextmanager
    def bounded(self) -> Iterator[None]:
        """All requests inside end within `timeout_seconds` together."""
        if self._deadline:  # a verb inside a verb
            yield
            return
        self._deadline = time.monotonic() + self.timeout_seconds
        try:
            yield
        finally:
            self._deadline = 0.0

    @property
    def api(self) -> ApiClient:
        """The official client. It is imported with first use: the web process, which never gets here, saves 70 MB."""
        if self._pid != os.getpid():
            self._api = connect(self.kubeconfig)
            self._pid = os.getpid()
        return self._api

    # Objects.

    def get(self, resource: Resource, name: str, namespace: str = "", *, subresource: str = "") -> Object | None:
        """One object, or None."""
        try:
            return self._json("GET", resource.path(namespace, name, subresource))
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def find(self, resource: Resource, namespace: str = "", *, selector: str = "", fields: str = "") -> list[Object]:
        """All objects that match."""
        return self.listed(resource, namespace, selector=selector, fields=fields)[0]

    def listed(
        self, resource: Resource, namespace: str = "", *, selector: str = "", fields: str = ""
    ) -> tuple[list[Object], str]:
        """All objects that match, in pages, and the version from which a watch can go on; begun again when the server
        has forgotten where it was.
        """
        for _ in range(ATTEMPTS):
            found: list[Object] = []
            following = ""
            try:
                while True:
                    query = {"labelSelector": selector, "fieldSelector": fields, "limit": PAGE, "continue": following}
                    page = self._json("GET", resource.path(namespace), query)
                    found += page.get("items") or []
                    metadata = page.get("metadata") or {}
                    if not (following := metadata.get("continue") or ""):
                        return found, str(metadata.get("resourceVersion") or "")
            except Refused as error:
                if error.status != 410:
                    raise
        raise unavailable("The cluster changes faster than it can be listed.")

    def create(self, manifest: Object) -> Object:
        """Make an object. Raises Refused 409 when it exists: the name is the lock."""
        resource, metadata = BY_KIND[manifest["kind"]], manifest["metadata"]
        return self._json("POST", resource.path(metadata.get("namespace", "")), _WRITE, manifest)

    def apply(self, manifest: Object) -> Object:
        """Bring an object into this state, whether it exists or not (server-side apply)."""
        resource, metadata = BY_KIND[manifest["kind"]], manifest["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"])
        return self._json("PATCH", path, {**_WRITE, "force": "true"}, manifest, content_type=APPLY)

    def patch(self, resource: Resource, name: str, namespace: str, change: Object) -> Object | None:
        """Change some fields; None when there is no such object."""
        try:
            return self._json("PATCH", resource.path(namespace, name), _WRITE, change, content_type=MERGE)
        except Refused as error:
            if error.status == 404:
                return None
            raise

    def change_seen(self, resource: Resource, seen: Mapping[str, Any], metadata: Object) -> Object:
        """Change an object's metadata. Raises Raced when somebody has changed it since it was seen, or it is gone."""
        own = seen["metadata"]
        change = {"metadata": {"resourceVersion": own["resourceVersion"], **metadata}}
        try:
            found = self.patch(resource, own["name"], own.get("namespace", ""), change)
        except Refused as error:
            if error.status == 409:
                raise Raced from None
            raise
        if found is None:
            raise Raced
        return found

    def delete(self, resource: Resource, name: str, namespace: str = "", *, grace_seconds: int | None = None) -> None:
        """Delete an object; one that is gone or going is left alone."""
        query = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        try:
            self._json("DELETE", resource.path(namespace, name), query)
        except Refused as error:
            if error.status not in (404, 409):
                raise

    def await_gone(self, resource: Resource, name: str, namespace: str = "", *, seconds: float) -> Object | None:
        """Wait until an object is not found; answers with it, as it is then, when that took too long.

        A watch tells when to look again, and nothing else: one that ends, breaks, has lost its place (410) or is not
        allowed costs a short pause and another look.
        """
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(resource, name, namespace)
            left = deadline - time.monotonic()
            if found is None or left <= 0:
                return found
            begun = time.monotonic()
            was_told = self._watch_deletion(resource, found, left)
            if not was_told and (early := PAUSE_SECONDS - (time.monotonic() - begun)) > 0:
                time.sleep(min(early, left))

    def _watch_deletion(self, resource: Resource, one: Object, seconds: float) -> bool:
        """Whether the server has told of an object's deletion before the watch ended, for whatever reason."""
        metadata = one["metadata"]
        version, fields = metadata["resourceVersion"], f"metadata.name={metadata['name']}"
        events = self.watch(resource, metadata.get("namespace", ""), version=version, fields=fields, seconds=seconds)
        return any(event.get("type") == "DELETED" for event in events)

    def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        version: str,
        selector: str = "",
        fields: str = "",
        seconds: float,
        on_open: Callable[[], None] = lambda: None,
    ) -> Iterator[Object]:
        """What happens from a version on, until the server ends it, refuses, has forgotten the version (410), or the
        way breaks: whoever listens looks for himself then. Waits within no verb's bounds but its own.
        """
        query = {
            "watch": "true",
            "labelSelector": selector,
            "fieldSelector": fields,
            "resourceVersion": version,
            "timeoutSeconds": max(1, math.ceil(seconds)),
        }
        self.calls += 1
        try:
            timeout = urllib3.Timeout(connect=min(CONNECT_SECONDS, seconds), read=seconds)
            answer = self._send("GET", resource.path(namespace), query, timeout=timeout, preload_content=False)
        except (urllib3.exceptions.HTTPError, OSError):
            return
        try:
            if answer.status == 200:
                on_open()
                yield from _events(answer.stream(CHUNK_BYTES))
        except (urllib3.exceptions.HTTPError, OSError, ValueError):
            return
        finally:
            answer.close()  # what it may still say is for nobody

    def ask(self, resource: Resource, manifest: Object) -> Object:
        """Have a question answered that is put as an object, such as an access review."""
        return self._json("POST", resource.path(), {}, manifest)

    def version(self) -> Object:
        return self._json("GET", "/version")

    def text(self, resource: Resource, name: str, namespace: str, subresource: str, **query: Any) -> str | None:
        """What a subresource says as text; None when there is nothing behind it."""
        try:
            return self._request("GET", resource.path(namespace, name, subresource), query).decode(errors="replace")
        except Refused as error:
            if error.status in (400, 404):  # no such pod, or its container has not run
                return None
            raise

    def attach(self, namespace: str, pod: str, container: str, data: bytes) -> None:
        """Write to a container's standard input. Raises OSError."""
        import websocket
        from kubernetes.stream.ws_client import STDIN_CHANNEL, get_websocket_url

        path = PODS.path(namespace, pod, "attach")
        query = [("container", container), ("stdin", "true"), ("stdout", "false"), ("stderr", "false")]
        headers: dict[str, str] = {}
        self.api.update_params_for_auth(headers, [], ["BearerToken"], path, "GET", None)
        url = get_websocket_url(f"{self.api.configuration.host}{path}", query)
        self.calls += 1
        try:
            stream = self._open_websocket(url, headers)
            stream.send(bytes([STDIN_CHANNEL]) + data, opcode=websocket.ABNF.OPCODE_BINARY)
            time.sleep(INPUT_SECONDS)  # nobody confirms input, and what is on its way dies with the connection
            stream.close(timeout=CONNECT_SECONDS)
        except websocket.WebSocketBadStatusException as error:
            raise Refused.read(error.status_code, error.resp_body or b"") from None
        except websocket.WebSocketException as error:
            raise unavailable("The cluster does not open its console.") from error

    def _open_websocket(self, url: str, headers: Mapping[str, str]) -> Any:
        """In bounded time; the library's own `create_websocket` waits for ever for a server that says nothing."""
        import websocket
        from kubernetes.stream.ws_client import V4_CHANNEL_PROTOCOL, V5_CHANNEL_PROTOCOL, websocket_proxycare

        configuration = self.api.configuration
        tls = {
            "cert_reqs": ssl.CERT_REQUIRED if configuration.verify_ssl else ssl.CERT_NONE,
            "check_hostname": configuration.verify_ssl and configuration.assert_hostname is not False,
            "ca_certs": configuration.ssl_ca_cert,
            "certfile": configuration.cert_file,
            "keyfile": configuration.key_file,
            "server_hostname": configuration.tls_server_name,
        }
        told = [f"{name}: {value}" for name, value in headers.items()]
        told.append(f"sec-websocket-protocol: {V5_CHANNEL_PROTOCOL},{V4_CHANNEL_PROTOCOL}")
        how: dict[str, Any] = {"header": told, "timeout": min(CONNECT_SECONDS, self._left())}
        if configuration.proxy or configuration.proxy_headers:
            how = websocket_proxycare(how, configuration, url, headers)
        stream = websocket.WebSocket(sslopt={name: value for name, value in tls.items() if value is not None})
        stream.connect(url, **how)
        return stream

    # Requests.

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Object | None = None,
        *,
        content_type: str = "application/json",
    ) -> Object:
        answer = self._request(method, path, query or {}, body, content_type=content_type)
        try:
            found = json.loads(answer)
        except ValueError:
            raise unavailable("What answers there is not a Kubernetes API server.") from None
        if not isinstance(found, dict):
            raise unavailable("What answers there is not a Kubernetes API server.")
        return found

    def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: Object | None = None,
        *,
        content_type: str = "application/json",
    ) -> bytes:
        """Ask, and wait as told when the server has too much to do. Only reading is tried again when the way breaks:
        whoever wanted to write looks first.
        """
        data = None if body is None else json.dumps(body)
        for attempt in range(1, ATTEMPTS + 1):
            self.calls += 1
            try:
                answer = self._send(method, path, query, data, content_type=content_type, timeout=self._timeout())
            except urllib3.exceptions.TimeoutError as error:
                if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
                    raise unavailable("The cluster does not answer.") from error
                raise timed_out() from error
            except urllib3.exceptions.ProtocolError as error:
                if method != "GET" or attempt > 1:
                    raise unavailable("The connection to the cluster broke.") from error
                continue
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise unavailable("The cluster does not answer.") from error
            if answer.status == 429 and attempt < ATTEMPTS:
                self._wait(answer.headers.get("Retry-After", ""))
                continue
            if answer.status >= 300:
                raise Refused.read(answer.status, answer.data)
            return bytes(answer.data)
        raise unavailable("The cluster is asked too much at the moment.")

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any],
        body: str | None = None,
        *,
        content_type: str = "application/json",
        **how: Any,
    ) -> Any:
        text = urlencode({key: value for key, value in query.items() if value not in ("", None)})
        url = f"{self.api.configuration.host}{path}" + (f"?{text}" if text else "")
        headers = {"Accept": "application/json, */*", "Content-Type": content_type, "User-Agent": FIELD_MANAGER}
        self.api.update_params_for_auth(headers, [], ["BearerToken"], path, method, None)
        return self.api.rest_client.pool_manager.request(
            method, url, body=body, headers=headers, retries=False, redirect=False, **how
        )

    def _timeout(self) -> urllib3.Timeout:
        left = self._left()
        return urllib3.Timeout(connect=min(CONNECT_SECONDS, left), read=min(READ_SECONDS, left))

    def _wait(self, retry_after: str) -> None:
        seconds = float(retry_after) if retry_after.isdigit() else 1.0
        if seconds > LONGEST_WAIT_SECONDS or seconds > self._left():
            raise unavailable("The cluster is asked too much at the moment.")
        time.sleep(seconds)

    def _left(self) -> float:
        if not self._deadline:
            return READ_SECONDS
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise timed_out()
        return left


def _events(chunks: Iterable[bytes]) -> Iterator[Object]:
    """Read a watch, one event a line, until it tells of an error or has come to its end."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in filter(bytes.strip, lines):
            event = json.loads(line)
            if not isinstance(event, dict) or event.get("type") == "ERROR":
                return
            yield event


_WRITE: Mapping[str, Any] = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}


def connect(kubeconfig: str) -> ApiClient:
    """A client by a kubeconfig, or by the account of the pod this runs in when there is none."""
    from kubernetes.client import ApiClient, Configuration
    from kubernetes.config import ConfigException, load_incluster_config, load_kube_config_from_dict

    configuration = Configuration()
    configuration.retries = False  # urllib3's own wait as long as the server says
    try:
        if kubeconfig:
            load_kube_config_from_dict(
                parse_kubeconfig(kubeconfig), client_configuration=configuration, persist_config=False
            )
        else:
            load_incluster_config(client_configuration=configuration)
    except ConfigException as error:
        if kubeconfig:
            raise refusal(f"This node's kubeconfig cannot be used: {error}") from None
        raise unavailable("This node has no kubeconfig, and its agent does not run in a cluster.") from None
    except (ValueError, TypeError, KeyError, OSError):  # such as a certificate that is not base64
        raise refusal("This node's kubeconfig cannot be used.") from None
    return ApiClient(configuration)


def parse_kubeconfig(text: str) -> Object:
    """The content of a kubeconfig that stands on its own. Raises REFUSED for one that runs programs or reads files."""
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):  # such as a thirteenth month, or a million brackets
        raise refusal("The kubeconfig is not YAML.") from None
    if not isinstance(found, dict) or not all(isinstance(found.get(key), list) for key in ("clusters", "contexts")):
        raise refusal("The kubeconfig names no clusters and contexts.")
    for section in ("users", "clusters"):
        entries = found.get(section) or []
        if not isinstance(entries, list):
            raise refusal(f"The kubeconfig's {section} are not a list.")
        for entry in entries:
            inner = entry.get(section.removesuffix("s")) if isinstance(entry, dict) else None
            for key in FOREIGN_KEYS:
                if isinstance(inner, dict) and key in inner:
                    raise refusal(
                        f"The kubeconfig's `{key}` is not taken: put certificates and a token into it "
                        "(`kubectl config view --raw --flatten`)."
                    )
    return found
