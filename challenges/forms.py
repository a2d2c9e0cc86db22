"""Forms of challenges, events and teams: they check shape; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q

from accounts.models import User
from accounts.permissions import can
from accounts.roles import Role
from hub.nodes.models import Region
from hub.pages.forms import SeenMixin

from .choices import CATEGORIES, OVER, HintKind
from .models import Challenge, Event, EventChallenge, Team


class EventForm(SeenMixin, forms.ModelForm):
    """An event and its rules."""

    organisers = forms.ModelMultipleChoiceField(
        User.objects.none(), required=False, to_field_name="username", help_text="Operators and Admins who run it."
    )

    class Meta:
        model = Event
        fields = (
            "name",
            "description",
            "kind",
            "participation",
            "region",
            "is_public",
            "starts_at",
            "ends_at",
            "freeze_at",
            "max_participants",
            "max_team_size",
            "submissions_per_minute",
            "node",
            "address_policy",
            "max_instances_per_team",
            "max_instances",
            "instance_minutes",
            "extend_minutes",
            "extend_window_minutes",
            "max_extensions",
            "warn_minutes",
            "stops_on_solve",
        )
        labels = {
            "is_public": "Open to every region",
            "starts_at": "Starts",
            "ends_at": "Ends",
            "freeze_at": "Scoreboard freezes",
            "max_participants": "At most",
            "max_team_size": "People in a team",
            "submissions_per_minute": "Answers a minute",
            "stops_on_solve": "Stop an instance once it is solved",
        }
        widgets = {
            name: forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
            for name in ("starts_at", "ends_at", "freeze_at")
        }

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        staff = User.objects.filter(is_active=True, groups__name__in=(Role.ADMIN, Role.OPERATOR)).order_by("username")
        field: Any = self.fields["organisers"]
        field.queryset = staff.distinct()
        if self.instance.pk:
            self.initial["organisers"] = list(self.instance.organisers.values_list("username", flat=True))

    def clean_starts_at(self) -> Any:
        """Browsers send minutes: an event that was started by hand has not been moved by that."""
        sent, stored = self.cleaned_data["starts_at"], self.instance.starts_at
        return stored if stored and sent == stored.replace(second=0, microsecond=0) else sent

    def _post_clean(self) -> None:
        """The service saves; Django's own check would write into the row at hand."""


class TeamForm(SeenMixin, forms.ModelForm):
    """A team."""

    class Meta:
        model = Team
        fields: tuple[str, ...] = ("name", "description", "region", "max_members")

    def _post_clean(self) -> None:
        """As above."""


class TeamSettingsForm(TeamForm):
    """A team that is there."""

    class Meta(TeamForm.Meta):
        fields = ("name", "description", "region", "max_members", "is_locked")
        labels = {"is_locked": "Nobody joins"}


class JoinForm(forms.Form):
    """The code of a team."""

    code = forms.CharField(max_length=20, label="Join code", widget=forms.TextInput(attrs={"autocomplete": "off"}))


class AnnounceForm(forms.Form):
    """Something to tell."""

    title = forms.CharField(max_length=120)
    message = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
    ui_type = forms.ChoiceField(choices=HintKind.choices, label="Shown as", initial=HintKind.TOAST)
    has_sound = forms.BooleanField(required=False, label="With a sound")


class BroadcastForm(AnnounceForm):
    """The same, to an event of one's own; or without one, by who may, to everybody or to a region."""

    event = forms.ModelChoiceField(Event.objects.none(), to_field_name="slug", required=False, label="To")
    region = forms.ModelChoiceField(
        Region.objects.all(),
        to_field_name="slug",
        required=False,
        empty_label="All regions",
        help_text="Only without an event.",
    )
    field_order = ("event", "region", "title", "message", "ui_type", "has_sound")

    def __init__(self, user: Any, data: Any = None) -> None:
        super().__init__(data)
        event: Any = self.fields["event"]
        event.queryset = Event.objects.visible_to(user).exclude(status__in=OVER).order_by("-starts_at")
        event.required = not can(user, "events.broadcast")
        event.empty_label = None if event.required else "Everybody"
        if event.required:
            del self.fields["region"]


