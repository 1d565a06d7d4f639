"""One close after the other through a runner, each in a transaction, without a bus."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from services.signals.algorithms import ALGORITHMS
from services.signals.candles import CandleBatch
from services.signals.lineup import Lineup
from services.signals.runner import Runner
from shared.contracts.envelope import Envelope
from shared.contracts.signals import CandlesClosedV1
from shared.db.engine import Database

RELEASED = datetime(2026, 11, 22, 12, tzinfo=UTC)
ALL = Lineup(ALGORITHMS, None)
STORED = ("ticker", "candle", "candle_gap", "signal", "view", "view_change", "ledger", "checkpoint")


def envelope_of(batch: CandleBatch, sequence: int = 1) -> Envelope[CandlesClosedV1]:
    """The event that a feed makes of a batch."""
    columns = dict(zip(("open", "high", "low", "close", "volume"), batch.columns, strict=True))
    values: Mapping[str, Any] = {name: tuple(column.tolist()) for name, column in columns.items()}
    event = CandlesClosedV1.model_validate(
        {
            "feed": "test",
            "sequence": sequence,
            "timeframe": batch.timeframe,
            "close_time": batch.close_time,
            "released_at": RELEASED,
            "recorded": True,
            "tickers": batch.tickers,
            **values,
        }
    )
    return Envelope.of(event, aggregate_id="test", aggregate_version=sequence)


def close(database: Database, runner: Runner, batch: CandleBatch, sequence: int = 1) -> None:
    """Handle one batch in a transaction of its own."""
    with database.transaction() as session:
        runner.candles_closed(session, envelope_of(batch, sequence))


def close_all(database: Database, batches: Iterable[CandleBatch], runner: Runner | None = None) -> Runner:
    """Handle batches one after the other."""
    runner = runner or Runner(0, 1, ALL)
    for sequence, batch in enumerate(batches, start=1):
        close(database, runner, batch, sequence)
    return runner


def stored(database: Database) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that a runner writes."""
    with database.read() as connection:
        return {
            table: sorted(
                (tuple(row) for row in connection.execute(text(f"SELECT * FROM {table}"))), key=repr
            )
            for table in STORED
        }


def events(database: Database, key: str) -> list[dict[str, Any]]:
    """The data of the events of a routing key in the outbox, in their order."""
    with database.read() as connection:
        rows = connection.execute(
            text("SELECT payload FROM outbox WHERE type = :key ORDER BY seq"), {"key": key}
        )
        return [payload["data"] for payload in rows.scalars()]


def with_prices(batch: CandleBatch, price: float) -> CandleBatch:
    """The batch with one price in all its columns but the volume."""
    prices = batch.close * 0 + price
    return replace(batch, open_=prices, high=prices, low=prices, close=prices)
