"""Images: pulled with progress and a deadline, pinned by digest, listed and removed."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import socket
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import docker.errors
from docker.auth import encode_header

from ..base import EngineError, ImageInfo, ProgressCallback, PullProgress, Reason
from .client import Client
from .errors import from_answer, sentence, unavailable
from .references import Reference, credentials_for

PATIENCE_SECONDS = 2.0
REPORT_SECONDS = 0.5
# A daemon tells of what it downloads and unpacks all the time; it works longest without a word over one large layer.
SILENT_SECONDS = 180.0
WORTH_TELLING_SECONDS = 10.0
DOWNLOAD_SHARE = 70  # of the progress; unpacking is the rest
ABSENT = ("manifest unknown", "not found", "repository does not exist", "name unknown")
FORBIDDEN = ("denied", "unauthorized", "authentication required", "no basic auth credentials")
DONE = ("Pull complete", "Already exists")


class Images:
    """The images of one node."""

    def __init__(self, client: Client, registries: Sequence[Mapping[str, Any]]) -> None:
        self.client = client
        self.registries = registries

    def find(self, reference: Reference) -> Mapping[str, Any] | None:
        """The image as it is on the node, or None.

        An image that was never in a registry is pinned by its own id, so a digest may also be that.
        """
        found: Mapping[str, Any] | None = self.client.get(f"/images/{reference}/json")
        if found is None and reference.digest and reference.path:
            found = self.client.get(f"/images/{reference.digest}/json")
        return found

    def pull(self, image: str, *, progress: ProgressCallback, deadline_seconds: float) -> str:
        """Make an image available and return its digest.

        What cannot have changed is not asked for again: a pinned image, or one that was made on this node. When the
        registry fails, the image that is here will do, and the last event says so.
        """
        reference = Reference.parse(image)
        local = self.find(reference)
        if local is not None and (reference.is_pinned or not local.get("RepoDigests")):
            return digest_of(local, reference)
        if not reference.path:
            raise _missing(image, "This node does not have it.")
        try:
            self._fetch(reference, progress, time.monotonic() + deadline_seconds)
        except EngineError as error:
            if local is None or error.reason in (Reason.CANCELLED, Reason.UNAVAILABLE):
                raise
            if not progress(PullProgress(f"{error} Using the image that is on the node.", 100)):
                raise _given_up(image) from None
        found = self.find(reference)
        if found is None:
            raise _missing(image, "It vanished after the pull.")
        return digest_of(found, reference)

    def list(self) -> list[ImageInfo]:
        """Every image with a name, and who uses it."""
        users: dict[str, list[str]] = {}
        for container in self.client.get("/containers/json", all=True):
            users.setdefault(container["ImageID"], []).extend(name.lstrip("/") for name in container["Names"])
        return [
            ImageInfo(
                id=found["Id"],
                names=_names(found),
                size_bytes=found["Size"],
                created_at=datetime.fromtimestamp(found["Created"], UTC),
                used_by=tuple(sorted(users.get(found["Id"], ()))),
            )
            for found in self.client.get("/images/json")
        ]

    def remove(self, ids: Sequence[str]) -> dict[str, str]:
        """Remove images with all their names; one that is used, by whomever, stays, and the answer says by whom."""
        known = {image.id: image for image in self.list()}
        return {image_id: self._remove(known.get(image_id)) for image_id in ids}

    def make(self, archive: Path, names: Sequence[str], *, command: Sequence[str]) -> None:
        """Import a file system as an image of one layer, and give it all its names."""
        references = [Reference.parse(name) for name in names]
        changes = [f"CMD {json.dumps(list(command))}"] if command else []
        first = references[0]
        answer = self.client.api.import_image_from_file(
            str(archive), repository=first.repository, tag=first.tag, changes=changes
        )
        word = json.loads(str(answer).strip().splitlines()[-1])
        if "error" in word:
            raise from_answer(500, str(word["error"]))
        for reference in references[1:]:
            self.client.api.tag(word["status"], reference.repository, reference.tag, force=True)

    def _remove(self, image: ImageInfo | None) -> str:
        if image is None:
            return ""
        if image.used_by:
            return f"It is used by {', '.join(image.used_by)}."
        for name in image.names or (image.id,):
            try:
                self.client.api.remove_image(name)
            except docker.errors.APIError as error:
                if error.status_code != 404:
                    return sentence(str(error.explanation))
        return ""

    def _fetch(self, reference: Reference, progress: ProgressCallback, deadline: float) -> None:
        """Follow a pull; the daemon gives it up when we leave."""
        tally = Tally()
        reported, heard = 0.0, time.monotonic()
        with contextlib.closing(self._events(reference)) as events:
            for event in events:
                now = time.monotonic()
                if event is not None:
                    tally.add(event)
                    heard = now
                if now > deadline:
                    raise EngineError(f"Pulling {reference} took too long.", reason=Reason.TIMED_OUT)
                if now - heard > SILENT_SECONDS:
                    text = f"{reference} could not be pulled: nothing has come for {SILENT_SECONDS / 60:.0f} minutes."
                    raise EngineError(text, reason=Reason.IMAGE_MISSING)
                if event is None or now - reported >= REPORT_SECONDS:
                    reported = now
                    if not progress(tally.progress(now - heard)):
                        raise _given_up(str(reference))

    def _events(self, reference: Reference) -> Generator[Mapping[str, Any] | None]:
        """What the daemon tells about a pull, and None whenever it has been silent for a while.

        A registry that hangs keeps the daemon silent for minutes, so a thread waits for its words.
        """
        credentials = credentials_for(reference, self.registries)
        query = urlencode({"fromImage": reference.repository, "tag": reference.digest or reference.tag})
        headers = {"X-Registry-Auth": encode_header(credentials).decode()} if credentials else {}
        connection = self.client.connect()
        words: queue.SimpleQueue[Mapping[str, Any] | Exception | None] = queue.SimpleQueue()
        request = (f"{self.client.prefix}/images/create?{query}", headers)
        listener = threading.Thread(target=_listen, args=(connection, *request, words), daemon=True)
        listener.start()
        try:
            while True:
                try:
                    word = words.get(timeout=PATIENCE_SECONDS)
                except queue.Empty:
                    yield None
                    continue
                if word is None:
                    return
                if isinstance(word, EngineError):
                    raise _explained(reference, word)
                if isinstance(word, Exception):
                    raise unavailable("Docker stopped answering during the pull.") from word
                if "error" in word:
                    raise _explained(reference, from_answer(500, str(word["error"])))
                yield word
        finally:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            listener.join(PATIENCE_SECONDS)
            connection.close()


class Tally:
    """How far a pull is, from the words about its layers."""

    def __init__(self) -> None:
        self.message = "Asking the registry"
        self.sizes: dict[str, int] = {}
        self.shares: dict[str, float] = {}
        self.percent: int | None = None

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one word of the daemon's; the figure never goes back, though new layers may appear."""
        layer, status = event.get("id", ""), str(event.get("status", ""))
        detail = event.get("progressDetail") or {}
        if layer in self.sizes and status in DONE:
            self.shares[layer] = 100.0
        elif detail.get("total") and status in ("Downloading", "Extracting"):
            self.sizes[layer] = int(detail["total"])
            part = float(detail.get("current", 0)) / self.sizes[layer]
            is_loading = status == "Downloading"
            self.shares[layer] = part * DOWNLOAD_SHARE if is_loading else DOWNLOAD_SHARE + part * (100 - DOWNLOAD_SHARE)
        self.message = status if not layer or not self.sizes else f"{status} ({self._layers_done()})"
        if total := sum(self.sizes.values()):
            share = sum(size * self.shares.get(layer, 0.0) for layer, size in self.sizes.items()) / total
            self.percent = max(self.percent or 0, min(99, int(share)))

    def progress(self, silent_seconds: float = 0.0) -> PullProgress:
        message = self.message or "Pulling"
        if silent_seconds >= WORTH_TELLING_SECONDS:
            message = f"{message}: nothing has come for {silent_seconds:.0f} s"
        return PullProgress(message, self.percent, silent_seconds)

    def _layers_done(self) -> str:
        done = sum(share >= 100 for share in self.shares.values())
        return f"{done} of {len(self.sizes)} layers"


