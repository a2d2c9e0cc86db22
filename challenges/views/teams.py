"""Teams: one's own, and for staff everybody's; what is announced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.models import User
from accounts.permissions import can, reaches_any, require
from challenges import lists, services
from challenges.choices import HintKind
from challenges.forms import BroadcastForm, JoinForm, TeamForm, TeamSettingsForm
from challenges.models import Announcement, Team
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

TOLD = "announcements_told"  # in the session: the last announcement that has come as a toast or with a sound
WARNED = "instances_warned"  # in the session: the ends that one has been warned of
MEMBER_VERBS: dict[str, tuple[Callable[..., Any], str]] = {
    "kick": (services.kick_member, "Out of the team."),
    "captain": (services.hand_over, "Handed over."),
}


def find_team(request: HttpRequest, pk: int) -> Team:
    """A team that one may see."""
    return get_object_or_404(Team.objects.visible_to(request.user).select_related("captain", "region"), pk=pk)


@login_required
def team_list(request: HttpRequest) -> HttpResponse:
    """For staff all teams; for others their own, or the ways to one."""
    require(request.user, "teams.view")
    if not reaches_any(request.user, "teams.view"):
        own = services.team_of(request.user)
        if own is not None:
            return redirect(own)
        return render(request, "challenges/team_none.html", {"form": TeamForm(), "join": JoinForm()})
    rows = Team.objects.visible_to(request.user).joined().select_related("captain", "region")
    page = ListPage(request, lists.TEAMS, rows)
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "own": services.team_of(request.user)}
    return live.private(render(request, "challenges/team_list.html", context))


@login_required
def team_create(request: HttpRequest) -> HttpResponse:
    """Make a team."""
    require(request.user, "teams.create")
    form = TeamForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        team = page_forms.call(form, services.create_team, actor=request.user, **form.cleaned_data)
        if team:
            messages.success(request, f"{team.name} is yours. Tell the join code to your people.")
            return redirect(team)
    context = {"form": form, "join": JoinForm()}
    return render(request, "challenges/team_none.html", context, status=422 if form.errors else 200)


@login_required
def team_join(request: HttpRequest) -> HttpResponse:
    """Join a team by its code."""
    require(request.user, "teams.create")
    form = JoinForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        team = page_forms.call(form, services.join_team, form.cleaned_data["code"], actor=request.user)
        if team:
            messages.success(request, f"You are in {team.name}.")
            return redirect(team)
    context = {"form": TeamForm(), "join": form}
    return render(request, "challenges/team_none.html", context, status=422 if form.errors else 200)


@login_required
def team_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """Who is in a team, its code, and where it plays; members and events refresh themselves."""
    team = find_team(request, pk)
    members = list(team.memberships.select_related("user"))
    may_change = can(request.user, "teams.change", team)
    is_member = any(membership.user_id == me(request).pk for membership in members)
    context: dict[str, Any] = {
        "team": team,
        "members": members,
        "participations": team.participations.select_related("event__region"),
        "may_change": may_change,
        "may_moderate": can(request.user, "teams.moderate", team),
        "is_member": is_member,
        "code": team.join_code if (may_change or is_member) and not team.is_banned else "",
    }
    if live.is_fragment(request, "team"):
        shown = [(member.user_id, member.user.username) for member in members]
        events = [(each.pk, each.event.name, each.event.state) for each in context["participations"]]
        tag = live.etag(me(request).pk, team.captain_id, team.banned_at, team.ban_reason, may_change, shown, events)
        return live.answer(request, "challenges/partials/team_parts.html", context, tag=tag)
    return live.private(render(request, "challenges/team_detail.html", context))


@login_required
def team_update(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a team."""
    team = find_team(request, pk)
    require(request.user, "teams.change", team)
    form = TeamSettingsForm(request.POST or None, instance=team)
    if request.method == "POST" and form.is_valid():
        changed = page_forms.call(form, services.update_team, team, actor=request.user, **form.changes())
        if changed:
            messages.success(request, "Saved.")
            return redirect(changed)
    context = {"form": form, "team": team}
    return render(request, "challenges/team_form.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def team_code(request: HttpRequest, pk: int) -> HttpResponse:
    """Make another join code."""
    team = find_team(request, pk)
    return _done(request, team, lambda: services.rotate_code(team, actor=request.user), "The old code opens nothing.")


@login_required
def team_leave(request: HttpRequest, pk: int) -> HttpResponse:
    """Leave, after asking."""
    team = find_team(request, pk)
    return page_forms.confirm(
        request,
        title=f"Leave {team.name}",
        text="You come back only with its join code. If you are the last one, the team is gone.",
        action="Leave team",
        back="challenges:team_list",
        do=lambda: services.leave_team(team, actor=me(request)),
        done=f"You have left {team.name}.",
    )


@login_required
@require_POST
def team_member(request: HttpRequest, pk: int, user: int, verb: str) -> HttpResponse:
    """Take somebody out, or make him the captain."""
    team = find_team(request, pk)
    require(request.user, "teams.change", team)
    member = get_object_or_404(User.objects.filter(team_memberships__team=team), pk=user)
    service, done = MEMBER_VERBS[verb]
    return _done(request, team, lambda: service(team, member, actor=request.user), done)


@login_required
@require_POST
def team_move(request: HttpRequest, pk: int) -> HttpResponse:
    """Put somebody into it, out of the team he is in; for staff."""
    team = find_team(request, pk)
    require(request.user, "teams.moderate", team)
    somebody = User.objects.filter(username=request.POST.get("username", "").strip()).first()
    if somebody is None:
        messages.error(request, "There is nobody of this name.")
        return redirect(team)
    return _done(request, team, lambda: services.move_member(somebody, team, actor=request.user), "In the team.")


@login_required
@require_POST
def team_ban(request: HttpRequest, pk: int) -> HttpResponse:
    """Ban a team from everything, or lift that."""
    team = find_team(request, pk)
    require(request.user, "teams.moderate", team)
    if team.is_banned:
        return _done(request, team, lambda: services.unban_team(team, actor=request.user), "It may play again.")
    reason = request.POST.get("reason", "")
    return _done(request, team, lambda: services.ban_team(team, actor=request.user, reason=reason), "Banned.")


@login_required
def announcement_list(request: HttpRequest) -> HttpResponse:
    """What one was told; by looking one has read it."""
    require(request.user, "events.view")
    told = services.newest_for(request.user)
    unread = [each for each in told if not each.is_read]  # type: ignore[attr-defined]
    if request.method == "POST":
        for each in unread:
            services.mark_read(each, actor=request.user)
        return redirect("challenges:announcement_list")
    context = {
        "told": told,
        "unread": len(unread),
        "may_tell": can(request.user, "events.change"),
        "withdrawable": services.withdrawable(told, request.user),
    }
    return live.private(render(request, "challenges/announcement_list.html", context))


@login_required
def announcement_create(request: HttpRequest) -> HttpResponse:
    """Tell the participants of an event; who may, everybody."""
    require(request.user, "events.change")
    form = BroadcastForm(request.user, request.POST or None)
    if request.method == "POST" and form.is_valid():
        told = page_forms.call(form, services.announce, actor=me(request), **form.cleaned_data)
        if told:
            messages.success(request, "Told.")
            return redirect("challenges:announcement_list")
    context = {"form": form}
    return live.private(
        render(request, "challenges/announcement_form.html", context, status=422 if form.errors else 200)
    )


@login_required
@require_safe
def announcement_news(request: HttpRequest) -> HttpResponse:
    """What one has not read yet, for the pages of events: alerts stay on top until they are read, toasts and sounds
    come once. So does a warning of each instance of one's teams that is about to end.
    """
    require(request.user, "events.view")
    if not live.is_fragment(request, "news"):
        return redirect("challenges:announcement_list")
    unread = [each for each in services.newest_for(request.user) if not each.is_read]  # type: ignore[attr-defined]
    told = request.session.get(TOLD, 0)
    news = [each for each in unread if each.pk > told]
    if news:
        request.session[TOLD] = max(each.pk for each in news)
    toasts = [each for each in news if each.ui_type == HintKind.TOAST]
    for each in reversed(toasts):
        messages.info(request, f"{each.title}: {each.message}", extra_tags=reverse("challenges:announcement_list"))
    alerts = [each for each in unread if each.ui_type == HintKind.ALERT]
    warned = _warn_of_ends(request)
    tag = live.etag(me(request).pk, [each.pk for each in unread], [each.pk for each in news], warned)
    context = {"alerts": alerts, "unread": len(unread), "rings": any(each.has_sound for each in news)}
    return live.answer(request, "challenges/partials/news.html", context, tag=tag)


@login_required
@require_POST
def announcement_read(request: HttpRequest, pk: int) -> HttpResponse:
    """Note that one has read it."""
    services.mark_read(get_object_or_404(Announcement.objects.visible_to(request.user), pk=pk), actor=request.user)
    return redirect("challenges:announcement_list")


@login_required
def announcement_withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take back what was told, after asking."""
    told = get_object_or_404(Announcement.objects.visible_to(request.user).select_related("event__region"), pk=pk)
    services.require_withdrawal(told, actor=me(request))
    return page_forms.confirm(
        request,
        title=f"Withdraw “{told.title}”?",
        text="It is gone for everybody. Whoever has read it has read it.",
        action="Withdraw",
        back="challenges:announcement_list",
        do=lambda: services.withdraw_announcement(told, actor=me(request)),
        done="Withdrawn.",
    )


def _warn_of_ends(request: HttpRequest) -> list[str]:
    """Warn once of each end that is near, and again when it was put off; says of which now."""
    ending = {f"{one.pk} {one.expires_at}": one for one in services.ending_soon(request.user)}
    known = request.session.get(WARNED, [])
    news = [key for key in ending if key not in known]
    for key in news:
        one = ending[key]
        text = f"Your instance of {one.challenge.name} ends in {one.minutes_left} min."
        messages.warning(request, text, extra_tags=one.get_absolute_url())
    if news:
        request.session[WARNED] = list(ending)
    return news


def _done(request: HttpRequest, team: Team, do: Callable[[], Any], done: str) -> HttpResponse:
    try:
        do()
    except HubError as error:
        if error.code in ("not_allowed", "not_found") and not error.field:
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, done)
    return redirect(team)
