"""Valid devices, groups and keys; the test sets only what matters."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import factory
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.utils import timezone

from devices.choices import DeviceStatus, KeyAlgorithm, KeyState
from devices.models import Device, DeviceBeat, DeviceGroup, DeviceKey
from hub.nodes.tests.factories import RegionFactory


class DeviceGroupFactory(factory.django.DjangoModelFactory[DeviceGroup]):
    """A static group."""

    class Meta:
        model = DeviceGroup

    slug = factory.Sequence(lambda n: f"group-{n}")
    name = factory.LazyAttribute(lambda group: group.slug.replace("-", " ").title())


class DeviceFactory(factory.django.DjangoModelFactory[Device]):
    """An accepted device with its heartbeat row, never seen; `last_seen` says how many seconds ago it called."""

    class Meta:
        model = Device
        skip_postgeneration_save = True

    name = factory.Sequence(lambda n: f"device-{n:03}")
    identity = factory.LazyAttribute(lambda device: {"serial": device.name})
    identity_hash = factory.Sequence(lambda n: f"{n:064x}")
    region = factory.SubFactory(RegionFactory)
    device_type = "gateway"
    status = DeviceStatus.ACCEPTED

    @factory.post_generation
    def beat(self: Any, create: bool, extracted: Any, **values: Any) -> None:
        seen = values.pop("last_seen", None)
        if seen is not None:
            values["last_seen_at"] = timezone.now() - timedelta(seconds=seen)
        DeviceBeat.objects.create(device=self, **values)


def make_key(
    device: Device, private: Ed25519PrivateKey | None = None, *, state: str = KeyState.ACTIVE
) -> Ed25519PrivateKey:
    """Give a device a key without the ceremony; answers the private half."""
    from hashlib import sha256

    private = private or Ed25519PrivateKey.generate()
    public = private.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    DeviceKey.objects.create(
        device=device,
        fingerprint=sha256(der).hexdigest(),
        algorithm=KeyAlgorithm.ED25519,
        bits=256,
        public_key=public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        state=state,
    )
    return private
