"""Pages about other people: accounts, roles, regions, quotas, passwords, suspension, invitations, purge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from hub.exceptions import HubError, NotAllowed
from hub.pages import forms as page_forms
from hub.pages import live
from hub.pages.lists import ListPage
from hub.pages.requests import me

from . import invites, lists, lockout, quotas, second_factor, services, sessions, tokens
from .models import ApiToken, AuditEntry, Invite, User
from .page_forms import TokenForm
from .people_forms import InviteForm, NewPasswordForm, NewUserForm, PersonForm, QuotaForm, RoleForm, SuspendForm
from .permissions import can, manages_people, require
from .shown_once import show_link_once, show_token_once

LATEST = 12


@login_required
@sensitive_post_parameters("password")
def user_create(request: HttpRequest) -> HttpResponse:
    """A new account, by an Admin."""
    require(me(request), "users.create")
    form = NewUserForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = page_forms.call(form, services.create_user, actor=me(request), **form.asked())
        if user:
            messages.success(request, f"Account {user.username} made.")
            return redirect("accounts:user_detail", pk=user.pk)
    return live.private(render(request, "accounts/user_form.html", {"form": form}, status=422 if form.errors else 200))


@login_required
@sensitive_post_parameters("password")
def user_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One account: what it is, and what the person who looks may do about it. Each card sends its own form."""
    user = _user(request, pk)
    made = _forms(request, user)
    sent = made.get(request.POST.get("form", "")) if request.method == "POST" else None
    if sent is not None and sent.is_valid():
        done = _save(request, user, request.POST["form"], sent)
        if done is not None:
            return done
    answer = render(
        request, "accounts/user_detail.html", _facts(request, user, made), status=422 if sent and sent.errors else 200
    )
    return live.private(answer)


@login_required
@require_POST
def user_act(request: HttpRequest, pk: int, verb: str) -> HttpResponse:
    """What needs no form: lift a suspension or a lock, vouch, end logins, close and open."""
    user, actor = _user(request, pk), me(request)
    deeds: dict[str, tuple[Callable[[], object], str]] = {
        "unsuspend": (lambda: services.unsuspend_user(user, actor=actor), "may act again"),
        "unlock": (lambda: lockout.unlock(user, actor=actor), "may log in again"),
        "verify": (lambda: services.verify_user(user, actor=actor), "has a confirmed address"),
        "log-out": (lambda: sessions.end_all(user, actor=actor), "is logged out everywhere"),
        "remove-factors": (lambda: second_factor.remove_factors(user, actor=actor), "has no second factor any more"),
        "activate": (lambda: services.activate_user(user, actor=actor), "is open again"),
        "deactivate": (lambda: services.deactivate_user(user, actor=actor), "is closed"),
    }
    if verb not in deeds:
        raise NotAllowed("There is no such action.")
    do, words = deeds[verb]
    try:
        do()
        messages.success(request, f"{user.username} {words}.")
    except HubError as error:
        messages.error(request, error.message)
    return redirect("accounts:user_detail", pk=pk)


@login_required
def invite_list(request: HttpRequest) -> HttpResponse:
    """Invitations that are open, and a form for one more. The link is in the answer and nowhere else."""
    actor = me(request)
    require(actor, "users.create")
    form = InviteForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        made = page_forms.call(form, invites.create_invite, actor=actor, **form.cleaned_data)
        if made:
            return show_link_once(request, *made)
    page = ListPage(request, lists.INVITES, Invite.objects.select_related("created_by", "used_by"))
    if "csv" in request.GET:
        return page.as_csv()
    context = {"form": form, "list": page}
    return live.private(render(request, "accounts/invite_list.html", context, status=422 if form.errors else 200))


@login_required
@require_POST
def invite_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    """Take an invitation back."""
    require(me(request), "users.create")
    invites.revoke_invite(get_object_or_404(Invite, pk=pk), actor=me(request))
    messages.success(request, "The invitation does not work any more.")
    return redirect("accounts:invite_list")


@login_required
def purge(request: HttpRequest) -> HttpResponse:
    """Delete every account but Admins, after the phrase was typed."""
    actor = me(request)
    require(actor, "users.purge")
    return page_forms.confirm(
        request,
        title="Delete all accounts but Admins?",
        text="Meant for the end of an event or a term. Accounts that still own servers stay until those are deleted.",
        action="Delete accounts",
        back="accounts:user_list",
        do=lambda: services.purge_users(services.PURGE_PHRASE, actor=actor),
        done="All accounts are deleted but Admins, and those who own something.",
        must_type=services.PURGE_PHRASE,
        lost=["Every Player, Viewer, Operator and service account", "Their tokens, sessions, invitations and quotas"],
    )


