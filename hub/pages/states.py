"""The one map from a state to what people see: tone (colour), shape and word. Colour is never alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Badge:
    """A state as it is shown. `why` stands under the word, `percent` draws a bar."""

    tone: str
    shape: str
    word: str
    why: str = ""
    percent: int | None = None

    @property
    def turns(self) -> bool:
        return self.shape == "s-busy"


ON, DONE, BUSY, WAIT, WARN, BAD, OFF, NONE, GONE = (
    ("ok", "s-on"),
    ("ok", "s-done"),
    ("busy", "s-busy"),
    ("warn", "s-wait"),
    ("warn", "s-warn"),
    ("bad", "s-bad"),
    ("off", "s-off"),
    ("off", "s-none"),
    ("off", "s-gone"),
)

# kind → value → (tone, shape), word. Words of people, not of tables.
STATES: Final[dict[str, dict[str, tuple[tuple[str, str], str]]]] = {
    "workload": {
        "queued": (WAIT, "Queued"),
        "pulling": (BUSY, "Pulling image"),
        "installing": (BUSY, "Installing"),
        "starting": (BUSY, "Starting"),
        "running": (ON, "Running"),
        "unhealthy": (WARN, "Degraded"),
        "stopping": (BUSY, "Stopping"),
        "stopped": (OFF, "Stopped"),
        "crashed": (BAD, "Crashed"),
        "failed": (BAD, "Failed"),
        "deleting": (BUSY, "Deleting"),
        "deleted": (GONE, "Deleted"),
        "lost": (BAD, "Lost"),
    },
    "admin": {
        "suspended": (WARN, "Suspended"),
        "installing": (BUSY, "Installing"),
        "restoring": (BUSY, "Restoring backup"),
    },
    "operation": {
        "queued": (WAIT, "Queued"),
        "running": (BUSY, "Under way"),
        "done": (DONE, "Done"),
        "failed": (BAD, "Failed"),
        "superseded": (GONE, "Superseded"),
    },
    "address": {
        "free": (NONE, "Free"),
        "leased": (ON, "Leased"),
        "quarantined": (WAIT, "Resting"),
        "blocked": (BAD, "Blocked"),
    },
    "drift": {
        "missing": (BAD, "Gone from the engine"),
        "taken": (BAD, "Port taken"),
        "differs": (WARN, "Differs"),
        "unnoticed": (WARN, "Runs unnoticed"),
        "orphan": (WARN, "Only in the engine"),
        "silent": (WARN, "Nobody listens"),
        "dead-lease": (WARN, "Held by nobody alive"),
        "stranger": (WARN, "A stranger listens"),
        "unused-block": (NONE, "Blocked, yet free"),
        "busy": (BUSY, "Under way"),
        "in-step": (DONE, "In step"),
    },
    "check": {
        "good": (ON, "In order"),
        "bad": (BAD, "To mend"),
        "unknown": (WARN, "Unknown"),
    },
    "limit": {
        "enforced": (ON, "Enforced"),
        "watched": (WARN, "Watched"),
        "absent": (NONE, "Absent"),
    },
    "node": {
        "answering": (ON, "Answering"),
        "draining": (WARN, "Draining"),
        "disabled": (OFF, "Off"),
        "silent": (WARN, "Not seen"),
        "engine_down": (BAD, "Engine down"),
        "new": (NONE, "Never seen"),
    },
    "token": {
        "on": (ON, "Active"),
        "off": (OFF, "Switched off"),
        "expired": (GONE, "Expired"),
    },
    "user": {
        "active": (ON, "Active"),
        "suspended": (WARN, "Suspended"),
        "closed": (GONE, "Closed"),
    },
    "invite": {
        "open": (WAIT, "Open"),
        "used": (DONE, "Used"),
        "expired": (GONE, "Ran out"),
    },
    "factor": {
        "on": (ON, "On"),
        "off": (WARN, "Not set up"),
    },
    "trial": {
        "running": (BUSY, "Under way"),
        "ready": (DONE, "Ready"),
        "failed": (BAD, "Failed"),
    },
    "alert": {
        "pending": (WAIT, "Pending"),
        "firing": (BAD, "Firing"),
        "seen": (WARN, "Firing, seen"),
        "resolved": (DONE, "Over"),
    },
    "severity": {
        "info": (NONE, "Info"),
        "warning": (WARN, "Warning"),
        "critical": (BAD, "Critical"),
    },
    "delivery": {
        "waiting": (WAIT, "Waiting"),
        "sent": (DONE, "Sent"),
        "failed": (BAD, "Given up"),
    },
    "channel": {
        "works": (ON, "Works"),
        "new": (NONE, "Not used yet"),
        "rests": (BAD, "Does not answer"),
        "off": (OFF, "Off"),
    },
    "event": {
        "draft": (NONE, "Draft"),
        "pending_approval": (WAIT, "Waits for approval"),
        "approved": (WAIT, "Approved"),
        "rejected": (BAD, "Rejected"),
        "scheduled": (WAIT, "Scheduled"),
        "running": (ON, "Running"),
        "paused": (WARN, "Paused"),
        "completed": (DONE, "Over"),
        "cancelled": (GONE, "Cancelled"),
    },
    "challenge": {
        "draft": (NONE, "Draft"),
        "test": (WARN, "In test"),
        "published": (ON, "Published"),
    },
    "answer": {
        "correct": (DONE, "Correct"),
        "partial": (DONE, "One of several flags"),
        "incorrect": (BAD, "Incorrect"),
        "already_solved": (NONE, "Already solved"),
        "max_attempts_reached": (OFF, "No attempts left"),
    },
    "team": {
        "plays": (ON, "Plays"),
        "locked": (OFF, "Locked"),
        "banned": (BAD, "Banned"),
    },
    "device": {
        "pending": (WAIT, "Pending"),
        "preauthorised": (WAIT, "Preauthorised"),
        "accepted": (ON, "Accepted"),
        "rejected": (BAD, "Rejected"),
        "suspended": (WARN, "Suspended"),
        "decommissioned": (GONE, "Decommissioned"),
    },
    "liveness": {
        "online": (ON, "Online"),
        "overdue": (WARN, "Overdue"),
        "offline": (OFF, "Offline"),
        "never": (NONE, "Never seen"),
    },
    "health": {
        "healthy": (ON, "Healthy"),
        "degraded": (WARN, "Degraded"),
        "error": (BAD, "Error"),
    },
    "device_key": {
        "proposed": (WAIT, "Proposed"),
        "active": (ON, "Active"),
        "next": (WAIT, "Next"),
        "retiring": (WARN, "Retiring"),
        "revoked": (GONE, "Revoked"),
    },
    "enrolment": {
        "open": (ON, "Open"),
        "used": (DONE, "Used up"),
        "expired": (GONE, "Ran out"),
        "revoked": (GONE, "Revoked"),
    },
    "config": {
        "applied": (DONE, "Applied"),
        "behind": (WAIT, "Not applied yet"),
        "refused": (BAD, "Could not be applied"),
        "usual": (NONE, "Nothing is set"),
    },
    "level": {
        "DEBUG": (NONE, "Debug"),
        "INFO": (NONE, "Info"),
        "WARNING": (WARN, "Warning"),
        "ERROR": (BAD, "Error"),
    },
    "bundle": {
        "uploading": (BUSY, "Uploading"),
        "ready": (DONE, "Ready"),
        "invalid": (BAD, "Invalidated"),
        "removed": (GONE, "File removed"),
    },
    "deployment": {
        "scheduled": (WAIT, "Scheduled"),
        "running": (BUSY, "Under way"),
        "finished": (DONE, "Finished"),
        "cancelled": (GONE, "Called off"),
    },
    "command": {
        "waiting": (WAIT, "Waiting"),
        "offered": (BUSY, "Offered"),
        "done": (DONE, "Done"),
        "failed": (BAD, "Failed"),
        "lost": (WARN, "No answer"),
        "expired": (GONE, "Expired"),
        "cancelled": (GONE, "Cancelled"),
    },
    "target": {
        "scheduled": (WAIT, "Scheduled"),
        "waiting": (WAIT, "Waiting"),
        "offered": (BUSY, "Offered"),
        "downloading": (BUSY, "Downloading"),
        "installing": (BUSY, "Installing"),
        "soaking": (BUSY, "Proving itself"),
        "cancelling": (BUSY, "Cancelling"),
        "succeeded": (DONE, "Succeeded"),
        "failed": (BAD, "Failed"),
        "cancelled": (GONE, "Cancelled"),
        "superseded": (GONE, "Superseded"),
        "rolled_back": (WARN, "Rolled back"),
    },
    "switch": {
        "on": (ON, "On"),
        "off": (OFF, "Off"),
    },
    "job": {
        "queued": (WAIT, "Waiting"),
        "started": (BUSY, "Running"),
        "deferred": (WAIT, "Deferred"),
        "scheduled": (WAIT, "Scheduled"),
        "finished": (DONE, "Finished"),
        "failed": (BAD, "Failed"),
        "canceled": (GONE, "Cancelled"),
        "stopped": (OFF, "Stopped"),
    },
}


def choices(kind: str) -> list[tuple[str, str]]:
    """The values of a kind with the words that badges show, for filters."""
    return [(value, word) for value, (_, word) in STATES[kind].items()]


def badge(kind: str, value: str, *, why: str = "", percent: int | None = None, word: str = "") -> Badge:
    """The badge of a state; an unknown value is shown as itself rather than hidden."""
    (tone, shape), known = STATES[kind].get(value, (NONE, value.replace("_", " ").capitalize() or "Unknown"))
    return Badge(tone, shape, word or known, why=why, percent=percent)


def workload_badge(workload: Any) -> Badge:
    """The badge of a server or instance, with what it is doing and why it is as it is."""
    observed, wanted = str(workload.observed_status), str(workload.desired_status)
    why = str(workload.status_reason or "")
    if workload.admin_state:
        return badge("admin", str(workload.admin_state), why=why, percent=workload.progress_percent)
    if wanted == "deleted" and observed != "deleted":
        return badge("workload", "deleting", why=why)
    if wanted == "stopped" and observed in ("running", "unhealthy", "starting", "pulling", "installing", "queued"):
        return badge("workload", "stopping", why=why)
    if workload.progress_percent is not None and observed in ("pulling", "installing", "starting"):
        word = f"{STATES['workload'][observed][1]}, {workload.progress_percent} %"
        return badge("workload", observed, why=why, percent=workload.progress_percent, word=word)
    return badge("workload", observed, why=why)
