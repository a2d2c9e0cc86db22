"""Devices, their keys, groups and logs."""

from ..bundles.models import Bundle, DeviceSealingKey, PublisherKey
from ..configuration.models import ConfigRevision, DeviceConfig, GroupConfig
from ..deployments.models import Deployment, DeploymentTarget, TargetEvent
from ..manual.models import ManualCommand
from .devices import Device, DeviceBeat, DeviceGroup, IdentityValues
from .keys import DeviceKey, EnrolmentToken, SpentAssertion
from .logs import DeviceLog

__all__ = [
    "Bundle",
    "ConfigRevision",
    "Deployment",
    "DeploymentTarget",
    "Device",
    "DeviceBeat",
    "DeviceConfig",
    "DeviceGroup",
    "DeviceKey",
    "DeviceLog",
    "DeviceSealingKey",
    "EnrolmentToken",
    "GroupConfig",
    "IdentityValues",
    "ManualCommand",
    "PublisherKey",
    "SpentAssertion",
    "TargetEvent",
]
