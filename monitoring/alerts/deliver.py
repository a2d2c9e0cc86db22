"""Send what waits, channel by channel, in order.

A channel that fails is left alone for a while that doubles with each failure (its circuit breaker), and its messages
wait; the first one after that is the probe. Channels that work come first, so that a dead one holds up only itself.
One process at a time sends through a channel: it holds the channel's lease. If it dies between sending and writing that
down, the message is sent again; receivers can tell by its key.
"""

from __future__ import annotations

import logging
import uuid
from datetime import timedelta
from smtplib import SMTPException

from django.db.models import Min, Q
from django.db.models.functions import Now
from django.utils import timezone

from hub.exceptions import HubError
from hub.secrets import SecretError

from . import senders
from .choices import DELIVERY_TRANSITIONS, DeliveryState
from .models import Channel, Delivery

logger = logging.getLogger(__name__)

LEASE = timedelta(seconds=60)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=15)
GIVE_UP_AFTER = timedelta(days=1)
BATCH = 100


def deliver_all() -> int:
    """Send what waits in every channel that may be used now; answers how many messages went out."""
    rows = Channel.objects.filter(_may_send(), deliveries__state=DeliveryState.WAITING)
    ordered = rows.annotate(oldest=Min("deliveries__created_at")).order_by("failures", "oldest")
    return sum(deliver_channel(pk) for pk in ordered.values_list("pk", flat=True))


def deliver_channel(pk: int) -> int:
    """Send what waits in one channel, unless somebody is at it or it rests."""
    token = uuid.uuid4()
    mine = Channel.objects.filter(pk=pk, lease_token=token)
    if not Channel.objects.filter(_may_send(), pk=pk).update(lease_token=token, lease_until=Now() + LEASE):
        return 0
    sent = 0
    try:
        for delivery in Delivery.objects.filter(channel=pk).waiting().order_by("created_at", "pk")[:BATCH]:
            if not mine.update(lease_until=Now() + LEASE) or not _send(delivery, mine.get()):
                break
            sent += 1
    finally:
        mine.update(lease_token=None, lease_until=None)
    return sent


def _may_send() -> Q:
    is_free = Q(lease_until=None) | Q(lease_until__lt=Now()) | Q(lease_until__gt=Now() + 2 * LEASE)
    has_rested = Q(retry_at=None) | Q(retry_at__lte=Now()) | Q(retry_at__gt=Now() + 2 * LONGEST_PAUSE)
    return Q(is_enabled=True) & is_free & has_rested


def _send(delivery: Delivery, channel: Channel) -> bool:
    """One message; False when the channel must rest."""
    attempts = delivery.attempts + 1
    try:
        senders.send(delivery, channel)
    except senders.SendError as error:
        if error.is_final:
            logger.warning("channel %s refuses message %s: %s", channel.pk, delivery.pk, error)
            DELIVERY_TRANSITIONS.apply(
                delivery, DeliveryState.FAILED, attempts=attempts, error=f"{error} It refuses this message."
            )
            return True
        _rest(channel, delivery, attempts, str(error))
        return False
    except (HubError, SecretError, SMTPException, OSError) as error:
        _rest(channel, delivery, attempts, str(error) or type(error).__name__)
        return False
    now = timezone.now()
    DELIVERY_TRANSITIONS.apply(delivery, DeliveryState.SENT, attempts=attempts, error="", sent_at=now)
    Channel.objects.filter(pk=channel.pk).update(failures=0, retry_at=None, last_error="", last_sent_at=now)
    return True


def _rest(channel: Channel, delivery: Delivery, attempts: int, reason: str) -> None:
    """Leave the channel alone for a while, and give up what has waited for a day."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(channel.failures, 10))
    logger.warning("channel %s does not take message %s: %s", channel.pk, delivery.pk, reason)
    Delivery.objects.filter(pk=delivery.pk).update(attempts=attempts, error=reason[:300])
    Channel.objects.filter(pk=channel.pk).update(
        failures=channel.failures + 1, retry_at=Now() + pause, last_error=reason[:300]
    )
    old = Delivery.objects.filter(channel=channel, waiting_since__lt=timezone.now() - GIVE_UP_AFTER)
    old.waiting().update(state=DeliveryState.FAILED, error=reason[:300])
