"""Forms of devices: they check shape and turn lines into lists; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

from hub.nodes.models import Region

from .models import Device, DeviceGroup
from .validators import validate_tag


class WordsField(forms.CharField):
    """Several words, divided by spaces or commas."""

    def to_python(self, value: Any) -> Any:
        return (super().to_python(value) or "").replace(",", " ").split()

    def prepare_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value

    def run_validators(self, value: Any) -> None:
        for word in value:
            super().run_validators(word)


class DeviceForm(forms.Form):
    """What people say of a device."""

    name = forms.CharField(max_length=100)
    device_type = forms.SlugField(
        max_length=50, required=False, label="Type", help_text="Bundles may be for some types."
    )
    region = forms.ModelChoiceField(Region.objects.all(), to_field_name="slug", required=False)
    groups = forms.ModelMultipleChoiceField(
        DeviceGroup.objects.all(), to_field_name="slug", required=False, widget=forms.CheckboxSelectMultiple
    )
    tags = WordsField(
        required=False,
        validators=[validate_tag],
        help_text="Words of letters, digits and . _ : = -, divided by spaces.",
    )
    notes = forms.CharField(max_length=2000, required=False, widget=forms.Textarea(attrs={"rows": 3}))

    @staticmethod
    def initial_of(device: Device) -> dict[str, Any]:
        return {
            "name": device.name,
            "device_type": device.device_type,
            "region": device.region_slug,
            "groups": [group.slug for group in device.groups.all()],
            "tags": device.tags,
            "notes": device.notes,
        }

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "groups": list(self.cleaned_data["groups"])}
