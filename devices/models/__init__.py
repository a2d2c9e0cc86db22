"""Devices, their keys, groups and logs."""

from ..bundles.models import Bundle, DeviceSealingKey, PublisherKey
from .devices import Device, DeviceBeat, DeviceGroup
from .keys import DeviceKey, EnrolmentToken, SpentAssertion
from .logs import DeviceLog

__all__ = [
    "Bundle",
    "Device",
    "DeviceBeat",
    "DeviceGroup",
    "DeviceKey",
    "DeviceLog",
    "DeviceSealingKey",
    "EnrolmentToken",
    "PublisherKey",
    "SpentAssertion",
]
