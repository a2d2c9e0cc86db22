"""Pages of alerts, rules, mutes and channels."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from accounts.permissions import can, require
from hub.exceptions import HubError
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage

from . import lists, reach, services
from .forms import AlertMuteForm, AssignForm, ChannelForm, MuteForm, RuleForm
from .models import Alert, AlertRule, Channel, Delivery, Mute

LIVE_FIELDS = ("pk", "state", "value", "acknowledged_at", "assignee_id", "severity", "text")


@login_required
def alert_list(request: HttpRequest) -> HttpResponse:
    """What fires and what has fired; refreshes itself."""
    require(request.user, "alerts.view")
    rows = Alert.objects.visible_to(request.user).select_related("assignee", "rule")
    page = ListPage(request, lists.ALERTS, rows)
    if "csv" in request.GET:
        return page.as_csv()
    if live.is_fragment(request, "list"):
        facts = [tuple(getattr(row, name) for name in LIVE_FIELDS) for row in page.page.object_list]
        tag = live.etag(request.user.pk, page.page.paginator.count, facts)
        return live.answer(request, "monitoring/partials/alert_table.html", {"list": page}, tag=tag)
    return live.private(render(request, "monitoring/alert_list.html", {"list": page}))


@login_required
def alert_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One alert: what it says, since when, who has it, and who was told."""
    alert = _alert(request, pk)
    may_change = can(request.user, "alerts.change", alert if alert.region_slug else None)
    context = {
        "alert": alert,
        "may_change": may_change and alert.state == "firing",
        "assign": AssignForm(initial={"assignee": alert.assignee.username if alert.assignee else ""}),
        "mute": AlertMuteForm(),
        "deliveries": alert.deliveries.select_related("channel"),
        "others": Alert.objects.visible_to(request.user).filter(subject=alert.subject).exclude(pk=alert.pk)[:10],
    }
    return live.private(render(request, "monitoring/alert_detail.html", context))


@login_required
@require_POST
def alert_acknowledge(request: HttpRequest, pk: int) -> HttpResponse:
    """Say that one has seen it."""
    alert = _alert(request, pk)
    return _done(request, alert, lambda: services.acknowledge_alert(alert, actor=request.user), "Acknowledged.")


@login_required
@require_POST
def alert_assign(request: HttpRequest, pk: int) -> HttpResponse:
    """Say whose it is."""
    alert = _alert(request, pk)
    require(request.user, "alerts.change")
    form = AssignForm(request.POST)
    if not form.is_valid():
        messages.error(request, "There is nobody of this name who sees alerts.")
        return redirect(alert)
    who = form.cleaned_data["assignee"]
    return _done(request, alert, lambda: services.assign_alert(alert, who, actor=request.user), "Assigned.")


@login_required
@require_POST
def alert_mute(request: HttpRequest, pk: int) -> HttpResponse:
    """Tell nobody of it for a while."""
    alert = _alert(request, pk)
    require(request.user, "alerts.change")
    form = AlertMuteForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose for how long.")
        return redirect(alert)
    minutes = form.cleaned_data["minutes"]
    return _done(request, alert, lambda: services.mute_alert(alert, actor=request.user, minutes=minutes), "Muted.")


@login_required
def rule_list(request: HttpRequest) -> HttpResponse:
    """When there is an alert."""
    require(request.user, "alerts.view")
    page = ListPage(request, lists.RULES, AlertRule.objects.visible_to(request.user))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"list": page, "may_change": can(request.user, "alerts.change")}
    return render(request, "monitoring/rule_list.html", context)


