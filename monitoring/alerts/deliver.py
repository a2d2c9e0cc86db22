"""Send what waits: through each channel in order, through all of them at once.

A channel that fails is left alone for a while that doubles with each failure (its circuit breaker), and its messages
wait; the first one after that is the probe. The other side is spoken to in threads, so that one that hangs holds up
only itself; rows are read and written by the caller's thread alone. One process at a time sends through a channel: it
holds the channel's lease. If it dies between sending and writing that down, the message is sent again; receivers can
tell by its key.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
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
AT_ONCE = 16


class Sending:
    """The messages that wait in one channel, under its lease."""

    def __init__(self, pk: int, token: uuid.UUID) -> None:
        self.mine = Channel.objects.filter(pk=pk, lease_token=token)
        rows = Delivery.objects.filter(channel=pk).waiting().order_by("created_at", "pk")
        self.waiting: Iterator[Delivery] = iter(rows[:BATCH])

    @classmethod
    def claim(cls, pk: int) -> Sending | None:
        """None when somebody is at it, or it rests."""
        token = uuid.uuid4()
        if not Channel.objects.filter(_may_send(), pk=pk).update(lease_token=token, lease_until=Now() + LEASE):
            return None
        return cls(pk, token)

    def begin(self, pool: ThreadPoolExecutor) -> Future[None] | None:
        """Have the next message sent; None when there is none, or the lease is lost."""
        delivery = next(self.waiting, None)
        if delivery is None or not self.mine.update(lease_until=Now() + LEASE):
            return None
        self.delivery, self.channel = delivery, self.mine.get()
        return pool.submit(senders.send, self.delivery, self.channel)

    def finish(self, future: Future[None]) -> bool:
        """Write down what came of it; False when the channel must rest."""
        return _note(future, self.delivery, self.channel)

    def let_go(self) -> None:
        self.mine.update(lease_token=None, lease_until=None)


def deliver_all() -> int:
    """Send what waits in every channel that may be used now; answers how many messages went out."""
    rows = Channel.objects.filter(_may_send(), deliveries__state=DeliveryState.WAITING)
    ordered = rows.annotate(oldest=Min("deliveries__created_at")).order_by("failures", "oldest")
    return _deliver(list(ordered.values_list("pk", flat=True)))


def deliver_channel(pk: int) -> int:
    """Send what waits in one channel, unless somebody is at it or it rests."""
    return _deliver([pk])


def _deliver(channels: list[int]) -> int:
    sent = 0
    flying: dict[Future[None], Sending] = {}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        try:
            while channels or flying:
                while channels and len(flying) < AT_ONCE:
                    if sending := Sending.claim(channels.pop(0)):
                        _next(sending, pool, flying)
                for future in wait(flying, return_when=FIRST_COMPLETED).done:
                    sending = flying[future]
                    is_well = sending.finish(future)
                    del flying[future]
                    sent += is_well
                    if is_well:
                        _next(sending, pool, flying)
                    else:
                        sending.let_go()
        finally:
            for sending in flying.values():
                sending.let_go()
    return sent


def _next(sending: Sending, pool: ThreadPoolExecutor, flying: dict[Future[None], Sending]) -> None:
    if future := sending.begin(pool):
        flying[future] = sending
    else:
        sending.let_go()


def _may_send() -> Q:
    is_free = Q(lease_until=None) | Q(lease_until__lt=Now()) | Q(lease_until__gt=Now() + 2 * LEASE)
    has_rested = Q(retry_at=None) | Q(retry_at__lte=Now()) | Q(retry_at__gt=Now() + 2 * LONGEST_PAUSE)
    return Q(is_enabled=True) & is_free & has_rested


def _note(future: Future[None], delivery: Delivery, channel: Channel) -> bool:
    """What came of one message; False when the channel must rest."""
    attempts = delivery.attempts + 1
    try:
        future.result()
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
