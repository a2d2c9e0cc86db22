"""The overview and the search: both put together what the apps registered."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


@login_required
def overview(request: HttpRequest) -> HttpResponse:
    return render(request, "overview.html")


@login_required
def search(request: HttpRequest) -> HttpResponse:
    return render(request, "search.html")
