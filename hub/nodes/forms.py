"""Forms of nodes, regions and pools: they check shape; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

from hub.pages.forms import SeenMixin

from .choices import EngineKind, PoolKind
from .models import Node, Region

CHANGEABLE = ("region", "memory_mb", "cpu_percent", "disk_mb", "is_enabled", "is_draining")


class SecretText(forms.Textarea):
    """What was typed is not sent back."""

    def format_value(self, value: Any) -> str:
        return ""


class NodeForm(SeenMixin, forms.Form):
    """A node; name and engine are chosen once."""

    name = forms.SlugField(max_length=40, help_text="Small letters, digits and dashes. Cannot be changed later.")
    engine = forms.ChoiceField(choices=EngineKind.choices, help_text="Cannot be changed later.")
    region = forms.ModelChoiceField(queryset=Region.objects.all())
    memory_mb = forms.IntegerField(label="Memory, MiB", min_value=0, initial=0, help_text="0: not limited by the hub.")
    cpu_percent = forms.IntegerField(
        label="Processor, % of a core", min_value=0, initial=0, help_text="100 for each core. 0: not limited."
    )
    disk_mb = forms.IntegerField(label="Disk, MiB", min_value=0, initial=0, help_text="0: not limited by the hub.")
    kubeconfig = forms.CharField(
        required=False,
        strip=False,
        max_length=64 * 1024,
        widget=SecretText(attrs={"rows": 4, "autocomplete": "off", "spellcheck": "false"}),
        help_text="Of a cluster whose agent runs outside it; certificates and a token inside. It is never shown again.",
    )
    is_enabled = forms.BooleanField(label="Works", required=False, initial=True)
    is_draining = forms.BooleanField(label="Drains: takes no new workloads", required=False)

    def __init__(self, *args: Any, node: Node | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if node is not None:
            del self.fields["name"], self.fields["engine"]
            if node.engine != EngineKind.KUBERNETES:
                del self.fields["kubeconfig"]

    @staticmethod
    def initial_of(node: Node) -> dict[str, Any]:
        return {name: getattr(node, name) for name in CHANGEABLE}


class RegionForm(forms.ModelForm):
    """A region as players choose it."""

    class Meta:
        model = Region
        fields = ("name", "slug", "position")


class RegistryForm(forms.Form):
    """Credentials of an image registry; they are never shown again."""

    registry = forms.CharField(max_length=200, help_text="As images name it, such as ghcr.io or ghcr.io/team.")
    username = forms.CharField(max_length=200, widget=forms.TextInput(attrs={"autocomplete": "off"}))
    password = forms.CharField(
        label="Password or token", widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )


class PoolForm(forms.Form):
    """A pool; its addresses are made with it, so it cannot be changed later."""

    node = forms.ModelChoiceField(queryset=Node.objects.all(), to_field_name="name")
    name = forms.SlugField(max_length=40)
    kind = forms.ChoiceField(choices=PoolKind.choices)
    first_ip = forms.GenericIPAddressField(label="First IP", help_text="The address of the ports, or of a range.")
    last_ip = forms.GenericIPAddressField(label="Last IP", required=False, help_text="End of a range of addresses.")
    first_port = forms.IntegerField(min_value=1024, max_value=65535, required=False)
    last_port = forms.IntegerField(min_value=1024, max_value=65535, required=False)
    prefix_length = forms.IntegerField(
        min_value=8, max_value=128, required=False, help_text="Size of each subnet, such as 29."
    )
    is_public = forms.BooleanField(label="For players", required=False, initial=True)

    def values(self) -> dict[str, Any]:
        """What was filled in; what was left empty is the service's default."""
        return {name: value for name, value in self.cleaned_data.items() if value not in (None, "")}
