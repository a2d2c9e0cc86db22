"""Registration in one step: the form of the page and the API, with what other apps let a person ask for along with it.

Who may register, as what, and how his address is confirmed stays with `adapter` and allauth: a wish is looked at only
when the rest of the form is right, and carried out in the transaction that makes the account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from allauth.account.forms import SignupForm
from django import forms
from django.db import transaction
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from hub.exceptions import HubError
from hub.pages import options

from .models import User


@dataclass(frozen=True)
class Wish:
    """Something that may be asked for along with an account; its fields are optional and named alike everywhere."""

    title: str
    fields: Callable[[], dict[str, forms.CharField]]
    check: Callable[[dict[str, Any]], None]  # refuses before anything is stored, and before a mail goes out
    carry_out: Callable[[User, dict[str, Any]], None]


WISHES: list[Wish] = []


class RegisterForm(SignupForm):
    """Name, address, password; perhaps a region; and the wishes."""

    refusal: HubError | None = None  # for the API, which says more

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [("", "None"), *options.choices("regions")]
        self.fields["region"] = forms.ChoiceField(
            choices=choices, required=False, help_text="Where you play; it can be changed later."
        )
        for wish in WISHES:
            self.fields.update(wish.fields())

    def wishes(self) -> list[dict[str, Any]]:
        """The wishes for the page: each with its fields, and whether something is in them."""
        shown = []
        for wish in WISHES:
            bound = [self[name] for name in wish.fields()]
            shown.append({"title": wish.title, "fields": bound, "is_open": any(each.value() for each in bound)})
        return shown

    def is_only_taken(self) -> bool:
        """Whether all would be well, were the address not somebody's already."""
        errors = self.errors.as_data()
        return list(errors) == ["email"] and [error.code for error in errors["email"]] == ["email_taken"]

    @sensitive_variables("values")
    def clean(self) -> dict[str, Any]:
        """Look at the wishes last: alike whether the address is taken or not, so that they do not tell it."""
        values: dict[str, Any] = super().clean() or self.cleaned_data
        if self.errors and not self.is_only_taken():
            return values
        for wish in WISHES:
            try:
                wish.check(self._asked(wish))
            except HubError as refusal:
                self.refusal = refusal
                self.add_error(refusal.field if refusal.field in self.fields else None, refusal.message)
        return values

    def save(self, request: HttpRequest) -> User:
        """Make the account and do what was wished, or nothing of it."""
        with transaction.atomic():
            user: User = super().save(request)
            if region := self.cleaned_data["region"]:
                user.region_preference = region
                user.save(update_fields=["region_preference"])
            for wish in WISHES:
                wish.carry_out(User.objects.with_access().get(pk=user.pk), self._asked(wish))
        return user

    def _asked(self, wish: Wish) -> dict[str, Any]:
        return {name: self.cleaned_data.get(name, "") for name in wish.fields()}
