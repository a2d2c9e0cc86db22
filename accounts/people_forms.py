"""Forms of the pages about other people: they check shape; the services decide."""

from __future__ import annotations

from typing import Any

from django import forms

from hub.pages import options
from hub.pages.forms import SeenMixin

from .invites import LONGEST_DAYS
from .models import Quota, User
from .quotas import FIELDS as QUOTA_FIELDS
from .roles import PLAYER, Role

INHERIT = "Empty: as the role has it."


class NewUserForm(forms.Form):
    """A person or a service account."""

    username = forms.CharField(max_length=150, help_text="Letters, digits and @ . + - _")
    email = forms.EmailField(label="E-mail", required=False)
    role = forms.ChoiceField(choices=Role.choices, initial=PLAYER)
    password = forms.CharField(
        required=False,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="10 characters or more. Empty: no login by password; a reset link to the address gives one.",
    )
    is_service = forms.BooleanField(
        label="A program, not a person", required=False, help_text="Has API tokens and never a password."
    )

    def asked(self) -> dict[str, Any]:
        """The arguments of `create_user`."""
        values = dict(self.cleaned_data)
        return {**values, "password": values["password"] or None}


class PersonForm(SeenMixin, forms.Form):
    """Name and address of somebody else."""

    first_name = forms.CharField(max_length=150, required=False)
    last_name = forms.CharField(max_length=150, required=False)
    email = forms.EmailField(label="E-mail", required=False)
    region_preference = forms.ChoiceField(label="Preferred region", required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["region_preference"].choices = [("", "None"), *options.choices("regions")]  # type: ignore[attr-defined]  # a ChoiceField

    @classmethod
    def initial_of(cls, user: User) -> dict[str, Any]:
        return {name: getattr(user, name) for name in cls.base_fields}


class RoleForm(SeenMixin, forms.Form):
    """The role, and the regions an Operator is limited to."""

    role = forms.ChoiceField(choices=Role.choices)
    regions = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        label="Only in these regions",
        help_text="For an Operator. None: everywhere. Limited to some he manages the Players there too.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = options.choices("regions")
        extra = [(slug, slug) for slug in self.initial.get("regions", ()) if slug not in dict(known)]
        self.fields["regions"].choices = [*known, *extra]  # type: ignore[attr-defined]  # a choice field

    @classmethod
    def initial_of(cls, user: User) -> dict[str, Any]:
        return {"role": user.role, "regions": list(user.region_scopes.values_list("region_slug", flat=True))}


class QuotaForm(SeenMixin, forms.Form):
    """A user's own limits."""

    servers = forms.IntegerField(required=False, min_value=0, max_value=2_147_483_647)
    memory_mb = forms.IntegerField(label="Memory (MiB)", required=False, min_value=0, max_value=2_147_483_647)
    cpu_percent = forms.IntegerField(
        label="Processor (% of a core)", required=False, min_value=0, max_value=2_147_483_647
    )
    disk_mb = forms.IntegerField(label="Disk (MB)", required=False, min_value=0, max_value=2_147_483_647)

    @classmethod
    def initial_of(cls, user: User) -> dict[str, Any]:
        quota = Quota.objects.filter(user=user).first()
        return {name: getattr(quota, name, None) for name in QUOTA_FIELDS}


class NewPasswordForm(forms.Form):
    """A password for somebody who cannot get one himself."""

    password = forms.CharField(
        label="New password", strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )


class SuspendForm(forms.Form):
    """Why somebody is stopped."""

    reason = forms.CharField(max_length=500, label="Reason, which the person reads")


class InviteForm(forms.Form):
    """A link for one person."""

    note = forms.CharField(max_length=100, required=False, label="Whom it is for")
    role = forms.ChoiceField(choices=Role.choices, initial=PLAYER)
    days = forms.IntegerField(min_value=1, max_value=LONGEST_DAYS, initial=7, label="Works for (days)")


class DeleteAccountForm(forms.Form):
    """The end of one's own account: nothing brings it back."""

    typed = forms.CharField(label="Your user name", required=False)
    password = forms.CharField(strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}))

    def __init__(self, *args: Any, username: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.username = username

    def clean_typed(self) -> str:
        if self.cleaned_data["typed"].strip() != self.username:
            raise forms.ValidationError(f"Type {self.username} exactly to go on.")
        return self.username
