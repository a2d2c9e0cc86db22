"""Events: the list, one of them, and what its organisers do with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.forms.models import model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts.models import User
from accounts.permissions import can, require
from challenges import lists, services
from challenges.choices import EVENT_TRANSITIONS, EventStatus, Visibility
from challenges.forms import AnnounceForm, AwardForm, EntryForm, EntrySettingsForm, EventForm, PlayerPasswordForm
from challenges.models import Event, EventChallenge, Participation, Submission
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

MOVES: dict[str, tuple[str, str, Callable[..., Event]]] = {
    "submit": (EventStatus.PENDING, "Ask for approval", services.submit_for_approval),
    "approve": (EventStatus.SCHEDULED, "Approve", services.approve_event),
    "start": (EventStatus.RUNNING, "Start now", services.start_event),
    "pause": (EventStatus.PAUSED, "Pause", services.pause_event),
    "resume": (EventStatus.RUNNING, "Resume", services.resume_event),
}
NEWEST = 5


def find_event(request: HttpRequest, slug: str) -> Event:
    """An event that one may see."""
    return get_object_or_404(
        Event.objects.visible_to(request.user).select_related("region", "administrator"), slug=slug
    )


@login_required
def event_list(request: HttpRequest) -> HttpResponse:
    """What is on, what comes, and what was."""
    require(request.user, "events.view")
    page = ListPage(request, lists.EVENTS, Event.objects.visible_to(request.user).select_related("region"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "may_create": can(request.user, "events.change")}
    return live.private(render(request, "challenges/event_list.html", context))


@login_required
def event_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """What an event is, and for those who run it its challenges and teams; what changes by itself refreshes itself."""
    event = find_event(request, slug)
    may_change, may_moderate = can(request.user, "events.change", event), can(request.user, "events.moderate", event)
    participation = services.participation_of(event, request.user)
    context: dict[str, Any] = {
        "event": event,
        "tab": "event",
        "participation": participation,
        "announcements": event.announcements.all()[:NEWEST] if participation or may_change else [],
        "may_change": may_change,
        "may_moderate": may_moderate,
        "may_reset": can(request.user, "events.reset", event),
        "may_play": can(request.user, "events.play"),
        "moves": _moves(request, event) if may_change else [],
        "has_teams": may_change and event.participations.exists(),
    }
    if live.is_fragment(request, "event-facts"):
        shown = [
            model_to_dict(event, exclude=["organisers"]),
            event.state,
            event.is_frozen,
            event.is_open_for_registration,
        ]
        shown += [participation and (participation.pk, participation.is_banned), context["moves"]]
        shown += [[told.pk for told in context["announcements"]], context["has_teams"]]
        tag = live.etag(me(request).pk, *shown)
        return live.answer(request, "challenges/partials/event_parts.html", {**context, "is_part": True}, tag=tag)
    if may_change:
        context |= {
            "entries": event.entries.select_related("challenge"),
            "entry_form": EntryForm(event),
            "announce": AnnounceForm(),
        }
    if may_moderate:
        context["teams"] = event.participations.select_related("team", "event")
    return live.private(render(request, "challenges/event_detail.html", context))


@login_required
def event_submissions(request: HttpRequest, slug: str) -> HttpResponse:
    """What teams have answered and what came of it, newest first, for those who look after the event."""
    event = get_object_or_404(Event.objects.watched_by(request.user), slug=slug)
    rows = Submission.objects.filter(participation__event=event)
    page = ListPage(request, lists.SUBMISSIONS, rows.select_related("participation__team", "entry__challenge"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"event": event, "tab": "submissions", "list": page}
    if live.is_fragment(request, "list"):
        tag = live.etag(event.pk, page.shown, page.fingerprint("pk"))
        return live.answer(request, "challenges/partials/submission_table.html", context, tag=tag)
    return live.private(render(request, "challenges/event_submissions.html", context))


@login_required
def event_create(request: HttpRequest) -> HttpResponse:
    """Make an event."""
    require(request.user, "events.change")
    form = EventForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        event = page_forms.call(form, services.create_event, actor=request.user, **form.cleaned_data)
        if event:
            messages.success(request, f"{event.name} made.")
            return redirect(event)
    return render(request, "challenges/event_form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
def event_update(request: HttpRequest, slug: str) -> HttpResponse:
    """Change an event."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    form = EventForm(request.POST or None, instance=event)
    if request.method == "POST" and form.is_valid():
        changed = page_forms.call(form, services.update_event, event, actor=request.user, **form.changes())
        if changed:
            messages.success(request, f"{changed.name} saved.")
            return redirect(changed)
    context = {"form": form, "event": event}
    return render(request, "challenges/event_form.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def event_move(request: HttpRequest, slug: str, verb: str) -> HttpResponse:
    """One step to another state."""
    event, move = find_event(request, slug), MOVES[verb][2]
    return _done(request, event, lambda: move(event, actor=request.user), f"{MOVES[verb][1]}: done.")


@login_required
def event_end(request: HttpRequest, slug: str) -> HttpResponse:
    """End it, after asking."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    return page_forms.confirm(
        request,
        title=f"End {event.name}",
        text="Nobody answers any more, and every instance of its teams is removed.",
        action="End event",
        back=event.get_absolute_url(),
        do=lambda: services.end_event(event, actor=request.user),
        done=f"{event.name} has ended.",
        must_type=event.name,
    )


@login_required
def event_cancel(request: HttpRequest, slug: str) -> HttpResponse:
    """Call it off, after asking."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    return page_forms.confirm(
        request,
        title=f"Cancel {event.name}",
        text="It will not take place. Teams that have entered see that it is off.",
        action="Cancel event",
        back=event.get_absolute_url(),
        do=lambda: services.cancel_event(event, actor=request.user, reason=request.POST.get("reason") or "Called off."),
        done=f"{event.name} is cancelled.",
        reason_label="Why; the teams read it",
    )


