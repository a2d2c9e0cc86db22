"""Pages of instances: the box of a team, the organisers' board, and the ledger of addresses."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from accounts.permissions import can, require, sees_all
from challenges import services
from challenges.instances.ledger import books
from challenges.instances.lists import INSTANCES
from challenges.instances.presentation import ROW_FACTS, panel_of
from challenges.models import DeployRun, Event, EventChallenge, Instance
from hub import bulk
from hub.exceptions import HubError, NotFound
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage

MOST_NAMED = 5
VERBS: dict[str, Any] = {
    "extend": services.extend_instance,
    "redeploy": lambda one, actor: services.reset_instance(one, actor=actor, kind="redeploy"),
    "restart": lambda one, actor: services.reset_instance(one, actor=actor, kind="restart"),
    "pause": lambda one, actor: services.stop_instance(one, actor=actor, remove=False),
    "stop": services.stop_instance,
}


@login_required
def instance_panel(request: HttpRequest, slug: str, challenge: str) -> HttpResponse:
    """A team's box for one challenge: shows it, and takes its verbs. Part of the challenge's page, or alone."""
    event = get_object_or_404(Event.objects.visible_to(request.user), slug=slug)
    url = reverse("challenges:instance_panel", args=[slug, challenge])
    if request.method == "POST":
        _take(request, event, challenge)
    instance = _own(request, event, challenge)
    context: dict[str, Any] = {"event": event, "title": _title(request, event, challenge, instance)}
    if instance is None:
        context["ended"] = Instance.objects.all().last_end(event, challenge, request.user)
    return _show(request, instance, url, context)


@login_required
def instance_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One instance, for its team and its organisers, with its output."""
    instance = _find(request, pk)
    url = reverse("challenges:instance_detail", args=[pk])
    if request.method == "POST":
        verb = request.POST.get("verb", "")
        if verb == "launch":
            _say(request, lambda: _launch_again(request, instance))
        elif verb in VERBS:
            _say(request, lambda: VERBS[verb](instance, actor=request.user))
        instance = _find(request, pk)
    return _show(request, instance, url, {"event": instance.event, "title": instance.name})


