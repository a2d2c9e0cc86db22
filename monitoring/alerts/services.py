"""What people do with alerts, rules, mutes and channels."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from accounts import audit
from accounts.models import User
from accounts.permissions import can, require
from hub import outgoing
from hub.exceptions import Conflict, Invalid, NotAllowed
from hub.jobs import enqueue
from hub.rows import locked

from . import messages, reach, senders
from .choices import DELIVERY_TRANSITIONS, AlertState, ChannelKind, DeliveryState, Scope
from .models import Alert, AlertRule, Channel, Delivery, Mute, Scoped

if TYPE_CHECKING:
    from accounts.actors import Asker

LONGEST_MUTE, FARTHEST_MUTE = timedelta(days=90), timedelta(days=730)
SLUG_LENGTH = 60
OTHER_REGIONS = "You may do this in your regions only."


def acknowledge_alert(alert: Alert, *, actor: Asker) -> Alert:
    """Say that somebody has seen it; it goes on firing."""
    with transaction.atomic():
        held = _firing(alert, actor)
        if held.acknowledged_at is None:
            held.acknowledged_at, held.acknowledged_by = timezone.now(), str(actor)[:150]
            held.save(update_fields=["acknowledged_at", "acknowledged_by"])
            audit.record(actor, "alert.acknowledged", held)
    return held


def assign_alert(alert: Alert, assignee: User | None, *, actor: Asker) -> Alert:
    """Say whose it is, or nobody's."""
    if assignee is not None and not can(assignee, "alerts.view"):
        raise Invalid("This person does not see alerts.", field="assignee")
    with transaction.atomic():
        held = _firing(alert, actor)
        held.assignee = assignee
        held.save(update_fields=["assignee"])
        audit.record(actor, "alert.assigned", held, assignee=assignee.username if assignee else "")
    return held


def mute_alert(alert: Alert, *, actor: Asker, minutes: int, reason: str = "") -> Mute:
    """Tell nobody of this rule and subject for a while."""
    with transaction.atomic():
        rule = AlertRule.objects.select_for_update(no_key=True).filter(pk=alert.rule_id or 0).first()  # before alerts
        held = _firing(alert, actor)
        if rule is None:
            raise Conflict("Its rule is gone, and with it the alert.", code="alert_over")
        now = timezone.now()
        mute = Mute(
            rule=rule,
            scope=Scope.SUBJECT,
            scope_value=held.subject,
            reason=reason or f"Muted: {held}"[:200],
            starts_at=now,
            ends_at=now + timedelta(minutes=minutes),
        )
        return _save_mute(mute, actor, alert=held.pk)


def create_mute(*, actor: Asker, **values: Any) -> Mute:
    """Plan a time in which nobody is told."""
    mute = Mute(**values)
    require(actor, "alerts.change")
    if not reach.is_within(mute, actor):
        raise NotAllowed(OTHER_REGIONS)
    return _save_mute(mute, actor)


def end_mute(mute: Mute, *, actor: Asker) -> None:
    """Let people be told again from now on; what fires is told with the next look."""
    require(actor, "alerts.change")
    with transaction.atomic():
        held = locked(Mute.objects.select_for_update(), mute.pk)
        if held.pk not in reach.endable([held], actor):
            raise NotAllowed(OTHER_REGIONS)
        audit.record(actor, "mute.ended", held, scope=held.scope, about=held.scope_value)
        held.delete()


def create_rule(*, actor: Asker, **values: Any) -> AlertRule:
    """Make a rule of one's own."""
    rule = AlertRule(**values)
    _require(actor, rule)
    rule.slug = rule.slug or _free_slug(rule.name)
    with transaction.atomic():
        _clean_and_save(rule)
        audit.record(actor, "alert_rule.created", rule, condition=rule.condition, threshold=rule.threshold)
    return rule


