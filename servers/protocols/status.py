"""The one answer every status query gives, and the cleaning of text that strangers' servers send."""

import re
from dataclasses import dataclass

MAX_TEXT = 200
MAX_PLAYERS = 1_000_000

_COLOUR = re.compile(r"§[0-9a-fk-orx]?|\x1b\[[0-9;?]*[ -/]*[@-~]", re.IGNORECASE)
# A NUL or a lone surrogate would be refused by PostgreSQL; the others move the cursor of whoever reads a log.
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class GameStatus:
    """What a server said about itself; player numbers can be faked, so treat them as information."""

    players: int | None
    max_players: int | None
    version: str
    detail: str
    latency_ms: float


def clean_text(text: str) -> str:
    """Strip colour codes, terminal escapes and characters that are unsafe to store or print; keep line breaks."""
    return _UNSAFE.sub("", _COLOUR.sub("", text.replace("\r\n", "\n")))


def short_text(value: object, limit: int = MAX_TEXT) -> str:
    """Return one clean line of bounded length, empty when the value is no text."""
    if not isinstance(value, str):
        return ""
    # Cut first: a hostile answer must not buy work in proportion to its length.
    return " ".join(clean_text(value[: limit * 8]).split())[:limit]


def player_count(value: object) -> int | None:
    """Return a believable number of players, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= MAX_PLAYERS else None
