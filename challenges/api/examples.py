"""Bodies that the OpenAPI document shows for challenges, events and teams."""

from __future__ import annotations

from hub.api.openapi import example

from . import serializers as shapes

example(shapes.TeamCreateSerializer, "A team of five", {"name": "Owls", "max_members": 5})
example(shapes.TeamUpdateSerializer, "Nobody joins any more", {"is_locked": True})
example(shapes.JoinSerializer, "The code from the captain", {"code": "K7QX4M"})
example(shapes.PersonSerializer, "A member", {"username": "ada"})
example(shapes.PlayerPasswordSerializer, "A player", {"username": "ada", "password": "four quiet llamas dance"})
example(shapes.MaybePersonSerializer, "A participant", {"username": "ada"})
example(shapes.BanReasonSerializer, "What the team reads", {"reason": "Flags were shared."})
example(shapes.FlagAnswerSerializer, "An answer", {"answer": "crypto-TRI{4f0a}"})
example(shapes.TakeHintSerializer, "The first hint", {"hint": 1})
example(shapes.ChallengeStateSerializer, "Let organisers try it", {"state": "test"})
example(shapes.OrganisersSerializer, "Two Operators", {"usernames": ["ada", "grace"]})
example(shapes.FileUploadSerializer, "A file", {"file": "…"}, media_type="multipart/form-data")
example(shapes.EventTeamSerializer, "A team", {"team": 7})
example(shapes.EventBanSerializer, "A team and why", {"team": 7, "reason": "Flags were shared."})
example(shapes.AwardSerializer, "For a fine write-up", {"team": 7, "points": 50, "reason": "Best write-up"})
example(
    shapes.ChallengeEventSerializer,
    "A night of flags",
    {
        "name": "Night of flags",
        "description": "Eight hours, sixty challenges.",
        "starts_at": "2030-05-01T18:00:00Z",
        "ends_at": "2030-05-02T02:00:00Z",
        "is_public": True,
    },
)
example(
    shapes.ChallengeSerializer,
    "A shop with a database beside it",
    {
        "name": "Leaky shop",
        "kind": "container",
        "category": "web",
        "description": "The shop tells more than it should.",
        "points": 500,
        "scoring": "logarithmic",
        "minimum_points": 100,
        "decay": 30,
        "containers": [
            {"name": "web", "image": "ghcr.io/acme/shop:1", "ports": [{"name": "http", "number": 80}]},
            {"name": "db", "image": "postgres:18", "is_main": False},
        ],
        "flags": [{"name": "flag", "kind": "team", "content": "crypto-TRI{flag_placeholder}", "plant_env": "FLAG"}],
    },
)
example(
    shapes.EntryCreateSerializer,
    "Offered for less",
    {"event": "night-of-flags", "challenge": "leaky-shop", "points_override": 300},
)
example(shapes.EntrySerializer, "Hidden for now", {"visibility": "hidden"})
example(
    shapes.AnnouncementSerializer,
    "To an event",
    {"event": "night-of-flags", "title": "Pizza", "message": "In the hall."},
)
