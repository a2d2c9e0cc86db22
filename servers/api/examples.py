"""Bodies that the OpenAPI document shows for servers and templates."""

from __future__ import annotations

from hub.api.openapi import example

from . import console
from . import serializers as shapes

WANTED = {
    "template": "minecraft-java",
    "region": "eu-central-1",
    "memory_mb": 2048,
    "disk_mb": 10_000,
    "values": {"VERSION": "1.21.4", "MOTD": "Be nice", "MAX_PLAYERS": 10},
}
SERVERS = ["0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11", "5d6b0d0e-2f0b-4a75-8c7f-6d7f6f0f9a3c"]

example(shapes.ServerCreateSerializer, "A small Minecraft server", {"name": "Survival with friends", **WANTED})
example(shapes.ServerPreviewRequestSerializer, "A small Minecraft server", WANTED)
example(
    shapes.ServerUpdateSerializer,
    "More memory and another message",
    {"name": "Survival", "memory_mb": 4096, "values": {"MOTD": "Now bigger"}},
)
example(shapes.ServerBulkSerializer, "Stop two", {"verb": "stop", "ids": SERVERS})
example(shapes.MovePortSerializer, "Another address for players", {"port_name": "game", "reason": "It is attacked."})
example(shapes.PublishPortSerializer, "The remote console", {"port_name": "rcon"})
example(console.CommandRequestSerializer, "Who plays?", {"text": "list"})
example(shapes.ServerSuspensionSerializer, "With the reason that its owner reads", {"reason": "It mines coins."})
example(
    shapes.TemplateDefinitionSerializer,
    "A game in a container",
    {
        "slug": "luanti",
        "name": "Luanti",
        "game": "Luanti",
        "image": "ghcr.io/luanti-org/luanti:5.14.0",
        "ports": [{"name": "game", "target_port": 30000, "variable": "SERVER_PORT"}],
        "readiness_kind": "minetest",
        "variables": [{"key": "MOTD", "label": "Message of the day", "kind": "text", "maximum": 60}],
    },
)
