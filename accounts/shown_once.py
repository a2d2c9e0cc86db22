"""Pages with a secret shown once: put in after rendering, so that it is in no template's context; never cached."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.views.decorators.debug import sensitive_variables

from .models import ApiToken, Invite

GOES_HERE = "<!-- shown once -->"


@sensitive_variables("plain")
def show_token_once(request: HttpRequest, token: ApiToken, plain: str) -> HttpResponse:
    """A token that was just made."""
    return _page(request, "accounts/token_created.html", {"token": token}, plain)


@sensitive_variables("link")
def show_link_once(request: HttpRequest, invite: Invite, link: str) -> HttpResponse:
    """An invitation that was just made."""
    return _page(request, "accounts/invite_created.html", {"invite": invite}, link)


@sensitive_variables("secret")
def _page(request: HttpRequest, template: str, context: dict[str, object], secret: str) -> HttpResponse:
    page = render_to_string(template, {**context, "here": GOES_HERE}, request)
    box = format_html(
        '<div class="k-copybox"><code class="k-whole">{}</code>'
        '<button type="button" class="btn btn-sm k-js" data-copy="{}">Copy</button></div>',
        secret,
        secret,
    )
    response = HttpResponse(page.replace(GOES_HERE, box))
    response["Cache-Control"] = "no-store"
    return response
