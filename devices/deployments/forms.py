"""The form of a deployment: what, to whom, on which terms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone

from devices.bundles.models import Bundle
from devices.forms import named_devices
from devices.models import DeviceGroup

from .choices import ATTEMPTS, SOAK_SECONDS, TIMEOUT_SECONDS
from .services import Chosen, Terms


class DeploymentForm(forms.Form):
    """A deployment as people say it; the services decide whom it reaches."""

    field_names = {"all": "to_all"}

    bundle = forms.ModelChoiceField(Bundle.objects.none(), empty_label="Choose a bundle")
    groups = forms.ModelMultipleChoiceField(
        DeviceGroup.objects.all(), to_field_name="slug", required=False, widget=forms.CheckboxSelectMultiple
    )
    devices = forms.CharField(
        max_length=20_000,
        required=False,
        help_text="Names or numbers such as #12, one a line or divided by commas.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    to_all = forms.BooleanField(required=False, label="All accepted devices that you see")
    description = forms.CharField(max_length=300, required=False, help_text="What it is for.")
    soak_seconds = forms.IntegerField(
        label="Must be well for, s", min_value=SOAK_SECONDS[0], max_value=SOAK_SECONDS[1], initial=60
    )
    timeout_seconds = forms.IntegerField(
        label="One attempt, s", min_value=TIMEOUT_SECONDS[0], max_value=TIMEOUT_SECONDS[1], initial=300
    )
    max_attempts = forms.IntegerField(label="Attempts", min_value=ATTEMPTS[0], max_value=ATTEMPTS[1], initial=3)
    starts_at = forms.DateTimeField(
        label="Begins at",
        required=False,
        help_text="Empty: at once.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    window_starts_at = forms.TimeField(
        label="Only each day from", required=False, widget=forms.TimeInput(attrs={"type": "time"}, format="%H:%M")
    )
    window_minutes = forms.IntegerField(label="For so many minutes", required=False, min_value=1, max_value=1440)
    allow_downgrade = forms.BooleanField(required=False, label="Also where something newer runs")
    rolls_back_on_failure = forms.BooleanField(required=False, label="Send a device back on which it fails")

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        ready = Bundle.objects.visible_to(user).ready().defer("content_key").order_by("name", "-created_at")
        field: Any = self.fields["bundle"]
        field.queryset = ready

    def clean_devices(self) -> list[Any]:
        text = self.cleaned_data["devices"]
        return [device.pk for device in named_devices(self.user, text)] if text.strip() else []

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        has_any = values.get("groups") or values.get("devices") or values.get("to_all")
        if not has_any and "devices" not in self.errors:
            self.add_error("devices", "Choose groups, devices or all.")
        return values

    def asked(self) -> tuple[Bundle, Chosen, Terms]:
        """The arguments of the services. A window is in the person's own time zone."""
        values = self.cleaned_data
        names = set(Terms.__dataclass_fields__) & set(values)
        zone = timezone.get_current_timezone_name()
        terms = Terms(**{name: values[name] for name in names}, window_timezone=zone)
        chosen = Chosen(
            devices=values["devices"], groups=[group.slug for group in values["groups"]], all=values["to_all"]
        )
        return values["bundle"], chosen, terms
