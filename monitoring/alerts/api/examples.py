"""Bodies that the OpenAPI document shows for alerts, rules, mutes and channels."""

from __future__ import annotations

from hub.api.openapi import example

from . import serializers as shapes

example(shapes.AssignSerializer, "Mine", {"assignee": "ada"})
example(shapes.AlertMuteRequestSerializer, "For an hour", {"minutes": 60, "reason": "The disk is being replaced."})
example(
    shapes.RuleSerializer,
    "Busy machines in Frankfurt",
    {
        "name": "Frankfurt is busy",
        "condition": "metric",
        "metric": "cpu_share",
        "threshold": 90,
        "hold_seconds": 300,
        "severity": "critical",
        "scope": "region",
        "scope_value": "eu-central-1",
    },
)
example(
    shapes.MuteSerializer,
    "Planned maintenance of a node",
    {
        "reason": "New kernel",
        "scope": "subject",
        "scope_value": "node:local",
        "starts_at": "2026-03-01T22:00:00Z",
        "ends_at": "2026-03-02T02:00:00Z",
    },
)
example(
    shapes.ChannelSerializer,
    "A signed webhook for what is critical",
    {
        "name": "on call",
        "kind": "webhook",
        "target": "https://hooks.example.org/hub",
        "secret": "what it is signed with",
        "least_severity": "critical",
        "rules": ["agent-silent", "crash-loop"],
    },
)