def update_rule(rule: AlertRule, *, actor: Asker, **changes: Any) -> AlertRule:
    """Change a rule; a shipped one is from then on left alone by updates."""
    _require(actor, rule)
    with transaction.atomic():
        held = locked(AlertRule.objects.select_for_update(no_key=True), rule.pk)
        before = {name: getattr(held, name) for name in changes}
        if before == changes:
            return held
        for name, value in changes.items():
            setattr(held, name, value)
        _require(actor, held)  # it may be about another region now
        held.is_customized = bool(held.version)
        _clean_and_save(held)
        audit.record(actor, "alert_rule.updated", held, **audit.changes(before, changes))
    return held


def delete_rule(rule: AlertRule, *, actor: Asker) -> None:
    """Remove a rule of one's own; its alerts end, and their history stays."""
    _require(actor, rule)
    if rule.version:
        raise Conflict("This rule comes with the hub and would come again. Switch it off instead.", code="shipped_rule")
    with transaction.atomic():
        held = locked(AlertRule.objects.select_for_update(), rule.pk)
        audit.record(actor, "alert_rule.deleted", held)
        held.delete()


def create_channel(*, actor: Asker, secret: str = "", rules: Any = (), **values: Any) -> Channel:
    """Add a way to tell people."""
    require(actor, "channels.change")
    channel = Channel(**values)
    channel.secret = secret
    _check_channel(channel)
    _check_place(channel)
    with transaction.atomic():
        _clean_and_save(channel)
        channel.rules.set(rules)
        audit.record(actor, "channel.created", channel, kind=channel.kind)
    return channel


def update_channel(channel: Channel, *, actor: Asker, secret: str = "", rules: Any = None, **changes: Any) -> Channel:
    """Change a channel. An empty secret leaves the one that is there; whatever changes, it is tried again at once."""
    require(actor, "channels.change")
    if secret or {"kind", "target"} & changes.keys():
        _check_place(_changed(copy(channel), secret, changes))  # may ask a name server, so before the lock
    with transaction.atomic():
        held = locked(Channel.objects.select_for_update(no_key=True), channel.pk)
        before = {name: getattr(held, name) for name in changes}
        if not secret and held.secret and changes.get("target", held.target) != held.target:
            raise Invalid("A secret does not go to a new place by itself: give it again.", field="secret")
        _changed(held, secret, changes)
        held.failures, held.retry_at = 0, None
        _check_channel(held)
        _clean_and_save(held)
        if rules is not None:
            held.rules.set(rules)
        audit.record(actor, "channel.updated", held, secret_changed=bool(secret), **audit.changes(before, changes))
        enqueue("monitoring.alerts.jobs.deliver_channel", held.pk)
    return held


def delete_channel(channel: Channel, *, actor: Asker) -> None:
    """Remove a channel with the log of what it sent."""
    require(actor, "channels.change")
    with transaction.atomic():
        held = locked(Channel.objects.select_for_update(), channel.pk)
        audit.record(actor, "channel.deleted", held, kind=held.kind)
        held.delete()


def try_channel(channel: Channel, *, actor: Asker) -> Delivery:
    """Send a message that says only that it arrives; it goes at once, even when the channel rests."""
    require(actor, "channels.change")
    with transaction.atomic():
        held = locked(Channel.objects.select_for_update(no_key=True), channel.pk)
        if not held.is_enabled:
            raise Conflict("The channel is switched off.", code="channel_off")
        Channel.objects.filter(pk=held.pk).update(retry_at=None)
        delivery = messages.make_test(held)
        audit.record(actor, "channel.tested", held)
    return delivery


def resend_delivery(delivery: Delivery, *, actor: Asker) -> Delivery:
    """Let a message that was given up, or that waits for its channel to rest, be sent now."""
    require(actor, "channels.change")
    with transaction.atomic():
        rows = Delivery.objects.select_for_update(of=("self",)).select_related("channel")
        held = locked(rows, delivery.pk)
        if held.state == DeliveryState.SENT:
            raise Conflict("It has been sent.", code="already_sent")
        DELIVERY_TRANSITIONS.apply(held, DeliveryState.WAITING, waiting_since=timezone.now())
        Channel.objects.filter(pk=held.channel_id).update(retry_at=None)
        audit.record(actor, "delivery.resent", held)
        enqueue("monitoring.alerts.jobs.deliver_channel", held.channel_id)
    return held


