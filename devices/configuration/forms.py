"""The form of a configuration: a document, what it was when it was read, and a note."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from hub.admin_base import ShallowJSONField
from hub.exceptions import HubError, Invalid


class ConfigForm(forms.Form):
    """Own values as JSON; what is missing is inherited."""

    values = ShallowJSONField(
        label="Own values",
        required=False,
        help_text="What is missing is inherited. Empty or {}: all of it.",
        widget=forms.Textarea(attrs={"rows": 14, "spellcheck": "false"}),
    )
    note = forms.CharField(max_length=300, required=False, help_text="Why, for the history.")
    expected_version = forms.IntegerField(min_value=1, widget=forms.HiddenInput)

    @staticmethod
    def initial_of(config: Any) -> dict[str, Any]:
        return {"values": config.values, "expected_version": config.version}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["values"]
        field.encoder = _Indented

    def clean_values(self) -> dict[str, Any]:
        values = self.cleaned_data["values"]
        if values in (None, ""):
            return {}
        if not isinstance(values, dict):
            raise forms.ValidationError("A configuration is an object: { … }.")
        return values

    def refuse(self, error: HubError) -> None:
        """Say which setting is wrong and why, beside the document; what was typed stays."""
        if isinstance(error, Invalid):
            self.add_error("values", f"{error.field}: {error.message}" if error.field else error.message)
        else:
            self.add_error(None, error.message)


class _Indented(json.JSONEncoder):
    """One line for each value, as people read it."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "indent": 2})
