"""What the overview shows: totals, what needs attention, panels; registered by each app, drawn in this order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.http import HttpRequest

from .states import Badge

ATTENTION_SHOWN: Final = 12
_TONES: Final = {"bad": 0, "warn": 1, "busy": 2, "ok": 3, "off": 4}


@dataclass(frozen=True)
class Total:
    """One figure of the bar at the top."""

    label: str
    icon: str
    figure: str
    of: str
    url: str = ""
    badges: Sequence[Badge] = ()
    note: str = ""


@dataclass(frozen=True)
class Concern:
    """One thing that needs somebody, with the place where it is mended."""

    tone: str
    shape: str
    name: str
    text: str
    url: str
    since: datetime | None = None
    action: str = "Open"


@dataclass(frozen=True)
class Panel:
    """A card at the side (or below, when `is_wide`): its template and what it needs.

    One that `is_steady` stands below what needs attention and is drawn with the page alone, because it refreshes by
    itself.
    """

    template: str
    facts: dict[str, Any]
    is_wide: bool = False
    is_steady: bool = False


@dataclass(frozen=True)
class Contribution:
    """What one app adds for one person."""

    totals: Sequence[Total] = ()
    concerns: Sequence[Concern] = ()
    panels: Sequence[Panel] = ()


Contributor = Callable[[HttpRequest], Contribution]
_contributors: list[tuple[int, Contributor]] = []


def contribute(position: int, contributor: Contributor) -> None:
    """Add to the overview; the position decides the order."""
    if (position, contributor) not in _contributors:
        _contributors.append((position, contributor))
        _contributors.sort(key=lambda entry: entry[0])


def collect(request: HttpRequest) -> dict[str, Any]:
    """Everything for this person, the worst first."""
    parts = [contributor(request) for _, contributor in _contributors]
    concerns = sorted((concern for part in parts for concern in part.concerns), key=lambda c: _TONES.get(c.tone, 9))
    panels = [panel for part in parts for panel in part.panels]
    return {
        "totals": [total for part in parts for total in part.totals],
        "concerns": concerns[:ATTENTION_SHOWN],
        "concern_count": len(concerns),
        "steady_panels": [panel for panel in panels if panel.is_steady],
        "wide_panels": [panel for panel in panels if panel.is_wide],
        "panels": [panel for panel in panels if not (panel.is_wide or panel.is_steady)],
    }
