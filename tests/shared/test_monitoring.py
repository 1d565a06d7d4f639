"""Sentry gets errors without personal data, and traces go on through the bus."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport
from sqlalchemy import text

from shared import monitoring
from shared.contracts.auth import UserDeletedV1
from shared.db import outbox
from shared.db.engine import Database


class Collected(Transport):
    """Keeps what would go to Sentry."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Any] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self.events.append(event)


@pytest.fixture
def sentry() -> Iterator[Collected]:
    transport = Collected()
    monitoring.init_sentry(
        "https://key@sentry.example/1",
        service="auth",
        environment="test",
        transport=transport,
        default_integrations=False,
        traces_sample_rate=1.0,
    )
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.init()


def test_without_a_dsn_nothing_is_sent() -> None:
    monitoring.init_sentry(None, service="auth", environment="test")
    assert not sentry_sdk.get_client().is_active()
    assert monitoring.trace_headers() == {}
    with monitoring.continue_trace({"sentry-trace": "x"}, "name"):
        assert monitoring.trace_headers() == {}


def test_reports_hold_no_local_variables_and_no_secrets(sentry: Collected) -> None:
    def fail(password: str) -> None:
        raise ValueError(f"amqp://u:{password}@host")

    secret = "hunt" + str(2 * 1) + "er"  # reports quote source lines, in which a secret never stands
    try:
        fail(secret)
    except ValueError as error:
        sentry_sdk.capture_exception(error)
    sentry_sdk.flush()
    assert len(sentry.events) == 1
    assert secret not in str(sentry.events)


def test_an_event_carries_the_trace_of_its_cause(
    sentry: Collected, migrated: Callable[[str], Database]
) -> None:
    database = migrated("messaging")
    with sentry_sdk.start_transaction(name="request") as request, database.transaction() as session:
        outbox.add(session, UserDeletedV1(user_id="u"), aggregate_id="u", aggregate_version=1)
    with database.read() as connection:
        headers = connection.execute(text("SELECT headers FROM outbox")).scalar_one()
    assert headers["sentry-trace"].startswith(request.trace_id)
    with monitoring.continue_trace(headers, "auth.user_deleted.v1"):
        assert monitoring.trace_headers()["sentry-trace"].startswith(request.trace_id)
