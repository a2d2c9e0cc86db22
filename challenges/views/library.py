"""The library of challenges, for those who run events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from challenges import lists, scoring, services
from challenges.choices import CHALLENGE_MOVES, CHALLENGE_TRANSITIONS
from challenges.forms import ChallengeForm
from challenges.models import Challenge, Instance, Team
from challenges.part_forms import Parts
from hub.exceptions import HubError, Invalid
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage


def find_challenge(request: HttpRequest, slug: str) -> Challenge:
    """A challenge of the library that one may see."""
    return get_object_or_404(Challenge.objects.visible_to(request.user), slug=slug)


@login_required
def challenge_list(request: HttpRequest) -> HttpResponse:
    """All challenges, whatever offers them."""
    require(request.user, "challenges.view")
    page = ListPage(request, lists.CHALLENGES, Challenge.objects.visible_to(request.user))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "may_change": can(request.user, "challenges.change")}
    return live.private(render(request, "challenges/challenge_list.html", context))


@login_required
def challenge_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """What a challenge is made of, all but its answers."""
    challenge = find_challenge(request, slug)
    moves = CHALLENGE_TRANSITIONS.table[challenge.state]
    points = scoring.curve(challenge.scoring, challenge.points, challenge.minimum_points, challenge.decay)
    context = {
        "challenge": challenge,
        "containers": challenge.containers.prefetch_related("ports"),
        "flags": challenge.flags.select_related("container"),
        "hints": challenge.hints.all(),
        "files": challenge.files.all(),
        "events": challenge.entries.select_related("event"),
        "curve": [(n, points[n - 1]) for n in (1, 2, 5, 10, 20, 50)],
        "may_change": can(request.user, "challenges.change"),
        "may_grant": can(request.user, "challenges.grant"),
        "copies": Instance.objects.visible_to(request.user)
        .alive()
        .filter(challenge=challenge, event=None)
        .with_details(),
        "states": [(state, label) for state, label in CHALLENGE_MOVES.items() if state in moves],
    }
    return live.private(render(request, "challenges/challenge_detail.html", context))


@sensitive_post_parameters()
@login_required
def challenge_create(request: HttpRequest) -> HttpResponse:
    """Make a challenge."""
    require(request.user, "challenges.change")
    return _edit(request, None)


@sensitive_post_parameters()
@login_required
def challenge_update(request: HttpRequest, slug: str) -> HttpResponse:
    """Change a challenge."""
    challenge = find_challenge(request, slug)
    require(request.user, "challenges.change", challenge)
    return _edit(request, challenge)


@login_required
@require_POST
def challenge_state(request: HttpRequest, slug: str) -> HttpResponse:
    """Move it from draft to test to published, or back."""
    challenge, state = find_challenge(request, slug), request.POST.get("state", "")
    require(request.user, "challenges.change", challenge)
    return _done(request, challenge, lambda: services.set_state(challenge, state, actor=request.user), "Moved.")


@login_required
@require_POST
def challenge_powers(request: HttpRequest, slug: str) -> HttpResponse:
    """Grant what its containers ask for, or take that back."""
    challenge = find_challenge(request, slug)
    require(request.user, "challenges.grant", challenge)
    service = services.revoke_powers if request.POST.get("verb") == "revoke" else services.grant_powers
    return _done(request, challenge, lambda: service(challenge, actor=request.user), "Saved.")


@login_required
@require_POST
def challenge_test(request: HttpRequest, slug: str) -> HttpResponse:
    """Launch a test copy with the flags of a team, or lead to the one there is."""
    challenge, name = find_challenge(request, slug), request.POST.get("team", "").strip()
    require(request.user, "challenges.change", challenge)
    team = Team.objects.visible_to(request.user).filter(name__iexact=name).first()
    if team is None:
        messages.error(request, f"There is no team {name}.")
        return redirect(challenge)
    try:
        launched = services.launch_test(challenge, actor=request.user, team=team)
    except HubError as error:
        messages.error(request, error.message)
        return redirect(challenge)
    return redirect(launched.instance)


@login_required
@require_POST
def file_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Add a file."""
    challenge, upload = find_challenge(request, slug), request.FILES.get("file")
    require(request.user, "challenges.change", challenge)
    if upload is None:
        messages.error(request, "Choose a file.")
        return redirect(challenge)
    return _done(request, challenge, lambda: services.add_file(challenge, upload, actor=request.user), "Added.")


@login_required
@require_POST
def file_remove(request: HttpRequest, slug: str, file: UUID) -> HttpResponse:
    """Remove a file."""
    challenge = find_challenge(request, slug)
    require(request.user, "challenges.change", challenge)
    found = get_object_or_404(challenge.files, pk=file)
    return _done(request, challenge, lambda: services.remove_file(found, actor=request.user), "Removed.")


@login_required
def challenge_delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove a challenge, after asking."""
    challenge = find_challenge(request, slug)
    require(request.user, "challenges.change", challenge)
    return page_forms.confirm(
        request,
        title=f"Remove {challenge.name}",
        text="Its flags, hints and files go with it.",
        action="Remove challenge",
        back="challenges:challenge_list",
        do=lambda: services.delete_challenge(challenge, actor=request.user),
        done=f"{challenge.name} is removed.",
        must_type=challenge.name,
    )


def _edit(request: HttpRequest, challenge: Challenge | None) -> HttpResponse:
    form, parts = ChallengeForm(request.POST or None, instance=challenge), Parts(challenge, request.POST or None)
    is_sent = bool(request.POST) and "add" not in request.POST
    if is_sent:
        are_valid = [form.is_valid(), parts.is_valid()]
        saved = _save(request, challenge, form, parts) if all(are_valid) else None
        if saved:
            messages.success(request, f"{saved.name} saved.")
            return redirect(saved)
    context = {"form": form, "parts": parts, "challenge": challenge, "is_refused": is_sent}
    return live.private(render(request, "challenges/challenge_form.html", context, status=422 if is_sent else 200))


def _save(request: HttpRequest, challenge: Challenge | None, form: ChallengeForm, parts: Parts) -> Challenge | None:
    try:
        if challenge is None:
            return services.create_challenge(actor=request.user, **form.cleaned_data, **parts.values())
        return services.update_challenge(challenge, actor=request.user, **form.changes(), **parts.values())
    except Invalid as refusal:
        if not parts.refuse(refusal):
            form.add_error(refusal.field if refusal.field in form.fields else None, refusal.message)
    except HubError as refusal:
        form.add_error(None, refusal.message)
    return None


def _done(request: HttpRequest, challenge: Challenge, do: Callable[[], Any], done: str) -> HttpResponse:
    try:
        do()
    except HubError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect(challenge)
