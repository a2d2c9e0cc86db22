"""What a team sees: the board, a challenge, the scoreboard."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.permissions import can
from challenges import scoring, services
from challenges.choices import STARTED, HintKind, Outcome
from challenges.models import Event, EventChallenge, Participation
from challenges.play_board import Board
from challenges.presentation import as_download, play_of
from hub.exceptions import HubError
from hub.pages import live
from hub.pages.requests import me

from .events import find_event

SHOWN_TEAMS = 100


def _seen_as(request: HttpRequest, event: Event) -> Participation | None:
    """The participation by which one sees the event; None for those who look after it, who see all."""
    participation = services.participation_of(event, request.user)
    if participation is None and not can(request.user, "events.view_any"):
        raise Http404
    return participation


@login_required
def play_board(request: HttpRequest, slug: str) -> HttpResponse:
    """The challenges by category; refreshes itself."""
    event = find_event(request, slug)
    participation = _seen_as(request, event)
    board = Board(event, participation, request.GET)
    context = {"event": event, "tab": "play", "participation": participation, "board": board}
    if live.is_fragment(request, "board"):
        tag = live.etag(me(request).pk, *board.facts)
        return live.answer(request, "challenges/partials/board.html", context, tag=tag)
    return live.private(render(request, "challenges/play_board.html", context))


@sensitive_post_parameters("answer")
@login_required
def play_challenge(request: HttpRequest, slug: str, challenge: str) -> HttpResponse:
    """One challenge: what it asks, hints, files, and a place for the answer.

    What was not right stays in the field: it is in the answer to this one request and nowhere else.
    """
    event = find_event(request, slug)
    problem, status, typed = "", 200, request.POST.get("answer", "")
    if request.method == "POST":
        try:
            answered = services.submit_answer(
                event,
                challenge,
                actor=me(request),
                answer=typed,
                user_agent=request.headers.get("User-Agent", ""),
            )
        except HubError as error:
            if error.code == "not_allowed":
                raise
            problem, status = error.message, 422
        else:
            if answered.outcome not in (Outcome.INCORRECT, Outcome.MAX_ATTEMPTS):
                right = answered.outcome != Outcome.ALREADY_SOLVED
                (messages.success if right else messages.warning)(request, answered.message)
                return redirect("challenges:play_challenge", event.slug, challenge)
            problem = answered.message
    _seen_as(request, event)
    rows = EventChallenge.objects.visible_to(request.user).filter(event=event).select_related("challenge")
    entry = get_object_or_404(rows, challenge__slug=challenge)
    entry.event = event
    participation = services.participation_of(event, request.user)
    context = {
        "event": event,
        "entry": entry,
        "participation": participation,
        "play": play_of(event, entry, participation),
        "problem": problem,
        "typed": typed,
    }
    if live.is_fragment(request, "play-facts"):
        tag = live.etag(me(request).pk, participation and participation.is_banned, context["play"])
        return live.answer(request, "challenges/partials/play_parts.html", {**context, "is_part": True}, tag=tag)
    answer = live.private(render(request, "challenges/play_challenge.html", context, status=status))
    if typed:
        answer["Cache-Control"] = "private, no-store"
    return answer


@login_required
@require_POST
def play_hint(request: HttpRequest, slug: str, challenge: str, hint: int) -> HttpResponse:
    """Take a hint."""
    event = find_event(request, slug)
    try:
        taken = services.unlock_hint(event, challenge, hint, actor=me(request))
    except HubError as error:
        if error.code in ("not_allowed", "not_found"):
            raise
        messages.error(request, error.message)
    else:
        if taken.kind == HintKind.TOAST:  # it stays in the page as well; an alert stands on top of it
            messages.info(request, f"{taken}: {taken.content}")
    return redirect("challenges:play_challenge", event.slug, challenge)


@login_required
def play_file(request: HttpRequest, slug: str, challenge: str, file: UUID) -> HttpResponseBase:
    """Fetch a file."""
    found = services.fetch_file(find_event(request, slug), challenge, file, actor=me(request))
    return as_download(found)


@login_required
def scoreboard(request: HttpRequest, slug: str) -> HttpResponse:
    """Who stands where; refreshes itself."""
    event = find_event(request, slug)
    is_live = can(request.user, "events.change", event)
    board = scoring.board(event, is_live=is_live)
    participation = services.participation_of(event, request.user)
    mine = next((each for each in board if participation and each.team_id == participation.team_id), None)
    context: dict[str, Any] = {
        "event": event,
        "tab": "scoreboard",
        "standings": board[:SHOWN_TEAMS],
        "more": max(len(board) - SHOWN_TEAMS, 0),
        "mine": mine,
        "is_live": is_live and event.is_frozen,
    }
    is_fragment = live.is_fragment(request, "scores")
    tag = (
        live.etag(me(request).pk, event.state, event.is_frozen, context["standings"], mine, context["more"])
        if is_fragment
        else ""
    )
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    context["history"] = scoring.history(event, is_live=is_live)
    context["entries"] = _entries(event, participation)
    if is_fragment:
        return live.answer(request, "challenges/partials/scores.html", context, tag=tag)
    return live.private(render(request, "challenges/scoreboard.html", context))


def _entries(event: Event, participation: Participation | None) -> int:
    """How many challenges a team can solve, as far as it may know."""
    if event.state not in STARTED:
        return 0
    shown = EventChallenge.objects.filter(event=event).shown()
    return (shown.for_team(participation.team) if participation else shown).count()


@login_required
def own_score(request: HttpRequest, slug: str) -> HttpResponse:
    """A team's own score, line by line; refreshes itself."""
    event = find_event(request, slug)
    participation = services.participation_of(event, request.user)
    if participation is None:
        raise Http404
    lines = scoring.lines(participation)
    context = {
        "event": event,
        "tab": "score",
        "participation": participation,
        "lines": lines[::-1],
        "total": lines[-1].total if lines else 0,
    }
    if live.is_fragment(request, "score"):
        tag = live.etag(me(request).pk, event.is_frozen, lines)
        return live.answer(request, "challenges/partials/score_lines.html", context, tag=tag)
    return live.private(render(request, "challenges/own_score.html", context))
