"""Which form an answer takes: `?format=`, else what the Accept header prefers, else JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.exceptions import NotAcceptable
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from hub.exceptions import Invalid


class HubNegotiation(DefaultContentNegotiation):
    """A format that there is not is a bad parameter; an Accept header that nothing fits gets JSON, never an error."""

    def filter_renderers(self, renderers: Any, format: str) -> list[BaseRenderer]:
        fitting = [renderer for renderer in renderers if renderer.format == format]
        if not fitting:
            known = " or ".join(str(renderer.format) for renderer in renderers)
            raise Invalid(f"The format can be {known} here.", field="format")
        return fitting

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        renderers = list(renderers)
        if asked := format_suffix or request.query_params.get(self.settings.URL_FORMAT_OVERRIDE):
            renderers = self.filter_renderers(renderers, asked)
        try:
            return super().select_renderer(request, renderers, format_suffix)
        except NotAcceptable:
            return renderers[0], renderers[0].media_type
