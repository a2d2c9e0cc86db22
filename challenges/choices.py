"""States of challenges and events with what may follow each, kinds of flags, hints and score events, and the bounds."""

from __future__ import annotations

from typing import Final

from django.db import models

from hub.transitions import Transitions

NAME_LENGTHS: Final = (3, 50)
EVENT_NAME_LENGTHS: Final = (3, 100)
EVENT_DESCRIPTION_LENGTHS: Final = (10, 2000)
DESCRIPTION_LENGTHS: Final = (10, 20_000)
TEAM_SIZE_BOUNDS: Final = (1, 50)
JOIN_CODE_LENGTH: Final = 6
JOIN_CODE_ALPHABET: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Capitals and digits without those that are taken for one another."""

CATEGORIES: Final = ("web", "reverse", "pwn", "crypto", "forensics", "misc")
"""What is offered; a challenge may name one of its own."""


class ChallengeKind(models.TextChoices):
    """Whether a challenge runs something."""

    STATIC = "static", "Download"
    CONTAINER = "container", "Containers"


class ChallengeState(models.TextChoices):
    """How far a challenge is."""

    DRAFT = "draft", "Draft"
    TEST = "test", "In test"
    PUBLISHED = "published", "Published"


CHALLENGE_TRANSITIONS = Transitions(
    "state",
    {
        ChallengeState.DRAFT: [ChallengeState.TEST],
        ChallengeState.TEST: [ChallengeState.DRAFT, ChallengeState.PUBLISHED],
        ChallengeState.PUBLISHED: [ChallengeState.TEST],
    },
)
CHALLENGE_MOVES: Final = {
    ChallengeState.DRAFT: "Back to draft",
    ChallengeState.TEST: "To test",
    ChallengeState.PUBLISHED: "Publish",
}
"""What the buttons that lead to a state say."""


class Difficulty(models.TextChoices):
    """What the author thinks of it."""

    EASY = "easy", "Easy"
    MEDIUM = "medium", "Medium"
    HARD = "hard", "Hard"
    INSANE = "insane", "Insane"


class Scoring(models.TextChoices):
    """How the value of a challenge follows the number of its solves."""

    STATIC = "static", "Always the same"
    LINEAR = "linear", "Falls by a step with each solve"
    LOGARITHMIC = "logarithmic", "Falls slowly, then faster"


class FlagKind(models.TextChoices):
    """How an answer is compared."""

    STATIC = "static", "Exactly this text"
    INSENSITIVE = "insensitive", "This text in any case"
    REGEX = "regex", "Regular expression"
    TEAM = "team", "Its own for each team"


class FlagLogic(models.TextChoices):
    """What several flags mean."""

    ANY = "any", "Any one solves it"
    ALL = "all", "All are needed, each gives its share"


class HintKind(models.TextChoices):
    """How a hint is shown."""

    ALERT = "alert", "Alert"
    BACKGROUND = "background", "In the page"
    TOAST = "toast", "Toast"


class HealthKind(models.TextChoices):
    """How the hub learns that a container is ready."""

    NONE = "none", "Runs"
    TCP = "tcp", "TCP connection"
    HTTP = "http", "HTTP answer"


class PortProtocol(models.TextChoices):
    """What is spoken on a named port."""

    TCP = "tcp", "TCP"
    UDP = "udp", "UDP"
    HTTP = "http", "HTTP"
    HTTPS = "https", "HTTPS"


class EventKind(models.TextChoices):
    """What an event is."""

    CTF = "ctf", "Capture the flag"
    EXERCISE = "cyber_exercise", "Cyber exercise"


class ParticipationKind(models.TextChoices):
    """Who takes part."""

    TEAMS = "team_based", "Teams"
    USERS = "user_based", "Each for himself"


class EventStatus(models.TextChoices):
    """How far an event is; what time alone changes is computed at each request (`Event.state`)."""

    DRAFT = "draft", "Draft"
    PENDING = "pending_approval", "Waits for approval"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    SCHEDULED = "scheduled", "Scheduled"
    RUNNING = "running", "Running"
    PAUSED = "paused", "Paused"
    COMPLETED = "completed", "Completed"
    CANCELLED = "cancelled", "Cancelled"


_BEFORE = [EventStatus.APPROVED, EventStatus.SCHEDULED]
EVENT_TRANSITIONS = Transitions(
    "status",
    {
        EventStatus.DRAFT: [EventStatus.PENDING, EventStatus.SCHEDULED, EventStatus.RUNNING, EventStatus.CANCELLED],
        EventStatus.REJECTED: [EventStatus.PENDING, EventStatus.CANCELLED],
        EventStatus.PENDING: [
            EventStatus.SCHEDULED,
            EventStatus.RUNNING,
            EventStatus.REJECTED,
            EventStatus.CANCELLED,
        ],
        EventStatus.APPROVED: [EventStatus.SCHEDULED, EventStatus.RUNNING, EventStatus.CANCELLED],
        EventStatus.SCHEDULED: [EventStatus.RUNNING, EventStatus.CANCELLED],
        EventStatus.RUNNING: [EventStatus.PAUSED, EventStatus.COMPLETED],
        EventStatus.PAUSED: [EventStatus.RUNNING, EventStatus.COMPLETED],
    },
)
ANNOUNCED: Final = frozenset({*_BEFORE, EventStatus.RUNNING, EventStatus.PAUSED, EventStatus.COMPLETED})
"""What participants may know of."""
OPEN_FOR_REGISTRATION: Final = frozenset({*_BEFORE, EventStatus.RUNNING})
STARTED: Final = frozenset({EventStatus.RUNNING, EventStatus.PAUSED, EventStatus.COMPLETED})
OVER: Final = frozenset({EventStatus.COMPLETED, EventStatus.CANCELLED})


class AddressPolicy(models.TextChoices):
    """What a team reaches its instances by."""

    TEAM = "team", "One address for each team"
    INSTANCE = "instance", "One address for each instance"


class Visibility(models.TextChoices):
    """Whether a challenge is shown in an event."""

    VISIBLE = "visible", "Visible"
    HIDDEN = "hidden", "Hidden"


class Outcome(models.TextChoices):
    """What came of a submission."""

    CORRECT = "correct", "Correct"
    PARTIAL = "partial", "One of several flags"
    INCORRECT = "incorrect", "Incorrect"
    ALREADY_SOLVED = "already_solved", "Already solved"
    MAX_ATTEMPTS = "max_attempts_reached", "No attempts left"


class ScoreKind(models.TextChoices):
    """What a score event is about."""

    SOLVE = "solve", "Flag"
    FIRST_BLOOD = "first_blood", "First blood"
    HINT = "hint", "Hint"
    AWARD = "award", "Award"
