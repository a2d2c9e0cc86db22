"""What the kit page shows: each state of the map and one of every component."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from django import forms
from django.core.paginator import Page, Paginator
from django.db.models import Q
from django.http import HttpRequest
from django.utils import timezone

from .lists import Chip, Column, ListPage, Spec, Tab
from .models import SavedView
from .states import STATES, badge


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(max_length=32, help_text="3–32 letters, digits or dashes.")
    game = forms.ChoiceField(choices=[("a", "Minecraft Java"), ("b", "Luanti")])
    players = forms.IntegerField(required=False, min_value=1)
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    memory = forms.FloatField(required=False, widget=forms.NumberInput(attrs={"min": 0.5, "max": 16, "step": 0.5}))
    accept = forms.BooleanField(label="I accept the terms")

    def clean(self) -> None:
        if self.errors:
            raise forms.ValidationError("Every node in US East is full.")


LIST = Spec(
    key="kit",
    columns=(
        Column("name", "Name", order="name", is_fixed=True),
        Column("query", "Address", order="query"),
        Column("user", "Whose", is_default=False),
    ),
    chips=(Chip("page", "List", lambda request: [("servers", "Servers"), ("nodes", "Nodes")]),),
    tabs=(Tab("mine", "Mine", lambda user: Q(user=user.pk)),),
    search=lambda rows, text: rows.filter(name__icontains=text),
    order="name",
)
ROWS = 120


class SampleList(ListPage):
    """A list that has rows enough for several pages, and does not ask for them."""

    @cached_property
    def page(self) -> Page[Any]:
        return Paginator(range(ROWS), self.page_size).get_page(self.query.get("page"))

    @cached_property
    def _totals(self) -> Mapping[str, int]:
        return {"": ROWS, "mine": 12}


def _entries() -> list[SimpleNamespace]:
    """Steps of an audit trail."""
    common = {"actor_name": "tendai", "target_name": "smp-harare", "token_name": "", "ip": "192.0.2.7"}
    now = timezone.now()
    changed = {"before": {"memory_mb": 1024}, "after": {"memory_mb": 2048}}
    return [
        SimpleNamespace(**common, via="web", action="server.resized", data=changed, at=now - timedelta(minutes=4)),
        SimpleNamespace(**common, via="api", action="server.started", data={}, at=now - timedelta(hours=3)),
    ]


def kit_context(request: HttpRequest) -> dict[str, Any]:
    """A wrong form is part of it: errors have a look too."""
    return {
        "states": [(kind, [(value, badge(kind, value)) for value in values]) for kind, values in STATES.items()],
        "form": SampleForm(initial={"players": 20, "memory": 4}),
        "wrong_form": SampleForm({"name": "", "game": "a"}, prefix=None, auto_id="wrong_%s"),
        "crumb_url": "/",
        "list": SampleList(request, LIST, SavedView.objects.none()),
        "entries": _entries(),
        "question": {
            "title": "Delete smp-harare?",
            "text": "This cannot be undone. Gone will be:",
            "lost": ["Its world and all its other data", "The address 192.168.250.10:25565"],
            "action": "Delete server",
        },
        "share": {"limit": 10, "percent": 70, "label": "Memory"},
    }
