"""The options of a node that is a cluster, as fields."""

from __future__ import annotations

import re
from typing import Any

from django import forms

from hub.engines.base import GRANT_OPTION
from hub.engines.kubernetes.options import LOAD_BALANCER, NODE_PORTS
from hub.exceptions import Invalid
from hub.pages.forms import SeenMixin

from .clusters import check_options

EXPOSURES = [(LOAD_BALANCER, "Load balancer (MetalLB)"), (NODE_PORTS, "Node ports (30000–32767)")]
NAMED = re.compile(r"`(\w+)`")


class NetworksField(forms.CharField):
    """Networks, apart by commas, spaces or lines."""

    widget = forms.TextInput

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def clean(self, value: Any) -> list[str]:
        return [word for word in re.split(r"[\s,]+", super().clean(value) or "") if word]


class ClusterOptionsForm(SeenMixin, forms.Form):
    """Only what differs from what is usual is stored."""

    exposure = forms.ChoiceField(choices=EXPOSURES, initial=LOAD_BALANCER, label="Servers are reached by")
    address_pool = forms.CharField(
        required=False, max_length=253, label="Pool of MetalLB", help_text="Empty: whichever has the address."
    )
    share_addresses = forms.BooleanField(
        required=False, initial=True, label="Servers share an address on different ports"
    )
    player_networks = NetworksField(required=False, help_text="Who may play, such as 10.1.0.0/16. Empty: everybody.")
    closed_networks = NetworksField(
        required=False, help_text="Public ranges that stay out of reach, such as those of the cluster's machines."
    )
    agent_networks = NetworksField(
        required=False, help_text="From where the agent may reach ports that are not published."
    )
    egress = forms.BooleanField(required=False, initial=True, label="Workloads may reach the Internet")
    reach_pods = forms.BooleanField(required=False, initial=True, label="The agent can reach pods' own addresses")
    allow_grants = forms.BooleanField(required=False, label="Workloads with granted rights may run here")
    user = forms.CharField(
        required=False,
        initial="1000:1000",
        max_length=21,
        label="Programs run as",
        help_text="User and group by number. Empty: as the image says, which must be a number and not root.",
    )
    runtime_class = forms.CharField(required=False, max_length=253, help_text="A sandboxed runtime, such as gvisor.")
    storage_class = forms.CharField(required=False, max_length=253, help_text="Empty: the cluster's own.")
    volume_quota = forms.BooleanField(required=False, label="This storage keeps the size of volumes")
    dns_namespace = forms.CharField(required=False, initial="kube-system", max_length=253, label="Resolver's namespace")
    dns_addresses = NetworksField(
        required=False,
        label="Resolver's addresses",
        help_text="Of a cache of names on each machine, such as 169.254.20.10. The examination tells.",
    )
    check_image = forms.CharField(
        required=False, initial="busybox:1.37", max_length=250, help_text="For the trial of network policies."
    )
    hub = forms.CharField(
        required=False,
        max_length=40,
        label="Name of this hub there",
        help_text="Marks what is this hub's: another hub on the cluster needs another name. Do not change it later.",
    )

    def __init__(self, data: Any = None, *, options: dict[str, Any] | None = None, node: str = "new") -> None:
        super().__init__(data, prefix="cluster", initial=options or {})
        self.node = node

    @property
    def is_sent(self) -> bool:
        """Whether these fields came along; a box that is not ticked does not."""
        return self.add_prefix("exposure") in self.data

    def options(self) -> dict[str, Any]:
        """What differs from what is usual."""
        return {
            name: value
            for name, value in self.merged().items()
            if value != self._usual(name) and (value not in ("", []) or name == "user")
        }

    def clean(self) -> dict[str, Any]:
        """Refused by the engine's own rules, at the field they name."""
        cleaned = super().clean() or {}
        if not self.errors:
            self.cleaned_data = cleaned
            try:
                check_options("kubernetes", self.node, self.options())
            except Invalid as error:
                named = NAMED.search(error.message)
                self.add_error(named[1] if named and named[1] in self.fields else None, error.message)
        return cleaned

    def _usual(self, name: str) -> Any:
        field = self.fields[name]
        return bool(field.initial) if isinstance(field, forms.BooleanField) else field.initial


assert GRANT_OPTION in ClusterOptionsForm.base_fields  # noqa: S101 - the form and the engine name it alike
