"""A team in the same step as the account: joined by its code, else made."""

from __future__ import annotations

import time
from typing import Any

from django import forms
from django.core.cache import cache
from django.db.models import Q

from accounts import audit
from challenges.choices import JOIN_CODE_LENGTH, NAME_LENGTHS
from challenges.models import Team
from hub import context
from hub.api.throttles import place_of
from hub.exceptions import HubError, Invalid, NotAllowed, TooMany
from hub.nodes.models import Region

from .teams import create_team, find_by_code, join_team, refuse_newcomers

WRONG_CODES_OF_ADDRESS, WINDOW_SECONDS = 30, 600  # a school's people share an address


def team_fields() -> dict[str, forms.CharField]:
    """What the form of registration asks for."""
    return {
        "team_code": forms.CharField(
            required=False,
            max_length=50,
            label="Join code",
            widget=forms.TextInput(attrs={"autocomplete": "off"}),
            help_text="Of a team that is there; its captain tells it.",
        ),
        "team_name": forms.CharField(
            required=False,
            min_length=NAME_LENGTHS[0],
            max_length=NAME_LENGTHS[1],
            label="Name of a new team",
            help_text="You lead it, in your region. With a join code it is not used.",
        ),
    }


def check_team(asked: dict[str, Any]) -> None:
    """Refuse a code or name that leads nowhere, before there is an account. Wrong codes are counted by address."""
    if code := asked.get("team_code", ""):
        _check_code(code)
    elif (name := asked.get("team_name", "")) and Team.objects.filter(name__iexact=name, is_personal=False).exists():
        raise Invalid("Another team has this name.", field="team_name")


def enter_team(user: Any, asked: dict[str, Any]) -> None:
    """Join or make the team; what has changed since the check is refused, and there is no account then."""
    if code := asked.get("team_code", ""):
        join_team(code, actor=user)
    elif name := asked.get("team_name", ""):
        create_team(actor=user, name=name)


def _check_code(code: str) -> None:
    if Region.objects.filter(Q(slug__iexact=code) | Q(name__iexact=code)).exists():
        raise Invalid(
            f"{code} is a region: choose it in its own field. The code of a team has {JOIN_CODE_LENGTH} letters and "
            "digits; its captain tells it.",
            field="team_code",
        )
    window = int(time.time()) // WINDOW_SECONDS
    key = f"team-code:{place_of(context.current().ip or '')}:{window}"
    # Counted before the look and taken back for a right one: however many come at once, no more of them are looked at.
    if cache.count(key, seconds=2 * WINDOW_SECONDS) > WRONG_CODES_OF_ADDRESS:  # type: ignore[attr-defined]  # ours
        raise TooMany("Too many wrong codes. Wait, or register without a team.", retry_after=WINDOW_SECONDS)
    team = find_by_code(code)
    if team is None:
        audit.record(None, "team.code_wrong")
        raise Invalid("No team has this code. Codes change: ask the captain for the present one.", field="team_code")
    cache.count(key, seconds=2 * WINDOW_SECONDS, by=-1)  # type: ignore[attr-defined]  # ours
    try:
        if team.is_banned:
            raise NotAllowed("The team is banned.", code="team_banned")
        refuse_newcomers(team)
    except HubError as refusal:
        refusal.field = "team_code"
        raise
