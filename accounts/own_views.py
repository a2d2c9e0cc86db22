"""Pages about oneself beyond the profile: where one is logged in, one's data, and the end of the account."""

from __future__ import annotations

import json

from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from hub.exceptions import HubError
from hub.pages import live
from hub.pages.requests import me

from . import own_data, sessions, signing_in
from .people_forms import DeleteAccountForm


@login_required
def session_list(request: HttpRequest) -> HttpResponse:
    """Every browser and program in which one is logged in."""
    logins = sessions.logins_of(me(request), current=request.session.session_key or "")
    return live.private(render(request, "accounts/session_list.html", {"logins": logins}))


@login_required
@require_POST
def session_end(request: HttpRequest) -> HttpResponse:
    """End one login, or with `all` every one but this."""
    user = me(request)
    try:
        if "all" in request.POST:
            count = sessions.end_all(user, actor=user, but=request.session.session_key or "")
            messages.success(request, f"{count} other logins ended." if count != 1 else "One other login ended.")
        else:
            sessions.end_login(user, request.POST.get("kind", ""), request.POST.get("key", ""), actor=user)
            messages.success(request, "That login has ended.")
    except HubError as error:
        messages.error(request, error.message)
    return redirect("accounts:session_list")


@login_required
@require_POST
def data_export(request: HttpRequest) -> HttpResponse:
    """All that the accounts hold about oneself, as a file."""
    user = me(request)
    text = json.dumps(own_data.export_data(user, actor=user), cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
    name = f"{user.username}-{timezone.now():%Y-%m-%d}.json"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return HttpResponse(text, content_type="application/json", headers=headers)


@login_required
@sensitive_post_parameters("password")
def account_delete(request: HttpRequest) -> HttpResponse:
    """Ask for name and password, then delete one's own account."""
    user = me(request)
    form = DeleteAccountForm(request.POST or None, username=user.username)
    if request.method == "POST" and form.is_valid():
        try:
            signing_in.check_password(request, user.username, form.cleaned_data["password"])
        except HubError as error:
            form.add_error("password", error.message)
        else:
            try:
                own_data.delete_account(user, actor=user)
            except HubError as error:
                form.add_error(None, error.message)
            else:
                logout(request)
                messages.success(request, "Your account is gone.")
                return redirect("account_login")
    return live.private(
        render(request, "accounts/account_delete.html", {"form": form}, status=422 if form.errors else 200)
    )
