"""The range of time that a page shows, as its URL says: `?range=6h`, or `?from=…&to=…`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

CHOICES = {
    "15m": ("15 min", timedelta(minutes=15)),
    "1h": ("1 h", timedelta(hours=1)),
    "6h": ("6 h", timedelta(hours=6)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 d", timedelta(days=7)),
    "30d": ("30 d", timedelta(days=30)),
}
DEFAULT = "1h"


@dataclass(frozen=True)
class Range:
    """A span up to now by its name, or one of one's own."""

    start: datetime
    end: datetime
    name: str = ""

    @property
    def is_live(self) -> bool:
        return bool(self.name)

    @property
    def seconds(self) -> int:
        return int((self.end - self.start).total_seconds())

    @property
    def query(self) -> str:
        """How a URL says it."""
        if self.name:
            return urlencode({"range": self.name})
        return urlencode({"from": self.start.isoformat(), "to": self.end.isoformat()})

    @property
    def label(self) -> str:
        if self.name:
            return f"Last {CHOICES[self.name][0]}"
        start, end = timezone.localtime(self.start), timezone.localtime(self.end)
        return f"{start:%-d %b %H:%M} – {end:%-d %b %H:%M}"


def of(request: HttpRequest) -> Range:
    """What the URL asks for; the last hour when it says nothing that can be read."""
    start, end = (_moment(request.GET.get(name, "")) for name in ("from", "to"))
    now = timezone.now()
    if start and not end:
        end = now
    if start and end and start < end:
        return Range(start, end)
    name = request.GET.get("range", "")
    name = name if name in CHOICES else DEFAULT
    return Range(now - CHOICES[name][1], now, name)


def _moment(text: str) -> datetime | None:
    try:
        moment = parse_datetime(text[:40])
        if moment is None:
            return None
        return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
    except (ValueError, OverflowError):
        return None
