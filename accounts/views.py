"""Pages of the profile, API tokens, users and the audit trail."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST

from hub.exceptions import HubError, NotAllowed
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

from . import invites, lists, quotas, services, tokens
from .audit_export import audit_json
from .choices import Theme
from .models import ApiToken, AuditEntry, RequestEntry, User
from .page_forms import ProfileForm, TokenForm
from .permissions import can, manages_people, require
from .shown_once import show_token_once


@sensitive_variables("secret")
def accept_invite(request: HttpRequest, secret: str) -> HttpResponse:
    """Keep the invitation in the session, so that it leaves the address line, and lead on to registration."""
    request.session[invites.SESSION_KEY] = secret
    return redirect("account_signup")


@login_required
def profile(request: HttpRequest) -> HttpResponse:
    """Name, e-mail, zone, theme; the way to password, second factor and sessions."""
    user = me(request)
    form = ProfileForm(request.POST or None, initial=ProfileForm.initial_of(user))
    saved = None
    if request.method == "POST" and form.is_valid():
        saved = page_forms.call(form, services.update_profile, user, actor=user, **form.changes())
    if saved:
        messages.success(request, "Profile saved.")
        return redirect("accounts:profile")
    context = {"form": form, "limits": quotas.quota_for(user), "role": user.role}
    return render(request, "accounts/profile.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def set_theme(request: HttpRequest) -> HttpResponse:
    """Light, dark, or as the device."""
    theme = request.POST.get("theme", "")
    if theme in Theme.values:
        services.update_profile(me(request), actor=me(request), theme=theme)
    return redirect(page_forms.back_url(request, "accounts:profile"))


@login_required
def token_list(request: HttpRequest) -> HttpResponse:
    """One's API tokens, and a form to make one. The plain text is in the answer to the form and nowhere else."""
    user = me(request)
    require(user, "tokens.own")
    form = TokenForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = page_forms.call(form, tokens.create_token, user, actor=user, **form.asked())
        if made:
            return show_token_once(request, *made)
    return _token_page(request, form=form, status=422 if form.errors else 200)


@login_required
@require_POST
def token_switch(request: HttpRequest, pk: int) -> HttpResponse:
    """Switch a token off or on."""
    token, is_on = _token(request, pk), request.POST.get("is_enabled") == "yes"
    tokens.set_token_enabled(token, is_on, actor=me(request))
    messages.success(request, f"Token {token.name} is switched {'on' if is_on else 'off'}.")
    return redirect("accounts:token_list")


@login_required
@require_POST
def token_rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """Replace a token's text; the old one stops at once."""
    try:
        made = tokens.rotate_token(_token(request, pk), actor=me(request))
    except HubError as error:
        messages.error(request, error.message)
        return redirect("accounts:token_list")
    return show_token_once(request, *made)


@login_required
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a token."""
    token = _token(request, pk)
    return page_forms.confirm(
        request,
        title=f"Revoke token {token.name}?",
        text="What uses it is refused from the next request on.",
        action="Revoke token",
        back="accounts:token_list",
        do=lambda: tokens.revoke_token(token, actor=me(request)),
        done=f"Token {token.name} revoked.",
    )


@login_required
def audit_list(request: HttpRequest) -> HttpResponseBase:
    """Who did what, to what, from where."""
    require(me(request), "audit.view")
    page = ListPage(request, lists.AUDIT, AuditEntry.objects.visible_to(me(request)))
    if "json" in request.GET:
        return audit_json(page.rows)
    return (
        page.as_csv()
        if "csv" in request.GET
        else render(request, "accounts/audit_list.html", {"list": page, "json_url": page.url(json="1")})
    )


@login_required
def request_list(request: HttpRequest) -> HttpResponse:
    """Every request, with its user and address."""
    require(me(request), "settings.view")
    page = ListPage(request, lists.REQUESTS, RequestEntry.objects.visible_to(me(request)))
    return page.as_csv() if "csv" in request.GET else render(request, "accounts/request_list.html", {"list": page})


@login_required
def user_list(request: HttpRequest) -> HttpResponse:
    """Accounts, for those who may look after others."""
    if not manages_people(me(request)):
        raise NotAllowed("You are not allowed to see this.")
    page = ListPage(request, lists.USERS, User.objects.visible_to(me(request)).with_access())
    return (
        page.as_csv()
        if "csv" in request.GET
        else render(request, "accounts/user_list.html", {"list": page, "may_create": can(me(request), "users.create")})
    )


def _token_page(request: HttpRequest, *, form: TokenForm, status: int) -> HttpResponse:
    page = ListPage(request, lists.TOKENS, ApiToken.objects.filter(user=me(request)))
    if "csv" in request.GET:
        return page.as_csv()
    return live.private(render(request, "accounts/token_list.html", {"list": page, "form": form}, status=status))


def _token(request: HttpRequest, pk: int) -> ApiToken:
    token: ApiToken = get_object_or_404(ApiToken.objects.filter(user=me(request)).with_owner(), pk=pk)
    return token