@login_required
@require_POST
def event_reject(request: HttpRequest, slug: str) -> HttpResponse:
    """Send a draft back with a reason."""
    event, reason = find_event(request, slug), request.POST.get("reason", "")
    return _done(request, event, lambda: services.reject_event(event, actor=request.user, reason=reason), "Sent back.")


@login_required
@require_POST
def event_enter(request: HttpRequest, slug: str) -> HttpResponse:
    """Enter with one's team."""
    event = find_event(request, slug)
    return _done(request, event, lambda: services.register(event, actor=me(request)), "You are in.")


@login_required
@require_POST
def event_withdraw(request: HttpRequest, slug: str) -> HttpResponse:
    """Leave before it begins."""
    event = find_event(request, slug)
    return _done(request, event, lambda: services.withdraw(event, actor=me(request)), "Your team is out.")


@login_required
@require_POST
def event_announce(request: HttpRequest, slug: str) -> HttpResponse:
    """Tell the participants."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    form = AnnounceForm(request.POST)
    if not form.is_valid():
        messages.error(request, "An announcement has a title and a message.")
        return redirect(event)
    return _done(
        request, event, lambda: services.announce(actor=request.user, event=event, **form.cleaned_data), "Told."
    )


@login_required
@require_POST
def event_team(request: HttpRequest, slug: str, team: int, verb: str) -> HttpResponse:
    """Ban a team from the event, or let it play on."""
    event = find_event(request, slug)
    require(request.user, "events.moderate", event)
    rows = Participation.objects.filter(event=event).select_related("team", "event__region")
    participation = get_object_or_404(rows, team=team)
    if verb == "unban":
        return _done(
            request, event, lambda: services.unban_from_event(participation, actor=request.user), "It plays on."
        )
    reason = request.POST.get("reason", "")
    return _done(
        request, event, lambda: services.ban_from_event(participation, actor=request.user, reason=reason), "Banned."
    )


@login_required
@require_POST
def entry_add(request: HttpRequest, slug: str) -> HttpResponse:
    """Offer a challenge."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    form = EntryForm(event, request.POST)
    if not form.is_valid():
        messages.error(request, "Choose a challenge that the event does not offer yet.")
        return redirect(event)
    challenge = form.cleaned_data.pop("challenge")
    return _done(
        request,
        event,
        lambda: services.add_entry(event, challenge, actor=request.user, **form.cleaned_data),
        f"{challenge.name} is offered.",
    )


@login_required
@require_POST
def entry_change(request: HttpRequest, slug: str, entry: int, verb: str) -> HttpResponse:
    """Show, hide or take out a challenge."""
    event = find_event(request, slug)
    row = get_object_or_404(EventChallenge.objects.filter(event=event).select_related("challenge"), pk=entry)
    require(request.user, "events.change", event)
    if verb == "remove":
        return _done(request, event, lambda: services.remove_entry(row, actor=request.user), "Taken out.")
    seen = Visibility.VISIBLE if verb == "show" else Visibility.HIDDEN
    return _done(request, event, lambda: services.update_entry(row, actor=request.user, visibility=seen), "Saved.")


