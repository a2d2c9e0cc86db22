"""What is forgotten after its time."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from devices import keeping
from devices.bundles import services, store
from devices.bundles.models import Bundle
from devices.deployments import suits
from devices.models import DeviceKey, DeviceLog, SpentAssertion
from hub import retention
from hub.exceptions import Conflict

from .deployment_helpers import deploy, make_bundle, run_through
from .factories import DeviceFactory, make_key

pytestmark = pytest.mark.django_db


def test_old_lines_and_used_assertions_go_and_the_others_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "BATCH", 2)
    device, now = DeviceFactory(), timezone.now()
    make_key(device)
    for days in (29, 31, 31, 31):
        line = DeviceLog.objects.create(device=device, at=now, level="INFO", message=f"{days} days")
        DeviceLog.objects.filter(pk=line.pk).update(received_at=now - timedelta(days=days))
    for minutes in (-1, 1):
        SpentAssertion.objects.create(
            key=DeviceKey.objects.get(), jti=f"jti{minutes}", expires_at=now + timedelta(minutes=minutes)
        )

    assert keeping.forget_past() == 4

    assert [line.message for line in DeviceLog.objects.all()] == ["29 days"]
    assert [each.jti for each in SpentAssertion.objects.all()] == ["jti1"]


def bundles(status: str) -> list[str]:
    return sorted(Bundle.objects.filter(status=status).values_list("version", flat=True))


@pytest.fixture
def past_bundles() -> dict[str, Bundle]:
    """A device that ran 1, 2 and 3 and is to get 4 later; 5 was invalidated, 6 never used, 7 is the newest."""
    device, long_ago = DeviceFactory(), timezone.now() - timedelta(days=31)
    made = {version: make_bundle(version, ready_at=long_ago) for version in "1234567"}
    for version in "123":
        run_through(made[version], device)
    deploy(made["4"], device, starts_at=timezone.now() + timedelta(days=1))
    services.invalidate_bundle(made["5"], actor=SYSTEM, reason="It bricks cameras.")
    Bundle.objects.filter(version="5").update(invalidated_at=long_ago)
    Bundle.objects.filter(version="7").update(ready_at=long_ago + timedelta(hours=1))
    return made


def test_files_that_no_device_needs_go_after_their_time(past_bundles: dict[str, Bundle]) -> None:
    room = Bundle.objects.all().stored_bytes()

    done = retention.run(next(rule for rule in retention.rules() if rule.name == "bundles"))

    assert done is not None
    assert (done.count, done.bytes, done.error) == (3, 3000, "")
    assert bundles("removed") == ["1", "5", "6"]
    assert bundles("ready") == ["2", "3", "4", "7"]
    assert room - Bundle.objects.all().stored_bytes() == 3000
    assert AuditEntry.objects.filter(action="bundle.file_removed", actor_name="scheduler").count() == 3


def test_what_is_young_stays(past_bundles: dict[str, Bundle]) -> None:
    Bundle.objects.update(ready_at=timezone.now(), invalidated_at=timezone.now())

    assert services.forget_expired() == 0


def test_by_hand_a_used_file_goes_when_nobody_needs_it(past_bundles: dict[str, Bundle]) -> None:
    for version in "234":
        with pytest.raises(Conflict) as refusal:
            services.delete_bundle(past_bundles[version], actor=SYSTEM)
        assert refusal.value.code == "bundle_in_use"

    services.delete_bundle(past_bundles["1"], actor=SYSTEM)

    assert bundles("removed") == ["1"]
    assert [reason.code for reason in suits.about_bundle(Bundle.objects.get(version="1"))] == ["file_removed"]


@pytest.mark.django_db(transaction=True)
def test_a_file_that_was_left_is_removed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    made = make_bundle("1", first_used_at=timezone.now(), stored_bytes=1000, stored_name="left.bin")
    store.storage().save("left.bin", ContentFile(b"x"))
    with monkeypatch.context() as broken:
        broken.setattr(store, "remove", lambda name: 1 / 0)
        services.delete_bundle(made, actor=SYSTEM)
    assert store.storage().exists("left.bin")

    services.forget_abandoned()

    assert not store.storage().exists("left.bin")
    made.refresh_from_db()
    assert (made.status, made.stored_bytes) == ("removed", 0)
