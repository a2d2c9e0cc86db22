"""From what Docker and its library say to what the hub understands."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
from collections.abc import Iterator, Sequence

import docker.errors
import requests.exceptions
import urllib3.exceptions

from ..base import EngineError, PortBinding, Reason

ADDRESS = re.compile(r"(?P<ip>\[[0-9a-fA-F:.]+\]|[0-9a-fA-F:.]*[0-9a-fA-F]):(?P<port>\d{1,5})(?!\d)")
TAKEN = ("port is already allocated", "address already in use")
MISSING = ("cannot assign requested address",)
NO_SPACE = ("no space left on device", "disk quota exceeded")
MAX_SENTENCE = 300


def refusal(message: str) -> EngineError:
    """What was asked is not acceptable here, and asking again will not help."""
    return EngineError(message, reason=Reason.REFUSED, permanent=True)


def unavailable(message: str) -> EngineError:
    """The node cannot do this now."""
    return EngineError(message, reason=Reason.UNAVAILABLE)


def translate(error: Exception, ports: Sequence[PortBinding] = ()) -> EngineError:
    """Say in the hub's words what went wrong; `ports` are those of the workload that was being started."""
    if isinstance(error, docker.errors.APIError):
        return from_answer(error.status_code or 500, str(error.explanation or error), ports)
    if isinstance(error, requests.exceptions.ReadTimeout | urllib3.exceptions.ReadTimeoutError | TimeoutError):
        return EngineError("Docker did not answer in time.", reason=Reason.TIMED_OUT)
    if isinstance(error, OSError) and error.filename is not None:
        return _about_file(error)
    if "Permission denied" in str(error):
        return unavailable("The agent may not use Docker's socket.")
    return unavailable("Docker does not answer on this node.")


def from_answer(status: int, message: str, ports: Sequence[PortBinding] = ()) -> EngineError:
    """Read one of the daemon's error answers."""
    lowered = message.lower()
    if any(words in lowered for words in TAKEN):
        return _about_address(message, Reason.ADDRESS_TAKEN, "is in use by something else on this node", ports)
    if any(words in lowered for words in MISSING):
        return _about_address(message, Reason.ADDRESS_MISSING, "does not exist on this node", ports)
    if any(words in lowered for words in NO_SPACE):
        return EngineError("This node's disk is full.", reason=Reason.DISK_FULL)
    if status == 404 and "no such image" in lowered:
        return EngineError("The image is not on this node.", reason=Reason.IMAGE_MISSING)
    if status == 400:
        return refusal(f"Docker refused this: {sentence(message)}")
    return EngineError(f"Docker could not do this: {sentence(message)}", reason=Reason.INTERNAL)


def _about_file(error: OSError) -> EngineError:
    """A file of the node's own, not Docker's socket."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EngineError("This node's disk is full.", reason=Reason.DISK_FULL)
    return unavailable(f"The agent cannot use {error.filename}: {error.strerror}.")


def sentence(message: str) -> str:
    """An answer of the daemon, short enough for a page."""
    text = " ".join(message.split())
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"


def _about_address(message: str, reason: Reason, what: str, ports: Sequence[PortBinding]) -> EngineError:
    """Find the address in the daemon's words; the first of the workload's own will do when they name none."""
    known = [(binding.ip, binding.port) for binding in ports if binding.public]
    named = sorted(_addresses(message), key=lambda address: address not in known)
    for ip, port in [*named, *known]:
        return EngineError(f"The address {ip}:{port} {what}.", reason=reason, ip=ip, port=port)
    return EngineError(f"An address {what}: {sentence(message)}", reason=reason)


def _addresses(message: str) -> Iterator[tuple[str, int]]:
    for match in ADDRESS.finditer(message):
        with contextlib.suppress(ValueError):
            yield str(ipaddress.ip_address(match["ip"].strip("[]"))), int(match["port"])
