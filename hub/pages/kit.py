"""What the kit page shows: each state of the map and one of every component."""

from __future__ import annotations

from typing import Any

from django import forms
from django.http import HttpRequest

from .states import STATES, badge


class SampleForm(forms.Form):
    """One field of each kind."""

    name = forms.CharField(max_length=32, help_text="3–32 letters, digits or dashes.")
    game = forms.ChoiceField(choices=[("a", "Minecraft Java"), ("b", "Luanti")])
    players = forms.IntegerField(required=False, min_value=1)
    notes = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 2}))
    accept = forms.BooleanField(label="I accept the terms")


def kit_context(request: HttpRequest) -> dict[str, Any]:
    """A wrong form is part of it: errors have a look too."""
    return {
        "states": [(kind, [(value, badge(kind, value)) for value in values]) for kind, values in STATES.items()],
        "form": SampleForm(initial={"players": 20}),
        "wrong_form": SampleForm({"name": "", "game": "a"}, prefix=None, auto_id="wrong_%s"),
        "crumb_url": "/",
    }
