"""Counts and times of requests, for Prometheus, over all worker processes of gunicorn."""

import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

_REQUESTS = Counter("http_requests", "Requests answered.", ("service", "method", "route", "status"))
_SECONDS = Histogram(
    "http_request_seconds",
    "Time to the answer.",
    ("service", "method", "route"),
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_app(app: Flask, service: str) -> None:
    """Measure every request and answer ``/metrics`` (never public: the gateway has no route to it)."""

    @app.after_request
    def _count(response: Response) -> Response:
        # Labels are bounded: rules instead of paths, known methods only.
        route = request.url_rule.rule if request.url_rule is not None else "unmatched"
        method = request.method if request.method in _METHODS else "other"
        _REQUESTS.labels(service, method, route, response.status_code).inc()
        _SECONDS.labels(service, method, route).observe(time.perf_counter() - g.request_started)
        return response

    @app.get("/metrics")
    def _metrics() -> Response:
        return Response(generate_latest(_registry()), content_type=CONTENT_TYPE_LATEST)


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    try:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    except ValueError:  # one process: shared.web.gunicorn has set no folder for several
        return REGISTRY
    return registry
