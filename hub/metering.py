"""What Prometheus reads: counters that web processes keep, and what apps tell at the moment of a scrape.

Web processes share their counters through files (`gunicorn.conf.py` names the directory). Everything that happens in
agents, in the jobs they fork and in the scheduler is told from the database instead (`register`, `hub.tallies`), so it
is right whatever process did it. We use `prometheus_client` itself: `docs/decisions/0004-own-metrics.md` says why.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from time import perf_counter
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib.admindocs.views import simplify_regex
from django.core.signals import got_request_exception
from django.http import HttpRequest, HttpResponse
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
SHARED = "PROMETHEUS_MULTIPROC_DIR"
Families = Iterable[Metric]

requests_total = Counter("http_requests", "Requests answered.", ["method", "endpoint", "status_code"])
request_seconds = Histogram(
    "http_request_duration_seconds",
    "How long requests took.",
    ["method", "endpoint"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
in_progress = Gauge(
    "http_requests_in_progress", "Requests being answered.", ["method", "endpoint"], multiprocess_mode="livesum"
)
errors_total = Counter("errors", "Requests that failed by our fault.", ["error_type", "endpoint"])
security_events = Counter("security_events", "Failed logins, refused requests, exceeded rates.", ["kind"])
database_seconds = Histogram(
    "database_operation_duration_seconds",
    "How long statements took.",
    ["operation", "table"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5),
)


class _Route(NamedTuple):
    """The instruments of one route, looked up once."""

    running: Any
    seconds: Any


@lru_cache(maxsize=4096)
def _route(method: str, endpoint: str) -> _Route:
    return _Route(in_progress.labels(method, endpoint), request_seconds.labels(method, endpoint))


@lru_cache(maxsize=8192)
def _answers(method: str, endpoint: str, status: int) -> Any:
    return requests_total.labels(method, endpoint, str(status))


class MetricsMiddleware:
    """Count and time every request under its route, never under its path: paths are without number."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = perf_counter()
        response = self.get_response(request)
        method, endpoint, status = _method(request), endpoint_of(request), response.status_code
        route = _route(method, endpoint)
        route.seconds.observe(perf_counter() - began)
        _answers(method, endpoint, status).inc()
        if hasattr(request, "is_metered"):
            route.running.dec()
        if status >= 500 and not hasattr(request, "is_error_counted"):  # such as a database that is away
            errors_total.labels(f"http_{status}", endpoint).inc()
        return response

    def process_view(self, request: HttpRequest, *_: Any) -> None:
        """The route is known from here on."""
        request.is_metered = True  # type: ignore[attr-defined]  # so that what was added is taken away
        _route(_method(request), endpoint_of(request)).running.inc()


def endpoint_of(request: HttpRequest | None) -> str:
    """The route that a request met, such as `api/v1/servers/<uuid:pk>`."""
    match = getattr(request, "resolver_match", None)
    if match is not None:
        return _readable(match.route)
    is_static = request is not None and request.path_info.startswith(settings.STATIC_URL)
    return "static" if is_static else "unmatched"


@lru_cache(maxsize=1024)
def _readable(route: str) -> str:
    """Routes of DRF and the admin are regular expressions."""
    return (simplify_regex(route).lstrip("/") if "(?P" in route or "^" in route else route) or "/"


def _method(request: HttpRequest) -> str:
    return request.method if request.method in METHODS else "other"


def _count_error(sender: Any, request: HttpRequest | None = None, **kwargs: Any) -> None:
    error = sys.exc_info()[1]
    if request is not None:
        request.is_error_counted = True  # type: ignore[attr-defined]
    errors_total.labels(type(error).__name__, endpoint_of(request)).inc()


got_request_exception.connect(_count_error, dispatch_uid="hub.metering")

_collectors: dict[str, Callable[[], Families]] = {}


def register(name: str, collect: Callable[[], Families]) -> None:
    """Add figures that are looked up when Prometheus asks; apps do this in `AppConfig.ready`."""
    _collectors[name] = collect


class _Scrape(Collector):
    """All figures of one scrape. One source that fails is told as such and does not hide the others."""

    def collect(self) -> Iterator[Metric]:
        for family in self._own():
            yield family
            if family.name == "database_operation_duration_seconds":
                yield _statements(family)
        failed = GaugeMetricFamily("hub_scrape_failed", "Sources that could not be asked.", labels=["source"])
        for name, collect in _collectors.items():
            try:
                families = list(collect())
            except Exception as error:  # noqa: BLE001 - whatever is away is a figure of its own
                logger.warning("no figures of %s: %s", name, error)
                families = []
                failed.add_metric([name], 1)
            else:
                failed.add_metric([name], 0)
            yield from families
        yield failed

    def _own(self) -> Iterable[Metric]:
        if SHARED not in os.environ:
            return REGISTRY.collect()
        return MultiProcessCollector(None, path=os.environ[SHARED]).collect()


def _statements(durations: Metric) -> Metric:
    """How many statements there were: the histogram has counted them already, so that each is counted once."""
    total = CounterMetricFamily("database_operations", "Statements sent.", labels=["operation", "table"])
    for sample in durations.samples:
        if sample.name.endswith("_count"):
            total.add_metric([sample.labels["operation"], sample.labels["table"]], sample.value)
    return total


def exposition() -> bytes:
    """Everything, in the text form of Prometheus."""
    registry = CollectorRegistry()
    registry.register(_Scrape())
    return generate_latest(registry)
