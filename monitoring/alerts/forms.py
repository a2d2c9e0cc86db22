"""Forms of rules, mutes and channels: they check shape; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

from accounts.models import User
from hub.pages.forms import SeenMixin

from . import conditions
from .models import AlertRule, Channel, Mute
from .querysets import watchers

SCOPE_HINT = "Slug of the region, name of the owner, or key of the subject, such as node:local."
MUTE_MINUTES = ((60, "1 hour"), (240, "4 hours"), (1440, "1 day"), (10_080, "1 week"))


class RuleForm(SeenMixin, forms.ModelForm):
    """A rule."""

    condition = forms.ChoiceField(choices=conditions.choices)

    class Meta:
        model = AlertRule
        fields = (
            "name",
            "condition",
            "metric",
            "threshold",
            "window_seconds",
            "hold_seconds",
            "cooldown_seconds",
            "severity",
            "scope",
            "scope_value",
            "is_enabled",
        )
        labels = {
            "threshold": "Threshold",
            "window_seconds": "Looks back, s",
            "hold_seconds": "For, s",
            "cooldown_seconds": "Over after, s",
            "scope_value": "Which",
            "is_enabled": "On",
        }
        help_texts = {"scope_value": SCOPE_HINT, "metric": "Only for measurements."}

    def _post_clean(self) -> None:
        """The service saves; Django's own check would write into the row at hand."""


class ChannelForm(SeenMixin, forms.ModelForm):
    """A channel; its secret is written and never shown."""

    secret = forms.CharField(
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="Slack: the webhook's address. PagerDuty: the routing key. Webhook: what it is signed with.",
    )

    class Meta:
        model = Channel
        fields = ("name", "kind", "target", "least_severity", "rules", "is_enabled")
        labels = {"least_severity": "From severity", "is_enabled": "On"}
        widgets = {"rules": forms.CheckboxSelectMultiple}

    def _post_clean(self) -> None:
        """The service saves; Django's own check would write into the row at hand."""


class MuteForm(forms.ModelForm):
    """A time in which nobody is told; times are those of the person."""

    starts_at = forms.DateTimeField(label="Begins", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))
    ends_at = forms.DateTimeField(label="Ends", widget=forms.DateTimeInput(attrs={"type": "datetime-local"}))

    class Meta:
        model = Mute
        fields = ("reason", "rule", "scope", "scope_value", "starts_at", "ends_at")
        labels = {"scope_value": "Which"}
        help_texts = {"scope_value": SCOPE_HINT, "rule": "None: all rules."}

    def _post_clean(self) -> None:
        """The service saves."""


class AlertMuteForm(forms.Form):
    """How long nobody is told of one alert."""

    minutes = forms.TypedChoiceField(label="Mute for", choices=MUTE_MINUTES, coerce=int)


class AssignForm(forms.Form):
    """Whose an alert is."""

    assignee = forms.ModelChoiceField(
        label="Whose", queryset=User.objects.none(), required=False, empty_label="Nobody's", to_field_name="username"
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["assignee"].queryset = watchers()  # type: ignore[attr-defined]
