"""Traces by OpenTelemetry and errors to Sentry, each switched on by its address in the environment and off without.

Their libraries are optional (requirements-optional.txt) and imported only then. Whatever leaves is scrubbed as log
lines are; of a request it tells the route and never the path, the query, headers or body, because paths hold
invitations and reset links.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings

from . import context
from .env import EnvError
from .logs import scrub

PLACES = frozenset({"http.url", "http.target", "url.full", "url.path", "url.query"})
FLUSH_MS = 3_000
REQUEST_FACTS = ("method",)
_tracers: list[Any] = []


def start() -> None:
    """Switch on what the settings ask for; called once, by the app config, before the first request."""
    if settings.HUB_TRACES_URL:
        _need("HUB_TRACES_URL", "opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation.django")
        _start_traces(settings.HUB_TRACES_URL)
    if settings.HUB_SENTRY_DSN:
        _need("HUB_SENTRY_DSN", "sentry_sdk")
        _start_sentry(settings.HUB_SENTRY_DSN)


@contextmanager
def span(name: str) -> Iterator[None]:
    """Trace a piece of work, such as a job, and hand it over before its process ends; nothing when traces are off."""
    if not _tracers:
        yield
        return
    from opentelemetry import trace

    facts = context.current()
    try:
        with trace.get_tracer("hub").start_as_current_span(name, record_exception=False) as current:
            current.set_attributes({"hub.request_id": facts.request_id, "hub.job_id": facts.job_id})
            yield
    finally:
        flush()


def flush() -> None:
    """Send what waits: the process of a job ends without tidying up."""
    for provider in _tracers:
        provider.force_flush(FLUSH_MS)


def _need(variable: str, *modules: str) -> None:
    try:
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError:
        missing = [*modules]
    if missing:
        raise EnvError(variable, "needs packages that are not installed: pip install -r requirements-optional.txt")


def _start_traces(url: str) -> None:
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.django import DjangoInstrumentor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    class Exporter(OTLPSpanExporter):
        """Sends scrubbed copies."""

        def export(self, spans: Sequence[ReadableSpan]) -> Any:
            return super().export([_clean(span) for span in spans])

    def _clean(span: ReadableSpan) -> ReadableSpan:
        return ReadableSpan(
            name=scrub(span.name),
            context=span.context,
            parent=span.parent,
            resource=span.resource,
            attributes=cleaned(span.attributes or {}),
            links=span.links,
            kind=span.kind,
            status=span.status,
            start_time=span.start_time,
            end_time=span.end_time,
            instrumentation_scope=span.instrumentation_scope,
        )

    resource = Resource.create({"service.name": "kutanga-hub", "service.version": settings.VERSION})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(Exporter(endpoint=f"{url.rstrip('/')}/v1/traces", timeout=5)))
    trace.set_tracer_provider(provider)
    _tracers.append(provider)
    DjangoInstrumentor().instrument(middleware_position=2)  # behind those that measure and know the request


def cleaned(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of a span without what a path may hold, and scrubbed."""
    return {
        name: scrub(value) if isinstance(value, str) else value
        for name, value in attributes.items()
        if name not in PLACES
    }


def _start_sentry(dsn: str) -> None:
    import sentry_sdk
    from sentry_sdk.integrations.django import DjangoIntegration

    sentry_sdk.init(
        dsn=dsn,
        release=f"kutanga-hub@{settings.VERSION}",
        auto_enabling_integrations=False,
        integrations=[DjangoIntegration(middleware_spans=False, signals_spans=False)],
        send_default_pii=False,
        include_local_variables=False,
        max_request_body_size="never",
        max_breadcrumbs=0,
        before_send=clean_event,  # type: ignore[arg-type]  # theirs is a dictionary by another name
    )


def clean_event(event: dict[str, Any], hint: dict[str, Any]) -> dict[str, Any]:
    """An event of Sentry as it may leave: of the request only its method, every text scrubbed."""
    request = event.pop("request", None) or {}
    facts = context.current()
    event["request"] = {name: request[name] for name in REQUEST_FACTS if name in request}
    event.pop("user", None)
    event.pop("server_name", None)
    event.get("logentry", {}).pop("params", None)  # values without the words that would tell that one is secret
    event["tags"] = {**event.get("tags", {}), "request_id": facts.request_id, "job_id": facts.job_id}
    found: dict[str, Any] = _scrubbed(event)
    return found


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {key: _scrubbed(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(each) for each in value]
    return value
