"""Forms of devices: they check shape and turn lines into lists; the services decide."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import Q
from django.utils import timezone

from hub.admin_base import ShallowJSONField
from hub.nodes.models import Region
from hub.pages.forms import SeenMixin

from .models import Device, DeviceGroup
from .models.keys import MOST_ENROLMENTS
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


class DeviceForm(SeenMixin, forms.Form):
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

    def changes(self) -> dict[str, Any]:
        changes = super().changes()
        return {**changes, "groups": list(changes["groups"])} if "groups" in changes else changes


class PreauthoriseForm(forms.Form):
    """A device that will call, known by its key."""

    name = forms.CharField(max_length=100)
    public_key = forms.CharField(
        max_length=10_000,
        label="Public key",
        help_text="PEM: Ed25519, ECDSA P-256, or RSA of 2048 bits or more.",
        widget=forms.Textarea(attrs={"rows": 5, "spellcheck": "false"}),
    )
    identity = ShallowJSONField(
        required=False,
        help_text='What the device will say that it is, such as {"serial": "GW-0042"}. Empty: its key.',
        widget=forms.Textarea(attrs={"rows": 2, "spellcheck": "false"}),
    )
    device_type = forms.SlugField(max_length=50, required=False, label="Type")
    region = forms.ModelChoiceField(Region.objects.all(), to_field_name="slug", required=False)
    groups = forms.ModelMultipleChoiceField(
        DeviceGroup.objects.all(), to_field_name="slug", required=False, widget=forms.CheckboxSelectMultiple
    )
    tags = WordsField(required=False, validators=[validate_tag], help_text="Divided by spaces.")

    def clean_identity(self) -> dict[str, Any] | None:
        identity = self.cleaned_data["identity"]
        if identity in (None, ""):
            return None
        if not isinstance(identity, dict) or not identity:
            raise forms.ValidationError("An identity is an object with at least one entry.")
        return identity

    def values(self) -> dict[str, Any]:
        return {**self.cleaned_data, "groups": list(self.cleaned_data["groups"])}


class TokenForm(forms.Form):
    """An enrolment token: how often, how long, and where to."""

    DAYS = ((1, "a day"), (7, "a week"), (30, "30 days"), (90, "90 days"), (365, "a year"))
    field_names = {"expires_at": "days"}

    name = forms.CharField(max_length=80, help_text="What it is for, such as the batch of devices.")
    most_uses = forms.IntegerField(label="Devices at most", min_value=1, max_value=MOST_ENROLMENTS, initial=1)
    days = forms.TypedChoiceField(label="Good for", choices=DAYS, coerce=int, initial=7)
    group = forms.ModelChoiceField(DeviceGroup.objects.all(), to_field_name="slug", required=False)
    region = forms.ModelChoiceField(Region.objects.all(), to_field_name="slug", required=False)
    tags = WordsField(required=False, validators=[validate_tag], help_text="Divided by spaces.")

    def values(self) -> dict[str, Any]:
        values = dict(self.cleaned_data)
        return {"expires_at": timezone.now() + timedelta(days=values.pop("days")), **values}


class GroupForm(SeenMixin, forms.Form):
    """A group; its slug is for programs and stays."""

    name = forms.CharField(max_length=80)
    slug = forms.SlugField(max_length=50, help_text="Its name for programs and addresses.")
    description = forms.CharField(max_length=300, required=False)
    priority = forms.IntegerField(
        min_value=0, max_value=32_767, initial=0, help_text="Of several groups of a device the highest overrides."
    )


class MembersForm(forms.Form):
    """Devices to put into a group, as people name them."""

    names = forms.CharField(
        label="Devices",
        max_length=20_000,
        help_text="Names or numbers such as #12, one a line or divided by commas.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user

    def clean_names(self) -> list[Device]:
        return named_devices(self.user, self.cleaned_data["names"])


def named_devices(user: Any, text: str) -> list[Device]:
    """The devices that are meant, of those that one sees. A name that several have means all of them."""
    asked = [each.strip() for each in text.replace(",", "\n").splitlines() if each.strip()]
    numbers = {int(each[1:]) for each in asked if each[0] == "#" and each[1:].isdecimal() and len(each) < 10}
    seen = Device.objects.visible_to(user).present().select_related("region")
    found = list(seen.filter(Q(name__in=asked) | Q(number__in=numbers)))
    known = {device.name for device in found} | {f"#{device.number}" for device in found}
    if missing := [each for each in asked if each not in known]:
        raise forms.ValidationError(f"There is no device {missing[0]}.")
    return found