@login_required
def rule_create(request: HttpRequest) -> HttpResponse:
    """Make a rule."""
    require(request.user, "alerts.change")
    form = RuleForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        rule = page_forms.call(form, services.create_rule, actor=request.user, **form.cleaned_data)
        if rule:
            messages.success(request, f"Rule {rule.name} made.")
            return redirect("monitoring:rule_list")
    return render(request, "monitoring/rule_form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
def rule_update(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a rule, or switch it off."""
    rule = get_object_or_404(AlertRule.objects.visible_to(request.user), pk=pk)
    require(request.user, "alerts.change", rule)
    form = RuleForm(request.POST or None, instance=rule)
    saved = None
    if request.method == "POST" and form.is_valid():
        saved = page_forms.call(form, services.update_rule, rule, actor=request.user, **form.changes())
    if saved:
        messages.success(request, f"Rule {rule.name} changed.")
        return redirect("monitoring:rule_list")
    context = {"form": form, "rule": rule}
    return render(request, "monitoring/rule_form.html", context, status=422 if form.errors else 200)


@login_required
def rule_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a rule of one's own."""
    rule = get_object_or_404(AlertRule.objects.visible_to(request.user), pk=pk)
    require(request.user, "alerts.change", rule)
    return page_forms.confirm(
        request,
        title=f"Remove rule {rule.name}?",
        text="What it fires now is over; the history stays.",
        action="Remove rule",
        back="monitoring:rule_list",
        do=lambda: services.delete_rule(rule, actor=request.user),
        done=f"Rule {rule.name} removed.",
    )


@login_required
def mute_list(request: HttpRequest) -> HttpResponse:
    """Times in which nobody is told, and a form to plan one."""
    require(request.user, "alerts.view")
    form = MuteForm(request.POST or None)
    if request.method == "POST":
        require(request.user, "alerts.change")
        if form.is_valid():
            mute = page_forms.call(form, services.create_mute, actor=request.user, **form.cleaned_data)
            if mute:
                messages.success(request, "Planned.")
                return redirect("monitoring:mute_list")
    page = ListPage(request, lists.MUTES, Mute.objects.visible_to(request.user).select_related("rule"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {
        "list": page,
        "form": form,
        "may_change": can(request.user, "alerts.change"),
        "endable": reach.endable(page.page.object_list, request.user),
    }
    return render(request, "monitoring/mute_list.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def mute_end(request: HttpRequest, pk: int) -> HttpResponse:
    """Let people be told again."""
    mute = get_object_or_404(Mute.objects.visible_to(request.user), pk=pk)
    services.end_mute(mute, actor=request.user)
    messages.success(request, "People are told again.")
    return redirect("monitoring:mute_list")


@login_required
def channel_list(request: HttpRequest) -> HttpResponse:
    """How people are told, and whether it works."""
    require(request.user, "channels.view")
    page = ListPage(request, lists.CHANNELS, Channel.objects.visible_to(request.user))
    if "csv" in request.GET:
        return page.as_csv()
    context = {
        "list": page,
        "undelivered": Delivery.objects.visible_to(request.user).undelivered().count(),
        "may_change": can(request.user, "channels.change"),
    }
    return live.private(render(request, "monitoring/channel_list.html", context))


@login_required
def channel_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One channel with the log of what it sent, and what still waits."""
    channel = get_object_or_404(Channel.objects.visible_to(request.user), pk=pk)
    rows = Delivery.objects.visible_to(request.user).filter(channel=channel).select_related("alert", "channel")
    page = ListPage(request, lists.DELIVERIES, rows)
    if "csv" in request.GET:
        return page.as_csv()
    context = {"channel": channel, "list": page, "may_change": can(request.user, "channels.change")}
    return live.private(render(request, "monitoring/channel_detail.html", context))


@login_required
def channel_create(request: HttpRequest) -> HttpResponse:
    """Add a channel."""
    require(request.user, "channels.change")
    form = ChannelForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        channel = page_forms.call(form, services.create_channel, actor=request.user, **form.cleaned_data)
        if channel:
            messages.success(request, f"Channel {channel.name} added. Press Test to see whether it works.")
            return redirect(channel)
    return render(request, "monitoring/channel_form.html", {"form": form}, status=422 if form.errors else 200)


@login_required
def channel_update(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a channel."""
    channel = get_object_or_404(Channel.objects.visible_to(request.user), pk=pk)
    require(request.user, "channels.change")
    form = ChannelForm(request.POST or None, instance=channel)
    saved = None
    if request.method == "POST" and form.is_valid():
        saved = page_forms.call(form, services.update_channel, channel, actor=request.user, **form.changes())
    if saved:
        messages.success(request, f"Channel {channel.name} changed.")
        return redirect(channel)
    context = {"form": form, "channel": channel}
    return render(request, "monitoring/channel_form.html", context, status=422 if form.errors else 200)


@login_required
def channel_delete(request: HttpRequest, pk: int) -> HttpResponse:
    """Remove a channel."""
    channel = get_object_or_404(Channel.objects.visible_to(request.user), pk=pk)
    require(request.user, "channels.change")
    return page_forms.confirm(
        request,
        title=f"Remove channel {channel.name}?",
        text="What still waits to be sent through it, and the log of what was sent, go with it.",
        action="Remove channel",
        must_type=channel.name,
        back="monitoring:channel_list",
        do=lambda: services.delete_channel(channel, actor=request.user),
        done=f"Channel {channel.name} removed.",
    )


@login_required
@require_POST
def channel_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a message that says only that it arrives."""
    channel = get_object_or_404(Channel.objects.visible_to(request.user), pk=pk)
    said = "A test message is on its way; its fate stands below in a moment."
    return _done(request, channel, lambda: services.try_channel(channel, actor=request.user), said)


@login_required
@require_POST
def delivery_resend(request: HttpRequest, pk: str) -> HttpResponse:
    """Send a message that did not arrive again."""
    delivery = get_object_or_404(Delivery.objects.visible_to(request.user).select_related("channel"), pk=pk)
    said = "It is on its way again."
    return _done(request, delivery.channel, lambda: services.resend_delivery(delivery, actor=request.user), said)


def _alert(request: HttpRequest, pk: int) -> Alert:
    rows = Alert.objects.visible_to(request.user).select_related("assignee", "rule")
    return get_object_or_404(rows, pk=pk)


def _done(request: HttpRequest, back: Any, do: Any, said: str) -> HttpResponse:
    """Do it, say so or why not, and lead back to the page of the row."""
    require_verb = "channels.change" if isinstance(back, Channel) else "alerts.change"
    require(request.user, require_verb)
    try:
        do()
    except HubError as refusal:
        if refusal.status in (403, 404):
            raise
        messages.error(request, refusal.message)
    else:
        messages.success(request, said)
    return redirect(page_forms.back_url(request, back.get_absolute_url()))
