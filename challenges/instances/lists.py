"""What the organisers' board of instances can do."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest

from challenges.models import Event
from hub.nodes.choices import BROKEN, IN_PROGRESS, ObservedStatus
from hub.nodes.lists import node_choices
from hub.nodes.models import Address
from hub.pages import states
from hub.pages.lists import Chip, Column, Spec, Tab

SHOWN_STATUSES = [choice for choice in states.choices("workload") if choice[0] != ObservedStatus.DELETED]


def find(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Instances by team, challenge, IP or the beginning of their id."""
    found = Q(team__name__icontains=text) | Q(challenge__name__icontains=text)
    if text.replace(".", "").isdigit() and "." in text:
        found |= Q(pk__in=Address.objects.filter(ip__startswith=text).exclude(holder=None).values("holder"))
    if len(text) >= 4 and all(letter in "0123456789abcdef-" for letter in text.lower()):
        found |= Q(id__startswith=text.lower())
    return rows.filter(found)


def _events(request: HttpRequest) -> list[tuple[str, str]]:
    return list(Event.objects.visible_to(request.user).values_list("slug", "name"))


INSTANCES = Spec(
    key="instances",
    columns=(
        Column("name", "Challenge, team", order="challenge__name", value=lambda one: one.name, is_fixed=True),
        Column("status", "Status", order="observed_status", value=lambda one: one.observed_status, is_fixed=True),
        Column("address", "Address", value=lambda one: ", ".join(line.line for line in one.connections)),
        Column("event", "Event", order="event__name", value=lambda one: str(one.event or "test copy")),
        Column("node", "Node", order="node__name", value=lambda one: one.node.name),
        Column("created", "Launched", order="created_at", value=lambda one: one.created_at),
        Column("expires", "Ends", order="expires_at", value=lambda one: one.expires_at),
        Column("id", "Id", value=lambda one: one.pk, is_default=False),
    ),
    chips=(
        Chip("status", "Status", lambda request: SHOWN_STATUSES, "observed_status"),
        Chip("event", "Event", _events, "event__slug"),
        Chip("node", "Node", node_choices, "node__name"),
    ),
    tabs=(
        Tab("attention", "Needs attention", lambda user: Q(observed_status__in=BROKEN)),
        Tab("progress", "In progress", lambda user: Q(observed_status__in=IN_PROGRESS)),
        Tab("running", "Running", lambda user: Q(observed_status=ObservedStatus.RUNNING)),
    ),
    search=find,
    search_hint="Team, challenge, IP or id",
    order="-created_at",
)
