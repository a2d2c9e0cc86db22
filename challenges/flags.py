"""The answers of challenges: what each team's flag is, and whether an answer is right.

A flag of each team is an HMAC of the challenge's own secret, so it is the same after every restart, reset and change
of the hub's keys, and says nothing about another team's. What `planted` returns goes into a launch and nowhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import regex

from .choices import FlagKind
from .content_rules import LONGEST_ANSWER, PLACEHOLDER

if TYPE_CHECKING:
    from .models import Challenge, Event, Flag, Team

logger = logging.getLogger(__name__)

PATTERN_SECONDS = 0.1
"""How long an author's expression may think about an answer: some never end, and others wait for the team meanwhile."""
TOKEN_LENGTH = 24
"""Hexadecimal digits: 96 bits."""


@dataclass(frozen=True)
class Planted:
    """A flag on its way into a container: by environment variable, by file, or both."""

    container: str
    env: str
    path: str
    value: str = field(repr=False)


def new_secret() -> str:
    """The secret from which a challenge's flags of each team are made."""
    return secrets.token_hex(32)


def flag_for(flag: Flag, team: Team, event: Event | None = None) -> str:
    """The very answer that this team must give; in each event another one."""
    content = flag.content.reveal()
    if flag.kind != FlagKind.TEAM:
        return content
    words = f"{event.pk if event else 'test'}|{flag.challenge_id}|{flag.seed or flag.name}|{team.pk}"
    digest = hmac.new(flag.challenge.flag_secret.reveal().encode(), words.encode(), hashlib.sha256)
    return content.replace(PLACEHOLDER, digest.hexdigest()[:TOKEN_LENGTH])


def planted(challenge: Challenge, team: Team, event: Event | None = None) -> list[Planted]:
    """What a launch of the challenge for a team must put into its containers."""
    main = next((container.name for container in challenge.containers.all() if container.is_main), "")
    return [
        Planted(
            container=flag.container.name if flag.container else main,
            env=flag.plant_env,
            path=flag.plant_path,
            value=flag_for(flag, team, event),
        )
        for flag in challenge.flags.select_related("challenge", "container")
        if flag.plant_env or flag.plant_path
    ]


def find(flags: Iterable[Flag], answer: str, team: Team, event: Event | None = None) -> Flag | None:
    """The flag that an answer is, or None. Every flag is compared, each in constant time."""
    given = answer.strip()
    if not given or len(given) > LONGEST_ANSWER:
        return None
    found: Flag | None = None
    for flag in flags:
        if _matches(flag, given, team, event) and found is None:
            found = flag
    return found


def _matches(flag: Flag, given: str, team: Team, event: Event | None) -> bool:
    wanted = flag_for(flag, team, event)
    if flag.kind == FlagKind.REGEX:
        return _fits(flag, wanted, given)
    if flag.kind == FlagKind.INSENSITIVE:
        wanted, given = wanted.casefold(), given.casefold()
    return hmac.compare_digest(wanted.strip().encode(), given.encode())


def _fits(flag: Flag, pattern: str, given: str) -> bool:
    try:
        return regex.fullmatch(pattern, given, timeout=PATTERN_SECONDS) is not None
    except TimeoutError:
        logger.warning("the expression of flag %s did not come to an end with an answer", flag.pk)
        return False
