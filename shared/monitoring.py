"""Sentry and Prometheus: what a process tells its operators."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import prometheus_client
import sentry_sdk
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from pydantic import SecretStr
from sentry_sdk.types import Event, Hint

from shared.logs import scrub

TRACE_HEADERS = ("sentry-trace", "baggage")

EVENTS_PUBLISHED = Counter(
    "bus_events_published", "Events that the bus has taken over.", ["service", "event"]
)
EVENTS_REFUSED = Counter(
    "bus_events_refused",
    "Events that the bus did not take; they stay in the outbox.",
    ["service", "event", "reason"],
)
EVENTS_HANDLED = Counter(
    "bus_events_handled", "Messages that a consumer has met.", ["queue", "event", "outcome"]
)
EVENT_SECONDS = Histogram("bus_event_seconds", "Time a consumer needs for a message.", ["queue", "event"])
DEAD_LETTERS = Counter("bus_dead_letters", "Messages that a consumer gave up.", ["queue"])
OUTBOX_WAITING = Gauge("outbox_waiting", "Events in the outbox that are due.", ["service"])
LOOP_CRASHES = Counter("loop_crashes", "Loops that failed and were started again.", ["loop"])


def init_sentry(dsn: SecretStr | str | None, *, service: str, environment: str, **options: Any) -> None:
    """Report errors to Sentry, without personal data; nothing happens without a DSN."""
    if dsn is None:
        return
    sentry_sdk.init(
        dsn=dsn.get_secret_value() if isinstance(dsn, SecretStr) else dsn,
        environment=environment,
        server_name=service,
        # no personal data is the default; saying so by send_default_pii is deprecated
        include_local_variables=False,
        max_request_body_size="never",
        before_send=_scrub_event,
        **options,
    )


def trace_headers() -> dict[str, str]:
    """Headers that carry the current trace to another process; empty without Sentry."""
    if not sentry_sdk.get_client().is_active():
        return {}
    values = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    return {name: value for name, value in values.items() if value}


def continue_trace(headers: Mapping[str, Any], name: str) -> AbstractContextManager[Any]:
    """A context manager in which work belongs to the trace of the headers; it does nothing without Sentry."""
    if not sentry_sdk.get_client().is_active():
        return nullcontext()
    trace = {key: str(headers[key]) for key in TRACE_HEADERS if key in headers}
    transaction = sentry_sdk.continue_trace(trace, op="queue.process", name=name)
    return sentry_sdk.start_transaction(transaction)


def exposition(registry: CollectorRegistry = REGISTRY) -> tuple[bytes, str]:
    """The metrics as Prometheus reads them, and their content type."""
    return prometheus_client.generate_latest(registry), prometheus_client.CONTENT_TYPE_LATEST


def _scrub_event(event: Event, _hint: Hint) -> Event:
    scrubbed: Any = scrub(None, "", dict(event))
    return scrubbed  # type: ignore[no-any-return]