def _user(request: HttpRequest, pk: int) -> User:
    """The account, if it is one that the person who asks may look after."""
    if not manages_people(me(request)):
        raise NotAllowed("You are not allowed to see this.")
    user: User = get_object_or_404(User.objects.visible_to(me(request)).with_access(), pk=pk)
    return user


def _forms(request: HttpRequest, user: User) -> dict[str, Any]:
    """The forms that this person may send, each bound if it is the one that was sent."""
    actor, sent = me(request), request.POST.get("form", "") if request.method == "POST" else ""

    def make(name: str, kind: type[forms.Form], initial: dict[str, Any] | None = None) -> forms.Form:
        return kind(request.POST if sent == name else None, initial=initial, auto_id=f"{name}-%s")

    made: dict[str, forms.Form] = {}
    if can(actor, "users.change_any", user):
        made["person"] = make("person", PersonForm, PersonForm.initial_of(user))
    if can(actor, "roles.change"):
        made["role"] = make("role", RoleForm, RoleForm.initial_of(user))
    if can(actor, "quotas.change"):
        made["quota"] = make("quota", QuotaForm, QuotaForm.initial_of(user))
    if can(actor, "users.reset", user) and not user.is_service:
        made["password"] = make("password", NewPasswordForm)
    if can(actor, "users.suspend", user) and not user.is_suspended:
        made["suspend"] = make("suspend", SuspendForm)
    if can(actor, "tokens.change_any") and user.is_service:
        made["token"] = make("token", TokenForm)
    return made


def _save(request: HttpRequest, user: User, name: str, form: Any) -> HttpResponse | None:
    """Do what a form asks; None when the service refused, with the reason in the form."""
    actor, values = me(request), form.cleaned_data
    if name == "token":
        made = page_forms.call(form, tokens.create_token, user, actor=actor, **form.asked())
        return show_token_once(request, *made) if made else None
    if name == "person":
        done: Any = page_forms.call(form, services.update_profile, user, actor=actor, **form.changes())
    elif name == "role":
        done = _set_role(form, user, actor)
    elif name == "quota":
        done = page_forms.call(form, services.set_quota, user, actor=actor, **form.changes())
    elif name == "password":
        done = page_forms.call(form, services.reset_password, user, values["password"], actor=actor)
    else:
        done = page_forms.call(form, services.suspend_user, user, actor=actor, **values)
    if done is None:
        return None
    messages.success(request, "Saved.")
    return redirect("accounts:user_detail", pk=user.pk)


def _set_role(form: RoleForm, user: User, actor: User) -> User | None:
    """The role first, then its regions, each only if it was changed here."""
    changes = form.changes()
    done: User | None = user
    if "role" in changes:
        done = page_forms.call(form, services.set_role, user, changes["role"], actor=actor)
    if done and "regions" in changes:
        done = page_forms.call(form, services.set_regions, user, changes["regions"], actor=actor)
    return done


def _facts(request: HttpRequest, user: User, made: dict[str, Any]) -> dict[str, Any]:
    """What the page shows besides its forms."""
    actor = me(request)
    may_reset = can(actor, "users.reset", user)
    about = Q(target_kind="user", target_id=str(user.pk)) | Q(actor_kind="user", actor_id=str(user.pk))
    return {
        "person": user,
        "forms": made,
        "limits": quotas.quota_for(user),
        "is_verified": EmailAddress.objects.filter(user=user, email__iexact=user.email, verified=True).exists(),
        "factors": sorted({row.get_type_display() for row in Authenticator.objects.filter(user=user)}),
        "locked_for": lockout.in_words(seconds) if (seconds := lockout.seconds_locked(user)) else "",
        "logins": sessions.logins_of(user) if may_reset else [],
        "tokens": ApiToken.objects.filter(user=user) if can(actor, "tokens.view_any") else [],
        "may_reset": may_reset,
        "may_suspend": can(actor, "users.suspend", user),
        "may_audit": can(actor, "audit.view"),
        "entries": AuditEntry.objects.visible_to(actor).filter(about)[:LATEST],
    }
