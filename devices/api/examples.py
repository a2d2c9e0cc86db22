"""Bodies that the OpenAPI document shows for devices, groups and enrolment tokens."""

from __future__ import annotations

from hub.api.openapi import example

from . import serializers as shapes
from .device_serializers import KEY

DEVICES = ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", "5d6b0d0e-2f0b-4a75-8c7f-6d7f6f0f9a3c"]

example(
    shapes.DeviceChangeSerializer,
    "Another name and place",
    {"name": "Roof, north", "region": "eu-central-1", "tags": ["roof", "site:7"], "groups": ["canaries"]},
)
example(
    shapes.PreauthoriseSerializer,
    "A gateway that is on its way",
    {"name": "Roof, north", "public_key": KEY, "identity": {"serial": "GW-0042"}, "device_type": "gateway"},
)
example(shapes.ReasonSerializer, "With a reason", {"reason": "It was stolen."})
example(
    shapes.SeenKeySerializer,
    "About the key that was looked at",
    {"fingerprint": "34571606cb7a0d71be377e671ddcccae2a169ed7733598214129231cd30c4a3c"},
)
example(
    shapes.DeviceBulkSerializer,
    "Accept one",
    {
        "verb": "accept",
        "ids": DEVICES[:1],
        "fingerprints": {DEVICES[0]: "34571606cb7a0d71be377e671ddcccae2a169ed7733598214129231cd30c4a3c"},
    },
)
example(
    shapes.DeviceGroupSerializer,
    "Those that go first",
    {"slug": "canaries", "name": "Canaries", "description": "They get new bundles first.", "priority": 10},
)
example(shapes.MembersSerializer, "One comes, one goes", {"add": DEVICES[:1], "remove": DEVICES[1:]})
example(
    shapes.EnrolmentTokenSerializer,
    "Fifty devices of one batch",
    {"name": "Batch 7", "most_uses": 50, "expires_at": "2030-01-31T12:00:00Z", "group": "canaries"},
)
