"""What tests of devices share: a device that can sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.cache import cache
from django.test import Client

from devices import claims
from devices.models import Device

from .factories import DeviceFactory, make_key
from .signing import Signer


@pytest.fixture(autouse=True)
def _fresh_process() -> Iterator[None]:
    """No key and no count of another test."""
    claims.forget_known()
    cache.clear()
    yield
    claims.forget_known()


@dataclass
class Caller:
    """A device with its key and a client."""

    device: Device
    signer: Signer
    client: Client

    @property
    def path(self) -> str:
        return f"/api/v1/devices/{self.device.pk}"

    def beat(self, data: Any = None, **options: Any) -> Any:
        return self.signer.send(self.client, "POST", f"{self.path}/heartbeat", data or {}, **options)

    def post(self, rest: str, data: Any = None, **options: Any) -> Any:
        return self.signer.send(self.client, "POST", f"{self.path}/{rest}", data or {}, **options)


@pytest.fixture
def make_caller(client: Client) -> Callable[..., Caller]:
    def make(device: Device | None = None, **of_device: Any) -> Caller:
        device = device or DeviceFactory(**of_device)
        private = Ed25519PrivateKey.generate()
        make_key(device, private)
        return Caller(device, Signer(private), client)

    return make


@pytest.fixture
def caller(make_caller: Callable[..., Caller]) -> Caller:
    return make_caller()
