"""Devices, their keys, groups and logs."""

from .devices import Device, DeviceBeat, DeviceGroup
from .keys import DeviceKey, EnrolmentToken, SpentAssertion
from .logs import DeviceLog

__all__ = [
    "Device",
    "DeviceBeat",
    "DeviceGroup",
    "DeviceKey",
    "DeviceLog",
    "EnrolmentToken",
    "SpentAssertion",
]
