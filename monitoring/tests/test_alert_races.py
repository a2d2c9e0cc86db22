"""Two evaluators and two senders at once, on real connections: one alert, one message."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest
from django.db import connections
from django.utils import timezone

from monitoring.alerts import conditions, deliver, evaluate, senders
from monitoring.alerts.choices import ChannelKind
from monitoring.alerts.conditions import Condition, Hit
from monitoring.alerts.models import Alert, AlertRule, Channel, Delivery
from monitoring.subjects import Subject

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(count: int, call: Callable[[], object]) -> None:
    barrier = Barrier(count)

    def run() -> None:
        try:
            barrier.wait(60)
            call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(run) for _ in range(count)]:
            future.result()


@pytest.mark.parametrize("attempt", range(3))
def test_evaluators_at_once_make_one_alert_and_end_it_once(attempt: int, monkeypatch: pytest.MonkeyPatch):
    hits = [Hit(Subject("test:alpha", "alpha"))]
    looked = Barrier(4)

    def find(rule: AlertRule, now: datetime) -> list[Hit]:
        looked.wait(60)  # all have looked before any writes
        return hits

    monkeypatch.setitem(conditions._conditions, "told", Condition("told", "Told", find))
    AlertRule.objects.create(slug="told", name="Told", condition="told", cooldown_seconds=0)
    Channel.objects.create(name="ops", kind="webhook", target="https://example.org/hook")
    now = timezone.now()

    at_once(4, lambda: evaluate.evaluate_all(now))
    assert list(Alert.objects.values_list("state", "flaps")) == [("firing", 0)]
    hits.clear()
    at_once(4, lambda: evaluate.evaluate_all(now))

    assert list(Alert.objects.values_list("state", flat=True)) == ["resolved"]
    assert sorted(Delivery.objects.values_list("event", flat=True)) == ["fired", "resolved"]


def test_senders_at_once_send_each_message_once(monkeypatch: pytest.MonkeyPatch):
    sent: list[str] = []
    lock = threading.Lock()

    def send(delivery: Delivery, channel: Channel) -> None:
        with lock:
            sent.append(str(delivery.pk))

    monkeypatch.setitem(senders.SENDERS, ChannelKind.WEBHOOK, send)
    channel = Channel.objects.create(name="ops", kind="webhook", target="https://example.org/hook")
    for number in range(5):
        Delivery.objects.create(channel=channel, event="test", message={"title": str(number)})

    at_once(4, deliver.deliver_all)
    deliver.deliver_all()

    assert len(sent) == len(set(sent)) == 5
