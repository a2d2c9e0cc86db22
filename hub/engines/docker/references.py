"""Names of images, and which credentials go with them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import refusal

HUB = "docker.io"
HUB_NAMES = ("index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
COMPONENT = re.compile(r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*")
REGISTRY = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::\d{1,5})?")


@dataclass(frozen=True)
class Reference:
    """An image by registry, path and tag or digest; or one of this node by its id alone (no path then)."""

    registry: str
    path: tuple[str, ...]
    tag: str = ""
    digest: str = ""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a name as the docker command does. Raises REFUSED."""
        if DIGEST.fullmatch(text):
            return cls("", (), digest=text)
        name, _, digest = text.partition("@")
        head, slash, last = name.rpartition("/")
        last, colon, tag = last.partition(":")
        words = f"{head}{slash}{last}".split("/")
        registry = words.pop(0) if len(words) > 1 and _is_registry(words[0]) else HUB
        if registry in HUB_NAMES:
            registry = HUB
        if registry == HUB and len(words) == 1:
            words.insert(0, "library")
        is_valid = (
            all(map(COMPONENT.fullmatch, words))
            and REGISTRY.fullmatch(registry)
            and (not colon or TAG.fullmatch(tag))
            and ("@" not in text or DIGEST.fullmatch(digest))
        )
        if not is_valid or len(text) > 512:
            raise refusal(f"{text!r} is not the name of an image.")
        return cls(registry, tuple(words), tag="" if digest else tag or "latest", digest=digest)

    @property
    def is_pinned(self) -> bool:
        """Whether it can only ever mean one image."""
        return bool(self.digest)

    @property
    def repository(self) -> str:
        """The name without tag and digest, as registries know it."""
        return "/".join((self.registry, *self.path))

    def is_same_repository(self, text: str) -> bool:
        """Whether a name that Docker tells belongs to the same repository."""
        return Reference.parse(text).repository == self.repository

    def __str__(self) -> str:
        if not self.path:
            return self.digest
        return f"{self.repository}@{self.digest}" if self.digest else f"{self.repository}:{self.tag}"


def pin(image: str, digest: str) -> str:
    """The same image, nailed to what a pull has found; also good for images that only this node has."""
    reference = Reference.parse(image)
    if not digest or not reference.path:
        return image
    return str(Reference(reference.registry, reference.path, digest=digest))


def credentials_for(reference: Reference, registries: Sequence[Mapping[str, Any]]) -> dict[str, str] | None:
    """The credentials whose registry, and path as far as they name one, are the image's own; the longest path wins.

    Whole components are compared: what is meant for `ghcr.io/acme` is not shown to `ghcr.io/acme-evil` nor to
    `ghcr.io.example.org`.
    """
    best, best_length = None, 0
    for entry in registries:
        registry, *path = str(entry["registry"]).removeprefix("https://").strip("/").split("/")
        wanted = (HUB if registry in HUB_NAMES else registry, *path)
        if (reference.registry, *reference.path)[: len(wanted)] == wanted and len(wanted) > best_length:
            best, best_length = entry, len(wanted)
    if best is None:
        return None
    return {"username": str(best["username"]), "password": str(best["password"]), "serveraddress": reference.registry}


def _is_registry(word: str) -> bool:
    """What the docker command takes for a host and not for the first part of a path."""
    return "." in word or ":" in word or word == "localhost"
