"""The form of a manual command."""

from __future__ import annotations

import shlex
from typing import Any

from django import forms

from .choices import BUILT_IN, EXPIRES_SECONDS, TIMEOUT_SECONDS

LABELS = {"diagnose": "diagnose: say how it is, in full", "restart": "restart: end the agent and start it again"}


class CommandForm(forms.Form):
    """What to do, with which words, for how long. The services decide whether a device can."""

    field_names = {"expires_seconds": "expires_minutes"}

    name = forms.CharField(max_length=40, label="Command", widget=forms.TextInput(attrs={"autocapitalize": "none"}))
    arguments = forms.CharField(
        max_length=2200, required=False, help_text="Divided by spaces; quotes keep words together. No shell reads them."
    )
    timeout_seconds = forms.IntegerField(
        label="Time limit, s", min_value=TIMEOUT_SECONDS[0], max_value=TIMEOUT_SECONDS[1], initial=300
    )
    expires_minutes = forms.IntegerField(
        label="Give up after, min", min_value=1, max_value=EXPIRES_SECONDS[1] // 60, initial=60
    )

    def __init__(self, *args: Any, names: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if names is not None:
            known = [*BUILT_IN, *names]
            choices = [(name, LABELS.get(name, name)) for name in known]
            self.fields["name"] = forms.ChoiceField(label="Command", choices=choices)
        else:
            text = f"{' or '.join(BUILT_IN)}, or what the bundles on these devices declare."
            self.fields["name"].help_text = text

    def clean_arguments(self) -> list[str]:
        try:
            return shlex.split(self.cleaned_data["arguments"])
        except ValueError:
            raise forms.ValidationError("A quote is not closed.") from None

    def values(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        minutes = values.pop("expires_minutes")
        return {**values, "expires_seconds": 60 * minutes}