def _require(actor: Asker, row: Scoped | None) -> None:
    """Whoever watches sees all rules and mutes, so a refusal says so where one is of a region that is not his."""
    require(actor, "alerts.change")
    if row is not None and not can(actor, "alerts.change", row):
        raise NotAllowed(OTHER_REGIONS)


def _firing(alert: Alert, actor: Asker) -> Alert:
    require(actor, "alerts.change", alert if alert.region_slug else None)
    held = locked(Alert.objects.select_for_update(no_key=True, of=("self",)).select_related("rule"), alert.pk)
    if held.state != AlertState.FIRING:
        raise Conflict("This alert is over.", code="alert_over")
    return held


def _save_mute(mute: Mute, actor: Asker, **facts: Any) -> Mute:
    mute.created_by = str(actor)[:150]
    if mute.ends_at - mute.starts_at > LONGEST_MUTE:
        raise Invalid(f"A mute lasts {LONGEST_MUTE.days} days at most. Switch the rule off instead.", field="ends_at")
    if not timezone.now() < mute.ends_at < timezone.now() + FARTHEST_MUTE:
        raise Invalid("It must end in the future, within two years.", field="ends_at")
    with transaction.atomic():
        if mute.rule_id is not None:
            locked(AlertRule.objects.select_for_update(no_key=True), mute.rule_id)
        _clean_and_save(mute)
        until = mute.ends_at.isoformat(timespec="seconds")
        audit.record(actor, "mute.created", mute, scope=mute.scope, about=mute.scope_value, until=until, **facts)
    return mute


def _check_channel(channel: Channel) -> None:
    """Each kind needs something else, and no address is stored that could not be used."""
    kind = channel.kind
    if kind in (ChannelKind.SLACK, ChannelKind.PAGERDUTY) and not channel.secret:
        what = "address of its webhook" if kind == ChannelKind.SLACK else "routing key"
        raise Invalid(f"It needs the {what}.", field="secret")
    if kind == ChannelKind.SLACK:
        _check_url(channel.secret.reveal(), "secret")
        channel.target = ""
    elif kind == ChannelKind.EMAIL:
        _check_addresses(channel.target)
    elif channel.target or kind == ChannelKind.WEBHOOK:
        _check_url(channel.target, "target")


def _check_place(channel: Channel) -> None:
    """Refuse what leads into a private network already now; what a name stands for later is looked at when it is sent.

    What is not a URL at all is for `_check_channel` to say.
    """
    is_slack = channel.kind == ChannelKind.SLACK
    url = channel.secret.reveal() if is_slack else channel.target
    if url and channel.kind != ChannelKind.EMAIL:
        _check_url(url, "secret" if is_slack else "target", outgoing.check_place)


def _changed(channel: Channel, secret: str, changes: dict[str, Any]) -> Channel:
    for name, value in changes.items():
        setattr(channel, name, value)
    if secret:
        channel.secret = secret
    return channel


def _check_url(url: str, field: str, check: Callable[[str], None] = outgoing.check_url) -> None:
    try:
        check(url)
    except Invalid as refusal:
        raise Invalid(refusal.message, code=refusal.code, field=field) from None


def _check_addresses(text: str) -> None:
    found = senders.addresses(text)
    try:
        for each in found:
            validate_email(each)
    except ValidationError:
        found = []
    if not found:
        raise Invalid("It needs e-mail addresses, by comma.", field="target")


def _free_slug(name: str) -> str:
    base = slugify(name)[: SLUG_LENGTH - 5] or "rule"
    taken = set(AlertRule.objects.filter(slug__startswith=base).values_list("slug", flat=True))
    return next(slug for slug in (base, *(f"{base}-{n}" for n in range(2, 9999))) if slug not in taken)


def _clean_and_save(row: Scoped | Channel) -> None:
    try:
        row.full_clean()
    except ValidationError as error:
        field, problems = next(iter(error.message_dict.items()))
        raise Invalid(problems[0], field="" if field == "__all__" else field) from None
    row.save()
