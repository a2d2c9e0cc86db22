"""Rows of challenges: what they are made of, the events and teams that play them, and what happened in the play."""

from .content import Challenge, ChallengeContainer, ChallengeFile, ChallengePort, Flag, Hint
from .deploys import DeployRun
from .events import Announcement, AnnouncementRead, Event, EventChallenge
from .instances import Instance, InstanceLog
from .play import FileDownload, ScoreEvent, Submission
from .teams import Membership, Participation, Team

__all__ = [
    "Announcement",
    "AnnouncementRead",
    "Challenge",
    "ChallengeContainer",
    "ChallengeFile",
    "ChallengePort",
    "DeployRun",
    "Event",
    "EventChallenge",
    "FileDownload",
    "Flag",
    "Hint",
    "Instance",
    "InstanceLog",
    "Membership",
    "Participation",
    "ScoreEvent",
    "Submission",
    "Team",
]
