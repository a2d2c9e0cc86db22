"""From what the API server and the way to it say to what the hub understands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from ..base import EngineError, Reason
from .names import QUOTA

MAX_SENTENCE = 300
# How admission says that it does not let something in: quotas, Pod Security, webhooks, policies of the API server,
# limit ranges of others, and the runtime class.
OF_ADMISSION = re.compile(
    r"exceeded quota|failed quota|PodSecurity|denied (?:the )?request|(?:minimum|maximum) \S+ usage per|pod rejected:"
)
USED = re.compile(r"\bused: (.*?)(?:, limited: |$)")


@dataclass
class Refused(Exception):
    """The API server's answer was an error."""

    status: int
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.status} {self.reason}: {self.message}"

    @property
    def is_terminating(self) -> bool:
        """Whether nothing can be made because the namespace is being deleted."""
        return self.status == 403 and "being terminated" in self.message

    @property
    def is_unsettled_quota(self) -> bool:
        """Whether a quota was made so lately that the cluster has not counted what is there."""
        return self.status == 403 and "status unknown for quota" in self.message

    @classmethod
    def read(cls, status: int, body: bytes) -> Refused:
        """Read a Status object, or what a proxy has put in its place."""
        try:
            told = json.loads(body)
            return cls(status, str(told.get("reason") or ""), str(told.get("message") or ""))
        except (ValueError, AttributeError):
            return cls(status, "", body.decode(errors="replace"))


class Raced(Exception):
    """What was found has changed before it was acted on."""


def refusal(message: str) -> EngineError:
    """What was asked is not acceptable here, and asking again will not help."""
    return EngineError(message, reason=Reason.REFUSED, permanent=True)


def unavailable(message: str) -> EngineError:
    """The cluster cannot do this now."""
    return EngineError(message, reason=Reason.UNAVAILABLE)


def timed_out() -> EngineError:
    return EngineError("The cluster did not answer in time.", reason=Reason.TIMED_OUT)


def translate(error: Refused) -> EngineError:
    """Say in the hub's words what the API server has refused."""
    said = sentence(error.message)
    if error.is_terminating:
        return unavailable("Its namespace is still being deleted.")
    if error.is_unsettled_quota:
        return unavailable("The cluster has not counted its quota yet.")
    if error.status == 401:
        return unavailable("The cluster does not accept this node's credentials.")
    if error.status == 403 and is_about_limits(error.message):
        return refusal(f"The cluster's quota or policy does not allow this: {said}")
    if error.status == 403:
        return refusal(f"The hub's account may not do this in the cluster: {said}")
    if error.status in (400, 422):
        return refusal(f"The cluster refused this: {said}")
    if error.status == 404:
        return refusal(f"The cluster does not know this: {said}")
    if error.status == 409:
        return EngineError(f"Somebody else is changing this: {said}", reason=Reason.INTERNAL)
    if error.status == 429:
        return unavailable("The cluster is asked too much at the moment.")
    return unavailable(f"The cluster could not do this: {error.status} {said}")


def is_about_limits(message: str) -> bool:
    """Whether a refusal of a pod comes from admission (quota, limits, Pod Security), not from rights."""
    return OF_ADMISSION.search(message) is not None


def is_of_own_quota(message: str) -> bool:
    """Whether the quota refuses that the hub has made: it fits, but the cluster may not have noted its last change."""
    return f"exceeded quota: {QUOTA}," in message


def waits_for_another(message: str) -> bool:
    """Whether a quota is used up by a pod that is still there, as when its machine is drained: the next comes after."""
    used = USED.search(message) if "exceeded quota" in message else None
    return used is not None and any(not one.endswith("=0") for one in used[1].split(","))


def sentence(message: str) -> str:
    """An answer of the cluster, short enough for a page."""
    text = " ".join(message.split())
    return text if len(text) <= MAX_SENTENCE else f"{text[: MAX_SENTENCE - 1]}…"
