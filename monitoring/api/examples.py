"""Bodies that the OpenAPI document shows for metrics."""

from __future__ import annotations

from hub.api.openapi import example

from . import serializers as shapes

example(shapes.MeasureSerializer, "The first node", {"node": "local"})
example(
    shapes.SamplesSerializer,
    "Players, counted by a plugin",
    {
        "subject": "server:0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11",
        "samples": [{"at": "2026-03-01T12:00:00Z", "players": 17}],
    },
)
