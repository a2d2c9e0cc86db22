"""The API's login and registration, by the same forms, limits and signals as the pages'."""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from hub.exceptions import HubError, Invalid, NotAllowed

from . import lockout, second_factor
from .models import User
from .registering import RegisterForm

FIELDS = {"password1": "password", "password2": "password", "__all__": ""}


class WrongCredentials(HubError):
    """Name and password do not go together, or a code is wrong or missing."""

    code = "wrong_credentials"
    status = 401


@sensitive_variables("password")
def check_password(request: HttpRequest, login: str, password: str) -> User:
    """Whose name and password these are; the same refusal, and the same one hash, whatever is wrong."""
    credentials = {"email" if "@" in login else "username": login, "password": password}
    adapter = get_adapter(request)
    try:
        user = adapter.authenticate(request, **credentials)
    except ValidationError:
        raise adapter.refusal from None
    if user is None or not user.is_active:
        raise WrongCredentials("The name and the password do not go together.")
    if user.is_suspended:
        raise NotAllowed(f"This account is suspended: {user.suspension_reason}", code="suspended")
    if not is_verified(user):
        raise NotAllowed("Confirm your e-mail address by the link in the mail first.", code="unverified")
    return User.objects.with_access().get(pk=user.pk)


def is_verified(user: User) -> bool:
    """Whether this person may log in as far as his e-mail address is concerned."""
    if settings.ACCOUNT_EMAIL_VERIFICATION != "mandatory":
        return True
    return EmailAddress.objects.filter(user=user, verified=True).exists()


@sensitive_variables("code")
def check_second_factor(user: User, code: str) -> None:
    """Ask who has a second factor for a code of it; wrong codes are counted like wrong passwords."""
    factors = Authenticator.objects.filter(user=user)
    if second_factor.is_missing(user):
        raise NotAllowed("Your role asks for a second factor. Set one up at the pages first.", code="factor_required")
    if not factors.exists():
        return
    if not code:
        raise WrongCredentials("Send the code of your second factor as well.", code="code_required", field="code")
    name = f"{lockout.CODE}{user.pk}"
    number = lockout.begin(name)
    for factor in factors.exclude(type=Authenticator.Type.WEBAUTHN):
        if factor.wrap().validate_code(code):
            factor.record_usage()
            lockout.succeeded(name)
            return
    lockout.failed(name, number)
    raise WrongCredentials("The code is wrong or was used before.", code="wrong_code", field="code")


@sensitive_variables("password")
def register(
    request: HttpRequest, *, username: str, email: str, password: str, invite: str = "", **wishes: str
) -> None:
    """Make an account by the form of the page. Whose address is taken gets a mail, and the asker learns nothing."""
    request.invite = invite  # type: ignore[attr-defined]  # where the adapter looks for it
    if not get_adapter(request).is_open_for_signup(request):
        raise NotAllowed("This hub takes no registrations. Ask an admin.", code="registration_closed")
    passwords = {"password1": password, "password2": password}
    form = RegisterForm(data={**wishes, "username": username, "email": email, **passwords})
    if not form.is_valid():
        if form.refusal is not None:
            raise form.refusal
        if form.is_only_taken():
            get_adapter(request).send_account_already_exists_mail(email)
            return
        field, messages = next(iter(form.errors.items()))
        raise Invalid(" ".join(messages), field=FIELDS.get(field, field))
    user, _ = form.try_save(request)
    if user is not None:
        EmailAddress.objects.get(user=user).send_confirmation(request, signup=True)