class EntryForm(forms.Form):
    """A challenge to offer."""

    challenge = forms.ModelChoiceField(Challenge.objects.none(), to_field_name="slug")
    points_override = forms.IntegerField(required=False, min_value=1, max_value=1_000_000, label="Points in this event")

    def __init__(self, event: Event, data: Any = None) -> None:
        super().__init__(data)
        chosen = forms.ModelChoiceField
        offered = Challenge.objects.exclude(entries__event=event).order_by("name")
        field = self.fields["challenge"]
        if isinstance(field, chosen):
            field.queryset = offered


class Entries(forms.ModelMultipleChoiceField):
    """Challenges of the same event, by their names."""

    def label_from_instance(self, entry: Any) -> str:
        return str(entry.challenge.name)


class EntrySettingsForm(SeenMixin, forms.ModelForm):
    """How an event offers a challenge: to whom, from when on, and after which others."""

    requires = Entries(
        EventChallenge.objects.none(), required=False, label="Builds on", help_text="To be solved before."
    )

    class Meta:
        model = EventChallenge
        fields = (
            "visibility",
            "position",
            "points_override",
            "max_attempts",
            "release_at",
            "requires",
            "allowed_teams",
        )
        labels = {
            "points_override": "Points in this event",
            "max_attempts": "Attempts in this event",
            "release_at": "Released",
        }
        help_texts = {"points_override": "Empty: as the challenge says."}
        widgets = {"release_at": forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")}

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        entry = self.instance
        others = EventChallenge.objects.filter(event=entry.event).exclude(pk=entry.pk).select_related("challenge")
        teams = Team.objects.filter(Q(participations__event=entry.event) | Q(pk__in=entry.allowed_teams.values("pk")))
        for name, rows in (("requires", others), ("allowed_teams", teams.distinct().order_by("name"))):
            field = self.fields[name]
            if isinstance(field, forms.ModelMultipleChoiceField):
                field.queryset = rows

    def _post_clean(self) -> None:
        """As above."""


class AwardForm(forms.Form):
    """Points that no challenge gives."""

    points = forms.IntegerField(min_value=-1_000_000, max_value=1_000_000, help_text="Below zero takes them.")
    reason = forms.CharField(max_length=200, help_text="The team reads it.")


class PlayerPasswordForm(forms.Form):
    """A password for a player of an event."""

    username = forms.CharField(max_length=150, help_text="Of a player of this event.")
    password = forms.CharField(
        label="New password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="10 characters or more. Tell it to the player, who changes it in his profile.",
    )


class ChallengeForm(SeenMixin, forms.ModelForm):
    """A challenge; what it is made of has forms of its own, see `part_forms`."""

    category = forms.CharField(max_length=50, initial="web", help_text=f"{', '.join(CATEGORIES)}, or one of your own.")
    tags = forms.CharField(required=False, help_text="By comma.")

    class Meta:
        model = Challenge
        fields = (
            "name",
            "kind",
            "category",
            "difficulty",
            "author",
            "description",
            "tags",
            "points",
            "scoring",
            "minimum_points",
            "decay",
            "first_blood_bonus",
            "max_attempts",
            "flag_logic",
            "allows_egress",
        )
        labels = {
            "allows_egress": "Its containers may reach the internet",
            "flag_logic": "Solved by",
            "decay": "How fast it falls",
        }

    def __init__(self, *args: Any, **values: Any) -> None:
        super().__init__(*args, **values)
        if self.instance.pk:
            self.initial["tags"] = ", ".join(self.instance.tags)

    def _post_clean(self) -> None:
        """As above."""

    def clean_tags(self) -> list[str]:
        return [tag.strip() for tag in self.cleaned_data["tags"].split(",") if tag.strip()]
