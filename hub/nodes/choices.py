"""Statuses of workloads, operations and addresses, and which may follow which."""

from __future__ import annotations

from django.db import models

from hub.transitions import Transitions


class DesiredStatus(models.TextChoices):
    """What was asked of a workload."""

    RUNNING = "running", "Running"
    STOPPED = "stopped", "Stopped"
    DELETED = "deleted", "Deleted"


class ObservedStatus(models.TextChoices):
    """What was last seen of a workload."""

    QUEUED = "queued", "Queued"
    PULLING = "pulling", "Pulling image"
    INSTALLING = "installing", "Installing"
    STARTING = "starting", "Starting"
    RUNNING = "running", "Running"
    UNHEALTHY = "unhealthy", "Unhealthy"
    STOPPING = "stopping", "Stopping"
    STOPPED = "stopped", "Stopped"
    CRASHED = "crashed", "Crashed"
    FAILED = "failed", "Failed"
    DELETING = "deleting", "Deleting"
    DELETED = "deleted", "Deleted"
    LOST = "lost", "Lost"


S = ObservedStatus
LIVE = frozenset({S.STARTING, S.RUNNING, S.UNHEALTHY})
IN_PROGRESS = frozenset({S.QUEUED, S.PULLING, S.INSTALLING, S.STARTING, S.STOPPING, S.DELETING})
BROKEN = frozenset({S.CRASHED, S.FAILED, S.LOST, S.UNHEALTHY})
SETTLED = frozenset({S.RUNNING, S.STOPPED, S.FAILED, S.DELETED})

_ENDING = (S.STOPPING, S.STOPPED, S.DELETING, S.DELETED)
_BAD = (S.CRASHED, S.FAILED, S.LOST)

WORKLOAD_TRANSITIONS = Transitions(
    "observed_status",
    {
        S.QUEUED: (S.PULLING, S.INSTALLING, S.STARTING, S.RUNNING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.PULLING: (S.QUEUED, S.INSTALLING, S.STARTING, S.RUNNING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.INSTALLING: (S.QUEUED, S.STARTING, S.RUNNING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.STARTING: (S.QUEUED, S.PULLING, S.RUNNING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.RUNNING: (S.QUEUED, S.PULLING, S.STARTING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.UNHEALTHY: (S.QUEUED, S.PULLING, S.STARTING, S.RUNNING, *_BAD, *_ENDING),
        # On the way of a restart, whose worker may die between the launch and writing it down.
        S.STOPPING: (S.QUEUED, S.PULLING, S.STARTING, S.RUNNING, S.UNHEALTHY, *_BAD, *_ENDING),
        S.STOPPED: (S.QUEUED, S.PULLING, S.STARTING, S.STOPPING, S.FAILED, S.DELETING, S.DELETED),
        S.CRASHED: (S.QUEUED, S.PULLING, S.STARTING, S.RUNNING, S.UNHEALTHY, S.FAILED, S.LOST, *_ENDING),
        S.FAILED: (S.QUEUED, S.PULLING, S.STARTING, S.RUNNING, S.UNHEALTHY, *_ENDING),
        S.LOST: (S.QUEUED, S.PULLING, S.STARTING, S.RUNNING, S.UNHEALTHY, S.CRASHED, S.FAILED, *_ENDING),
        S.DELETING: (S.DELETED, S.FAILED),
        S.DELETED: (),
    },
)


class AdminState(models.TextChoices):
    """The second axis: what may be asked of a workload. Empty is the ordinary state."""

    NONE = "", "Normal"
    SUSPENDED = "suspended", "Suspended"
    INSTALLING = "installing", "Installing"
    RESTORING = "restoring", "Restoring a backup"


class OperationStatus(models.TextChoices):
    """The fate of a wish."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    SUPERSEDED = "superseded", "Superseded"


OPEN_OPERATIONS = (OperationStatus.QUEUED, OperationStatus.RUNNING)


class AddressState(models.TextChoices):
    """Whether an address can be leased."""

    FREE = "free", "Free"
    LEASED = "leased", "Leased"
    QUARANTINED = "quarantined", "Quarantined"
    BLOCKED = "blocked", "Blocked"


class PoolKind(models.TextChoices):
    """What the addresses of a pool are."""

    HOST_PORTS = "host_ports", "Ports of the node"
    LOAD_BALANCER = "load_balancer", "Load-balancer addresses"
    SUBNETS = "subnets", "Private subnets"


class TaskVerb(models.TextChoices):
    """What a node's agent can be asked to do on its machine."""

    LOOK = "look", "Look again"
    ADOPT = "adopt", "Adopt"
    REPAIR = "repair", "Repair"
    REMOVE = "remove", "Remove"
    LIST_IMAGES = "list-images", "List images"
    PULL_IMAGE = "pull-image", "Pull image"
    REMOVE_IMAGES = "remove-images", "Remove images"
    LIST_DATA = "list-data", "List data left behind"
    REMOVE_DATA = "remove-data", "Delete data left behind"
    BACK_UP_DATA = "back-up-data", "Back up data"


class ReportKind(models.TextChoices):
    """What an agent reports about its machine."""

    DRIFT = "drift", "Drift"
    IMAGES = "images", "Images"
    DATA = "data", "Data left behind"
    CLUSTER = "cluster", "Cluster"


class Finding(models.TextChoices):
    """What comparing a node's database rows, engine and sockets can show, the gravest first."""

    MISSING = "missing", "Gone from the engine"
    TAKEN = "taken", "Port taken by a stranger"
    DIFFERS = "differs", "Differs"
    UNNOTICED = "unnoticed", "Runs unnoticed"
    ORPHAN = "orphan", "Only in the engine"
    SILENT = "silent", "Nobody listens"
    DEAD_LEASE = "dead-lease", "Leased by nobody alive"
    STRANGER = "stranger", "A stranger listens"
    UNUSED_BLOCK = "unused-block", "Blocked, yet free"
    BUSY = "busy", "Under way"
    IN_STEP = "in-step", "In step"


PROBLEMS = frozenset(Finding) - {Finding.UNUSED_BLOCK, Finding.BUSY, Finding.IN_STEP}


class EngineKind(models.TextChoices):
    """What runs the workloads of a node; the class is found through settings.HUB_ENGINES."""

    PROCESS = "process", "Processes"
    DOCKER = "docker", "Docker"
    KUBERNETES = "kubernetes", "Kubernetes"
    FAKE = "fake", "Fake (tests only)"
