"""Forms of the profile and of API tokens: they check shape; the services decide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import available_timezones

from django import forms
from django.utils import timezone

from hub.pages import options
from hub.pages.forms import SeenMixin

from . import limits
from .choices import Theme
from .models import User
from .scopes import NOUNS, READ, is_scope


class ProfileForm(SeenMixin, forms.Form):
    """What a person says about himself; the e-mail address is confirmed on a page of its own."""

    first_name = forms.CharField(max_length=150, required=False)
    last_name = forms.CharField(max_length=150, required=False)
    timezone = forms.ChoiceField(label="Time zone", help_text="All times are shown in it.")
    region_preference = forms.ChoiceField(label="Preferred region", required=False)
    theme = forms.ChoiceField(choices=Theme.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["timezone"].choices = [(zone, zone) for zone in sorted(available_timezones())]  # type: ignore[attr-defined]  # a ChoiceField
        self.fields["region_preference"].choices = [("", "None"), *options.choices("regions")]  # type: ignore[attr-defined]  # a ChoiceField

    @classmethod
    def initial_of(cls, user: User) -> dict[str, Any]:
        return {name: getattr(user, name) for name in cls.base_fields}


class TokenForm(forms.Form):
    """A new API token."""

    field_names = {"expires_at": "lasts", "expiry": "lasts"}

    LASTING = (("7", "7 days"), ("30", "30 days"), ("90", "90 days"), ("365", "1 year"), ("", "Until revoked"))

    name = forms.CharField(max_length=100, help_text="What uses it, such as “backup script”.")
    lasts = forms.ChoiceField(label="Works for", choices=LASTING, initial="90", required=False)
    scopes = forms.CharField(
        required=False,
        help_text=f"What it may do, by comma: {READ}, {', '.join(f'{noun}.*' for noun in sorted(NOUNS)[:3])} "
        "or a verb such as servers.control. Empty: all that you may.",
    )
    allowed_networks = forms.CharField(
        required=False, label="Only from", help_text="Addresses or networks, by comma. Empty: from everywhere."
    )

    device_groups = forms.MultipleChoiceField(
        required=False,
        label="Only to deploy to",
        choices=limits.group_choices,
        widget=forms.CheckboxSelectMultiple,
        help_text="It may then upload bundles and deploy to these groups of devices, and nothing else.",
    )

    def clean_scopes(self) -> list[str]:
        scopes = _words(self.cleaned_data["scopes"])
        if wrong := [scope for scope in scopes if not is_scope(scope)]:
            raise forms.ValidationError(f"There is no scope {wrong[0]}.")
        return scopes

    def clean_allowed_networks(self) -> list[str]:
        return _words(self.cleaned_data["allowed_networks"])

    def asked(self) -> dict[str, Any]:
        """The arguments of `create_token`."""
        values = self.cleaned_data
        days = values["lasts"]
        return {
            "name": values["name"],
            "scopes": values["scopes"],
            "allowed_networks": values["allowed_networks"],
            "device_groups": values["device_groups"],
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


def _words(text: str) -> list[str]:
    return text.replace(",", " ").split()