def digest_of(found: Mapping[str, Any], reference: Reference) -> str:
    """What the registry calls this image, or its own id where no registry knows it."""
    for entry in found.get("RepoDigests") or ():
        name, _, digest = entry.partition("@")
        if reference.path and reference.is_same_repository(name):
            return str(digest)
    return str(found["Id"])


def _listen(connection: socket.socket, path: str, headers: Mapping[str, str], words: queue.SimpleQueue[Any]) -> None:
    """Pass on what the daemon says; ends with None, or with what went wrong."""
    try:
        connection.settimeout(None)
        talk = http.client.HTTPConnection("docker")
        talk.sock = connection
        talk.request("POST", path, headers=dict(headers))
        answer = talk.getresponse()
        if answer.status >= 400:
            words.put(from_answer(answer.status, _message(answer.read())))
            return
        for line in answer:
            if line.strip():
                words.put(json.loads(line))
        words.put(None)
    except (OSError, ValueError, http.client.HTTPException) as error:
        words.put(error)


def _message(data: bytes) -> str:
    try:
        return str(json.loads(data)["message"])
    except (ValueError, KeyError, TypeError):
        return data.decode(errors="replace")


def _explained(reference: Reference, error: EngineError) -> EngineError:
    """Tell an image that does not exist, or is not for us, from a registry that cannot be reached."""
    lowered = str(error).lower()
    if error.reason is Reason.DISK_FULL:
        return error
    if any(words in lowered for words in FORBIDDEN):
        hint = f"{reference.registry} does not have it, or not for this node's credentials."
        return _missing(str(reference), hint)
    if any(words in lowered for words in ABSENT):
        return _missing(str(reference), f"{reference.registry} does not have it.")
    words = str(error).removeprefix("Docker could not do this: ")
    return EngineError(f"{reference} could not be pulled: {words}", reason=Reason.IMAGE_MISSING)


def _missing(image: str, why: str) -> EngineError:
    return EngineError(f"There is no image {image}. {why}", reason=Reason.IMAGE_MISSING, permanent=True)


def _given_up(image: str) -> EngineError:
    return EngineError(f"Pulling {image} was given up.", reason=Reason.CANCELLED)


def _names(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Tags, else the names by digest of an image that was pulled by one."""
    tags = [tag for tag in found.get("RepoTags") or () if tag != "<none>:<none>"]
    return tuple(tags or [name for name in found.get("RepoDigests") or () if not name.startswith("<none>")])
