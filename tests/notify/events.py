"""Events as they reach notify, and what stands in its database afterwards."""

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text

from services.notify.constants import EVENTS_QUEUE
from services.notify.handlers import HANDLERS
from shared.contracts.auth import UserDeletedV1, UserRegisteredV1
from shared.contracts.billing import Channel, EntitlementChangedV1, Entitlements
from shared.contracts.envelope import Envelope, Event
from shared.contracts.signals import (
    AlgorithmsListedV1,
    Condition,
    LedgerPosition,
    ListedAlgorithm,
    ListedTicker,
    SilentTicker,
    TickerRecoveredV1,
    TickersListedV1,
    TickerStaleV1,
    View,
    ViewChange,
    ViewsChangedV1,
)
from shared.db import inbox
from shared.db.engine import Database
from shared.process import Loop, Supervisor

CLOSE = datetime(2026, 11, 20, 12, tzinfo=UTC)
CROSSOVER = "golden_crossover"
RSI = "reversal_rsi"
ALL_CHANNELS: tuple[Channel, ...] = ("mail", "live", "webhook")
WHY = (
    Condition(
        side="entry",
        text="SMA9 crosses above SMA50",
        value=43210.5,
        operator="crosses above",
        threshold=43190.25,
        holds=True,
    ),
    Condition(side="entry", text="RSI14 > 55", value=61.234567, operator=">", threshold=55.0, holds=True),
    Condition(
        side="exit",
        text="SMA9 crosses below SMA50",
        value=None,
        operator="crosses below",
        threshold=None,
        holds=False,
    ),
)


def handle(
    database: Database, event: Event, *, version: int = 1, envelope: Envelope[Any] | None = None
) -> None:
    """Let notify handle an event as its consumer does: inbox and work in one transaction."""
    envelope = envelope or Envelope.of(event, aggregate_id="a", aggregate_version=version)
    with database.transaction() as session:
        if inbox.receive(session, EVENTS_QUEUE, envelope.id):
            HANDLERS[type(event)](session, envelope)


def registered(user_id: str, *, user_name: str = "Ada", email: str | None = None) -> UserRegisteredV1:
    return UserRegisteredV1(user_id=user_id, user_name=user_name, email=email or f"{user_id}@example.org")


def deleted(user_id: str) -> UserDeletedV1:
    return UserDeletedV1(user_id=user_id)


def entitled(
    user_id: str, *, alerts_max: int | None = None, channels: tuple[Channel, ...] = ALL_CHANNELS
) -> EntitlementChangedV1:
    allowed = Entitlements(alerts_max=alerts_max, channels=channels, api="read", scorecard=False)
    return EntitlementChangedV1(user_id=user_id, plan="any", entitlements=allowed)


def algorithms(*keys: str) -> AlgorithmsListedV1:
    names = {CROSSOVER: "Moving Average Crossover", RSI: "Maximized RSI"}
    return AlgorithmsListedV1(
        algorithms=tuple(
            ListedAlgorithm(key=key, name=names.get(key, key), version="1", timeframe="1h") for key in keys
        )
    )


def tickers(*names: str) -> TickersListedV1:
    return TickersListedV1(tickers=tuple(ListedTicker(ticker=name, timeframe="1h") for name in names))


def change(
    ticker: str,
    to: View = "BUY",
    *,
    algorithm: str = CROSSOVER,
    before: View = "HOLD",
    close: float = 43250.5,
) -> ViewChange:
    return ViewChange.model_validate(
        {
            "algorithm": algorithm,
            "algorithm_version": "1",
            "ticker": ticker,
            "from": before,
            "to": to,
            "close": close,
            "why": WHY,
            "ledger": LedgerPosition(partition=3, sequence=17),
        }
    )


def changed(
    *changes: ViewChange, hours: int = 0, recorded: bool = False, late: bool = False
) -> ViewsChangedV1:
    """Changes at one close, ``hours`` after CLOSE, evaluated within a second."""
    close = CLOSE + timedelta(hours=hours)
    return ViewsChangedV1(
        timeframe="1h",
        close_time=close,
        released_at=close + timedelta(milliseconds=200),
        evaluated_at=close + timedelta(milliseconds=450),
        recorded=recorded,
        late=late,
        changes=changes,
    )


def stale(*tickers: str, hours: int = 0) -> TickerStaleV1:
    """Tickers whose last candle closed ``hours`` after CLOSE, found out two hours later."""
    last_close = CLOSE + timedelta(hours=hours)
    silent = tuple(SilentTicker(ticker=ticker, last_close=last_close) for ticker in tickers)
    return TickerStaleV1(timeframe="1h", as_of=last_close + timedelta(hours=2), tickers=silent)


def recovered(*tickers: str, hours: int = 0) -> TickerRecoveredV1:
    """Tickers of which a candle came that closed ``hours`` after CLOSE."""
    return TickerRecoveredV1(timeframe="1h", close_time=CLOSE + timedelta(hours=hours), tickers=tickers)


def person(database: Database, user_id: str, **entitlement: Any) -> None:
    """Somebody with an account and a plan; the welcome mail is out."""
    handle(database, registered(user_id))
    handle(database, entitled(user_id, **entitlement))
    execute(
        database,
        "UPDATE delivery SET state = 'sent' WHERE kind = 'welcome' AND user_id = :user",
        user=user_id,
    )


def people(database: Database, count: int) -> None:
    """So many people with a welcome mail waiting."""
    for number in range(count):
        handle(database, registered(f"user{number}"))


def alert(
    database: Database,
    user_id: str,
    ticker: str | None,
    *,
    algorithm: str = CROSSOVER,
    channels: Sequence[str] = ("mail",),
) -> uuid.UUID:
    """An alert, put where the API puts it."""
    made = rows(
        database,
        "INSERT INTO alert (user_id, algorithm, ticker, channels)"
        " VALUES (:user, :algorithm, :ticker, :channels) RETURNING id",
        user=user_id,
        algorithm=algorithm,
        ticker=ticker,
        channels=list(channels),
    )
    found: uuid.UUID = made[0]["id"]
    return found


def rows(database: Database, statement: str, **parameters: Any) -> list[dict[str, Any]]:
    with database.read() as connection:
        return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]


def execute(database: Database, statement: str, **parameters: Any) -> None:
    with database.read() as connection:
        connection.execute(text(statement), parameters)


def deliveries(database: Database, kind: str = "view_changed") -> list[tuple[str, str, str | None]]:
    """(user, channel, ticker) of all deliveries of a kind, in order."""
    found = rows(
        database,
        "SELECT user_id, channel, ticker FROM delivery d LEFT JOIN view_change c ON c.id = d.view_change_id"
        " WHERE kind = :kind ORDER BY 1, 2, 3",
        kind=kind,
    )
    return [(row["user_id"], row["channel"], row["ticker"]) for row in found]


def states(database: Database) -> dict[str, int]:
    """How many deliveries are in which state."""
    return {
        row["state"]: row["count"]
        for row in rows(database, "SELECT state, count(*) FROM delivery GROUP BY state")
    }


@contextmanager
def running(*loops: Loop) -> Iterator[Supervisor]:
    """Loops as a process runs them, stopped at the end of the block."""
    supervisor = Supervisor()
    supervisor.start(loops)
    try:
        yield supervisor
    finally:
        assert supervisor.stop(15) == []


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    """Wait until another thread or process has brought something about."""
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        tick.wait(0.02)