@login_required
def instance_log(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The newest output of an instance, flags masked; the agent brings more while somebody looks."""
    instance = _find(request, pk)
    log = services.read_log(instance, actor=request.user)
    tag = live.etag(log.pk, log.captured_at, log.text)
    context = {"instance": instance, "log": log}
    if live.is_fragment(request, "instance-log"):
        return live.answer(request, "challenges/partials/instance_log.html", context, tag=tag)
    return live.private(render(request, "challenges/instance_log.html", context))


@login_required
def instance_list(request: HttpRequest) -> HttpResponse:
    """What teams run: the organisers' board; a player sees his team's."""
    page = ListPage(request, INSTANCES, Instance.objects.visible_to(request.user).alive().with_details())
    if "csv" in request.GET:
        return page.as_csv()
    is_fragment = live.is_fragment(request, "list")
    tag = live.etag(request.user.pk, page.shown, page.fingerprint(*ROW_FACTS)) if is_fragment else ""
    if tag and live.unchanged(request, tag):
        return live.answer(request, "", {}, tag=tag)
    chosen = request.GET.getlist("event")
    event = Event.objects.visible_to(request.user).filter(slug=chosen[0]).first() if len(chosen) == 1 else None
    context = {
        "list": page,
        "instances": page.page.object_list,
        "may_act": can(request.user, "instances.control"),
        "sees_books": can(request.user, "addresses.view"),
        "event": event if event and can(request.user, "events.change", event) else None,
        "may_kill_everything": not chosen and sees_all(request.user, "events.change"),
    }
    if is_fragment:
        return live.answer(request, "challenges/partials/instance_table.html", context, tag=tag)
    if context["event"]:
        entries = EventChallenge.objects.filter(event=event, challenge__kind="container")
        context["entries"] = entries.select_related("challenge")
        context["newest_run"] = DeployRun.objects.filter(event=event).select_related("event", "challenge").first()
    return live.private(render(request, "challenges/instance_list.html", context))


@login_required
@require_POST
def instance_bulk(request: HttpRequest) -> HttpResponse:
    """One verb for the ticked instances, with the result of each."""
    verb = request.POST.get("verb", "")
    ids = [pk for text in request.POST.getlist("ids")[: bulk.MOST] if (pk := _uuid(text))]
    if verb not in ("extend", "reset", "stop") or not ids:
        messages.warning(request, "Tick some instances first.")
        return redirect("challenges:instance_list")
    minutes = request.POST.get("minutes", "")
    is_number = minutes.isascii() and minutes.isdigit() and len(minutes) < 6
    results = services.act_on_many(
        ids, verb, actor=request.user, minutes=int(minutes) if is_number and verb == "extend" else None
    )
    return _results(request, verb.capitalize(), results)


@login_required
@require_POST
def instance_deploy(request: HttpRequest, slug: str) -> HttpResponse:
    """Have a challenge launched for every team of an event."""
    event = _event_to_change(request, slug)
    try:
        force = request.POST.get("force") == "yes"
        run = services.deploy_for_all(event, request.POST.get("challenge", ""), actor=request.user, force=force)
    except NotFound as error:
        messages.error(request, error.message)
        return redirect(f"{reverse('challenges:instance_list')}?event={slug}")
    return redirect(run)


@login_required
@require_safe
def instance_deploy_run(request: HttpRequest, slug: str, run: UUID) -> HttpResponse:
    """How far that is, and what came of each team; follows it until it is done."""
    event = _event_to_change(request, slug)
    found = get_object_or_404(DeployRun.objects.filter(event=event).select_related("event", "challenge"), pk=run)
    context = {"run": found}
    if live.is_fragment(request, "deploy-run"):
        tag = live.etag(request.user.pk, len(found.results), found.finished_at)
        return live.answer(request, "challenges/partials/deploy_run.html", context, tag=tag)
    return live.private(render(request, "challenges/deploy_run.html", context))


@login_required
def instance_kill_all(request: HttpRequest, slug: str = "") -> HttpResponse:
    """Ask for the phrase, then end every instance of an event; without one, of all events, and all test copies."""
    event = _event_to_change(request, slug) if slug else None
    services.require_kill_all(event, actor=request.user)
    phrase = services.kill_phrase(event)
    running = services.killed_with(event).count()
    instances = reverse("challenges:instance_list") + (f"?event={slug}" if slug else "")
    return page_forms.confirm(
        request,
        title=f"Kill all instances of {event.name}?" if event else "Kill all instances of all events?",
        text="Every team loses what it has running, at once. Gone will be:",
        lost=[
            f"{running} instances with all that teams have done in them",
            "Their addresses, which rest first",
            *([] if event else ["All test copies"]),
        ],
        action="Kill all",
        must_type=phrase,
        back=instances,
        do=lambda: services.kill_all(event, actor=request.user, phrase=phrase),
        done=_killed,
        result_url=instances,
    )


@login_required
def address_ledger(request: HttpRequest) -> HttpResponse:
    """Which load-balancer address belongs to whom, which ones rest, and who waits; refreshes itself."""
    require(request.user, "addresses.view")
    context = {"books": books(request.user)}
    if live.is_fragment(request, "books"):
        tag = live.etag(request.user.pk, [book.facts for book in context["books"]])
        return live.answer(request, "challenges/partials/books.html", context, tag=tag)
    return live.private(render(request, "challenges/address_ledger.html", context))


def _show(request: HttpRequest, instance: Instance | None, url: str, context: dict[str, Any]) -> HttpResponse:
    refusal = services.refusal_to_extend(instance) if instance else ""
    panel = panel_of(instance, url=url, actor=request.user, refusal_to_extend=refusal)
    context |= {"panel": panel, "with_toasts": request.method == "POST"}
    if live.is_fragment(request, "instance"):
        if request.method == "POST":
            return live.private(render(request, "challenges/partials/instance_panel.html", context))
        ended = context.get("ended")
        tag = live.etag(request.user.pk, refusal, ended and ended.pk, *panel.facts)
        return live.answer(request, "challenges/partials/instance_panel.html", context, tag=tag)
    if request.method == "POST":
        return redirect(url)
    return live.private(render(request, "challenges/instance_detail.html", context))


def _take(request: HttpRequest, event: Event, slug: str) -> None:
    """Do what a button of the box says; a refusal is said and leaves everything as it is."""
    verb = request.POST.get("verb", "")
    instance = _own(request, event, slug)
    if verb == "launch":
        _say(request, lambda: services.launch_instance(event, slug, actor=request.user))
    elif verb in VERBS and instance is not None:
        _say(request, lambda: VERBS[verb](instance, actor=request.user))


def _launch_again(request: HttpRequest, instance: Instance) -> None:
    """A team's copy by one of its members or an organiser; a test copy by who writes challenges."""
    if instance.event is None:
        services.launch_test(instance.challenge, actor=request.user, team=instance.team)
        return
    team = instance.team if services.is_organiser(request.user, instance) else None
    services.launch_instance(instance.event, instance.challenge.slug, actor=request.user, team=team)


def _say(request: HttpRequest, do: Any) -> None:
    try:
        do()
    except HubError as error:
        messages.error(request, error.message)


def _own(request: HttpRequest, event: Event, slug: str) -> Instance | None:
    """What the person's team has of a challenge."""
    rows = Instance.objects.visible_to(request.user).alive().with_details().filter(event=event, challenge__slug=slug)
    return rows.filter(team__memberships__user=request.user.pk).first()


def _title(request: HttpRequest, event: Event, slug: str, instance: Instance | None) -> str:
    """The challenge's name, only for those whose team may see it."""
    if instance is not None:
        return instance.challenge.name
    participation = services.participation_of(event, request.user)
    if participation is None:
        raise NotFound("There is no such challenge.")
    services.refuse_before_start(event)
    return services.open_entry(event, participation, slug).challenge.name


def _find(request: HttpRequest, pk: UUID) -> Instance:
    found: Instance = get_object_or_404(Instance.objects.visible_to(request.user).with_details(), pk=pk)
    return found


def _event_to_change(request: HttpRequest, slug: str) -> Event:
    event: Event = get_object_or_404(Event.objects.visible_to(request.user), slug=slug)
    require(request.user, "events.change", event)
    return event


def _killed(results: list[bulk.Result[Any]]) -> str:
    """How many go, and which do not."""
    asked = sum(result.is_done for result in results)
    told = f"{asked} instance{'' if asked == 1 else 's'} asked to end."
    if failed := [f"{result.row} ({result.problem.detail})" for result in results if result.problem]:
        names = [*failed[:MOST_NAMED], *(["…"] if len(failed) > MOST_NAMED else [])]
        told += f" {len(failed)} could not be: {', '.join(names)}"
    return told


def _results(request: HttpRequest, label: str, results: list[bulk.Result[Any]]) -> HttpResponse:
    done = sum(result.is_done for result in results)
    return render(request, "challenges/instance_results.html", {"label": label, "results": results, "done": done})


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