@login_required
def entry_update(request: HttpRequest, slug: str, entry: int) -> HttpResponse:
    """Change how a challenge is offered: points, attempts, release, what it builds on, and which teams see it."""
    event = find_event(request, slug)
    row = get_object_or_404(EventChallenge.objects.filter(event=event).select_related("challenge"), pk=entry)
    require(request.user, "events.change", event)
    row.event = event
    form = EntrySettingsForm(request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        changed = page_forms.call(form, services.update_entry, row, actor=request.user, **form.changes())
        if changed:
            messages.success(request, f"{row.challenge.name} saved.")
            return redirect(event)
    return _part(request, event, form, f"{row.challenge.name} in {event.name}", "Save")


@login_required
@require_POST
def event_administrator(request: HttpRequest, slug: str) -> HttpResponse:
    """Let a participant look after the teams; without a name nobody does."""
    event, name = find_event(request, slug), request.POST.get("username", "").strip()
    require(request.user, "events.change", event)
    somebody = User.objects.filter(username=name).first() if name else None
    if name and somebody is None:
        messages.error(request, "This person takes no part in the event.")
        return redirect(event)
    return _done(request, event, lambda: services.set_administrator(event, somebody, actor=request.user), "Saved.")


@login_required
def event_delete(request: HttpRequest, slug: str) -> HttpResponse:
    """Remove one that nobody has entered, after asking."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    return page_forms.confirm(
        request,
        title=f"Delete {event.name}",
        text="It goes with all that it says of its challenges; the challenges themselves stay.",
        action="Delete event",
        back="challenges:event_list",
        do=lambda: services.delete_event(event, actor=request.user),
        done=f"{event.name} is deleted.",
        must_type=event.name,
    )


@login_required
def event_award(request: HttpRequest, slug: str, team: int) -> HttpResponse:
    """Give a team points, or take some, with a reason that it reads."""
    event = find_event(request, slug)
    require(request.user, "events.change", event)
    rows = Participation.objects.filter(event=event).select_related("team", "event__region")
    participation = get_object_or_404(rows, team=team)
    form = AwardForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        given = page_forms.call(form, services.award_points, participation, actor=request.user, **form.cleaned_data)
        if given:
            messages.success(request, f"Told to {participation.team.name}.")
            return redirect(event)
    return _part(request, event, form, f"Points for {participation.team.name}", "Give")


@login_required
@sensitive_post_parameters("password")
def event_password(request: HttpRequest, slug: str) -> HttpResponse:
    """A new password for a player who cannot get one himself."""
    event = find_event(request, slug)
    require(request.user, "events.reset", event)
    form = PlayerPasswordForm(request.POST or None, initial={"username": request.GET.get("player", "")})
    if request.method == "POST" and form.is_valid():
        done = page_forms.call(form, services.reset_player, event, actor=me(request), **form.cleaned_data)
        if done:
            messages.success(request, f"{done.username} has a new password and is logged out everywhere.")
            return redirect(event)
    return _part(request, event, form, f"New password for a player of {event.name}", "Set")


def _part(request: HttpRequest, event: Event, form: Any, title: str, action: str) -> HttpResponse:
    context = {"event": event, "form": form, "title": title, "action": action}
    return live.private(render(request, "challenges/part_form.html", context, status=422 if form.errors else 200))


def _moves(request: HttpRequest, event: Event) -> list[dict[str, str]]:
    """The steps that the table of states has from here, and that this person may take."""
    state = event.state
    found = []
    for verb, (status, label, _) in MOVES.items():
        drafts = state in (EventStatus.DRAFT, EventStatus.PENDING)
        fits = {
            "submit": True,
            "approve": drafts and can(request.user, "events.approve"),
            "start": state in (EventStatus.APPROVED, EventStatus.SCHEDULED),
            "pause": True,
            "resume": state == EventStatus.PAUSED,
        }[verb]
        if fits and state != status and EVENT_TRANSITIONS.allows(state, status):
            found.append({"verb": verb, "label": label})
    return found


def _done(request: HttpRequest, event: Event, do: Callable[[], Any], done: str) -> HttpResponse:
    try:
        do()
    except HubError as error:
        if error.code in ("not_allowed", "not_found") and not error.field:
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect(event)
