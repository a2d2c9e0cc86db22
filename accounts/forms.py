"""Forms of the accounts app."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction

from hub.exceptions import HubError

from . import services
from .models import Quota, User
from .quotas import FIELDS as QUOTA_FIELDS
from .roles import PLAYER, Role


class UserAdminForm(forms.ModelForm):
    """A user in Django admin. Calls the services as its last check, so that a refusal stands beside what was typed."""

    actor: Any = None  # who is at work; the admin sets it on a subclass for each request
    saved: User

    password = forms.CharField(
        required=False, widget=forms.PasswordInput, help_text="Empty: no login by password (yet).", strip=False
    )
    role = forms.ChoiceField(choices=Role.choices, initial=PLAYER)
    regions = forms.CharField(
        required=False, help_text="Slugs, by comma, of the regions an Operator is limited to. Empty: all."
    )
    suspension_reason = forms.CharField(
        required=False, max_length=500, help_text="Filling it suspends the account, emptying it lifts the suspension."
    )
    quota_servers = forms.IntegerField(required=False, min_value=0, help_text="Empty: as the role has it.")
    quota_memory_mb = forms.IntegerField(required=False, min_value=0, label="Memory (MB)")
    quota_cpu_percent = forms.IntegerField(required=False, min_value=0, label="CPU (percent of a core)")
    quota_disk_mb = forms.IntegerField(required=False, min_value=0, label="Disk (MB)")

    class Meta:
        model = User
        fields = (
            "username",
            "email",
            "first_name",
            "last_name",
            "is_service",
            "is_active",
            "region_preference",
            "timezone",
            "theme",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        user = self.instance
        if user.pk is None:
            return
        quota = Quota.objects.filter(user=user).first()
        self.initial.update({f"quota_{name}": getattr(quota, name, None) for name in QUOTA_FIELDS})
        self.initial["role"] = user.role
        self.initial["regions"] = ", ".join(sorted(user.region_scopes.values_list("region_slug", flat=True)))
        self.initial["suspension_reason"] = user.suspension_reason

    def clean_regions(self) -> list[str]:
        return [slug.strip() for slug in self.cleaned_data["regions"].split(",") if slug.strip()]

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]  # Django has it, its stubs do not
        if self.errors:
            return
        try:
            with transaction.atomic():
                self.saved = self._create() if self.instance.pk is None else self._change()
        except HubError as refusal:
            self.add_error(refusal.field if refusal.field in self.fields else None, refusal.message)

    def _create(self) -> User:
        values = self.cleaned_data
        profile = {name: values[name] for name in services.PROFILE_FIELDS}
        user = services.create_user(
            values["username"],
            actor=self.actor,
            role=values["role"],
            password=values["password"] or None,
            is_service=values["is_service"],
            **profile,
        )
        self._set_limits(user)
        return user

    def _change(self) -> User:
        values = self.cleaned_data
        user = User.objects.get(pk=self.instance.pk)
        services.update_profile(user, actor=self.actor, **{name: values[name] for name in services.PROFILE_FIELDS})
        if values["role"] != user.role:
            services.set_role(user, values["role"], actor=self.actor)
        self._set_limits(user)
        self._set_state(user)
        return user

    def _set_limits(self, user: User) -> None:
        services.set_regions(user, self.cleaned_data["regions"], actor=self.actor)
        services.set_quota(
            user, actor=self.actor, **{name: self.cleaned_data[f"quota_{name}"] for name in QUOTA_FIELDS}
        )

    def _set_state(self, user: User) -> None:
        reason, is_active = self.cleaned_data["suspension_reason"], self.cleaned_data["is_active"]
        if reason and not user.is_suspended:
            services.suspend_user(user, reason=reason, actor=self.actor)
        elif user.is_suspended and not reason:
            services.unsuspend_user(user, actor=self.actor)
        if is_active and not user.is_active:
            services.activate_user(user, actor=self.actor)
        elif user.is_active and not is_active:
            services.deactivate_user(user, actor=self.actor)
