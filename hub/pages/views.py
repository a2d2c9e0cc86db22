"""The overview, the search, the kit, and what a person keeps about lists."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.contrib import messages
from django.contrib.admin.views.decorators import staff_member_required
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

from . import live, palette
from . import overview as overviews
from .kit import kit_context
from .models import SavedView
from .requests import me

SAVED_VIEWS = 20


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    """What needs attention, totals and panels; its body refreshes by itself."""
    context = overviews.collect(request)
    if live.is_fragment(request, "overview"):
        return live.answer(request, "partials/overview.html", context, tag=live.etag(request.user.pk, context))
    return live.private(render(request, "overview.html", context))


@login_required
def notifications(request: HttpRequest) -> HttpResponse:
    """What needs this person now, worst first; the bell opens it as a fragment."""
    context = {"concerns": overviews.collect(request)["concerns"]}
    template = "partials/notifications.html" if live.is_fragment(request) else "notifications.html"
    return live.private(render(request, template, context))


@login_required
def search(request: HttpRequest) -> HttpResponse:
    """Everything one may see that fits; the palette asks for the results alone."""
    text = request.GET.get("q", "")[:100]
    context = {"q": text, "groups": palette.find(request.user, text)}
    template = "partials/search_results.html" if live.is_fragment(request) else "search.html"
    return live.private(render(request, template, context))


@staff_member_required(login_url="account_login")
def kit(request: HttpRequest) -> HttpResponse:
    """Every component in every state, for those who build pages."""
    return render(request, "kit.html", kit_context(request))


@login_required
@require_POST
def save_view(request: HttpRequest) -> HttpResponse:
    """Keep filters, order and columns of a list under a name; the same name replaces."""
    page, name, query = (request.POST.get(key, "").strip() for key in ("page", "name", "query"))
    path = _back(request, "next")
    if not page or not name or len(page) > 40 or len(name) > 40 or len(query) > 500:
        messages.error(request, "A view needs a name of at most 40 characters.")
        return redirect(path)
    mine = SavedView.objects.filter(user=request.user.pk, page=page)
    if mine.count() >= SAVED_VIEWS and not mine.filter(name=name).exists():
        messages.error(request, f"You have {SAVED_VIEWS} views of this list. Forget one first.")
        return redirect(path)
    SavedView.objects.update_or_create(user=me(request), page=page, name=name, defaults={"query": query})
    messages.success(request, f"View {name} saved.")
    return redirect(f"{urlsplit(path).path}?{query}" if query else path)


@login_required
@require_POST
def forget_view(request: HttpRequest, pk: int) -> HttpResponse:
    """Forget a saved view of one's own."""
    view = get_object_or_404(SavedView, pk=pk, user=request.user.pk)
    view.delete()
    messages.success(request, f"View {view.name} forgotten.")
    return redirect(_back(request, "next"))


def _back(request: HttpRequest, name: str) -> str:
    """Where a form wants to return to, if that is on this hub."""
    path = request.POST.get(name, "")
    return path if url_has_allowed_host_and_scheme(path, allowed_hosts=None) else "/"
